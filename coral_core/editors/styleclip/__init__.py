"""StyleCLIP's latent optimisation and global directions."""
