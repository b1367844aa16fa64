"""Procedural portraits with ground truth, their words and corpus."""
