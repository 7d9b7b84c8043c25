"""The first 50 losses of PyTorch in each experiment of the five reports, with all that it takes to train the same.

A 2-25-25-25-k multi-layer perceptron learns the disk problem by SGD; see EXPERIMENTS below for what differs. One file
an experiment holds 1000 training points, their targets, PyTorch's initial parameters, and the samples of 50
mini-batches (as many epochs of shuffles as that takes). All of these are float32 and print as the shortest text that
reads back the same; hyper-parameters are the float32 nearest to what is printed. Matrices are flat, row-major; weights
are [out, in], as in PyTorch's Linear. A step's loss is computed before its update, with the experiment's reduction.

`sensitivity` tells what rounding can do to these losses, step by step: the largest difference that 16 float64 runs show
when, after each update, every parameter is off by up to half a unit in float32's last place (2^-24 of itself).
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from common import f32, write

STEPS, SAMPLES, HIDDEN = 50, 1000, 25
PERTURBED_RUNS = 16

# What every experiment has unless it says otherwise. `targets` are those of a false and of a true output; with two
# outputs they are one-hot. `rate` is constant over the 50 steps of every experiment. Decays:
#   weight_decay:   added to the gradient, as PyTorch's SGD does
#   unscaled_decay: parameter -= rate * gradient + decay * parameter
DEFAULTS = {"hidden": ["relu", "relu", "relu"], "output": "none", "outputs": 2, "targets": [0, 1], "init": "linear",
            "reduction": "mean", "rate": 0.1, "batch": 50, "weight_decay": 0.0, "unscaled_decay": 0.0}
ONE_TANH = {"output": "tanh", "outputs": 1}
THREE_KINDS = {"hidden": ["relu", "tanh", "sigmoid"], "init": "normal", "rate": 0.01}
EXPERIMENTS = {
    "worch": {"output": "sigmoid", "reduction": "output_mean", "batch": 32},
    "pytorch-like": {"reduction": "sum", "rate": 0.001},
    "pytorch-like-own": {"init": "xavier_normal", "reduction": "sample_mean", "rate": 0.001},
    "without-autograd-1": ONE_TANH,
    "without-autograd-2": {**ONE_TANH, "hidden": ["tanh", "tanh", "tanh"]},
    "without-autograd-3": {**ONE_TANH, "hidden": ["tanh", "sigmoid", "sigmoid"]},
    "hotgrad": {"output": "tanh", "targets": [-1, 1], "rate": 0.01},
    "five-activations": THREE_KINDS,
    "five-activations-decay": {**THREE_KINDS, "weight_decay": 0.001},
    "five-activations-literal-decay": {**THREE_KINDS, "unscaled_decay": 0.001},
}

DIVISORS = {"mean": lambda rows, outputs: rows * outputs, "sum": lambda rows, outputs: 1,
            "sample_mean": lambda rows, outputs: rows, "output_mean": lambda rows, outputs: outputs}
ACTIVATIONS = {"none": lambda x: x, "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def disk():
    """Points in the unit square, and whether each lies in the circle around the middle with half the area."""
    points = torch.rand(SAMPLES, 2)
    return points, ((points - 0.5) ** 2).sum(1) < 1 / (2 * math.pi)


def targets_of(inside, options):
    columns = inside[:, None] if options["outputs"] == 1 else torch.stack([~inside, inside], 1)
    false, true = map(float, options["targets"])
    return torch.where(columns, true, false)


@torch.no_grad()
def layers(options):
    """Weight and bias of each layer in turn.

    linear: PyTorch's Linear, U(+-1/sqrt(in)). xavier_normal: with the gain of the activation that follows, biases 0.
    normal: standard deviation 1, weights and biases.
    """
    found = []
    widths = [2, HIDDEN, HIDDEN, HIDDEN, options["outputs"]]
    for width, size, activation in zip(widths, widths[1:], [*options["hidden"], options["output"]]):
        layer = nn.Linear(width, size)
        if options["init"] == "xavier_normal":
            gain = nn.init.calculate_gain("linear" if activation == "none" else activation)
            nn.init.xavier_normal_(layer.weight, gain)
            layer.bias.zero_()
        elif options["init"] == "normal":
            layer.weight.normal_()
            layer.bias.normal_()
        found += [layer.weight.detach(), layer.bias.detach()]
    return found


def shuffled(options):
    """The samples of each of the 50 mini-batches; the last of an epoch may be short."""
    batches = []
    while len(batches) < STEPS:
        batches += torch.randperm(SAMPLES).split(options["batch"])
    return batches[:STEPS]


def loss_of(parameters, x, target, options):
    for weight, bias, name in zip(parameters[::2], parameters[1::2], [*options["hidden"], options["output"]]):
        x = ACTIVATIONS[name](x @ weight.T + bias)
    return F.mse_loss(x, target, reduction="sum") / DIVISORS[options["reduction"]](*target.shape)


def train(parameters, points, targets, batches, options, dtype, perturb=None):
    """The loss of every step; `perturb` may change the parameters after each update."""
    points, targets = points.to(dtype), targets.to(dtype)
    parameters = [p.to(dtype).clone().requires_grad_() for p in parameters]
    shrink = f32(options["unscaled_decay"])
    sgd = torch.optim.SGD(parameters, lr=f32(options["rate"]), weight_decay=f32(options["weight_decay"]))
    losses = []
    for batch in batches:
        sgd.zero_grad()
        loss = loss_of(parameters, points[batch], targets[batch], options)
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for p in parameters:
                p -= shrink * p
            sgd.step()
            for p in parameters if perturb else []:
                p *= 1 + 2.0**-24 * (2 * torch.rand(p.shape, generator=perturb, dtype=dtype) - 1)
    return losses


def experiment(name):
    options = {**DEFAULTS, **EXPERIMENTS[name]}
    torch.manual_seed(0)
    (points, inside), _test = disk(), disk()
    parameters, batches = layers(options), shuffled(options)
    data = (parameters, points, targets_of(inside, options), batches, options)
    losses, losses32 = train(*data, torch.float64), train(*data, torch.float32)
    random = torch.Generator().manual_seed(1)
    perturbed = torch.tensor([train(*data, torch.float64, random) for _ in range(PERTURBED_RUNS)], dtype=torch.float64)
    sensitivity = (perturbed - torch.tensor(losses, dtype=torch.float64)).abs().amax(0)
    write(f"experiments/{name}.json", {
        **options,
        "points": points,
        "target": data[2],
        "parameters": [{"shape": list(p.shape), "values": p} for p in parameters],
        "batches": [batch.tolist() for batch in batches],
        "losses": losses,
        "losses_float32": losses32,
        "sensitivity": [float(f"{s:.1e}") for s in sensitivity.tolist()],
    })


if __name__ == "__main__":
    for each in EXPERIMENTS:
        experiment(each)
