"""The plan of a run, retries, which request is in force, and how much is done."""
