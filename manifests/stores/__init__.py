"""Object stores: the protocol, local, S3, preflight; open.py is the one door."""
