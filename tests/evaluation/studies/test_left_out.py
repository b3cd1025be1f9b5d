import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from neurovis.evaluation.studies.left_out import predict_left_out, score_left_out

OPTIONS = {"alphas": np.geomspace(1, 1e4, 5), "n_folds": 4, "n_repeats": 2}


def make_cases(seed, *, n=40, n_features=60):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features)) * rng.uniform(0.1, 10, n_features)
    Y = 3 + X[:, :3] @ rng.normal(size=(3, 2)) + rng.normal(size=(n, 2))
    return X, Y


def test_predictions_agree_with_one_column_and_one_fold_at_a_time():
    X, Y = make_cases(0)
    predicted = predict_left_out(X, Y, seed=5, **OPTIONS)
    for repeat in range(2):
        folds = KFold(4, shuffle=True, random_state=5 + repeat)
        for train, test in folds.split(X):
            scaler = StandardScaler().fit(X[train])
            for column in range(2):
                inner = KFold(5, shuffle=True, random_state=5 + repeat)
                slow = RidgeCV(OPTIONS["alphas"], cv=inner, scoring="neg_mean_squared_error")
                slow.fit(scaler.transform(X[train]), Y[train, column])
                expected = slow.predict(scaler.transform(X[test])) - Y[train, column].mean()
                np.testing.assert_allclose(predicted[repeat, test, column], expected, rtol=1e-6, atol=1e-8)


def test_a_row_has_no_part_in_its_own_prediction():
    X, Y = make_cases(1)
    before = predict_left_out(X, Y, seed=0, **OPTIONS)
    Y[7] += 100
    after = predict_left_out(X, Y, seed=0, **OPTIONS)
    np.testing.assert_array_equal(after[:, 7], before[:, 7])
    assert not np.allclose(after, before)


def test_unrelated_features_do_not_predict():
    r = []
    for seed in range(20):
        X, _ = make_cases(seed)
        Y = np.random.default_rng(100 + seed).normal(size=(40, 20))
        r.append(score_left_out(Y, predict_left_out(X, Y, seed=seed, **OPTIONS)).mean())
    # Over concatenated folds chance lies a little below 0, never above.
    assert -0.15 < np.mean(r) < 0.02


def test_score_is_the_mean_correlation_of_the_repeats():
    rng = np.random.default_rng(2)
    Y, predictions = rng.normal(size=(30, 4)), rng.normal(size=(3, 30, 4))
    expected = [np.mean([np.corrcoef(Y[:, k], one[:, k])[0, 1] for one in predictions]) for k in range(4)]
    np.testing.assert_allclose(score_left_out(Y, predictions), expected)
