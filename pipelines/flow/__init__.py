"""The Prefect flow and the process around it."""
