"""Every public name of the workbench and where it lives: the index to read first.

Names are resolved on use, so importing this file costs nothing. Only ``cli`` and notebooks look names up;
everything else receives objects.
"""

from neurovis.core.registry import Registry

datasets = Registry("dataset", {})

features = Registry("feature space", {})

encoders = Registry("encoder", {"ridge": "neurovis.encoding.ridge:Ridge"})

metrics = Registry(
    "metric",
    {
        "explained_variance": "neurovis.metrics.regression:explained_variance",
        "pearson_r": "neurovis.metrics.regression:pearson_r",
        "r2": "neurovis.metrics.regression:r2",
        "spearman_r": "neurovis.metrics.regression:spearman_r",
    },
)
