"""Ray: connection, actor, pool, deadlines, signals. The only folder that imports ray."""
