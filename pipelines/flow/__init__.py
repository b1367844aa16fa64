"""The Prefect flow, and the process that runs it."""
