"""scikit-learn's own checks of estimators."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from wgrad import MLPClassifier, MLPRegressor

ESTIMATORS = [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)]


def expected_failures(estimator):
    reason = (
        "asks for predictions that agree to 1e-7; in single precision a sum with weights and one with repeated rows differ by "
        "more. test_weights_are_repetitions asks for the same within single precision. (scikit-learn's own estimators pass "
        "by L-BFGS, or by training that has ended.)"
    )
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop", "adamw"])
def test_weights_are_repetitions(estimator, solver):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(30, 5)), rng.integers(0, 4, size=30)
    y = rng.integers(0, 3, size=30)
    estimator = type(estimator)(**{**estimator.get_params(), "solver": solver, "max_iter": 20, "alpha": 0.1, "random_state": 0})
    weighted = estimator.fit(X, y, sample_weight=weights)
    predict = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    got = getattr(weighted, predict)(X)
    repeated = estimator.fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    # A step's sums of 100 rows, each off by single precision's rounding (6e-8 a term), 20 steps on.
    np.testing.assert_allclose(got, getattr(repeated, predict)(X), rtol=20 * 100 * 6e-8, atol=20 * 100 * 6e-8)
    unweighted = estimator.fit(X, y)
    assert not np.allclose(got, getattr(unweighted, predict)(X), rtol=1e-2)
