"""Export of published rows as training files."""
