"""What an estimator's parameters may be. A wrong value is a ValueError that names the parameter."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

# Whether a value is right, and what is.
Rule = tuple[Callable[[Any], bool], str]

ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "identity": ("Identity", {}),
    "logistic": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"slope": 0.01}),
    "elu": ("ELU", {"alpha": 1.0}),
    "gelu": ("GELU", {}),
    "silu": ("SiLU", {}),
    "softplus": ("Softplus", {}),
}
SOLVERS = ("adam", "adamw", "sgd", "rmsprop")
REGRESSION_LOSSES = ("squared_error", "absolute_error", "huber")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)) and value == value


def _real(low: float, high: float = np.inf, *, open_low: bool = False, open_high: bool = True) -> Rule:
    def fits(value: Any) -> bool:
        if not _is_number(value):
            return False
        above = value > low if open_low else value >= low
        return bool(above and (value < high if open_high else value <= high))

    brackets = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    return fits, f"a number in {brackets}"


def _whole(low: int) -> Rule:
    def fits(value: Any) -> bool:
        is_whole = isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))
        return is_whole and bool(value >= low)

    return fits, f"a whole number from {low}"


def _one_of(*names: str) -> Rule:
    return lambda value: isinstance(value, str) and value in names, f"one of {', '.join(map(repr, names))}"


def _flag(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))


def _sizes(value: Any) -> bool:
    try:
        sizes = hidden_sizes(value)
    except TypeError:
        return False
    return all(_whole(1)[0](size) for size in sizes)


def _batch(value: Any) -> bool:
    return (isinstance(value, str) and value == "auto") or _whole(1)[0](value)


def _patience(value: Any) -> bool:
    return _whole(1)[0](value) or value == np.inf


RULES: dict[str, Rule] = {
    "hidden_layer_sizes": (_sizes, "a whole number from 1, or a list of them"),
    "activation": _one_of(*ACTIVATIONS),
    "solver": _one_of(*SOLVERS),
    "alpha": _real(0),
    "batch_size": (_batch, "'auto' or a whole number from 1"),
    "learning_rate": _one_of("constant", "invscaling", "adaptive"),
    "learning_rate_init": _real(0, open_low=True),
    "power_t": _real(0),
    "max_iter": _whole(1),
    "shuffle": (_flag, "True or False"),
    "tol": _real(0),
    "verbose": (lambda value: _flag(value) or _whole(0)[0](value), "True or False"),
    "warm_start": (_flag, "True or False"),
    "momentum": _real(0, 1, open_high=False),
    "nesterovs_momentum": (_flag, "True or False"),
    "early_stopping": (_flag, "True or False"),
    "validation_fraction": _real(0, 1, open_low=True),
    "beta_1": _real(0, 1),
    "beta_2": _real(0, 1),
    "epsilon": _real(0, open_low=True),
    "n_iter_no_change": (_patience, "a whole number from 1, or infinity"),
    "dropout": _real(0, 1),
    "n_members": _whole(1),
    "device": (lambda value: isinstance(value, str), "'cpu', 'auto', or the name of a device"),
    "loss": _one_of(*REGRESSION_LOSSES),
}


def hidden_sizes(value: Any) -> list[Any]:
    """`hidden_layer_sizes` as a list."""
    return list(value) if hasattr(value, "__iter__") else [value]


def check_parameters(estimator: Any) -> None:
    """Raises a ValueError for the first parameter that makes no sense."""
    for name, value in estimator.get_params(deep=False).items():
        rule = RULES.get(name)
        if rule is None or rule[0](value):
            continue
        shown = f"{name}={value!r}"
        if name == "solver" and value == "lbfgs":
            raise ValueError(
                f"{shown}: wgrad trains in mini-batches and has no L-BFGS; use solver='adam', and batch_size as large as "
                "the data for whole steps, or sklearn.neural_network"
            )
        raise ValueError(f"{shown} in {type(estimator).__name__}; give {rule[1]}")
