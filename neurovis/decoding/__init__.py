"""Decoding: from responses to what was seen, as categories or as one image among many."""
