"""Gaze: visual search, scanpaths over objects, and densities of the next fixation."""
