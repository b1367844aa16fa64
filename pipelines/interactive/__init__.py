"""Trying things in this process before a run: preview, one image."""
