"""The job file: pydantic sections, loading, S3 settings from the environment."""
