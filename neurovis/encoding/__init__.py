"""Encoding models: from stimulus features to responses, one scikit-learn estimator a file."""
