"""What one actor does with one request, as plain functions: invert, fit, edit, quarantine."""
