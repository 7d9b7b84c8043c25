"""The estimators in scikit-learn's company, and what they have beyond it."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wgrad import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def standard(X):
    return StandardScaler().fit_transform(X)


def fitted(**options):
    return MLPClassifier((16,), **{"max_iter": 100, "random_state": 0, "learning_rate_init": 0.01, **options}).fit(*IRIS)


def test_pipelines_searches_and_processes():
    model = make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=60, learning_rate_init=0.01, random_state=0))
    scores = cross_val_score(model, *IRIS, cv=5, n_jobs=2)
    assert scores.mean() > 0.9
    np.testing.assert_array_equal(scores, cross_val_score(model, *IRIS, cv=5))
    grid = {"mlpclassifier__alpha": [1e-4, 1e-1], "mlpclassifier__hidden_layer_sizes": [(4,), (16, 8)]}
    search = GridSearchCV(model, grid, cv=3, n_jobs=2).fit(*IRIS)
    assert search.best_score_ > 0.9
    best = search.best_estimator_[-1]
    assert best.coefs_[0].shape == (4, best.intercepts_[0].size)


@pytest.mark.parametrize("n_members", [1, 3])
def test_copies_predict_the_same_bits_and_go_on_to_the_same_bits(tmp_path, n_members):
    X, y = IRIS
    model = MLPClassifier((8,), random_state=0, n_members=n_members)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), joblib.load(path)]
    expected = model.predict_proba(X)
    later = model.partial_fit(X, y).predict_proba(X)
    assert not np.array_equal(expected, later)
    for other in copies:
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        np.testing.assert_array_equal(other.partial_fit(X, y).predict_proba(X), later)
    with pytest.raises(NotFittedError):
        clone(model).predict(X)


def test_the_same_seed_gives_the_same_bits_and_an_ensembles_first_member():
    X = IRIS[0]
    first, second = fitted(), fitted()
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert not np.array_equal(first.predict_proba(X), fitted(random_state=1).predict_proba(X))
    ensemble = fitted(n_members=3)
    np.testing.assert_array_equal(ensemble.coefs_[0], first.coefs_[0])
    each = [fitted_alone.predict(X.astype(np.float32)) for fitted_alone in ensemble._trainers]
    softmax = [np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in each]
    np.testing.assert_allclose(ensemble.predict_proba(X), np.mean(softmax, axis=0), rtol=1e-5, atol=1e-6)
    assert len(ensemble.members_) == 3


@pytest.mark.parametrize("classes", [["a", "b", "c"], [-1, 5, 7], [1.0, 2.0, 30.0], [10**12, 10**13, 10**14]])
def test_classes_of_any_kind(classes):
    X, y = standard(IRIS[0]), IRIS[1]
    names = np.array(classes)[y]
    model = MLPClassifier((8,), max_iter=50, learning_rate_init=0.01, random_state=0).fit(X, names)
    assert model.predict(X).dtype == names.dtype and model.score(X, names) > 0.8
    two = MLPClassifier((8,), max_iter=50, learning_rate_init=0.01, random_state=0).fit(X[:100], names[:100])
    assert list(two.classes_) == sorted(classes[:2]) and two.predict_proba(X).shape == (150, 2)
    assert two.score(X[:100], names[:100]) == 1.0


def test_labels_and_several_outputs():
    X, y = make_multilabel_classification(300, 10, n_classes=4, random_state=0)
    model = MLPClassifier((32,), max_iter=200, learning_rate_init=0.01, random_state=0, n_iter_no_change=50)
    model.set_params(early_stopping=True, validation_fraction=0.2).fit(standard(X), y)
    X = standard(X)
    assert model.predict(X).shape == y.shape == model.predict_proba(X).shape and model.score(X, y) > 0.3
    X = standard(DIABETES[0])
    y = np.column_stack([X[:, 0] ** 2, X[:, 1] + X[:, 2]])
    model = MLPRegressor((32,), max_iter=300, learning_rate_init=0.01, random_state=0).fit(X, y)
    assert model.predict(X).shape == y.shape and model.score(X, y) > 0.9
    assert MLPRegressor((4,), max_iter=2).fit(X, y[:, 0]).predict(X).shape == (442,)


def test_early_stopping_restores_the_best_epoch():
    X, y = load_digits(return_X_y=True)
    X = standard(X)
    model = MLPClassifier((32,), early_stopping=True, learning_rate_init=0.01, random_state=0, n_iter_no_change=5).fit(X, y)
    best = int(np.argmax(model.validation_scores_))
    assert model.best_validation_score_ == model.validation_scores_[best] > 0.9
    assert model.n_iter_ == len(model.validation_scores_) < 200 and model.best_loss_ is None
    # What was held out is scored on the host; another call of fit of as many epochs gives the same network.
    again = MLPClassifier((32,), early_stopping=True, learning_rate_init=0.01, random_state=0, max_iter=best + 1).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_set_to_evaluate_on():
    X, y = IRIS
    train, test = np.arange(0, 150, 2), np.arange(1, 150, 2)
    options = {"max_iter": 30, "learning_rate_init": 0.01, "random_state": 0}
    model = MLPClassifier((8,), **options).fit(X[train], y[train], eval_set=(X[test], y[test]))
    assert len(model.validation_scores_) == 30 and model.validation_scores_[-1] == model.score(X[test], y[test])
    model = MLPRegressor((8,), early_stopping=True, **options).fit(X, y, eval_set=(X[test], y[test]))
    assert model.best_validation_score_ == pytest.approx(model.score(X[test], y[test]), rel=1e-5)
    with pytest.raises(ValueError, match="eval_set"):
        model.fit(X, y, eval_set=X)


def test_warm_start_goes_on_from_the_parameters():
    X, y = IRIS
    model = MLPClassifier((8,), max_iter=5, warm_start=True, random_state=0, learning_rate_init=1e-30)
    first = model.fit(X, y).coefs_[0]
    np.testing.assert_array_equal(model.fit(X, y).coefs_[0], first)
    assert model.n_iter_ == 5 and len(model.loss_curve_) == 10
    with pytest.raises(ValueError, match="hidden_layer_sizes|layers"):
        model.set_params(hidden_layer_sizes=(4,)).fit(X, y)


def test_partial_fit_is_an_epoch():
    X, y = IRIS
    model = MLPClassifier((8,), random_state=0, shuffle=False, max_iter=3).fit(X, y)
    steps = MLPClassifier((8,), random_state=0, shuffle=False)
    with pytest.raises(ValueError, match="classes"):
        steps.partial_fit(X, y)
    for _ in range(3):
        steps.partial_fit(X, y, classes=np.unique(y))
    np.testing.assert_array_equal(steps.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ValueError, match="classes not in"):
        steps.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="early_stopping"):
        MLPRegressor(early_stopping=True).partial_fit(X, y)


@pytest.mark.parametrize("n_members", [1, 2])
def test_files(tmp_path, n_members):
    path = tmp_path / "model.safetensors"
    names = np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
    model = MLPClassifier((8, 4), max_iter=20, random_state=0, n_members=n_members).fit(IRIS[0], names)
    model.save(path)
    loaded = MLPClassifier.load(path)
    np.testing.assert_array_equal(loaded.predict_proba(IRIS[0]), model.predict_proba(IRIS[0]))
    np.testing.assert_array_equal(loaded.predict(IRIS[0]), model.predict(IRIS[0]))
    assert loaded.get_params() == model.get_params() and loaded.loss_curve_ == model.loss_curve_
    tensors = load_file(path)
    prefix = "" if n_members == 1 else "0."
    assert tensors[f"{prefix}0.weight"].shape == (8, 4) and tensors[f"{prefix}4.bias"].shape == (3,)
    np.testing.assert_array_equal(tensors[f"{prefix}0.weight"].T, model.coefs_[0])
    with pytest.raises(ValueError, match="MLPClassifier.load"):
        MLPRegressor.load(path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:4], whole.replace(b"0.weight", b"7.weight"), whole.replace(b"made_of", b"made_up")):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            MLPClassifier.load(path)
    network = tmp_path / "network.safetensors"
    model._trainers[0].save(str(network))
    with pytest.raises(ValueError, match="no estimator"):
        MLPClassifier.load(network)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"solver": "lbfgs"}, "solver='lbfgs'"),
        ({"activation": "cosine"}, "activation='cosine' in MLPClassifier; give one of 'identity'"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
        ({"alpha": -1}, "alpha=-1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate_init": 0}, "learning_rate_init"),
        ({"max_iter": 1.5}, "max_iter"),
        ({"momentum": 1.1}, "momentum"),
        ({"beta_1": 1.0}, "beta_1"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"tol": "small"}, "tol='small'"),
        ({"shuffle": "yes"}, "shuffle='yes'"),
        ({"dropout": 1.0}, "dropout"),
        ({"n_members": 0}, "n_members"),
    ],
)
def test_wrong_values_are_named(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        MLPClassifier(**options).fit(*IRIS)


def test_what_can_not_be_learnt_is_said():
    X, y = DIABETES
    with pytest.raises(ValueError, match="NaN|inf|finite"):
        MLPRegressor(solver="sgd", learning_rate_init=1e6, max_iter=50).fit(X * 100, y)
    with pytest.raises(RuntimeError, match="voodoo2"):
        MLPRegressor(device="voodoo2").fit(X, y)
    with pytest.warns(UserWarning, match="clipped"):
        MLPRegressor(batch_size=1000, max_iter=1).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        MLPRegressor(max_iter=1).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPRegressor(tol=1e9, n_iter_no_change=2).fit(X, y)
    with pytest.raises(ValueError, match="infinity or a value too large for dtype"):
        MLPRegressor().fit(X * 1e300, y)


def test_an_ensemble_knows_how_far_its_members_are_apart():
    X, y = standard(DIABETES[0]), (DIABETES[1] - 150) / 77
    model = MLPRegressor((16,), max_iter=30, n_members=4, random_state=0).fit(X, y)
    mean, deviation = model.predict(X, return_std=True)
    assert mean.shape == deviation.shape == (442,) and (deviation > 0).all()
    far = model.predict(10 * X, return_std=True)[1]
    assert far.mean() > deviation.mean()


def test_weights_of_zero_are_rows_left_out():
    X, y = standard(DIABETES[0]), (DIABETES[1] - 150) / 77
    weights = np.r_[np.ones(200), np.zeros(242)]
    bad = np.r_[y[:200], np.full(242, 1e3)]
    model = MLPRegressor((8,), max_iter=30, random_state=0).fit(X, bad, sample_weight=weights)
    assert np.abs(model.predict(X)).max() < 10
    with pytest.raises(ValueError, match="[Nn]egative"):
        model.fit(X, y, sample_weight=-weights)


def test_verbose_prints_each_epoch(capsys):
    fitted(max_iter=2, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("Iteration 2, loss = ")
