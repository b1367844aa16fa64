"""Pixels: the only place with PIL and uint8 (decode, tensors, encode, paste back, thumbnails)."""
