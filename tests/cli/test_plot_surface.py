"""Maps of data whose loaders count the vertices of fsaverage within hemispheres."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from neurovis import cli
from neurovis.cli.plot import _find_vertices
from neurovis.core import Score
from neurovis.io import write_score, write_table


def make_values(space, vertices):
    n = 2 * len(vertices)
    coords = {
        "neuroid_id": [f"1-{i}" for i in range(n)],
        "region": np.tile(["V1v", "none"], n // 2),
        "hemisphere": np.repeat(["left", "right"], n // 2),
        "vertex": np.tile(vertices, 2),
        "p_value": np.full(n, 0.001),
        "q_value": np.full(n, 0.002),
    }
    values = xr.DataArray(
        np.linspace(0.2, 0.8, n), dims=("neuroid",), coords={k: ("neuroid", v) for k, v in coords.items()}
    )
    return values.assign_attrs(space=space)


def test_vertices_of_fsaverage_are_counted_over_both_hemispheres():
    values = make_values("fsaverage", [3, 163_841])
    mesh, vertices, drawn = _find_vertices(values)
    assert mesh == "fsaverage"
    assert vertices.tolist() == [3, 163_841, 163_845, 327_683]
    assert drawn.tolist() == [True, False, True, False]
    mesh, vertices, drawn = _find_vertices(make_values("fsaverage5", [3, 4])[:2])
    assert (mesh, vertices.tolist(), drawn.all()) == ("fsaverage5", [3, 4], True)


@pytest.mark.parametrize(("vertices", "is_drawn"), [(range(20), True), (range(20_000, 20_020), False)])
def test_scores_on_fsaverage_are_plotted(tmp_path, vertices, is_drawn):
    name = tmp_path / "sub-1_features-pixels_encoder-ridge_encoding"
    write_score(Score(make_values("fsaverage", list(vertices)), "pearson_r"), name.with_suffix(".nc"))
    row = {"median": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n_stimuli": 20}
    write_table(pd.DataFrame([{"region": r, **row} for r in ("V1v", "none")]), name.with_suffix(".tsv"))
    arguments = ["plot", "encoding", "--encoding", f"{name}.nc", "--subject", "1", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert (tmp_path / "sub-1_features.png").is_file()
    assert (tmp_path / "sub-1_map.png").is_file() == is_drawn
