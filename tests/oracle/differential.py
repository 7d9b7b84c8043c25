"""Prints tests/oracle/differential.json: what PyTorch makes of random trainings, in float64.

    WGRAD_ORACLE=cases.txt cargo test --test differential print -- --ignored
    python tests/oracle/differential.py cases.txt > tests/oracle/differential.json

A training is a line of words and numbers; tests/differential/case.rs writes it, and makes the same data and parameters.
"""

import json
import math
import sys

import torch

torch.set_default_dtype(torch.float64)
MASK = 0xFFFFFFFF


def numbers(seed, which, count):
    start = (seed * 0x9E3779B9 + which * 0x85EBCA6B) & MASK
    values = []
    for i in range(count):
        bits = (start + i * 0xC2B2AE35) & MASK
        for multiplier in (0x7FEB352D, 0x846CA68B):
            bits = ((bits ^ (bits >> 16)) * multiplier) & MASK
        values.append(((bits >> 8) % 2049) / 1024 - 1)
    return torch.tensor(values)


FUNCTIONS = {
    "relu": torch.nn.ReLU(),
    "tanh": torch.nn.Tanh(),
    "sigmoid": torch.nn.Sigmoid(),
    "leaky": torch.nn.LeakyReLU(0.125),
    "elu": torch.nn.ELU(),
    "gelu": torch.nn.GELU(),
    "gelutanh": torch.nn.GELU(approximate="tanh"),
    "silu": torch.nn.SiLU(),
    "softplus": torch.nn.Softplus(),
}


class Residual(torch.nn.Module):
    def __init__(self, cols, function):
        super().__init__()
        self.block = torch.nn.Sequential(torch.nn.Linear(cols, cols), function)

    def forward(self, x):
        return x + self.block(x)


def network(inputs, words):
    layers, cols, last = [], inputs, None
    for word in words.split(","):
        kind, _, value = word.partition(":")
        if kind in ("linear", "nobias"):
            last = torch.nn.Linear(cols, int(value), bias=kind == "linear")
            cols = int(value)
            layers.append(last)
        elif kind == "again":
            layers += [FUNCTIONS[value], last]
        elif kind == "layernorm":
            layers.append(torch.nn.LayerNorm(cols))
        elif kind == "batchnorm":
            layers.append(torch.nn.BatchNorm1d(cols))
        elif kind == "residual":
            layers.append(Residual(cols, FUNCTIONS[value]))
        else:
            layers.append(FUNCTIONS[kind])
    return torch.nn.Sequential(*layers), cols


def samples(name, prediction, target):
    """The loss of each sample; an elementwise one's mean over its columns."""
    functional = torch.nn.functional
    if name.startswith("ce"):
        smoothing = 0.125 if name.endswith("smooth") else 0.0
        target = target if "onehot" in name else target.long().flatten()
        return functional.cross_entropy(prediction, target, label_smoothing=smoothing, reduction="none")
    error = target - prediction
    losses = {
        "mse": lambda: functional.mse_loss(prediction, target, reduction="none"),
        "mae": lambda: functional.l1_loss(prediction, target, reduction="none"),
        "huber": lambda: functional.huber_loss(prediction, target, delta=0.5, reduction="none"),
        "quantile": lambda: torch.maximum(0.75 * error, -0.25 * error),
        "bce": lambda: functional.binary_cross_entropy_with_logits(prediction, target, reduction="none"),
    }
    return losses[name]().mean(dim=1)


def train(line):
    case = dict(word.split("=", 1) for word in line.split())
    seed, inputs, rows = (int(case[name]) for name in ("seed", "inputs", "rows"))
    model, outputs = network(inputs, case["layers"])
    named = dict(model.named_parameters())
    with torch.no_grad():
        for count, (name, value) in enumerate(named.items()):
            cols = value.shape[-1] if value.dim() == 2 else value.numel()
            drawn = numbers(seed, 10 + count, value.numel()).view_as(value)
            scale = 2.0 ** -math.ceil(math.log2(math.sqrt(cols)))
            is_scale = value.numel() == cols and name.endswith("weight")
            value.copy_(1 + drawn / 4 if is_scale else drawn * scale)
            value.requires_grad_(count != int(case["frozen"]))
    x = numbers(seed, 1, rows * inputs).view(rows, inputs)
    if case["loss"].startswith("ce"):
        target = ((numbers(seed, 2, rows) + 1) * 1024).long() % outputs
        target = torch.nn.functional.one_hot(target, outputs).double() if "onehot" in case["loss"] else target
    else:
        target = numbers(seed, 2, rows * outputs).view(rows, outputs)
        target = (target > 0).double() if case["loss"] == "bce" else target
    weights = 1 + numbers(seed, 3, rows) if case["weights"] == "1" else torch.ones(rows)

    rate, decay, decoupled = (float(case[name]) for name in ("rate", "decay", "decoupled"))
    groups = [{"params": [p for name, p in named.items() if not (case["group"] == "1" and name == "0.weight")]}]
    if case["group"] == "1":
        groups.append({"params": [named["0.weight"]], "lr": rate / 2, "weight_decay": decay + decoupled})
    groups = [group for group in groups if group["params"]]
    rule = case["rule"]
    if rule == "adam":
        make = torch.optim.AdamW if decoupled else torch.optim.Adam
        optimizer = make(groups, lr=rate, weight_decay=decoupled or decay)
    elif rule == "rmsprop":
        optimizer = torch.optim.RMSprop(groups, lr=rate, weight_decay=decay)
    else:
        optimizer = torch.optim.SGD(
            groups, lr=rate, momentum=float(case["momentum"]), nesterov=rule == "nesterov", weight_decay=decay
        )
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, float(case["gamma"]))
    trained = [p for p in model.parameters() if p.requires_grad]

    losses, batch = [], int(case["batch"])
    model.train()
    for _ in range(int(case["epochs"])):
        for first in range(0, rows, batch):
            if case["drop_last"] == "1" and first + batch > rows:
                continue
            optimizer.zero_grad()
            rows_of = slice(first, first + batch)
            loss = (samples(case["loss"], model(x[rows_of]), target[rows_of]) * weights[rows_of]).sum()
            if case["sum"] == "0":
                loss = loss / weights[rows_of].sum()
            elif not case["loss"].startswith("ce"):
                loss = loss * outputs
            loss.backward()
            losses.append(loss.item())
            if float(case["clip_value"]) > 0:
                torch.nn.utils.clip_grad_value_(trained, float(case["clip_value"]))
            if float(case["clip_norm"]) > 0:
                torch.nn.utils.clip_grad_norm_(trained, float(case["clip_norm"]))
            if rule in ("sgd", "momentum", "nesterov") and decoupled:
                # Loshchilov and Hutter's decoupled decay, which PyTorch's SGD does not have.
                with torch.no_grad():
                    for group in optimizer.param_groups:
                        own = group["weight_decay"] if group["weight_decay"] else decoupled
                        for p in group["params"]:
                            if p.requires_grad:
                                p.mul_(1 - group["lr"] * own)
                        group["weight_decay"], group["kept"] = 0, own
            optimizer.step()
        schedule.step()
    model.eval()
    values = list(named.values()) + [value for name, value in model.named_buffers() if "num_batches" not in name]
    return {
        "case": line,
        "losses": [float(f"{v:.9g}") for v in losses],
        "predictions": [float(f"{v:.7g}") for v in model(x).flatten().tolist()],
        "squares": [float(f"{(v**2).sum().item():.9g}") for v in values],
    }


with open(sys.argv[1]) as lines:
    print("[\n" + ",\n".join(json.dumps(train(line.strip())) for line in lines) + "\n]")
