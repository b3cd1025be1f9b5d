"""Foveation: sampling and pooling whose resolution falls with the distance from fixation."""
