"""Functions on arrays: scores per neuroid, ceilings, dissimilarity, significance, saliency and scanpaths."""
