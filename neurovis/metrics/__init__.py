"""Functions on arrays: scores per neuroid, noise ceilings, dissimilarity matrices and significance."""
