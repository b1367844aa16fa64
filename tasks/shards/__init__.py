"""One shard as the unit of work: its decoded batches, its rows and its commit; background threads."""
