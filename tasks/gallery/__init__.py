"""Stored results as pictures for report and preview."""
