import numpy as np
import pytest
from miniatures import make_objects81

from neurovis.evaluation.studies import objects81
from neurovis.evaluation.studies.objects81 import analyse_objects81


@pytest.fixture(autouse=True)
def few_bootstraps(monkeypatch):
    monkeypatch.setattr(objects81, "_N_BOOTSTRAPS", 20)


def _index(table):
    return table.set_index(["region", "quantity"])


def test_planted_preferences_are_found(tmp_path):
    found = analyse_objects81(make_objects81(tmp_path, effect=2.0), n_permutations=10)
    table = _index(found.table)
    for region, quantity in (
        ("EVC", "mean voxel correlation, AlexNet - word2vec"),
        ("FFA", "mean voxel correlation, word2vec - AlexNet"),
    ):
        row = table.loc[(region, quantity)]
        assert row["value"] > 0.5
        assert row["ci_low"] > 0.3
        assert row["p_value"] == pytest.approx(1 / 11)
    assert table.loc[("OFA", "mean voxel correlation, AlexNet - word2vec"), "value"] < -0.5


def test_noise_scores_as_its_null(tmp_path):
    found = analyse_objects81(make_objects81(tmp_path, effect=0.0, n_voxels=10), n_permutations=10)
    for name in ("alexnet", "word2vec"):
        null = found.figures_data[f"null_{name}"]
        assert -0.2 < null.mean() < 0
        assert found.figures_data[f"score_{name}"].mean() == pytest.approx(null.mean(), abs=0.08)
    np.testing.assert_allclose(found.table["chance"].iloc[0], found.figures_data["null_alexnet"][:, 0].mean())


def test_real_early_cortex_prefers_looks_and_pfs_words(shared_data):
    table = _index(analyse_objects81(shared_data, n_permutations=3).table)
    assert table.loc[("EVC", "mean voxel correlation, AlexNet - word2vec"), "ci_low"] > 0.1
    assert table.loc[("EVC", "mean voxel correlation, AlexNet"), "value"] == pytest.approx(0.41, abs=0.03)
    for region in ("PFS", "FFA"):
        assert table.loc[(region, "mean voxel correlation, word2vec - AlexNet"), "value"] > 0
