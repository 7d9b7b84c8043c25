"""Whole trainings against scikit-learn's own networks, from the same initial values, in double precision."""

import numpy as np
import pytest
import sklearn.neural_network as reference
from sklearn.datasets import make_multilabel_classification
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

import wgrad
from wgrad import _wgrad

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(103, 6))
NUMBERS = X @ RNG.normal(size=6) + 0.1 * RNG.normal(size=103)
SEVERAL = X @ RNG.normal(size=(6, 3)) + 0.1 * RNG.normal(size=(103, 3))
BINARY = (NUMBERS > 0).astype(int)
CLASSES = np.digitize(NUMBERS, [-1, 1])
LABELS = make_multilabel_classification(103, 6, n_classes=4, random_state=0)[1]
SETTINGS = [
    {},
    {"alpha": 0.0, "activation": "tanh"},
    {"alpha": 3.0, "activation": "logistic", "batch_size": 103},
    {"solver": "sgd", "learning_rate_init": 0.02, "alpha": 0.1},
    {"solver": "sgd", "learning_rate_init": 0.02, "nesterovs_momentum": False},
    {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.0},
    # Without momentum: where the rate changes, wgrad's velocity is PyTorch's, which the new rate multiplies.
    {"solver": "sgd", "learning_rate_init": 0.5, "learning_rate": "invscaling", "power_t": 0.3, "momentum": 0.0},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 2, "momentum": 0.0},
    {"activation": "identity", "hidden_layer_sizes": (), "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3},
]


@pytest.fixture(autouse=True)
def epsilon_of_the_paper(monkeypatch):
    """scikit-learn adds epsilon to the root of what is not yet corrected for its bias; wgrad, as Kingma & Ba's algorithm 1 and
    PyTorch, to that of what is. It matters where gradients are as small as epsilon."""

    def updates(self, grads):
        self.t += 1
        corrections = [1 - self.beta_1**self.t, 1 - self.beta_2**self.t]
        self.ms = [self.beta_1 * m + (1 - self.beta_1) * grad for m, grad in zip(self.ms, grads)]
        self.vs = [self.beta_2 * v + (1 - self.beta_2) * grad**2 for v, grad in zip(self.vs, grads)]
        rate = self.learning_rate_init
        return [-rate * m / corrections[0] / (np.sqrt(v / corrections[1]) + self.epsilon) for m, v in zip(self.ms, self.vs)]

    monkeypatch.setattr(AdamOptimizer, "_get_updates", updates)


def from_same_values(cls, model):
    """scikit-learn's network of these parameters, that begins with what ours began with."""
    loss, optimizer, seeds, device = model._made_of
    initial = [value for _, value in _wgrad.Trainer(model._layers, loss, optimizer, seeds[0], device).parameters()]
    pairs = iter(list(zip(initial[::2], initial[1::2])))

    class Same(cls):
        def _init_coef(self, fan_in, fan_out, dtype):
            weight, bias = next(pairs)
            return weight.T.astype(dtype), bias.ravel().astype(dtype)

    names = set(cls().get_params()) & set(model.get_params())
    return Same(**{name: value for name, value in model.get_params().items() if name in names})


def compare(name, y, settings, weights=None):
    settings = {"hidden_layer_sizes": (8, 5), "batch_size": 20, "max_iter": 12, "shuffle": False, "random_state": 0, **settings}
    ours = getattr(wgrad, name)(**settings).fit(X, y, sample_weight=weights)
    theirs = from_same_values(getattr(reference, name), ours).fit(X, y, sample_weight=weights)
    assert ours.n_iter_ == theirs.n_iter_ and ours.t_ == theirs.t_ and ours.out_activation_ == theirs.out_activation_
    # 72 steps in single precision, of sums of up to 20 x 8 terms; Adam divides by roots of small numbers.
    for own, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=2e-4)
    predict = "predict_proba" if hasattr(ours, "predict_proba") else "predict"
    np.testing.assert_allclose(getattr(ours, predict)(X), getattr(theirs, predict)(X), rtol=1e-3, atol=2e-3)
    return ours, theirs


# With alpha, a last mini-batch that is smaller has another penalty in scikit-learn: 100 of the rows are 5 whole ones.
@pytest.fixture(autouse=True)
def whole_batches(monkeypatch, request):
    if request.node.callspec.params.get("settings", {}).get("batch_size") != 103:
        for name in ("X", "NUMBERS", "SEVERAL", "BINARY", "CLASSES", "LABELS"):
            monkeypatch.setitem(globals(), name, globals()[name][:100])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("target", ["BINARY", "CLASSES", "LABELS"])
def test_classifiers(target, settings):
    ours, theirs = compare("MLPClassifier", globals()[target], settings)
    if not ours.alpha:
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-3)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("target", ["NUMBERS", "SEVERAL"])
def test_regressors(target, settings):
    ours, theirs = compare("MLPRegressor", globals()[target], settings)
    if not ours.alpha:
        np.testing.assert_allclose(ours.loss_curve_, np.multiply(theirs.loss_curve_, ours.n_outputs_), rtol=1e-3)


@pytest.mark.parametrize("name, target", [("MLPClassifier", "CLASSES"), ("MLPRegressor", "NUMBERS")])
def test_weights_of_samples(name, target):
    # In whole batches: in mini-batches the penalty is by the mean weight of all.
    weights = np.random.default_rng(1).uniform(0, 3, 103)[:100]
    compare(name, globals()[target], {"batch_size": 100, "alpha": 1.0}, weights)
