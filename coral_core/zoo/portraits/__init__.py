"""Procedural portraits with ground truth, their captions and corpus."""
