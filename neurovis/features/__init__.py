"""Feature spaces: pixels, Gabor energy and networks, each a callable from stimuli to arrays by layer."""
