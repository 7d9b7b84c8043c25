"""Modules and losses, with PyTorch's names: what a network is made of, as values. `wgrad.Trainer` trains them.

>>> from wgrad import nn
>>> model = nn.Sequential(nn.Linear(2, 25), nn.ReLU(), nn.Linear(25, 1))
>>> model
Sequential(Linear(2, 25), ReLU(), Linear(25, 1))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Spec = tuple[str, "dict[str, Any]"]


class Module:
    """A part of a network: a name, and options. It has no values: a `Trainer` draws them."""

    _name: str = ""
    _options: dict[str, Any] = {}
    _shown: tuple[Any, ...] = ()

    def _spec(self) -> Spec:
        return self._name or type(self).__name__, self._options

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._shown))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._spec() == other._spec()

    __hash__ = None  # type: ignore[assignment]


class Init(Module):
    """How initial values are drawn; see the functions below, or PyTorch's `nn.init`."""

    def __init__(self, name: str, value: float) -> None:
        self.value = (name, float(value))
        self._shown = self.value

    def _spec(self) -> Spec:
        return self.value[0], {"value": self.value[1]}


def constant(value: float) -> Init:
    """This value everywhere."""
    return Init("Constant", value)


def uniform(bound: float) -> Init:
    """Uniform in [-bound, bound]."""
    return Init("Uniform", bound)


def normal(std: float) -> Init:
    """Normal with mean 0."""
    return Init("Normal", std)


def xavier_uniform(gain: float = 1.0) -> Init:
    """Glorot & Bengio 2010: uniform, bound gain √(6 / (in + out))."""
    return Init("XavierUniform", gain)


def xavier_normal(gain: float = 1.0) -> Init:
    """Glorot & Bengio 2010: normal, standard deviation gain √(2 / (in + out))."""
    return Init("XavierNormal", gain)


def kaiming_uniform() -> Init:
    """He et al. 2015, for ReLU: uniform, bound √(6 / in)."""
    return Init("HeUniform", 0.0)


def kaiming_normal() -> Init:
    """He et al. 2015, for ReLU: normal, standard deviation √(2 / in)."""
    return Init("HeNormal", 0.0)


class Linear(Module):
    """y = x Wᵀ + b, with x [n, in], weight W [out, in], bias b [out]; drawn as in PyTorch unless said otherwise."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_init: Init | None = None,
        bias_init: Init | None = None,
    ) -> None:
        self._options = {"inputs": in_features, "outputs": out_features, "bias": bias}
        self._options["weight_init"] = weight_init.value if weight_init else None
        self._options["bias_init"] = bias_init.value if bias_init else None
        self._shown = (in_features, out_features) if bias else (in_features, out_features, bias)


class Sequential(Module):
    """Modules one after the other; their parameters are named by number: `0.weight`, `0.bias`, `2.weight`."""

    def __init__(self, *modules: Module) -> None:
        for module in modules:
            if not isinstance(module, Module):
                raise TypeError(f"{module!r} is no module of wgrad.nn")
        self.modules: Sequence[Module] = modules
        self._options = {"layers": [module._spec() for module in modules]}
        self._shown = modules


class Residual(Module):
    """y = x + block(x), for modules that give as many columns as they take."""

    def __init__(self, *block: Module) -> None:
        self._options = {"layers": [module._spec() for module in block]}
        self._shown = block


class Embedding(Module):
    """A vector [dim] that is learned for each of `num` categories: takes category numbers [n, k], gives [n, k dim]."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        self._options = {"rows": num_embeddings, "cols": embedding_dim}
        self._shown = (num_embeddings, embedding_dim)


class BatchNorm1d(Module):
    """Each column normalised over the mini-batch (Ioffe & Szegedy 2015); in prediction by running statistics."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self._options = {"cols": num_features, "eps": eps, "momentum": momentum}
        self._shown = (num_features,)


class LayerNorm(Module):
    """Each row normalised (Ba et al. 2016)."""

    def __init__(self, num_features: int) -> None:
        self._options = {"cols": num_features}
        self._shown = (num_features,)


class Dropout(Module):
    """Drops each element with probability p while training, and scales the others by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5) -> None:
        self._options = {"p": p}
        self._shown = (p,)


class ReLU(Module):
    """max(x, 0)."""


class LeakyReLU(Module):
    """x, or slope x below 0."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self._options = {"slope": negative_slope}
        self._shown = (negative_slope,)


class ELU(Module):
    """x, or alpha (exp(x) - 1) below 0."""

    def __init__(self, alpha: float = 1.0) -> None:
        self._options = {"alpha": alpha}
        self._shown = (alpha,)


class Tanh(Module):
    """The hyperbolic tangent."""


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""


class GELU(Module):
    """x Φ(x), with Φ the normal distribution's."""


class SiLU(Module):
    """x sigmoid(x)."""


class Softplus(Module):
    """log(1 + exp(x))."""


class Identity(Module):
    """x."""


class Softmax(Module):
    """exp(x), divided by its sum over the row."""


class LogSoftmax(Module):
    """The logarithm of the softmax."""


class Loss(Module):
    """A loss of predictions and targets [n, o]. `reduction` over samples is 'mean' or 'sum'."""


class MSELoss(Loss):
    """(p - t)²."""

    _name = "Mse"

    def __init__(self, reduction: str = "mean") -> None:
        self._options = {"reduction": reduction}


class L1Loss(Loss):
    """|p - t|."""

    _name = "Mae"

    def __init__(self, reduction: str = "mean") -> None:
        self._options = {"reduction": reduction}


class HuberLoss(Loss):
    """(p - t)² / 2, or delta (|p - t| - delta / 2) where the error is above delta."""

    _name = "Huber"

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        self._options = {"delta": delta, "reduction": reduction}
        self._shown = (delta,)


class QuantileLoss(Loss):
    """The pinball loss, whose least is at this quantile of the targets."""

    _name = "Quantile"

    def __init__(self, quantile: float, reduction: str = "mean") -> None:
        self._options = {"quantile": quantile, "reduction": reduction}
        self._shown = (quantile,)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of logits with targets of 0 and 1."""

    _name = "BceWithLogits"

    def __init__(self, reduction: str = "mean") -> None:
        self._options = {"reduction": reduction}


class CrossEntropyLoss(Loss):
    """Cross-entropy of logits [n, c] with class numbers [n] or probabilities [n, c]."""

    _name = "CrossEntropy"

    def __init__(
        self,
        weight: Sequence[float] | None = None,
        *,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        self._options = {"class_weights": None if weight is None else [float(each) for each in weight]}
        self._options.update(ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction)
