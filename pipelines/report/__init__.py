"""The report of a run: one HTML page, made from published rows, that loads nothing else."""
