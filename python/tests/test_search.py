"""Searches, in this process and on workers of Dask."""

import os
import signal
from multiprocessing import parent_process

import numpy as np
import pytest
from distributed import LocalCluster
from scipy.stats import loguniform
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wgrad import MLPClassifier, MLPRegressor, search

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
SPACE = {"learning_rate_init": loguniform(1e-3, 1e-1), "alpha": [0.0, 1e-3], "hidden_layer_sizes": [(4,), (8,)]}


def same(one, other):
    assert one.table.keys() == other.table.keys()
    for name, column in one.table.items():
        np.testing.assert_array_equal(column, other.table[name], name)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with cluster.get_client() as client:
        client.wait_for_workers(2)
        yield client


def test_scores_are_those_of_scikit_learns_search():
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model = MLPClassifier((8,), max_iter=20, random_state=3)
    rates = [0.001, 0.01, 0.1]
    found = search(model, {"learning_rate_init": rates}, X, Y, budget=10, cv=folds)
    grid = GridSearchCV(model, {"learning_rate_init": rates}, cv=folds).fit(X, Y)
    assert len(found.table["rank"]) == 3
    for at, rate in enumerate(found.table["param_learning_rate_init"]):
        expected = grid.cv_results_["mean_test_score"][rates.index(rate)]
        assert found.table["mean_score"][at] == pytest.approx(expected, rel=1e-12)
    assert found.best_params_ == grid.best_params_ and found.best_score_ == grid.best_score_
    np.testing.assert_array_equal(found.best_estimator_.predict_proba(X), grid.predict_proba(X))


def test_what_precedes_a_network_sees_only_the_rows_that_it_is_trained_on():
    model = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=20, random_state=0))
    space = {"mlpclassifier__alpha": [0.0, 0.1], "standardscaler__with_mean": [True, False]}
    found = search(model, space, X, Y, budget=4, cv=3)
    for at in range(4):
        params = {name: found.table[f"param_{name}"][at] for name in space}
        scores = cross_val_score(model.set_params(**params), X, Y, cv=3)
        np.testing.assert_allclose([found.table[f"split{fold}_score"][at] for fold in range(3)], scores, rtol=1e-12)


def test_halving_ends_with_the_most_epochs():
    model = MLPRegressor((8,), max_iter=27)
    data = load_diabetes(return_X_y=True)
    found = search(model, {"learning_rate_init": loguniform(1e-3, 1)}, *data, budget=20, strategy="halving", cv=2, refit=False)
    assert sorted(found.table["epochs"].tolist()) == sorted([1] * 13 + [3] * 4 + [9] * 2 + [27])
    assert found.table["epochs"][0] == 27 and found.best_estimator_ is None
    with pytest.raises(ValueError, match="leave max_iter out"):
        search(model, {"max_iter": [1, 2]}, *data, strategy="halving")


def test_failures_are_told_and_leave_the_others():
    data = load_diabetes(return_X_y=True)
    space = {"learning_rate_init": [1e-3, 1e9, -1.0], "solver": ["sgd"]}
    found = search(MLPRegressor((8,), max_iter=10), space, *data, budget=3, cv=2)
    errors = dict(zip(found.table["param_learning_rate_init"], found.table["error"]))
    assert errors[1e-3] == "" and "NotFinite" in errors[1e9] and "learning_rate_init" in errors[-1.0]
    assert found.best_params_["learning_rate_init"] == 1e-3
    with pytest.raises(ValueError, match="All 1 configurations failed"):
        search(MLPRegressor((8,), solver="sgd"), {"learning_rate_init": [1e9]}, *data, cv=2)
    with pytest.raises(ValueError, match="'rate'"):
        search(MLPRegressor(), {"rate": [1]}, *data)
    with pytest.raises(TypeError, match="Pipeline that ends"):
        search(StandardScaler(), {}, *data)


def test_scoring_and_weights():
    weights = np.where(Y == 0, 0.0, 1.0)
    model = MLPClassifier((8,), max_iter=20)
    found = search(model, SPACE, X, Y, budget=4, cv=3, scoring="balanced_accuracy", sample_weight=weights)
    # Nobody has seen the first of the classes.
    assert (found.table["mean_score"] <= 2 / 3 + 1e-9).all()
    assert not (found.best_estimator_.predict(X) == 0).any()


@pytest.mark.parametrize("strategy", ["random", "halving"])
def test_the_ranking_is_the_same_wherever_tasks_run(client, strategy):
    def found(client, seed=5):
        return search(MLPClassifier(max_iter=9), SPACE, X, Y, budget=24, cv=3, strategy=strategy, client=client, seed=seed)

    here, there = found(None), found(client)
    same(here, there)
    np.testing.assert_array_equal(here.best_estimator_.predict_proba(X), there.best_estimator_.predict_proba(X))
    assert (here.table["number"] != found(None, seed=6).table["number"]).any()


def test_a_killed_workers_tasks_are_run_again_and_counted_once(client, tmp_path):
    killed = tmp_path / "killed"

    def score_or_die(model, X, y):
        if parent_process() is not None:
            try:
                killed.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return model.score(X, y)

    def found(client):
        return search(MLPClassifier(max_iter=9), SPACE, X, Y, budget=48, cv=3, scoring=score_or_die, client=client, refit=False)

    expected = found(None)
    pids = set(client.run(os.getpid).values())
    assert not killed.exists()
    same(found(client), expected)
    assert killed.exists()
    client.wait_for_workers(2, timeout=60)
    assert len(pids & set(client.run(os.getpid).values())) == 1


def test_grid_search_runs_on_workers(client):
    import joblib

    model = MLPClassifier((8,), max_iter=20, random_state=0)
    space = {"alpha": [0.0, 0.1], "learning_rate_init": [0.01, 0.1]}
    alone = GridSearchCV(model, space, cv=3).fit(X, Y)
    with joblib.parallel_config(backend="dask"):
        there = GridSearchCV(model, space, cv=3).fit(X, Y)
    np.testing.assert_array_equal(alone.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])
