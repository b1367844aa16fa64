"""Fitted editors: artifacts in the store, those a bundle ships, what they are fitted on, what is loaded."""
