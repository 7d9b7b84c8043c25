"""A multi-layer perceptron that chooses a class, or labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ._estimator import BaseMLP
from ._parameters import PARAMETERS
from ._spec import Spec


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron for classes, or for several labels at once.

    Parameters, attributes and their meaning are those of `sklearn.neural_network.MLPClassifier`, so that one can stand for
    the other; numbers are single precision. Beyond it there are other solvers and activations, dropout, GPUs, an `eval_set`,
    and ensembles.

    {parameters}

    Attributes
    ----------
    classes_ : array [c]
        The classes, sorted; of labels, their numbers.
    {attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from wgrad import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((16,), learning_rate_init=0.01, max_iter=300, tol=0, n_iter_no_change=300, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.95
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> MLPClassifier:
        """Trains on inputs X [n, i] and classes y [n], or labels y [n, l] of 0 and 1.

        Parameters
        ----------
        sample_weight : array [n], optional
            How much each sample counts, from 0.
        eval_set : (X, y) or (X, y, sample_weight), optional
            Data to score after each epoch (`validation_scores_`). With `early_stopping`, it is what is scored, and nothing is
            held out of X.
        """
        return self._fit(X, y, sample_weight, eval_set, incremental=False)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> MLPClassifier:
        """Trains one epoch on these samples. The first call needs all `classes` that there will be."""
        if not hasattr(self, "classes_") and classes is None and not type_of_target(y).startswith("multilabel"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None:
            classes = np.unique(np.asarray(classes))
            if hasattr(self, "classes_") and not np.array_equal(classes, self.classes_):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
                )
            if not hasattr(self, "classes_"):
                self._announced = classes
        return self._fit(X, y, sample_weight, None, incremental=True)

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, Any]:
        X, y = validate_data(self, X, y, dtype=np.float32, order="C", multi_output=True, reset=reset)
        if hasattr(y, "toarray"):
            y = y.toarray()
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _encode(self, y: Any, *, first: bool) -> np.ndarray:
        if y.ndim == 2:
            return self._encode_labels(y, first=first)
        found = np.unique(y)
        if first:
            self.classes_ = self.__dict__.pop("_announced", found)
            self._multilabel = False
            # Two classes are one output, as in scikit-learn.
            self.n_outputs_ = len(self.classes_) if len(self.classes_) > 2 else 1
            self._head = "Softmax" if self.n_outputs_ > 1 else "Sigmoid"
        elif self._multilabel:
            raise ValueError("y has one column, but there were several labels in the first fit")
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise ValueError(f"`y` has classes not in `self.classes_`: {unknown}. `self.classes_` has {self.classes_}.")
        return np.searchsorted(self.classes_, y).astype(np.float32)[:, None]

    def _encode_labels(self, y: Any, *, first: bool) -> np.ndarray:
        if not type_of_target(y).startswith("multilabel"):
            raise ValueError(f"Unknown label type: {type_of_target(y)}. Give classes [n], or labels [n, l] of 0 and 1.")
        if first:
            self.__dict__.pop("_announced", None)
            self.classes_, self.n_outputs_ = np.arange(y.shape[1]), y.shape[1]
            self._multilabel, self._head = True, "Sigmoid"
        elif not self._multilabel or y.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {y.shape[1]} labels, unlike that of the first fit")
        return np.ascontiguousarray(y, dtype=np.float32)

    def _loss(self) -> tuple[Spec, float, str]:
        if self._head == "Softmax":
            return ("CrossEntropy", {}), 1.0, "classes"
        # scikit-learn adds up the losses of labels, wgrad takes their mean.
        return ("BceWithLogits", {}), float(self.n_outputs_), "labels"

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row [n], or its labels [n, l]."""
        outputs = self._outputs(X)
        if self._multilabel:
            return (outputs > 0.5).astype(int)
        if self.n_outputs_ == 1:
            # A single class in y is a class of its own.
            chosen = (outputs[:, 0] > 0.5).astype(int) if len(self.classes_) == 2 else np.zeros(len(outputs), int)
        else:
            chosen = outputs.argmax(axis=1)
        return self.classes_[chosen]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class [n, c], float32, in the order of `classes_`; that of each label [n, l]. Those of an
        ensemble are the mean of its members'."""
        outputs = self._outputs(X)
        if self._multilabel or self.n_outputs_ > 1:
            return outputs
        if len(self.classes_) == 1:
            return np.ones_like(outputs)
        return np.hstack([1 - outputs, outputs])

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`."""
        check_is_fitted(self)
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


MLPClassifier.__doc__ = (MLPClassifier.__doc__ or "").format(**PARAMETERS)
