"""One command compares gaze models on a data set of the catalog, or on one's own pictures and fixations."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from miniature_gaze import make_discs, make_osie
from typer.testing import CliRunner

from neurovis.cli import app
from neurovis.io import write_stimulus_table, write_table


def call(*arguments):
    command = ["gaze", "compare", *(str(argument) for argument in arguments)]
    return CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    stimuli, gaze = make_discs(folder)
    # Sizes are those of the pictures, and trials and times may be left out.
    bare = stimuli.table.drop(columns=["height_px", "width_px"])
    write_stimulus_table(replace(stimuli, table=bare))
    columns = ["subject", "stimulus_id", "index", "x_px", "y_px"]
    write_table(gaze[columns], folder / "fixations.tsv")
    return folder


def test_own_pictures_and_fixations(own, tmp_path):
    given = ("--stimuli", own, "--fixations", own / "fixations.tsv", "--shrink", 2, "--out", tmp_path)
    result = call(*given)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "gaze_models.tsv", sep="\t")
    gain = table[table["metric"] == "information_gain_bits"].set_index("model")["value"]
    assert gain["centre bias"] == 0
    assert gain["saliency"] > 1
    assert gain["other people"] > 1
    record = json.loads((tmp_path / "gaze_models.figure.json").read_text())
    assert "9 others" in record["caption"]
    assert (tmp_path / record["file"]).stat().st_size > 1000


def test_what_to_compare_must_be_clear(own, tmp_path):
    with pytest.raises(ValueError, match="pass --dataset, or both"):
        call("--stimuli", own, "--out", tmp_path)
    with pytest.raises(ValueError, match="pass --dataset, or both"):
        call("--dataset", "osie", "--stimuli", own, "--out", tmp_path)
    with pytest.raises(ValueError, match="n_folds must be from 2"):  # it was found, and holds three images
        call("--dataset", "osie", "--root", make_osie(tmp_path), "--out", tmp_path)
