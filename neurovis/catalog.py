"""Every public name of the workbench and where it lives: the index to read first.

Names are resolved on use, so importing this file costs nothing. Only ``cli`` and notebooks look names up;
everything else receives objects.
"""

from neurovis.core.registry import Registry

datasets = Registry(
    "dataset",
    {
        "algonauts2023": "neurovis.datasets.algonauts2023:load_algonauts2023",
        "bold5000": "neurovis.datasets.bold5000:load_bold5000",
        "coco_search18": "neurovis.datasets.coco_search18:load_coco_search18",
        "digit69": "neurovis.datasets.digit69:load_digit69",
        "fsaverage_retinotopy": "neurovis.datasets.fsaverage_retinotopy:load_fsaverage_retinotopy",
        "god": "neurovis.datasets.god:load_god",
        "haxby2001": "neurovis.datasets.haxby2001:load_haxby2001",
        "interiors_search": "neurovis.datasets.interiors_search:load_interiors_search",
        "kay2017": "neurovis.datasets.kay2017:load_kay2017",
        "kriegeskorte92": "neurovis.datasets.kriegeskorte92:load_kriegeskorte92",
        "macaque_v4": "neurovis.datasets.macaque_v4:load_macaque_v4",
        "mit1003": "neurovis.datasets.mit1003:load_mit1003",
        "nsd": "neurovis.datasets.nsd:load_nsd",
        "objects81": "neurovis.datasets.objects81:load_objects81",
        "osie": "neurovis.datasets.osie:load_osie",
        "salicon": "neurovis.datasets.salicon:load_salicon",
        "simulated": "neurovis.datasets.simulated:load_simulated",
        "sti_amazon": "neurovis.datasets.sti_amazon:load_sti_amazon",
        "visual_search_asymmetry": "neurovis.datasets.visual_search_asymmetry:load_visual_search_asymmetry",
        "vtc_fivecat": "neurovis.datasets.vtc_fivecat:load_vtc_fivecat",
    },
)

# Stimuli alone, of data sets whose responses take long to read.
stimulus_sets = Registry(
    "stimulus set",
    {
        "nsd": "neurovis.datasets.nsd:load_nsd_stimuli",
    },
)

features = Registry(
    "feature space",
    {
        "cifar-resnet20": "neurovis.features.cifar_resnet20:make_cifar_resnet20",
        "gabor": "neurovis.features.gabor:GaborPyramid",
        "huggingface": "neurovis.features.huggingface:make_huggingface",
        "huggingface-text": "neurovis.features.huggingface:make_huggingface_text",
        "huggingface-video": "neurovis.features.huggingface:make_huggingface_video",
        "motion-energy": "neurovis.motion.features:MotionEnergyFeatures",
        "open_clip": "neurovis.features.open_clip:make_open_clip",
        "open_clip-text": "neurovis.features.open_clip:make_open_clip_text",
        "pixels": "neurovis.features.pixels:PixelFeatures",
        "squeezenet": "neurovis.features.squeezenet:make_squeezenet",
        "timm": "neurovis.features.timm:make_timm",
        "torchvision": "neurovis.features.torchvision:make_torchvision",
        "transnext": "neurovis.features.transnext:make_transnext",
        "worldnet": "neurovis.features.worldnet:make_worldnet",
    },
)

encoders = Registry(
    "encoder",
    {
        "banded-ridge": "neurovis.encoding.banded:make_banded_ridge",
        "best-layer": "neurovis.encoding.best_layer:make_best_layer",
        "factorised": "neurovis.encoding.factorised:make_factorised",
        "fwrf": "neurovis.encoding.fwrf:make_fwrf",
        "prf": "neurovis.encoding.prf:make_prf",
        "ridge": "neurovis.encoding.ridge:make_ridge",
        "stacked": "neurovis.encoding.stacking:make_stacked",
        "transformer": "neurovis.encoding.transformer:make_transformer",
    },
)

metrics = Registry(
    "metric",
    {
        "explained_variance": "neurovis.metrics.regression:explained_variance",
        "pearson_r": "neurovis.metrics.regression:pearson_r",
        "r2": "neurovis.metrics.regression:r2",
        "spearman_r": "neurovis.metrics.regression:spearman_r",
    },
)

studies = Registry(
    "study",
    {
        "coco_search18_val": "neurovis.evaluation.studies.coco_search18_val:analyse_coco_search18_val",
        "digit69": "neurovis.evaluation.studies.digit69:analyse_digit69",
        "fsaverage_retinotopy": "neurovis.evaluation.studies.fsaverage_retinotopy"
        ":analyse_fsaverage_retinotopy",
        "haxby2001": "neurovis.evaluation.studies.haxby2001:analyse_haxby2001",
        "interiors_search": "neurovis.evaluation.studies.interiors_search:analyse_interiors_search",
        "kay2017": "neurovis.evaluation.studies.kay2017:analyse_kay2017",
        "kriegeskorte92": "neurovis.evaluation.studies.kriegeskorte92:analyse_kriegeskorte92",
        "macaque_v4": "neurovis.evaluation.studies.macaque_v4:analyse_macaque_v4",
        "objects81": "neurovis.evaluation.studies.objects81:analyse_objects81",
        "osie": "neurovis.evaluation.studies.osie:analyse_osie",
        "perceived_flow": "neurovis.evaluation.studies.perceived_flow:analyse_perceived_flow",
        "sti_amazon": "neurovis.evaluation.studies.sti_amazon:analyse_sti_amazon",
        "visual_search_asymmetry": "neurovis.evaluation.studies.visual_search_asymmetry"
        ":analyse_visual_search_asymmetry",
        "vtc_fivecat": "neurovis.evaluation.studies.vtc_fivecat:analyse_vtc_fivecat",
    },
)
