import numpy as np
import pytest
from miniatures import make_kay2017

from neurovis.datasets.kay2017 import load_kay2017, load_kay2017_experiment1
from neurovis.evaluation.studies.kay2017 import analyse_kay2017
from neurovis.evaluation.studies.kay2017_prediction import predict_images

PERFECT = "all images"


def make_extract(root, cache):
    """Features that hold the response beside noise, and noise alone."""
    stimuli, responses = load_kay2017(root=root, cache=cache)
    noise = np.random.default_rng(1).normal(size=(len(stimuli), 40))
    signal = responses.values
    return {"gabor": lambda _: noise, "squeezenet": lambda _: np.hstack([5 * signal, noise[:, :5]])}


def run(root, cache, **options):
    found = analyse_kay2017(root, cache=cache, extract=make_extract(root, cache), **options)
    return found, found.table.set_index(["region", "quantity"])


def test_planted_selectivity_scaling_and_series_are_found(tmp_path):
    root, cache = make_kay2017(tmp_path / "signal"), tmp_path / "cache"
    found, table = run(root, cache, n_permutations=40)
    groups = load_kay2017_experiment1(root)
    vwfa = groups["response"].sel(region="VWFA", task="fixation").values
    words, faces = (vwfa[groups["category"].values == name].mean() for name in ("WORD", "FACE"))
    row = table.loc[("VWFA", "words - faces, fixation [% BOLD]")]
    assert row["value"] == pytest.approx(words - faces)
    assert row["ci_low"] < words - faces < row["ci_high"]
    # 924 ways to call six of twelve stimuli words, one of which is the truth.
    assert row["p_value"] == pytest.approx(1 / 924)
    assert table.loc[("FFA", "response, categorization / fixation [ratio]"), "value"] > 1.2
    assert table.loc[("FFA", "Spearman of task scaling with the intraparietal response"), "value"] > 0.99
    assert table.loc[("FFA", "photographs of faces - other objects [% BOLD]"), "p_value"] == 1 / 41
    both = table.loc[("VWFA", "mean Spearman of both series of words")]
    assert both["value"] == pytest.approx(1)
    assert both["p_value"] < 0.02
    assert (table.loc[("FFA", f"r of SqueezeNet, {PERFECT}"), ["p_value", "null_95"]] < [0.03, 0.6]).all()
    assert table.loc[("FFA", f"r of SqueezeNet, {PERFECT}"), "value"] > 0.9
    assert found.figures_data["null_gabor"].shape == (40, 2)
    assert found.figures_data["mean_response"].shape == (3, 4)


def test_noise_is_not_selective(tmp_path):
    root = make_kay2017(tmp_path / "noise", effect=0.0)
    _, table = run(root, tmp_path / "cache", n_permutations=40)
    tested = [
        ("VWFA", "words - faces, categorization [% BOLD]"),
        ("FFA", "photographs of faces - other objects [% BOLD]"),
        ("FFA", f"r of Gabor energy, {PERFECT}"),
        ("FFA", "Spearman of task scaling with the intraparietal response"),
    ]
    assert (table.loc[tested, "p_value"] > 0.02).all()
    assert (table.loc[tested, "ci_low"] < 0.3).all()


def test_predictions_equal_a_loop_over_one_column(tmp_path):
    """All permutations are fitted at once; the first column alone must give the same score."""
    root, cache = make_kay2017(tmp_path / "data"), tmp_path / "cache"
    stimuli, responses = load_kay2017(root=root, cache=cache)
    extract = make_extract(root, cache)
    many, _ = predict_images(extract, stimuli, responses, n_permutations=5, seed=3)
    single, _ = predict_images(extract, stimuli, responses, n_permutations=1, seed=3)
    np.testing.assert_allclose([row["value"] for row in many], [row["value"] for row in single], atol=1e-10)
    ceiling = [row["value"] for row in many if row["quantity"] == "ceiling of r, all images"]
    variance = responses.values.var(axis=0, ddof=1)
    np.testing.assert_allclose(ceiling, np.sqrt(1 - 0.01 / variance), rtol=1e-5)


def test_real_regions_prefer_words_and_faces(shared_data, tmp_path):
    root = shared_data
    blind = {name: lambda stimuli: np.eye(len(stimuli)) for name in ("gabor", "squeezenet")}
    table = analyse_kay2017(root, n_permutations=20, cache=tmp_path, extract=blind).table
    published = table[table["reference"].notna()]
    assert len(published) == 14
    np.testing.assert_allclose(published["value"], published["reference"], atol=0.011)
    selective = table[
        table["quantity"].isin([f"{a}, categorization [% BOLD]" for a in ("words - faces", "faces - words")])
    ]
    assert (selective["p_value"] < 0.01).all()


@pytest.mark.slow
def test_real_ffa_is_predicted_from_images(shared_data, tmp_path):
    table = analyse_kay2017(shared_data, n_permutations=20, cache=tmp_path).table
    table = table.set_index(["region", "quantity"])
    network, gabor = (
        table.loc[("FFA", f"r of {name}, all images")] for name in ("SqueezeNet", "Gabor energy")
    )
    assert network["value"] == pytest.approx(0.87, abs=0.03)
    assert network["value"] > gabor["value"] > gabor["null_95"]
