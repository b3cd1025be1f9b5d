"""Decoding: from responses to what was seen, as categories, as one image among many, or as motion."""
