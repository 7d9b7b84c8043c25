"""An estimator's parameters in the words of the compiled trainer: layers, loss, optimizer, and which device trains."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ._checks import ACTIVATIONS, hidden_sizes

Spec = tuple[str, dict[str, Any]]

# Multiplications of a step's forward pass from which 'auto' takes a GPU. On one core such a step takes about half a
# millisecond, many times what a GPU needs to be told of its dispatches.
WORTH_A_GPU = 1 << 22


def layers_of(estimator: Any, inputs: int, outputs: int) -> list[Spec]:
    """Linear layers with activations (and dropout) between them, drawn as scikit-learn draws its own."""
    factor = 2.0 if estimator.activation == "logistic" else 6.0
    layers: list[Spec] = []
    sizes = [inputs, *(int(size) for size in hidden_sizes(estimator.hidden_layer_sizes)), outputs]
    for number, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if number > 0:
            layers.append(ACTIVATIONS[estimator.activation])
            if estimator.dropout > 0:
                layers.append(("Dropout", {"p": float(estimator.dropout)}))
        # Glorot & Bengio 2010, biases, too.
        bound = ("Uniform", (factor / (fan_in + fan_out)) ** 0.5)
        options = {"inputs": fan_in, "outputs": fan_out, "bias": True, "weight_init": bound, "bias_init": bound}
        layers.append(("Linear", options))
    return layers


def optimizer_of(estimator: Any, scale: float, samples: int, batch_size: int, mean_weight: float) -> Spec:
    """The solver. scikit-learn's loss is `scale` times wgrad's: its steps are those of other rates and decays.

    scikit-learn's penalty is alpha / 2 times the squares of the weights, divided by the (weighted) number of samples of the
    mini-batch. That of a smaller last one is, here, as that of the others.
    """
    rate = float(estimator.learning_rate_init)
    decay = float(estimator.alpha) / (batch_size * mean_weight) / scale
    options: dict[str, Any] = {"learning_rate": rate}
    name = "Adam"
    if estimator.solver == "sgd":
        name = "Sgd"
        options["learning_rate"] = rate * scale
        options["momentum"] = float(estimator.momentum)
        options["nesterov"] = bool(estimator.nesterovs_momentum and estimator.momentum > 0)
        if estimator.learning_rate == "invscaling":
            options["schedule"] = [("inverse_power", {"samples": float(samples), "power": float(estimator.power_t)})]
    elif estimator.solver == "rmsprop":
        name = "RmsProp"
        options["epsilon"] = float(estimator.epsilon) / scale
    else:
        options["betas"] = (float(estimator.beta_1), float(estimator.beta_2))
        options["epsilon"] = float(estimator.epsilon) / scale
    if estimator.solver == "adamw":
        options["decoupled_weight_decay"] = float(estimator.alpha)
    elif decay > 0:
        options["decay_of_weights"] = decay
    return name, options


def device_of(estimator: Any, layers: list[Spec], batch_size: int) -> str:
    """'auto' is the best GPU where a step is large enough for one, by its size alone; else the CPU."""
    if estimator.device != "auto":
        return str(estimator.device)
    weights = sum(options["inputs"] * options["outputs"] for name, options in layers if name == "Linear")
    return "auto" if weights * batch_size >= WORTH_A_GPU else "cpu"
