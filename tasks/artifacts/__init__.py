"""Fitted editors: stored artifacts, artifacts that ship with a bundle, their training sources, and loading them."""
