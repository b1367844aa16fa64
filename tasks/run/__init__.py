"""One run under way: waves over the pool, and the same waves as Prefect tasks."""
