"""Region slots: the masks of where an edit may act."""
