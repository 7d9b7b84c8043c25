"""Optimizers and learning-rate schedules, as values.

>>> from wgrad import optim
>>> optimizer = optim.AdamW(1e-3, schedule=optim.warmup(5) * optim.cosine(100))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Spec = tuple[str, "dict[str, Any]"]


class Schedule:
    """A factor on the learning rate, by epoch (by step with `per_step()`), counted from 0. `*` multiplies two."""

    def __init__(self, parts: Sequence[Spec], by_step: bool = False) -> None:
        self.parts, self.by_step = list(parts), by_step

    def __mul__(self, other: Schedule) -> Schedule:
        return Schedule([*self.parts, *other.parts], self.by_step)

    def per_step(self) -> Schedule:
        """The same by step."""
        return Schedule(self.parts, True)

    def __repr__(self) -> str:
        return " * ".join(f"{name}({', '.join(f'{k}={v!r}' for k, v in of.items())})" for name, of in self.parts)


def step(every: int, gamma: float) -> Schedule:
    """Multiplied by gamma every so many epochs: PyTorch's StepLR."""
    return Schedule([("step", {"every": every, "gamma": gamma})])


def multi_step(milestones: Sequence[tuple[int, float]]) -> Schedule:
    """The factor of the last milestone (epoch, factor) that is reached, 1 before the first."""
    return Schedule([("multi_step", {"milestones": [(int(at), float(factor)) for at, factor in milestones]})])


def exponential(gamma: float) -> Schedule:
    """gamma to the power of the epoch."""
    return Schedule([("exponential", {"gamma": gamma})])


def cosine(length: int, floor: float = 0.0) -> Schedule:
    """From 1 down to floor along half a cosine within so many epochs, then constant."""
    return Schedule([("cosine", {"length": length, "floor": floor})])


def warmup(length: int, start: float = 0.0) -> Schedule:
    """From start up to 1 along a line within so many epochs."""
    return Schedule([("warmup", {"length": length, "start": start})])


class Optimizer:
    """Has a learning rate, a schedule, and clipping of gradients by value and by norm."""

    _name = ""

    def __init__(self, lr: float, schedule: Schedule | None, options: dict[str, Any]) -> None:
        self.lr, self.schedule = lr, schedule
        self._options = {"learning_rate": float(lr), **options}
        if schedule is not None:
            self._options.update(schedule=schedule.parts, per_step=schedule.by_step)

    def _spec(self) -> Spec:
        return self._name, self._options

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.lr!r})"


class SGD(Optimizer):
    """θ -= lr ∇, with momentum v = μ v + ∇; θ -= lr v. `weight_decay` is added to the gradient, times θ."""

    _name = "Sgd"

    def __init__(
        self,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        schedule: Schedule | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ) -> None:
        options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        super().__init__(lr, schedule, {**options, "clip_value": clip_value, "clip_norm": clip_norm})


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015). `weight_decay` is added to the gradient, times θ."""

    _name = "Adam"
    _decay = "weight_decay"

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        schedule: Schedule | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ) -> None:
        options = {"betas": tuple(betas), "epsilon": eps, self._decay: weight_decay}
        super().__init__(lr, schedule, {**options, "clip_value": clip_value, "clip_norm": clip_norm})


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): θ -= lr weight_decay θ."""

    _decay = "decoupled_weight_decay"

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        schedule: Schedule | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, schedule=schedule, clip_value=clip_value, clip_norm=clip_norm)


class RMSprop(Optimizer):
    """v = α v + (1 - α) ∇²; θ -= lr ∇ / (√v + ε) (Hinton 2012)."""

    _name = "RmsProp"

    def __init__(
        self,
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        *,
        schedule: Schedule | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ) -> None:
        options = {"alpha": alpha, "epsilon": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(lr, schedule, {**options, "clip_value": clip_value, "clip_norm": clip_norm})
