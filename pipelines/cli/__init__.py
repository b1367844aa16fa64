"""The command line: typer commands, and the tables that they print."""
