"""Region slots: where an edit may act."""
