# Names and functions of all rules. Logic that deserves a test lives in neurovis.workflow.
import json
import shlex
import sys
from pathlib import Path

from neurovis.workflow import (
    compute_fingerprint,
    find_available,
    find_real_root,
    read_card_entry,
)

# The command of the environment that runs Snakemake is found even if that environment is not activated.
shell.prefix(f"export PATH=$PATH:{Path(sys.executable).parent}; ")


wildcard_constraints:
    dataset="simulated|real/[a-z0-9_]+",
    subject="[A-Za-z0-9]+",
    # A joint space is written a+b, and stays one entity of a file name.
    features="[A-Za-z0-9][A-Za-z0-9.+-]*",
    space="[A-Za-z0-9][A-Za-z0-9.-]*",
    encoder="[a-z][a-z0-9-]*",
    study="[a-z0-9_]+",
    seed="[0-9]+",
    region="[A-Za-z0-9-]+",


ENV = "envs/neurovis.yaml"
SIMULATED = config["simulated"]
GENERATION = config["generation"]
REGIONS = {entry["region"]: entry for entry in GENERATION["regions"]}
CATEGORIES = json.dumps({name: entry["category"] for name, entry in REGIONS.items()})
CAPTIONING = config["captioning"]
GPU = 0 if config["device"] == "cpu" else 1


def name_of(dataset):
    """Catalog name of the data set in a folder such as real/macaque_v4."""
    return dataset.rpartition("/")[2]


def published():
    """Folders of the data sets with images that are there; asked for only when their targets are."""
    return [
        f"real/{name}"
        for name in find_available(config, list(config["real"]["datasets"]))
    ]


def entry_of(dataset):
    """The block of the config that describes a data set."""
    if dataset == "simulated":
        return {**SIMULATED, "features": config["features"]} | {
            key: config["encoding"][key] for key in ("models", "partition", "reference")
        }
    return config["real"]["datasets"][name_of(dataset)]


def features_of(dataset):
    return entry_of(dataset)["features"]


def subjects_of(dataset):
    return entry_of(dataset)["subjects"]


def models_of(dataset):
    """(features, encoder) of every model of a data set; ridge on each space where it names none."""
    entry = entry_of(dataset)
    blocks = entry.get(
        "models", [{"features": entry["features"], "encoders": ["ridge"]}]
    )
    return [
        (features, encoder)
        for block in blocks
        for features in block["features"]
        for encoder in block["encoders"]
    ]


def encoding_of(dataset, subject, suffix="encoding.nc"):
    """Files of every model of one subject."""
    return [
        f"results/{dataset}/encoding/sub-{subject}_features-{features}_encoder-{encoder}_{suffix}"
        for features, encoder in models_of(dataset)
    ]


def figures_of(dataset, subject):
    """Figures that show what the models of one subject are worth."""
    names = [f"sub-{subject}_features.png"]
    if len(models_of(dataset)) > 1:
        names.append(f"sub-{subject}_comparison.tsv")
    names += [
        f"sub-{subject}_features-{joint}_partition.tsv"
        for joint in entry_of(dataset).get("partition", [])
    ]
    return [f"results/{dataset}/figures/{name}" for name in names]


def resources_of(wildcards, key, default):
    """What a data set asks for its large jobs, e.g. mem_mb."""
    return entry_of(wildcards.dataset).get("resources", {}).get(key, default)


def memory_of(default):
    """mem_mb of a large job; a retry, which only profiles ask for, gets more."""
    return lambda wildcards, attempt: attempt * resources_of(
        wildcards, "mem_mb", default
    )


def options_of(block, name):
    """Options of a feature space or an encoder as one JSON argument."""
    return json.dumps(block.get(name, {}), sort_keys=True)


def rsa_subjects_of(dataset):
    """Subjects whose dissimilarities are compared together; none where that makes no sense."""
    if dataset == "simulated":
        return subjects_of(dataset)
    return config["real"]["datasets"][name_of(dataset)].get("rsa", subjects_of(dataset))


def section_of(dataset, default):
    """Heading in the report: the kind of result for simulated data, the data set's title otherwise."""
    return (
        default
        if dataset == "simulated"
        else read_card_entry(name_of(dataset), "title")
    )


def parts_of(features):
    """Options that name the files of a joint space."""
    return " ".join(f"--features {path}" for path in features)


def reference_option(dataset):
    """The model that the others are compared with; the command takes the first by default."""
    reference = entry_of(dataset).get("reference")
    return f"--reference '{reference}'" if reference else ""


def space_of(name):
    """Catalog name and options of a feature space; a name that the config does not define is the catalog's."""
    return config["spaces"].get(name, {"space": name})


def space_option(option, name):
    """--<option> and the options of a feature space on the command line."""
    space = space_of(name)
    text = f"--{option} {shlex.quote(space['space'])}"
    # --features has --options, and any other --x has --x-options.
    settings = "options" if option == "features" else f"{option}-options"
    given = json.dumps(space.get("options", {}), sort_keys=True)
    return f"{text} --{settings} {shlex.quote(given)}"


def command_options(options):
    """Options of a command by name; one that is true is a flag."""
    return " ".join(
        f"--{key.replace('_', '-')}"
        + ("" if value is True else f" {shlex.quote(str(value))}")
        for key, value in options.items()
        if value is not False
    )


def truth_of(dataset, subject):
    """The truth of a simulated subject; published data have none."""
    return (
        [f"results/simulated/truth/sub-{subject}/truth.json"]
        if dataset == "simulated"
        else []
    )


def bank_images_of(dataset):
    """What a bank of natural images is built from: other scenes of the world, or files that the config names."""
    return (
        ["results/simulated/captioning/images/stimuli.json"]
        if dataset == "simulated"
        else [path for paths in CAPTIONING["bank"].values() for path in paths]
    )


def guide_encoders_of(dataset, suffix):
    """Files of the ridge encoders of all subjects on the guide's features."""
    return [
        f"results/{dataset}/encoding/sub-{subject}_features-{GENERATION['guide']}_encoder-ridge_{suffix}"
        for subject in subjects_of(dataset)
    ]


def bank_options_of(dataset, images):
    """The sources of a bank as options of the command."""
    if dataset == "simulated":
        return f"--stimuli {Path(images[0]).parent}"
    return " ".join(
        f"--{kind} {shlex.quote(str(path))}"
        for kind, paths in CAPTIONING["bank"].items()
        for path in paths
    )


def code_of(name):
    """Parts of the package that decide the numbers of a feature space, as the cache of features sees them."""
    motion = space_of(name)["space"].startswith("motion-energy")
    return ["features", "core", *(["motion", "io.video"] if motion else [])]


def root_option(dataset):
    """--root of a data set: its own `root`, or the folder of all; nothing leaves the search to the command."""
    own = entry_of(dataset).get("root")
    try:
        return f"--root {shlex.quote(str(own or find_real_root(config)))}"
    except FileNotFoundError:
        return ""


def preferred_of(dataset):
    """What regions and their parts prefer, as images and as sentences, and the sentences as images."""
    return [
        *(
            f"results/{dataset}/{part}/figures/sub-{subject}/summary.tsv"
            for part in ("generation", "captioning")
            for subject in config[part]["subjects"]
        ),
        # With n_images: 0 no caption is drawn.
        *(
            f"results/{dataset}/captioning/illustrations/sub-{subject}/summary.tsv"
            for subject in (
                CAPTIONING["subjects"]
                if CAPTIONING["illustrations"].get("n_images", 1)
                else []
            )
        ),
        *(
            [f"results/{dataset}/generation/subregions/neuroids.tsv"]
            if GENERATION["subregions"]["regions"]
            else []
        ),
    ]


def targets_of(dataset):
    """Figures and tables of a published data set with images."""
    return [
        f"results/{dataset}/figures/stimuli.png",
        *([f"results/{dataset}/rsa/rsa.tsv"] if rsa_subjects_of(dataset) else []),
        *(
            figure
            for subject in subjects_of(dataset)
            for figure in figures_of(dataset, subject)
        ),
    ]
