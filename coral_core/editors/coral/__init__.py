"""Editors fitted per prompt with regions."""
