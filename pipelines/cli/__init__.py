"""typer commands and their tables."""
