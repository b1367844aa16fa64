"""Latent slots and their statistics: what an edit changes."""
