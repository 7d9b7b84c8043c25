"""What MLPClassifier and MLPRegressor have in common."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import _files, _wgrad
from ._checks import check_parameters
from ._spec import Spec, device_of, layers_of, optimizer_of


@dataclass
class Samples:
    """Data for a training: for the compiled trainer, and what splits need of it."""

    data: _wgrad.Dataset
    y: Any
    weights: np.ndarray | None

    def mean_weight(self, rows: np.ndarray | None) -> float:
        if self.weights is None:
            return 1.0
        chosen = self.weights if rows is None else self.weights[rows]
        return max(float(chosen.mean(dtype=np.float64)), 1e-30)


@dataclass
class Job:
    """A training: the options of each member, what scikit-learn's loss is times wgrad's, and the samples of an epoch."""

    options: list[dict[str, Any]]
    scale: float
    count: int


class BaseMLP(BaseEstimator):  # type: ignore[misc]
    """Use MLPClassifier or MLPRegressor."""

    # Set by the subclasses' `_encode`: what is behind the last layer in predictions.
    _head: str | None = None
    n_outputs_: int
    loss_curve_: list[float]
    t_: int
    # What the networks are made of, and the networks, which share a device.
    _layers: list[Spec]
    _made_of: tuple[Spec, Spec, list[int], str]
    _trainers: list[_wgrad.Trainer]
    _random_state: np.random.RandomState

    def _encode(self, y: Any, *, first: bool) -> np.ndarray:
        """The targets as the compiled trainer takes them, [n, t]; sets n_outputs_, and what else belongs to them."""
        raise NotImplementedError

    def _loss(self) -> tuple[Spec, float, str]:
        """The loss, what scikit-learn's is times this one, and how outputs are scored."""
        raise NotImplementedError

    # Training

    def _fit(self, X: Any, y: Any, sample_weight: Any, eval_set: Any, incremental: bool) -> Any:
        check_parameters(self)
        goes_on = hasattr(self, "_trainers") and (incremental or self.warm_start)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        samples = self._samples(X, y, sample_weight, first=not goes_on)
        validation = None
        if eval_set is not None:
            if not isinstance(eval_set, (tuple, list)) or len(eval_set) not in (2, 3):
                raise ValueError("eval_set is not (X, y) or (X, y, sample_weight)")
            validation = self._samples(*eval_set, *[None] * (3 - len(eval_set)), first=False).data
        if incremental:
            job = self._prepare(samples, validation=validation, epochs=1, goes_on=goes_on)
        else:
            job = self._prepare(samples, validation=validation, goes_on=goes_on)
        outcomes, interrupted = _wgrad.fit_all(self._trainers, [samples.data], job.options)
        return self._finish(job, outcomes, interrupted)

    def _samples(self, X: Any, y: Any, sample_weight: Any, *, first: bool) -> Samples:
        """The data as the compiled trainer takes it: one copy."""
        X, y = self._validate(X, y, reset=first)
        targets = self._encode(y, first=first)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float32)
            if weights.min() < 0:
                raise ValueError("Negative values in data passed to `sample_weight`")
        return Samples(_wgrad.Dataset(X, targets, weights), y, weights)

    def _prepare(
        self,
        samples: Samples,
        *,
        validation: _wgrad.Dataset | None = None,
        rows: np.ndarray | None = None,
        held_out: np.ndarray | None = None,
        epochs: int | None = None,
        goes_on: bool = False,
        beside: _wgrad.Trainer | None = None,
    ) -> Job:
        """Makes the networks, on the device of `beside`, and says how they are trained: on `rows`, scored on `held_out`. With
        `epochs`, by so many, whatever becomes of the loss."""
        loss, scale, score = self._loss()
        if not goes_on:
            self._random_state = check_random_state(self.random_state)
            self.loss_curve_, self.t_ = [], 0
        seeds = [int(self._random_state.randint(2**31)) for _ in range(int(self.n_members))]
        options: dict[str, Any] = {"shuffle": bool(self.shuffle), "epochs": epochs or int(self.max_iter)}
        if validation is not None:
            options["validation"] = validation
        elif self.early_stopping and held_out is None:
            rows, held_out = self._held_out(samples.y, rows)
        options.update(rows=rows, validation_rows=held_out)
        if validation is not None or held_out is not None:
            options.update(evaluate_every=1, score=score)
        count = len(samples.data) if rows is None else len(rows)
        batch_size = options["batch_size"] = self._batch_size(count)
        if epochs is None:
            options["plateau"] = self._plateau(scale)
            if self.early_stopping:
                # To restore the best epoch; the plateau decides when to stop.
                options.update(early_stopping=(1 << 62, 0.0), monitor="score")
        if not (goes_on and epochs):
            layers = layers_of(self, samples.data.columns[0], self.n_outputs_)
            optimizer = optimizer_of(self, scale, count, batch_size, samples.mean_weight(rows))
            before = self._trainers if goes_on else None
            self._make(layers, loss, optimizer, seeds, beside or device_of(self, layers, batch_size), before)
        members = [dict(options) for _ in self._trainers]
        if self.verbose:

            def show(record: dict[str, Any]) -> None:
                print(f"Iteration {record['epoch']}, loss = {record['loss'] * scale:.8f}")

            members[0]["on_epoch"] = show
        return Job(members, scale, count)

    def _finish(self, job: Job, outcomes: list[dict[str, Any]], interrupted: bool) -> Any:
        """The attributes after a training."""
        self._keep_sound(outcomes)
        outcomes = [outcome for outcome in outcomes if outcome["error"] is None]
        curves = [(outcome["loss"] * job.scale).tolist() for outcome in outcomes]
        self.loss_curve_ = [*self.loss_curve_, *curves[0]]
        self.loss_ = self.loss_curve_[-1]
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_)
        self.n_iter_ = max(len(curve) for curve in curves)
        self.t_ += self.n_iter_ * job.count
        self.validation_scores_ = outcomes[0]["score"].tolist() if "score" in job.options[0] else None
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None
        self.members_ = [{"loss_curve": curve, "n_iter": len(curve)} for curve in curves]
        self._expose()
        if interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        elif "plateau" in job.options[0] and not all(outcome["converged"] for outcome in outcomes):
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return self

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, Any]:
        raise NotImplementedError

    def _held_out(self, y: Any, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The rows to train on, and those held out; of every class its share, where that is possible."""
        if rows is None:
            rows = np.arange(len(y), dtype=np.uint32)
        stratify = None
        if is_classifier(self) and np.ndim(y) == 1:
            counts = np.unique(y[rows], return_counts=True)[1]
            size = math.ceil(len(rows) * self.validation_fraction)
            if counts.min() >= 2 and min(size, len(rows) - size) >= len(counts):
                stratify = y[rows]
        train, held_out = train_test_split(
            rows, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify
        )
        if len(held_out) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        return np.sort(train), np.sort(held_out)

    def _batch_size(self, rows: int) -> int:
        if isinstance(self.batch_size, str):
            return min(200, rows)
        if self.batch_size > rows:
            warnings.warn(
                f"batch_size={self.batch_size} is larger than the {rows} samples to train on. It is clipped to that.",
                stacklevel=5,
            )
        return int(min(self.batch_size, rows))

    def _plateau(self, scale: float) -> dict[str, Any]:
        is_adaptive = self.solver == "sgd" and self.learning_rate == "adaptive" and not self.early_stopping
        return {
            "of_score": bool(self.early_stopping),
            "tolerance": float(self.tol) / (1.0 if self.early_stopping else scale),
            "patience": float(self.n_iter_no_change),
            "rate": float(self.learning_rate_init) * scale if is_adaptive else None,
            "least_rate": 1e-6 * scale,
        }

    def _make(self, layers: list[Spec], loss: Spec, optimizer: Spec, seeds: list[int], device: Any, before: Any) -> None:
        """Makes the networks, on a device by name or on that of another trainer; those before give their parameters."""
        trainers: list[_wgrad.Trainer] = []
        for seed in seeds:
            trainers.append(_wgrad.Trainer(layers, loss, optimizer, seed, trainers[0] if trainers else device))
        if before is not None:
            if layers != self._layers or len(before) != len(trainers):
                raise ValueError(
                    "warm_start goes on with the networks of the last fit, but n_members, the layers or the columns have "
                    "changed; set warm_start=False"
                )
            for old, new in zip(before, trainers):
                new.set_parameters(dict(old.parameters()))
        self._layers, self._made_of = layers, (loss, optimizer, seeds, trainers[0].device_name())
        self._trainers = trainers

    def _keep_sound(self, outcomes: list[dict[str, Any]]) -> None:
        """Leaves out the members that failed; if all did, raises the first one's error."""
        errors = [outcome["error"] for outcome in outcomes]
        failed = [error for error in errors if error is not None]
        if len(failed) == len(errors):
            del self._trainers
            raise failed[0]
        if failed:
            warnings.warn(f"{len(failed)} of {len(errors)} members are left out: {failed[0]}", stacklevel=5)
            self._trainers = [trainer for trainer, error in zip(self._trainers, errors) if error is None]
            loss, optimizer, seeds, device = self._made_of
            self._made_of = loss, optimizer, [seed for seed, error in zip(seeds, errors) if error is None], device

    def _expose(self) -> None:
        """The attributes that come from the networks, and what predicts."""
        values = [array for _, array in self._trainers[0].parameters()]
        self.coefs_ = [np.ascontiguousarray(weight.T) for weight in values[::2]]
        self.intercepts_ = [bias.ravel() for bias in values[1::2]]
        self.n_layers_ = len(self.coefs_) + 1
        self.out_activation_ = {"Softmax": "softmax", "Sigmoid": "logistic", None: "identity"}[self._head]
        self._predictor = _wgrad.Predictor(self._trainers, self._head)

    # Prediction

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, order="C", reset=False)
        return self._predictor.predict(X)

    # Copies and files

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_predictor", None)
        if "_trainers" in state:
            state["_trainers"] = [trainer.checkpoint() for trainer in state["_trainers"]]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        checkpoints = state.pop("_trainers", None)
        super().__setstate__(state)
        if checkpoints is not None:
            self._rebuild()
            for trainer, checkpoint in zip(self._trainers, checkpoints):
                trainer.resume(checkpoint)
            self._predictor = _wgrad.Predictor(self._trainers, self._head)

    def _rebuild(self) -> None:
        loss, optimizer, seeds, device = self._made_of
        try:
            self._make(self._layers, loss, optimizer, seeds, device, None)
        except _wgrad.NoDevice:
            warnings.warn(f"There is no device {device!r} here; the network is put on the CPU.", stacklevel=3)
            self._make(self._layers, loss, optimizer, seeds, "cpu", None)

    def save(self, path: Any) -> None:
        """Writes the fitted estimator to a safetensors file, from which `load` reads it.

        Its tensors have PyTorch's names and layout ('0.weight' [out, in], '0.bias' [out]), so that
        `torch.nn.Sequential(...).load_state_dict(safetensors.torch.load_file(path))` takes the network; those of an ensemble's
        members begin with their numbers. The optimizer's state is not in it: use pickle for all of an estimator.
        """
        check_is_fitted(self)
        _files.save(self, path)

    @classmethod
    def load(cls, path: Any) -> Any:
        """The estimator that `save` wrote."""
        return _files.load(cls, path)
