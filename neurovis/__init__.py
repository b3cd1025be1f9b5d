"""neurovis: a vision-neuroscience modelling workbench with a known ground truth.

Importing this package is light on purpose: the names below come from :mod:`neurovis.core` and
:mod:`neurovis.catalog`; everything heavy is imported by the module that needs it.
"""

__version__ = "0.1.0"
