"""What MLPClassifier and MLPRegressor have in common."""

from __future__ import annotations

import math
import warnings
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
        X, y = self._validate(X, y, reset=not goes_on)
        targets = self._encode(y, first=not goes_on)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float32)
            if weights.min() < 0:
                raise ValueError("Negative values in data passed to `sample_weight`")
        data = _wgrad.Dataset(X, targets, weights)
        options: dict[str, Any] = {"shuffle": bool(self.shuffle), "epochs": 1 if incremental else int(self.max_iter)}
        loss, scale, score = self._loss()
        rows = len(X)
        self._random_state = check_random_state(self.random_state) if not goes_on else self._random_state
        seeds = [int(self._random_state.randint(2**31)) for _ in range(int(self.n_members))]
        if eval_set is not None:
            options.update(validation=self._validation(eval_set), evaluate_every=1, score=score)
        elif self.early_stopping:
            train, held_out = self._held_out(y, rows)
            options.update(rows=train, validation_rows=held_out, evaluate_every=1, score=score)
            rows = len(train)
        batch_size = self._batch_size(rows)
        options["batch_size"] = batch_size
        if not incremental:
            options["plateau"] = self._plateau(scale)
            if self.early_stopping:
                # To restore the best epoch; the plateau decides when to stop.
                options.update(early_stopping=(1 << 62, 0.0), monitor="score")
        if not (goes_on and incremental):
            layers = layers_of(self, X.shape[1], self.n_outputs_)
            mean_weight = 1.0 if weights is None else max(float(weights.mean(dtype=np.float64)), 1e-30)
            optimizer = optimizer_of(self, scale, rows, batch_size, mean_weight)
            device = device_of(self, layers, batch_size)
            self._make(layers, loss, optimizer, seeds, device, self._trainers if goes_on else None)
        if not goes_on:
            self.loss_curve_, self.t_ = [], 0
        return self._train(data, options, scale, rows)

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, Any]:
        raise NotImplementedError

    def _validation(self, eval_set: Any) -> _wgrad.Dataset:
        if not isinstance(eval_set, (tuple, list)) or len(eval_set) not in (2, 3):
            raise ValueError("eval_set is not (X, y) or (X, y, sample_weight)")
        X, y = self._validate(eval_set[0], eval_set[1], reset=False)
        weights = None
        if len(eval_set) == 3 and eval_set[2] is not None:
            weights = _check_sample_weight(eval_set[2], X, dtype=np.float32)
        return _wgrad.Dataset(X, self._encode(y, first=False), weights)

    def _held_out(self, y: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of rows to train on, and of those held out; of every class its share, where that is possible."""
        stratify = None
        if is_classifier(self) and np.ndim(y) == 1:
            counts = np.unique(y, return_counts=True)[1]
            held_out = math.ceil(rows * self.validation_fraction)
            if counts.min() >= 2 and min(held_out, rows - held_out) >= len(counts):
                stratify = y
        numbers = np.arange(rows, dtype=np.uint32)
        split = train_test_split(
            numbers, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify
        )
        if len(split[1]) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return np.sort(split[0]), np.sort(split[1])

    def _batch_size(self, rows: int) -> int:
        if isinstance(self.batch_size, str):
            return min(200, rows)
        if self.batch_size > rows:
            warnings.warn(
                f"batch_size={self.batch_size} is larger than the {rows} samples to train on. It is clipped to that.",
                stacklevel=4,
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

    def _make(
        self, layers: list[Spec], loss: Spec, optimizer: Spec, seeds: list[int], device: str, before: Any
    ) -> None:
        """Makes the networks, on one device; those before give their parameters."""
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
        self._layers, self._made_of = layers, (loss, optimizer, seeds, device)
        self._trainers = trainers

    def _train(self, data: _wgrad.Dataset, options: dict[str, Any], scale: float, rows: int) -> Any:
        members = [dict(options) for _ in self._trainers]
        if self.verbose:

            def show(record: dict[str, Any]) -> None:
                print(f"Iteration {record['epoch']}, loss = {record['loss'] * scale:.8f}")

            members[0]["on_epoch"] = show
        outcomes, interrupted = _wgrad.fit_all(self._trainers, [data], members)
        self._keep_sound(outcomes)
        outcomes = [outcome for outcome in outcomes if outcome["error"] is None]
        curves = [(outcome["loss"] * scale).tolist() for outcome in outcomes]
        self.loss_curve_ = [*self.loss_curve_, *curves[0]]
        self.loss_ = self.loss_curve_[-1]
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_)
        self.n_iter_ = max(len(curve) for curve in curves)
        self.t_ += self.n_iter_ * rows
        self.validation_scores_ = outcomes[0]["score"].tolist() if "score" in options else None
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None
        self.members_ = [{"loss_curve": curve, "n_iter": len(curve)} for curve in curves]
        self._expose()
        if interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        elif "plateau" in options and not all(outcome["converged"] for outcome in outcomes):
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return self

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
