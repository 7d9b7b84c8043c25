"""Training of networks that `wgrad.nn` describes, on NumPy's arrays."""

from __future__ import annotations

import numbers
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _wgrad
from ._files import parse
from .nn import Loss, Module, Sequential
from .optim import Optimizer


class History(dict):  # type: ignore[type-arg]
    """The epochs of a training, a column each: 'epoch', 'steps', 'loss' (over the mini-batches, each before its update),
    'train_loss', 'train_accuracy', 'validation_loss', 'validation_accuracy' (of the model after the epoch; NaN where it was not
    measured), 'seconds' since the start; and 'step_losses', of every step.
    """

    def plot(self, ax: Any = None) -> Any:
        """Draws the losses on matplotlib's axes, which it returns."""
        if ax is None:
            try:
                import matplotlib.pyplot as pyplot
            except ImportError as error:
                raise ImportError("History.plot draws with matplotlib: pip install matplotlib") from error
            ax = pyplot.subplots()[1]
        for name in ("loss", "train_loss", "validation_loss"):
            there = np.isfinite(self[name])
            if there.any():
                ax.plot(self["epoch"][there], self[name][there], label=name.replace("_", " "))
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss")
        ax.legend()
        return ax


def matrix(values: Any, name: str) -> np.ndarray:
    """As float32 [n, c], C-contiguous: the array itself, where it is one; a vector is a column."""
    array = np.asarray(values, dtype=np.float32)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name} has {array.ndim} dimensions; give rows of numbers [n, c]")
    return np.ascontiguousarray(array)


def dataset(data: Any, name: str) -> _wgrad.Dataset:
    """(X, y) or (X, y, sample_weight) as the compiled trainer takes them: copied once."""
    if isinstance(data, _wgrad.Dataset):
        return data
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(f"{name} is not (X, y) or (X, y, sample_weight)")
    weights = data[2] if len(data) == 3 else None
    if weights is not None:
        weights = np.ascontiguousarray(weights, dtype=np.float32)
        if weights.ndim != 1:
            raise ValueError(f"the weights of {name} have {weights.ndim} dimensions; give one for each sample [n]")
    return _wgrad.Dataset(matrix(data[0], "X"), matrix(data[1], "y"), weights)


def whole(name: str, value: Any, least: int) -> int:
    """The value, which must be a whole number from so many."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r}; give a whole number from {least}")
    return int(value)


class Trainer:
    """A network with its loss and its optimizer. Everything stays on the device from the first step of an epoch to its last.

    Parameters
    ----------
    model : wgrad.nn.Module
        A `Sequential`, or a single module.
    loss : wgrad.nn.Loss
    optimizer : wgrad.optim.Optimizer
    seed : int
        Of initial values, mini-batches and dropout: the same seed gives the same bits on the same device.
    device : str
        'cpu'; 'auto', the best GPU, or the CPU; 'gpu', a backend ('vulkan', ...) or a part of an adapter's name.

    Examples
    --------
    >>> import numpy as np
    >>> from wgrad import Trainer, nn, optim
    >>> X = np.random.default_rng(0).uniform(-1, 1, (1000, 2)).astype(np.float32)
    >>> y = (X[:, 0] ** 2 + X[:, 1] ** 2 < 0.6).astype(np.float32)
    >>> model = nn.Sequential(nn.Linear(2, 25), nn.ReLU(), nn.Linear(25, 1))
    >>> trainer = Trainer(model, nn.BCEWithLogitsLoss(), optim.Adam(0.01), seed=0)
    >>> history = trainer.fit(X, y, epochs=30, batch_size=50)
    >>> bool(history["train_accuracy"][-1] > 0.9)
    True
    >>> trainer.predict(X[:3]).shape
    (3, 1)
    """

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer, *, seed: int = 0, device: str = "cpu") -> None:
        for value, kind, name in ((model, Module, "model"), (loss, Loss, "loss"), (optimizer, Optimizer, "optimizer")):
            if not isinstance(value, kind):
                raise TypeError(f"{name}={value!r} is no {kind.__name__} of wgrad")
        if not isinstance(model, Sequential):
            model = Sequential(model)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        layers = [module._spec() for module in model.modules]
        self._trainer = _wgrad.Trainer(layers, loss._spec(), optimizer._spec(), whole("seed", seed, 0), device)

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        sample_weight: Any = None,
        validation: Any = None,
        until: bool = False,
        shuffle: bool = True,
        drop_last: bool = False,
        accumulate: int = 1,
        ema: float | None = None,
        evaluate_every: int = 1,
        evaluate_train: bool = True,
        patience: int | None = None,
        min_delta: float = 0.0,
        monitor: str | None = None,
        checkpoint: Any = None,
        checkpoint_every: int = 0,
        checkpoint_best: Any = None,
        on_epoch: Callable[[dict[str, Any]], Any] | None = None,
    ) -> History:
        """Trains on inputs X [n, i] and targets y [n, t] (or [n]: a column), float32, and returns these epochs' history.

        Other threads of Python run meanwhile. Ctrl-C ends the training after the epoch, with a warning; what was learnt stays.
        C-contiguous float32 arrays are copied once, and again to the device; others are converted before.

        A last mini-batch may be smaller; a `batch_size` above the number of samples is that number.

        Parameters
        ----------
        sample_weight : array [n]
            How much each sample counts, from 0.
        validation : (X, y) or (X, y, sample_weight)
            What else to evaluate the model on.
        until : bool
            Whether `epochs` counts those before, too: after `resume`.
        accumulate : int
            Mini-batches whose gradients make one step.
        ema : float
            Averages the parameters: what remains of the average in each step, such as 0.999.
        evaluate_every : int
            Measures the model after every so many epochs; 0: never.
        patience : int
            Stops after so many evaluated epochs without an improvement of `monitor` by more than `min_delta`, and restores the
            best one's parameters.
        monitor : str
            'validation_loss' (the default), 'validation_accuracy', 'loss' or 'accuracy' (both of the training data).
        checkpoint, checkpoint_every, checkpoint_best
            Files: one that is written after every so many epochs and the last, for `resume`; one for the best epoch.
        on_epoch : callable
            Called with a dict after each epoch; training ends if what it returns is true.
        """
        data = dataset((X, y, sample_weight), "the data")
        options: dict[str, Any] = {
            "epochs": whole("epochs", epochs, 1),
            "batch_size": min(whole("batch_size", batch_size, 1), len(data)),
            "until": until,
            "shuffle": shuffle,
            "drop_last": drop_last,
            "accumulate": whole("accumulate", accumulate, 1),
            "ema": ema,
            "evaluate_every": whole("evaluate_every", evaluate_every, 0),
            "evaluate_train": evaluate_train,
            "monitor": monitor,
            "on_epoch": on_epoch,
        }
        if validation is not None:
            options["validation"] = dataset(validation, "validation")
        if patience is not None:
            options["early_stopping"] = (whole("patience", patience, 1), float(min_delta))
        if checkpoint is not None:
            options["checkpoint"] = (os.fspath(checkpoint), whole("checkpoint_every", checkpoint_every, 0))
        if checkpoint_best is not None:
            options["checkpoint_best"] = os.fspath(checkpoint_best)
        [outcome], interrupted = _wgrad.fit_all([self._trainer], [data], [options])
        error = outcome.pop("error")
        if error is not None:
            raise error
        if interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        names = ("score", "converged")
        return History({name: column for name, column in outcome.items() if name not in names})

    def predict(self, X: Any) -> np.ndarray:
        """The outputs [n, o] for inputs X [n, i]."""
        return self._trainer.predict(matrix(X, "X"))

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> dict[str, float | None]:
        """The loss on this data, and the accuracy, where the loss has one."""
        loss, accuracy = self._trainer.evaluate(dataset((X, y, sample_weight), "the data"))
        return {"loss": loss, "accuracy": accuracy}

    @property
    def learning_rate(self) -> float:
        """That of the next step; setting it changes what the schedule multiplies."""
        return self._trainer.learning_rate()

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._trainer.set_learning_rate(rate)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the parameters, by PyTorch's names and in its layout: weights [out, in], biases [out]."""
        return parse(self._trainer.to_bytes(), "the parameters")[0]

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Replaces the parameters by these, which must have the same names and shapes."""
        own = self.state_dict()
        missing, unexpected = sorted(own.keys() - values.keys()), sorted(values.keys() - own.keys())
        if missing or unexpected:
            raise ValueError(f"missing: {missing}, unexpected: {unexpected}; the names must be the model's")
        arrays = {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}
        for name, value in arrays.items():
            if value.shape != own[name].shape:
                raise ValueError(f"{name} is {list(own[name].shape)}, but the values given are {list(value.shape)}")
        self._trainer.set_parameters({name: np.ascontiguousarray(np.atleast_2d(value)) for name, value in arrays.items()})

    def save(self, path: Any) -> None:
        """Writes the parameters to a safetensors file, as PyTorch's `load_state_dict` takes them, in one step."""
        self._trainer.save(os.fspath(path))

    def load(self, path: Any) -> None:
        """Replaces the parameters by those of a safetensors file: wgrad's, or one of PyTorch's state_dict."""
        self._trainer.load(os.fspath(path))

    def checkpoint(self) -> bytes:
        """All that training needs to go on from here, to the bit: what `fit(checkpoint=...)` writes."""
        return self._trainer.checkpoint()

    def resume(self, checkpoint: Any) -> None:
        """Goes on from a checkpoint: its bytes, or its file."""
        if not isinstance(checkpoint, (bytes, bytearray)):
            with open(checkpoint, "rb") as file:
                checkpoint = file.read()
        self._trainer.resume(bytes(checkpoint))

    @property
    def device(self) -> str:
        """The device, in words."""
        return self._trainer.describe_device()

    def __repr__(self) -> str:
        return f"Trainer({self._trainer.count()} parameters on {self.device})"
