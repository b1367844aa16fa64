"""Latent slots (directions and mappers in W+), and statistics of latents."""
