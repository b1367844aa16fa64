"""Commands that work in this process, before a run: preview, and edit of one image."""
