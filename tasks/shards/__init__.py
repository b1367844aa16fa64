"""One shard as the unit of work: in as decoded batches, out as rows and one commit; the threads beside it."""
