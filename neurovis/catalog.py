"""Every public name of the workbench and where it lives: the index to read first.

Names are resolved on use, so importing this file costs nothing. Only ``cli`` and notebooks look names up;
everything else receives objects.
"""

from neurovis.core.registry import Registry

datasets = Registry("dataset", {})

features = Registry(
    "feature space",
    {
        "cifar-resnet20": "neurovis.features.cifar_resnet20:make_cifar_resnet20",
        "gabor": "neurovis.features.gabor:GaborPyramid",
        "open_clip": "neurovis.features.open_clip:make_open_clip",
        "pixels": "neurovis.features.pixels:PixelFeatures",
        "squeezenet": "neurovis.features.squeezenet:make_squeezenet",
        "timm": "neurovis.features.timm:make_timm",
        "torchvision": "neurovis.features.torchvision:make_torchvision",
        "worldnet": "neurovis.features.worldnet:make_worldnet",
    },
)

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
