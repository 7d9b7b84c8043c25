"""Searches over hyper-parameters, many trainings in one task."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterSampler, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from ._estimator import BaseMLP
from .many import fit_many

# Trainings of a task: enough to fill the lanes of vectors, few enough that a lost task is no great loss.
LEAST, MOST = 8, 256


@dataclass
class Table:
    """The data of a search, with its folds, as tasks take it."""

    X: Any
    y: Any
    sample_weight: Any
    folds: list[tuple[np.ndarray, np.ndarray]]
    estimator: Any
    scoring: Any


@dataclass
class Trial:
    """A configuration, and what became of it."""

    number: int
    params: dict[str, Any]
    seed: int
    # How often it was trained, the last time for so many epochs.
    rounds: int = 0
    epochs: int = 0
    scores: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def score(self) -> float:
        return float(np.mean(self.scores)) if self.scores else math.nan

    @property
    def place(self) -> tuple[bool, float, int]:
        """Sorts the best to the front; of equals, the one drawn first."""
        return math.isnan(self.score), -self.score if self.scores else 0.0, self.number


class SearchResult:
    """What a search found.

    Attributes
    ----------
    table : dict of arrays
        A row for each configuration, the best first: `rank`, `number` (in the order in which they were drawn), `mean_score`,
        `std_score` and `split0_score`... of the held-out parts, `epochs` (those of its last round), the parameters
        (`param_...`), and `error`, the message of a training that failed (else ""), whose scores are NaN.
    best_params_, best_score_ : those of the first row
    best_estimator_ : fitted on all the data, if the search was to refit
    """

    def __init__(self, trials: list[Trial], folds: int) -> None:
        # What came further is before what did not.
        trials = sorted(trials, key=lambda trial: (bool(trial.error), -trial.rounds, *trial.place))
        names = sorted({name for trial in trials for name in trial.params})
        self.table: dict[str, np.ndarray] = {
            "rank": np.arange(1, len(trials) + 1),
            "number": np.array([trial.number for trial in trials]),
            "mean_score": np.array([trial.score for trial in trials]),
            "std_score": np.array([float(np.std(trial.scores)) if trial.scores else math.nan for trial in trials]),
        }
        for fold in range(folds):
            self.table[f"split{fold}_score"] = np.array([trial.scores[fold] if trial.scores else math.nan for trial in trials])
        self.table["epochs"] = np.array([trial.epochs for trial in trials])
        for name in names:
            column = np.empty(len(trials), object)
            column[:] = [trial.params.get(name) for trial in trials]
            self.table[f"param_{name}"] = column
        self.table["error"] = np.array([trial.error for trial in trials], object)
        self._best = trials[0]
        self.best_params_ = dict(self._best.params)
        self.best_score_ = self._best.score
        self.best_estimator_: Any = None

    def __repr__(self) -> str:
        return f"SearchResult({len(self.table['rank'])} configurations, best {self.best_score_:.4g} with {self.best_params_})"


def search(
    estimator: Any,
    space: Mapping[str, Any],
    X: Any,
    y: Any,
    *,
    budget: int = 60,
    strategy: str = "random",
    cv: Any = 5,
    scoring: Any = None,
    sample_weight: Any = None,
    client: Any = None,
    seed: int = 0,
    factor: int = 3,
    least_epochs: int | None = None,
    refit: bool = True,
) -> SearchResult:
    """Searches for the hyper-parameters with the best mean score of held-out folds.

    Each task trains many networks at once (`fit_many`): small networks take a fraction of the time that they would one by one,
    and a cluster's scheduler has few tasks to see to. The result is the same, to the bit, wherever the tasks run, and in
    whatever order; a task whose worker died runs again.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, or a Pipeline that ends with one
        What precedes it in a pipeline is fitted to the training rows of each fold.
    space : dict
        Names of parameters (of a pipeline: `mlpclassifier__alpha`) with lists, or with distributions that have `rvs`, such as
        those of scipy.stats.
    budget : int
        Configurations that are drawn; of a space of lists alone, no more than there are.
    strategy : 'random' or 'halving'
        'halving' trains all configurations for `least_epochs`, the best `1 / factor` of them `factor` times as long, and so
        on, up to the estimator's `max_iter` (Jamieson & Talwalkar 2016, successive halving).
    cv : int, splitter, or iterable of pairs of arrays of row numbers
        As in scikit-learn's searches.
    scoring : str or callable, optional
        As in scikit-learn's searches; by default the estimator's own `score`.
    client : dask.distributed.Client, optional
        Where the tasks run; by default in this process.
    seed : int
        Of the configurations, and of each one's `random_state`, unless the estimator or the space sets it.
    factor, least_epochs : int
        Of 'halving'. By default the last but two rounds have `least_epochs`: `max_iter / factor ** 3`.
    refit : bool
        Whether to fit `best_estimator_` on all the data.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_iris
    >>> from wgrad import MLPClassifier, search
    >>> X, y = load_iris(return_X_y=True)
    >>> space = {"learning_rate_init": loguniform(1e-3, 1e-1), "alpha": loguniform(1e-6, 1e-1)}
    >>> found = search(MLPClassifier((16,), max_iter=30), space, X, y, budget=20, cv=3)
    >>> bool(found.best_score_ > 0.95), sorted(found.best_params_)
    (True, ['alpha', 'learning_rate_init'])
    """
    if not isinstance(_network(estimator), BaseMLP):
        raise TypeError(f"search takes MLPClassifier, MLPRegressor, or a Pipeline that ends with one, not {estimator!r}")
    if strategy not in ("random", "halving"):
        raise ValueError(f"strategy={strategy!r} is neither 'random' nor 'halving'")
    if budget < 1 or factor < 2 or (least_epochs is not None and least_epochs < 1):
        raise ValueError(f"budget={budget} and least_epochs={least_epochs} are to be at least 1, factor={factor} at least 2")
    folds = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
    scorer = None if scoring is None else check_scoring(estimator, scoring)
    table = Table(X, y, sample_weight, folds, clone(estimator), scorer)
    trials = _drawn(estimator, space, budget, seed)
    rounds = _rounds(estimator, space, len(trials), factor, least_epochs) if strategy == "halving" else [(0, len(trials))]
    left = trials
    with _Tasks(table, client) as tasks:
        for epochs, count in rounds:
            left = sorted((trial for trial in left if not trial.error), key=lambda trial: trial.place)[:count]
            for trial in left:
                trial.rounds, trial.epochs = trial.rounds + 1, epochs or _epochs(estimator, trial)
            for number, scores, error in tasks.run(left):
                trials[number].scores, trials[number].error = scores, error
    if all(trial.error for trial in trials):
        raise ValueError(f"All {len(trials)} configurations failed, the first one with: {trials[0].error}")
    result = SearchResult(trials, len(folds))
    if refit:
        best = _configured(table.estimator, result._best)
        fit_params = {} if sample_weight is None else {_prefix(best) + "sample_weight": sample_weight}
        result.best_estimator_ = best.fit(X, y, **fit_params)
    return result


def _network(estimator: Any) -> Any:
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def _prefix(estimator: Any) -> str:
    return f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""


def _epochs(estimator: Any, trial: Trial) -> int:
    return int(trial.params.get(_prefix(estimator) + "max_iter", _network(estimator).max_iter))


def _drawn(estimator: Any, space: Mapping[str, Any], budget: int, seed: int) -> list[Trial]:
    """The configurations, each with a seed of its own."""
    unknown = sorted(set(space) - set(estimator.get_params()))
    if unknown:
        raise ValueError(f"{unknown} are no parameters of {type(estimator).__name__}; it has {sorted(estimator.get_params())}")
    with warnings.catch_warnings():
        # Fewer than the budget, where there are no more.
        warnings.simplefilter("ignore", UserWarning)
        drawn = list(ParameterSampler(dict(space), budget, random_state=seed))
    seeds = np.random.RandomState(seed).randint(2**31 - 1, size=len(drawn))
    return [Trial(number, params, int(own)) for number, (params, own) in enumerate(zip(drawn, seeds))]


def _rounds(
    estimator: Any, space: Mapping[str, Any], count: int, factor: int, least_epochs: int | None
) -> Iterator[tuple[int, int]]:
    """Epochs, and how many configurations train for so many."""
    if _prefix(estimator) + "max_iter" in space:
        raise ValueError("'halving' decides how many epochs a configuration trains; leave max_iter out of the space")
    most = int(_network(estimator).max_iter)
    epochs = max(1, most // factor**3) if least_epochs is None else min(least_epochs, most)
    while True:
        yield epochs, count
        if epochs >= most:
            return
        epochs, count = min(most, epochs * factor), max(1, math.ceil(count / factor))


def _configured(estimator: Any, trial: Trial) -> Any:
    """The estimator with a configuration."""
    prefix = _prefix(estimator)
    params = {prefix + "max_iter": trial.epochs, **trial.params}
    if _network(estimator).random_state is None:
        params = {prefix + "random_state": trial.seed, **params}
    return clone(estimator).set_params(**params)


def _scores(table: Table, trials: Sequence[Trial]) -> list[tuple[int, list[float], str]]:
    """A task: trains configurations on all folds; the number of each, its scores, and what went wrong."""
    runs: dict[Any, list[tuple[Trial, int, Any]]] = {}
    for trial in trials:
        for fold in range(len(table.folds)):
            estimator = _configured(table.estimator, trial)
            # What shares its inputs trains together.
            before = repr(estimator.steps[:-1]) if isinstance(estimator, Pipeline) else None
            runs.setdefault(before and (fold, before), []).append((trial, fold, estimator))
    scores: dict[int, dict[int, float]] = {trial.number: {} for trial in trials}
    errors: dict[int, str] = {}
    for group in runs.values():
        try:
            outcomes = _fitted(table, group)
        except Exception as error:
            # Such as a wrong value of one parameter: then each is tried alone.
            outcomes = [error] if len(group) == 1 else [_alone(table, run) for run in group]
        for (trial, fold, _), outcome in zip(group, outcomes):
            if isinstance(outcome, Exception):
                errors.setdefault(trial.number, f"{type(outcome).__name__}: {outcome}")
            else:
                scores[trial.number][fold] = outcome
    return [
        (number, [] if number in errors else [by_fold[fold] for fold in sorted(by_fold)], errors.get(number, ""))
        for number, by_fold in scores.items()
    ]


def _alone(table: Table, run: tuple[Trial, int, Any]) -> float | Exception:
    try:
        return _fitted(table, [run])[0]
    except Exception as error:
        return error


def _fitted(table: Table, group: Sequence[tuple[Trial, int, Any]]) -> list[float | Exception]:
    """Fits estimators that take the same inputs, and scores each on the rows of its fold that it has not seen."""
    X, first = table.X, group[0][2]
    if isinstance(first, Pipeline) and len(first.steps) > 1:
        train = table.folds[group[0][1]][0]
        before = first[:-1].fit(_safe_indexing(X, train), _safe_indexing(table.y, train))
        X = before.transform(X)
    networks = [_network(estimator) for _, _, estimator in group]
    rows = [table.folds[fold][0] for _, fold, _ in group]
    errors = fit_many(networks, X, table.y, table.sample_weight, rows=rows)

    def score(network: Any, error: Exception | None, fold: int) -> float | Exception:
        if error is not None:
            return error
        test = table.folds[fold][1]
        known = (_safe_indexing(X, test), _safe_indexing(table.y, test))
        return float(table.scoring(network, *known) if table.scoring else network.score(*known))

    return [score(network, error, fold) for network, error, (_, fold, _) in zip(networks, errors, group)]


class _Tasks:
    """Runs tasks, here or on a client's workers."""

    def __init__(self, table: Table, client: Any) -> None:
        self.table, self.client = table, client
        self.workers = 1 if client is None else max(1, sum(client.nthreads().values()))

    def __enter__(self) -> _Tasks:
        if self.client is not None:
            with warnings.catch_warnings():
                # The scheduler keeps the data, so that they outlive every worker.
                warnings.filterwarnings("ignore", message="Sending large graph")
                self.data = self.client.submit(_same, self.table, pure=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.data = None

    def run(self, trials: Sequence[Trial]) -> Iterator[tuple[int, list[float], str]]:
        """The results of all, each once, in any order."""
        # Alike beside alike: then lanes are full.
        trials = sorted(trials, key=lambda trial: (_shape(trial), trial.number))
        folds = len(self.table.folds)
        size = math.ceil(len(trials) / (4 * self.workers)) if self.client is not None else len(trials)
        size = max(1, min(max(size, math.ceil(LEAST / folds)), MOST // folds))
        parts = [trials[at : at + size] for at in range(0, len(trials), size)]
        if self.client is None:
            for part in parts:
                yield from _scores(self.table, part)
            return
        futures = [self.client.submit(_scores, self.data, part, pure=False) for part in parts]
        try:
            for future in futures:
                yield from self.client.gather(future)
        finally:
            self.client.cancel(futures)


def _same(table: Table) -> Table:
    return table


def _shape(trial: Trial) -> str:
    """What networks of one shape have in common."""
    of_shape = ("hidden_layer_sizes", "activation", "batch_size", "solver", "n_members", "dropout")
    return repr(sorted((name, value) for name, value in trial.params.items() if name.split("__")[-1] in of_shape))
