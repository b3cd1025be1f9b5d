"""Controlled images and movies: the procedural world and the classic stimuli with physical units."""
