"""Many estimators in one training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from . import _wgrad
from ._checks import check_parameters
from ._estimator import BaseMLP

# What is of the data, and so the same of all.
_SHARED = ("n_features_in_", "feature_names_in_", "classes_", "n_outputs_", "_multilabel", "_is_vector", "_head")


def fit_many(
    estimators: Sequence[BaseMLP],
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    rows: Sequence[Any] | None = None,
    held_out: Sequence[Any] | None = None,
) -> list[Exception | None]:
    """Fits estimators of one class side by side on one table: the configurations of a search, the folds of a cross-validation.

    Each is trained to the same bits as it would be alone; X is copied once for all. Small networks of equal shape go eight at a
    time, one in each lane of the processor's vectors, so that many take a part of the time. All are on the first one's device.

    Parameters
    ----------
    estimators : list of MLPClassifier or of MLPRegressor
        Not fitted yet; each with parameters of its own.
    rows, held_out : lists of arrays of row numbers, optional
        What each is trained on, and what it is scored on after each epoch (`validation_scores_`).

    Returns
    -------
    list of exceptions or None
        What stopped an estimator, such as `wgrad.NotFinite`; the others are fitted. Warnings of convergence are left out. After
        Ctrl-C, all have what they learnt so far, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import StratifiedKFold
    >>> from wgrad import MLPClassifier, fit_many
    >>> X, y = load_iris(return_X_y=True)
    >>> folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    >>> models = [MLPClassifier((16,), learning_rate_init=0.01, max_iter=50, random_state=0) for _ in folds]
    >>> errors = fit_many(models, X, y, rows=[train for train, _ in folds], held_out=[test for _, test in folds])
    >>> errors
    [None, None, None, None, None]
    >>> bool(np.mean([model.validation_scores_[-1] for model in models]) > 0.9)
    True
    """
    if not estimators:
        return []
    for given, name in ((rows, "rows"), (held_out, "held_out")):
        if given is not None and len(given) != len(estimators):
            raise ValueError(f"{len(given)} {name} for {len(estimators)} estimators; give one for each")
    first = estimators[0]
    for estimator in estimators:
        if type(estimator) is not type(first):
            raise TypeError(f"a {type(estimator).__name__} beside a {type(first).__name__}; give estimators of one class")
        check_parameters(estimator)
    samples = first._samples(X, y, sample_weight, first=True)
    jobs = []
    for number, estimator in enumerate(estimators):
        if number:
            estimator.__dict__.update({name: getattr(first, name) for name in _SHARED if hasattr(first, name)})
        parts = [None if each is None else np.ascontiguousarray(each[number], np.uint32) for each in (rows, held_out)]
        beside = first._trainers[0] if number else None
        jobs.append(estimator._prepare(samples, rows=parts[0], held_out=parts[1], beside=beside))
    trainers = [trainer for estimator in estimators for trainer in estimator._trainers]
    outcomes, interrupted = _wgrad.fit_all(trainers, [samples.data], [options for job in jobs for options in job.options])
    errors: list[Exception | None] = []
    for estimator, job in zip(estimators, jobs):
        own = outcomes[: len(job.options)]
        del outcomes[: len(job.options)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                estimator._finish(job, own, interrupted=False)
            errors.append(None)
        except Exception as error:
            errors.append(error)
    if interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=2)
    return errors
