"""StyleCLIP's optimisation and global directions."""
