"""Commits become the rows that readers see; gate suggestions; garbage collection."""
