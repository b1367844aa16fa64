"""Published rows as training files."""
