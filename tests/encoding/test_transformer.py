"""The transformer encoder: scikit-learn's contract, regions, attention, leakage, storage and ensembles."""

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis.core import Encoder, make_neural_data
from neurovis.encoding.storage import read_encoder, write_encoder
from neurovis.encoding.transformer import TransformerEncoder, compute_ensemble_weights, make_transformer

torch = pytest.importorskip("torch")

SMALL = {"width": 8, "n_heads": 2, "n_hidden": 8, "n_epochs": 3, "learning_rate": 1e-2}
N_CHANNELS, SIDE = 5, 3
CHANNEL, ROW, COLUMN = (entries.ravel() for entries in np.indices((N_CHANNELS, SIDE, SIDE)))
REGIONS = np.array([[1, 1, 0, 0, 0, 0, 1], [0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]], dtype=bool)
HEMISPHERE = ["left"] * 4 + ["right"] * 3


def make_encoder(**options):
    places = {"rows": ROW, "columns": COLUMN, "channels": CHANNEL}
    structure = {"regions": REGIONS, "region_names": ["V1", "V2", "FFA"], "hemisphere": HEMISPHERE}
    return TransformerEncoder(**{**places, **structure, **SMALL, **options})


@pytest.fixture
def problem(rng):
    X = 3 + 2 * rng.normal(size=(60, len(ROW)))
    y = X[:, ROW + COLUMN == 0] @ rng.normal(size=(N_CHANNELS, 7)) + rng.normal(size=(60, 7)) + 10
    return X, y


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, len(ROW))), rng.normal(size=(40, 7))
    return make_encoder().fit(X, y), X, y


@parametrize_with_checks([TransformerEncoder(n_heads=2, n_hidden=8, n_epochs=5, learning_rate=1e-2)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_is_an_encoder():
    assert isinstance(TransformerEncoder(), Encoder)


def test_a_fit_depends_on_the_seed_and_not_on_what_was_drawn_before(problem):
    X, y = problem
    first = make_encoder(seed=3).fit(X, y)
    torch.rand(5)
    state = torch.random.get_rng_state()
    again = clone(first).fit(X, y)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(first.predict(X), again.predict(X))
    assert not np.allclose(first.predict(X), make_encoder(seed=4).fit(X, y).predict(X))


def test_columns_may_come_in_any_order(problem):
    X, y = problem
    order = np.random.default_rng(1).permutation(len(ROW))
    mixed = make_encoder(rows=ROW[order], columns=COLUMN[order], channels=CHANNEL[order])
    expected = make_encoder().fit(X, y).predict(X)
    np.testing.assert_array_equal(mixed.fit(X[:, order], y).predict(X[:, order]), expected)


def test_features_without_a_place_are_left_out(problem):
    X, y = problem
    longer = np.column_stack([X, 100 * y[:, :1]])
    rows, columns, channels = np.append(ROW, -1), np.append(COLUMN, -1), np.append(CHANNEL, 99)
    other = make_encoder(rows=rows, columns=columns, channels=channels).fit(longer, y)
    np.testing.assert_array_equal(other.predict(longer), make_encoder().fit(X, y).predict(X))


def test_units_of_features_and_responses_do_not_matter(problem):
    X, y = problem
    plain = make_encoder().fit(X, y).predict(X)
    scaled = make_encoder().fit(8 * X - 40, 0.5 * y + 3).predict(8 * X - 40)
    np.testing.assert_allclose(scaled, 0.5 * plain + 3, rtol=1e-3, atol=1e-3)


def test_scales_come_from_the_rows_that_give_gradients(problem):
    X, y = problem
    encoder = make_encoder().fit(X, y)
    train = np.sort(np.concatenate([encoder._make_plan(60).train]))
    assert len(train) == 54
    tokens = X[train].reshape(54, N_CHANNELS, -1)
    np.testing.assert_allclose(encoder.state_["token_mean"], tokens.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(encoder.state_["token_scale"], tokens.std((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(encoder.state_["response_scale"], y[train].std(0), rtol=1e-5)


def test_groups_keep_repeats_on_one_side_of_the_validation(problem):
    stimulus = np.random.default_rng(0).permutation(np.repeat(np.arange(15), 4))
    plan = make_encoder(validation_share=0.3)._make_plan(60, stimulus)
    assert len(np.intersect1d(stimulus[plan.train], stimulus[plan.validation])) == 0
    assert len(plan.validation) == 20
    assert sorted([*plan.train, *plan.validation]) == list(range(60))
    alone, each = (make_encoder()._make_plan(60, groups) for groups in (None, np.arange(60)))
    np.testing.assert_array_equal(alone.validation, each.validation)
    X, y = problem
    grouped, plain = (make_encoder(n_epochs=1).fit(X, y, groups=g) for g in (stimulus, None))
    assert not np.allclose(grouped.validation_r_, plain.validation_r_)
    with pytest.raises(ValueError, match="groups must leave at least 2 rows to train, got 1 groups"):
        make_encoder().fit(X, y, groups=np.zeros(60))
    with pytest.raises(ValueError, match="groups must have one entry for each of the 60 rows"):
        make_encoder().fit(X, y, groups=[0, 1])


def test_rows_to_be_predicted_do_not_touch_each_other(fitted):
    encoder, X, _ = fitted
    together = encoder.predict(np.vstack([X[:5], 1e3 * X]))
    np.testing.assert_allclose(together[:5], encoder.predict(X[:5]), rtol=1e-10)


def test_a_constant_neuroid_is_predicted_by_its_value(problem):
    X, y = problem
    y = y.copy()
    y[:, 2] = 7.25
    encoder = make_encoder().fit(X, y)
    np.testing.assert_array_equal(encoder.predict(X)[:, 2], 7.25)
    assert encoder.validation_r_[2] == 0
    assert np.isfinite(encoder.predict(X)).all()


def test_the_module_is_the_prediction(fitted):
    encoder, X, _ = fitted
    maps = torch.from_numpy(X.astype("f4")).reshape(-1, N_CHANNELS, SIDE, SIDE).requires_grad_()
    predicted = encoder.to_module()(maps.flatten(2).transpose(1, 2))
    np.testing.assert_allclose(predicted.detach().numpy(), encoder.predict(X), atol=1e-5)
    assert encoder.predict(X.astype("f4")).dtype == np.float32
    predicted[:, 3].sum().backward()
    assert maps.grad.abs().sum(1).min() > 0


def test_queries_of_regions_hemispheres_and_neuroids(fitted, problem):
    encoder, X, y = fitted
    attention = encoder.attend(X)
    assert attention["query"].values.tolist() == [
        "left V1", "left V2", "left no region", "right V1", "right no region"
    ]  # fmt: skip
    assert encoder.absent_.tolist() == ["FFA"]
    np.testing.assert_array_equal(encoder.outside_, [0, 0, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(attention["outside"].values, [0, 0, 1, 0, 1])
    both = make_encoder(queries="hemisphere").fit(X, y)
    assert both.attend(X)["hemisphere"].values.tolist() == ["left", "right"]
    single = make_encoder(queries="neuroid").fit(X, y)
    assert single.attend(X).shape == (40, 7, 9)
    assert not hasattr(single, "alpha_")
    np.testing.assert_array_equal(single.outside_, encoder.outside_)
    plain = make_encoder(regions=None, region_names=None, hemisphere=None).fit(X, y)
    assert plain.attend(X)["query"].values.tolist() == ["no region"]
    assert plain.outside_.all()
    alone = make_encoder(regions=None, region_names=None, hemisphere=None).fit(X, y[:, 0])
    assert np.ndim(alone.validation_r_) == np.ndim(alone.alpha_) == np.ndim(alone.outside_) == 0
    assert alone.predict(X).shape == (40,)


def test_labels_are_flags_that_do_not_overlap(problem):
    X, y = problem
    labels = ["V1", "V1", "none", "V2", "", "V2", "V1"]
    flags = np.stack([np.array(labels) == name for name in ("V1", "V2")])
    by_label = make_encoder(regions=labels, region_names=None).fit(X, y)
    by_flag = make_encoder(regions=flags, region_names=["V1", "V2"]).fit(X, y)
    np.testing.assert_array_equal(by_label.predict(X), by_flag.predict(X))
    np.testing.assert_array_equal(by_label.outside_, ~flags.any(0))


def test_attention_sums_to_one_and_keeps_heads_on_request(fitted):
    encoder, X, _ = fitted
    heads, mean = encoder.attend(X, per_head=True), encoder.attend(X)
    assert heads.dims == ("stimulus", "query", "head", "token")
    assert heads.shape == (40, 5, 2, 9)
    np.testing.assert_allclose(heads.sum("token"), 1, rtol=1e-6)
    np.testing.assert_allclose(heads.mean("head"), mean, rtol=1e-6)
    assert mean["row"].values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert mean["column"].values.tolist() == [0, 1, 2] * 3


def test_the_readout_is_the_ridge_of_the_region_tokens(problem):
    """Weights against the normal equations, with tokens from the fitted network itself."""
    X, y = problem
    encoder = make_encoder().fit(X, y)
    network = encoder.to_module().double()
    with torch.no_grad():
        tokens = torch.from_numpy(X).reshape(60, N_CHANNELS, 9).transpose(1, 2)
        mixed = network.readout.mix(network.select(tokens)).numpy()
    z = (y - encoder.state_["response_mean"]) / encoder.state_["response_scale"]
    for v, pattern in enumerate(encoder.queries_["pattern"]):
        T = mixed[pattern] - mixed[pattern].mean(0)
        w = np.linalg.solve(T.T @ T + encoder.alpha_[v] * np.eye(8), T.T @ (z[:, v] - z[:, v].mean()))
        np.testing.assert_allclose(T @ w + z[:, v].mean(), _standardised(encoder, X)[:, v], atol=2e-4)


def _standardised(encoder, X):
    return (encoder.predict(X) - encoder.state_["response_mean"]) / encoder.state_["response_scale"]


def test_solving_the_readout_helps_a_short_fit(rng):
    X = rng.normal(size=(300, len(ROW)))
    pooled = X.reshape(300, N_CHANNELS, -1).sum(2)
    y = pooled @ rng.normal(size=(N_CHANNELS, 7)) + rng.normal(size=(300, 7))
    short = {"n_epochs": 4, "regions": None, "region_names": None, "width": 16}
    trained, once, twice = (
        make_encoder(**short, refit_readout=n).fit(X[:200], y[:200]).score(X[200:], y[200:]).mean()
        for n in (0, 1, 2)
    )
    assert once > trained + 0.1
    assert twice > trained + 0.1


@pytest.mark.parametrize("queries", ["region", "neuroid"])
def test_round_trip_through_a_file(queries, problem, tmp_path):
    X, y = problem
    encoder = make_encoder(queries=queries, n_epochs=1).fit(X, y)
    ids = [str(number) for number in range(7)]
    path = write_encoder(encoder, tmp_path / "a.safetensors", neuroid_ids=ids)
    read = read_encoder(path, neuroid_ids=ids)
    np.testing.assert_array_equal(read.predict(X), encoder.predict(X))
    xr.testing.assert_equal(read.attend(X), encoder.attend(X))
    np.testing.assert_array_equal(read.outside_, encoder.outside_)


def make_labelled(flags=True):
    layers = np.repeat(["a", "b"], 18)
    row, column, channel = (np.tile(entries[:18], 2) for entries in (ROW, COLUMN, CHANNEL))
    features = xr.DataArray(
        np.zeros((4, 36)), dims=("stimulus", "feature"),
        coords={name: ("feature", entries) for name, entries in
                {"row": row, "column": column, "channel": channel, "layer": layers}.items()},
    )  # fmt: skip
    overlapping = {"in_V1": [True, True, False], "in_lateral": [False, True, False]} if flags else {}
    data = make_neural_data(
        np.zeros((4, 3)), rows="stimulus", row_coords={"stimulus_id": list("abcd")}, units="z", source="test",
        neuroid_coords={"neuroid_id": list("xyz"), "subject": list("111"), "region": ["V1", "V1", "none"],
                        "hemisphere": ["left", "left", "right"], **overlapping},
    )  # fmt: skip
    return features, data


def test_builder_reads_structure_from_coordinates():
    features, data = make_labelled()
    encoder = make_transformer(features, data, seed=5, device="cpu", n_heads=2)
    assert (encoder.seed, encoder.n_heads, encoder.region_names) == (5, 2, ["V1", "lateral"])
    np.testing.assert_array_equal(encoder.regions, [[1, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(np.unique(encoder.channels, return_counts=True)[1], [9, 9, 9, 9])
    np.testing.assert_array_equal(encoder.hemisphere, ["left", "left", "right"])
    by_label = make_transformer(*make_labelled(flags=False))
    np.testing.assert_array_equal(by_label.regions, [[1, 1, 0]])
    with pytest.raises(TypeError, match="n_layers"):
        make_transformer(features, data, n_layers=2)
    with pytest.raises(
        ValueError, match=r"features must have the coordinates row, column and channel.*'row'"
    ):
        make_transformer(features.drop_vars("row"), data)


def test_ensemble_weights_sum_to_one(rng):
    r = rng.uniform(0, 0.5, size=(5, 40))
    layers = ["a", "a", "b", "b", "b"]
    weights = compute_ensemble_weights(r, layers=layers)
    np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-12)
    for v in range(40):
        odds = {name: np.exp(40 * np.mean([r[i, v] for i in range(5) if layers[i] == name])) for name in "ab"}
        for i, name in enumerate(layers):
            share = odds[name] / sum(odds.values()) / layers.count(name)
            np.testing.assert_allclose(weights[i, v], share, rtol=1e-9)
    np.testing.assert_allclose(compute_ensemble_weights(np.full((4, 3), 0.2)), 0.25)
    assert compute_ensemble_weights([[0.9], [0.1]])[0] > 0.999
    with pytest.raises(ValueError, match="layers must have one entry for each of the 5 encoders"):
        compute_ensemble_weights(r, layers=["a"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queries": "voxel"}, "queries must be 'region', 'hemisphere' or 'neuroid', got 'voxel'"),
        ({"overlap": "max"}, "overlap must be 'sum', 'mean' or 'first'"),
        ({"width": 6}, "width must be a multiple of 4 and of n_heads=2, got 6"),
        ({"rows": None}, "rows, columns and channels must be given together, got no rows"),
        ({"rows": ROW[:-1]}, r"rows must have shape \(45\), got \(44,\)"),
        ({"channels": np.arange(45)}, "every place must have each of the 45 channels once"),
        ({"rows": np.full(45, -1)}, "rows and columns must give a place to some feature"),
        ({"regions": REGIONS[:, :5]}, r"regions must have shape \(any, 7\)"),
        ({"regions": ["V1"] * 6, "region_names": None}, "regions must have one entry for each of the 7"),
        ({"region_names": ["V1"]}, "region_names must name each of the 3 regions once"),
        ({"hemisphere": ["left"]}, "hemisphere must have one entry for each of the 7 neuroids"),
        ({"validation_share": 1.0}, "validation_share must be above 0 and below 1, got 1.0"),
        ({"queries": "neuroid", "refit_readout": 1}, "refit_readout must be 0 with queries='neuroid'"),
        ({"n_heads": 0}, "n_heads must be at least 1"),
    ],
)
def test_bad_options(problem, options, words):
    with pytest.raises(ValueError, match=words):
        make_encoder(**options).fit(*problem)


def test_too_few_rows(problem):
    X, y = problem
    with pytest.raises(ValueError, match="X must have at least 4 rows to train and hold some out, got 3"):
        make_encoder().fit(X[:3], y[:3])
