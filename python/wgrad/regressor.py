"""A multi-layer perceptron that predicts numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ._estimator import BaseMLP
from ._parameters import PARAMETERS
from ._spec import Spec


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron for numbers, one or several for each row.

    Parameters, attributes and their meaning are those of `sklearn.neural_network.MLPRegressor`, so that one can stand for
    the other; numbers are single precision. As there, standardise the inputs, and large targets, too. Beyond it there are other
    solvers, losses and activations, dropout, GPUs, an `eval_set`, and ensembles.

    {parameters}
    loss : str, default='squared_error'
        'squared_error', 'absolute_error' or 'huber' (with errors above 1 counted linearly).

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from wgrad import MLPRegressor
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> y = X[:, 0] ** 2
    >>> model = MLPRegressor((32,), learning_rate_init=0.01, max_iter=500, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    >>> model.predict([[0.5]]).shape
    (1,)
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        loss: str = "squared_error",
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        dropout: float = 0.0,
        n_members: int = 1,
        device: str = "cpu",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.n_members = n_members
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> MLPRegressor:
        """Trains on inputs X [n, i] and targets y [n] or [n, o].

        Parameters
        ----------
        sample_weight : array [n], optional
            How much each sample counts, from 0.
        eval_set : (X, y) or (X, y, sample_weight), optional
            Data to score after each epoch (`validation_scores_`). With `early_stopping`, it is what is scored, and nothing is
            held out of X.
        """
        return self._fit(X, y, sample_weight, eval_set, incremental=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Trains one epoch on these samples."""
        return self._fit(X, y, sample_weight, None, incremental=True)

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, Any]:
        X, y = validate_data(self, X, y, dtype=np.float32, order="C", multi_output=True, y_numeric=True, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _encode(self, y: Any, *, first: bool) -> np.ndarray:
        outputs = 1 if y.ndim == 1 else y.shape[1]
        if first:
            self.n_outputs_, self._is_vector = outputs, y.ndim == 1
        elif outputs != self.n_outputs_:
            raise ValueError(f"y has {outputs} columns, but that of the first fit had {self.n_outputs_}")
        return np.ascontiguousarray(y.reshape(len(y), outputs), dtype=np.float32)

    def _loss(self) -> tuple[Spec, float, str]:
        if self.loss == "squared_error":
            # scikit-learn takes half of the squares, and adds up the gradients of several outputs.
            return ("Mse", {}), 0.5 * self.n_outputs_, "r2"
        if self.loss == "huber":
            return ("Huber", {"delta": 1.0}), float(self.n_outputs_), "r2"
        return ("Mae", {}), float(self.n_outputs_), "r2"

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The predicted numbers, float32, as y was given: [n] or [n, o]; of an ensemble, the mean of its members'. With
        `return_std` also the standard deviation over the members (with n - 1; 0 of a single one)."""
        mean = self._shaped(self._outputs(X))
        if not return_std:
            return mean
        X = validate_data(self, X, dtype=np.float32, order="C", reset=False)
        each = np.stack([trainer.predict(X) for trainer in self._trainers])
        deviation = each.std(axis=0, ddof=1) if len(each) > 1 else np.zeros_like(each[0])
        return mean, self._shaped(deviation)

    def _shaped(self, outputs: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        return outputs.ravel() if self._is_vector else outputs


MLPRegressor.__doc__ = (MLPRegressor.__doc__ or "").format(**PARAMETERS)
