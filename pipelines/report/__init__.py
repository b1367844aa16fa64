"""The report of a run: one page, made from what is published, that needs nothing but a browser."""
