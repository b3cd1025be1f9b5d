# Names and functions of all rules. Logic that deserves a test lives in neurovis.workflow.
import json
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
    features="[A-Za-z0-9][A-Za-z0-9.-]*",
    study="[a-z0-9_]+",
    seed="[0-9]+",


ENV = "envs/neurovis.yaml"
SIMULATED = config["simulated"]


def name_of(dataset):
    """Catalog name of the data set in a folder such as real/macaque_v4."""
    return dataset.rpartition("/")[2]


def published():
    """Folders of the data sets with images that are there; asked for only when their targets are."""
    return [
        f"real/{name}"
        for name in find_available(config, list(config["real"]["datasets"]))
    ]


def features_of(dataset):
    if dataset == "simulated":
        return config["features"]
    return config["real"]["datasets"][name_of(dataset)]["features"]


def subjects_of(dataset):
    if dataset == "simulated":
        return SIMULATED["subjects"]
    return config["real"]["datasets"][name_of(dataset)]["subjects"]


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
