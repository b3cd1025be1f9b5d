"""One command runs a study of the catalog and leaves its table, its arrays and figures with their records."""

import json

import numpy as np
import pandas as pd
from miniatures import make_vtc_fivecat
from typer.testing import CliRunner

from neurovis.cli import app


def test_a_study_is_run_and_written(tmp_path):
    root, out = make_vtc_fivecat(tmp_path / "data"), tmp_path / "out"
    arguments = ["study", "run", "--study", "vtc_fivecat", "--root", str(root), "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--n-permutations", "3"], catch_exceptions=False)
    assert result.exit_code == 0
    table = pd.read_csv(out / "table.tsv", sep="\t")
    assert len(table) == 6
    with np.load(out / "arrays.npz", allow_pickle=False) as arrays:
        assert arrays["null_accuracy"].shape == (3, 3)
    records = {path.name: json.loads(path.read_text()) for path in out.glob("*.figure.json")}
    assert {"summary.figure.json", "confusion-3.figure.json", "null-accuracy-1.figure.json"} <= set(records)
    assert all((out / record["file"]).stat().st_size > 1000 for record in records.values())
    assert len({record["section"] for record in records.values()}) == 1
    assert records["summary.figure.json"]["order"] < records["confusion-1.figure.json"]["order"]


def test_studies_are_put_side_by_side(tmp_path):
    root, runner = make_vtc_fivecat(tmp_path / "data"), CliRunner()
    out = tmp_path / "vtc_fivecat" / "study"
    arguments = ["--study", "vtc_fivecat", "--root", str(root), "--n-permutations", "3"]
    runner.invoke(app, ["study", "run", *arguments, "--out", str(out)], catch_exceptions=False)
    summary = tmp_path / "summary.tsv"
    command = ["study", "summarise", "--table", str(out / "table.tsv"), "--out", str(summary)]
    assert runner.invoke(app, command, catch_exceptions=False).exit_code == 0
    table = pd.read_csv(summary, sep="\t")
    assert table["study"].eq("vtc_fivecat").all()
    assert table["p_value"].notna().all()
    assert table.columns[-1] == "split"
    assert "Bugatus" in json.loads(summary.with_suffix(".table.json").read_text())["caption"]


def test_every_data_set_with_known_files_has_a_study():
    """Data under an access agreement have cards without hashes, and studies that nobody here could check."""
    from neurovis import catalog
    from neurovis.datasets.cards import read_card

    known = {name for name in catalog.datasets if name != "simulated" and read_card(name).files}
    assert set(catalog.studies) >= known
    # Behavioural sets have a study without being a loader of stimuli and neural responses.
    assert all(read_card(name).files for name in catalog.studies)
