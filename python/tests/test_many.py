"""Many estimators in one training."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import KFold

from wgrad import MLPClassifier, MLPRegressor, NotFinite, fit_many

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)


def test_each_is_trained_to_the_same_bits_as_alone():
    def make():
        return [
            MLPClassifier((8,), random_state=seed, learning_rate_init=rate, alpha=alpha, max_iter=20, n_members=members)
            for seed, rate, alpha, members in [(0, 0.01, 0.0, 1), (1, 0.02, 0.1, 2), (2, 0.01, 0.0, 1), (3, 0.05, 1.0, 1)]
        ] + [MLPClassifier((4, 4), random_state=4, max_iter=20, early_stopping=True)]

    together, alone = make(), make()
    assert fit_many(together, X, Y) == [None] * 5
    for one, other in zip(together, alone):
        other.fit(X, Y)
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
        assert one.loss_curve_ == other.loss_curve_ and one.validation_scores_ == other.validation_scores_


def test_folds_are_rows_of_one_table():
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    folds = list(KFold(5, shuffle=True, random_state=0).split(X))
    models = [MLPRegressor((16,), learning_rate_init=0.01, max_iter=30, random_state=0) for _ in folds]
    fit_many(models, X, y, rows=[train for train, _ in folds], held_out=[test for _, test in folds])
    for model, (train, test) in zip(models, folds):
        alone = MLPRegressor((16,), learning_rate_init=0.01, max_iter=30, random_state=0).fit(X[train], y[train])
        np.testing.assert_array_equal(model.predict(X), alone.predict(X))
        assert model.validation_scores_[-1] == pytest.approx(model.score(X[test], y[test]), rel=1e-5)


def test_one_that_fails_leaves_the_others():
    y = Y.astype(float)
    models = [MLPRegressor((8,), solver="sgd", learning_rate_init=rate, max_iter=20) for rate in (0.001, 1e9, 0.001)]
    errors = fit_many(models, X, y)
    assert errors[0] is None and isinstance(errors[1], NotFinite) and errors[2] is None
    assert np.isfinite(models[2].predict(X)).all() and not hasattr(models[1], "coefs_")
    with pytest.raises(TypeError, match="one class"):
        fit_many([MLPRegressor(), MLPClassifier()], X, Y)
    with pytest.raises(ValueError, match="1 rows for 2"):
        fit_many([MLPClassifier(), MLPClassifier()], X, Y, rows=[np.arange(10)])
    assert fit_many([], X, Y) == []
