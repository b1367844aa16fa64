"""Judges and ground-truth measures."""
