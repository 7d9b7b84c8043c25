"""Trajectories of 20 steps of PyTorch's optimisers in float64, and PyTorch's learning-rate schedules.

The objective is y = tanh(x W1' + b1) W2' + b2 with the mean squared error over all elements, on a fixed full batch.
Data and initial parameters are multiples of 1/64 and hyper-parameters are the float32 nearest to what the file prints,
so that a float32 implementation differs by its own rounding alone.

Parameters are listed flat, row-major, in the order w1 [5, 3], b1 [5], w2 [2, 5], b2 [2], after the steps named in
`checkpoints`. `losses` holds the loss that each step computes before it updates. `float32_error` says how far
PyTorch's own float32 run strays: the largest absolute difference of a listed parameter or loss.
"""

import torch
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import SGD, Adam, AdamW, RMSprop, lr_scheduler

from common import f32, write

STEPS = 20
CHECKPOINTS = [1, 2, 5, 10, 20]
SHAPES = {"w1": (5, 3), "b1": (5,), "w2": (2, 5), "b2": (2,)}

random = torch.Generator().manual_seed(0)


def sixty_fourths(*shape, bound):
    return torch.randint(-bound, bound + 1, shape, generator=random, dtype=torch.float32) / 64


X = sixty_fourths(8, 3, bound=128)
TARGET = sixty_fourths(8, 2, bound=96)
INITIAL = {name: sixty_fourths(*shape, bound=48) for name, shape in SHAPES.items()}

# The first word of a case's name is its optimiser. `weight_decay` is added to the gradient, except by AdamW, which
# shrinks by rate * decay. The decoupled decays that PyTorch's SGD lacks, both computed from the old parameters:
#   decoupled_decay: parameter -= rate * direction + rate * decay * parameter
#   unscaled_decay:  parameter -= rate * direction + decay * parameter
CASES = {
    "sgd": {"lr": 0.1},
    "sgd momentum": {"lr": 0.1, "momentum": 0.9},
    "sgd dampening": {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
    "sgd nesterov": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "sgd weight decay": {"lr": 0.1, "weight_decay": 0.1},
    "sgd momentum, weight decay": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "sgd nesterov, weight decay": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "sgd decoupled decay": {"lr": 0.1, "decoupled_decay": 0.1},
    "sgd momentum, decoupled decay": {"lr": 0.1, "momentum": 0.9, "decoupled_decay": 0.1},
    "sgd unscaled decay": {"lr": 0.1, "unscaled_decay": 0.02},
    "sgd momentum, unscaled decay": {"lr": 0.1, "momentum": 0.9, "unscaled_decay": 0.02},
    "adam": {"lr": 0.01},
    "adam betas, eps": {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3},
    "adam weight decay": {"lr": 0.01, "weight_decay": 0.1},
    "adamw": {"lr": 0.01, "weight_decay": 0.01},
    "adamw betas, eps": {"lr": 0.05, "weight_decay": 0.5, "betas": (0.8, 0.95), "eps": 1e-3},
    "rmsprop": {"lr": 0.01},
    "rmsprop alpha, eps": {"lr": 0.01, "alpha": 0.9, "eps": 1e-3},
    "rmsprop weight decay": {"lr": 0.01, "weight_decay": 0.1},
    "rmsprop momentum": {"lr": 0.002, "momentum": 0.9},
    "rmsprop centered": {"lr": 0.01, "centered": True},
    "rmsprop centered, momentum, weight decay": {
        "lr": 0.002, "centered": True, "momentum": 0.9, "weight_decay": 0.1, "alpha": 0.9},
    # Clipping sees the gradient of the loss alone; the decay is added afterwards.
    "sgd clip value": {"lr": 0.1, "clip_value": 0.25},
    "sgd clip norm": {"lr": 0.1, "clip_norm": 1.0},
    "sgd clip norm, momentum, weight decay": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "clip_norm": 0.5},
    "adam clip norm": {"lr": 0.01, "clip_norm": 0.5},
    "sgd groups": {"groups": [
        {"parameters": ["w1", "w2"], "lr": 0.1, "weight_decay": 0.1},
        {"parameters": ["b1", "b2"], "lr": 0.03, "weight_decay": 0.0}]},
    "sgd groups, momentum, clip norm": {"momentum": 0.9, "clip_norm": 0.5, "groups": [
        {"parameters": ["w1", "b1"], "lr": 0.02, "weight_decay": 0.0},
        {"parameters": ["w2", "b2"], "lr": 0.05, "weight_decay": 0.05}]},
    "adamw groups": {"groups": [
        {"parameters": ["w1", "w2"], "lr": 0.01, "weight_decay": 0.1},
        {"parameters": ["b1", "b2"], "lr": 0.003, "weight_decay": 0.0}]},
    "sgd multi-step": {"lr": 0.1, "schedule": "multi-step"},
    "sgd momentum, step": {"lr": 0.1, "momentum": 0.9, "schedule": "step"},
    "adam cosine": {"lr": 0.1, "schedule": "cosine"},
    "adamw linear warm-up": {"lr": 0.1, "weight_decay": 0.01, "schedule": "linear warm-up"},
}

# Each schedule counts steps from 0; its options are those of the class of PyTorch's named beside it.
MULTI_STEP = {"milestones": [8, 15], "rates": [0.1, 0.03, 0.01]}
SCHEDULES = {
    "constant": ("ConstantLR", {"factor": 1.0}),
    "step": ("StepLR", {"step_size": 6, "gamma": 0.5}),
    "multi-step": ("LambdaLR", MULTI_STEP),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "cosine": ("CosineAnnealingLR", {"T_max": 20}),
    "cosine to a minimum": ("CosineAnnealingLR", {"T_max": 19, "eta_min": 0.01}),
    "linear warm-up": ("LinearLR", {"start_factor": 0.125, "end_factor": 1.0, "total_iters": 8}),
}

ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}
# PyTorch's defaults stand here so that they are rounded to float32, and printed, as all options are.
OPTIMIZERS = {"sgd": (SGD, {}), "adam": (Adam, ADAM), "adamw": (AdamW, ADAM),
              "rmsprop": (RMSprop, {"alpha": 0.99, "eps": 1e-8})}


def rounded(value):
    """Every float in an option as the float32 nearest to it."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return f32(value) if isinstance(value, float) else value


def scheduler(optimizer, name):
    kind, options = SCHEDULES[name]
    options = rounded(options)
    if name == "multi-step":
        base = options["rates"][0]
        passed = lambda step: sum(step >= m for m in options["milestones"])
        return lr_scheduler.LambdaLR(optimizer, lambda step: options["rates"][passed(step)] / base)
    return getattr(lr_scheduler, kind)(optimizer, **options)


def loss_of(parameters, dtype):
    w1, b1, w2, b2 = parameters.values()
    y = torch.tanh(X.to(dtype) @ w1.T + b1) @ w2.T + b2
    return F.mse_loss(y, TARGET.to(dtype))


def initial(dtype):
    return {name: p.to(dtype).clone().requires_grad_() for name, p in INITIAL.items()}


def run(name, options, dtype):
    """The losses of all steps, the norms of their gradients before clipping, and the parameters at the checkpoints."""
    kind, defaults = OPTIMIZERS[name.split()[0]]
    options = rounded({**defaults, **options})
    schedule = options.pop("schedule", None)
    clip_value, clip_norm = options.pop("clip_value", None), options.pop("clip_norm", None)
    decoupled, unscaled = options.pop("decoupled_decay", 0.0), options.pop("unscaled_decay", 0.0)
    parameters = initial(dtype)
    every = list(parameters.values())
    groups = [{**group, "params": [parameters[p] for p in group["parameters"]]} for group in options.pop("groups", [])]
    optimizer = kind(groups or every, foreach=False, **options)
    rates = scheduler(optimizer, schedule) if schedule else None

    losses, norms, found = [], [], []
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        loss = loss_of(parameters, dtype)
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.cat([p.grad.flatten() for p in every]).norm().item())
        if clip_value is not None:
            clip_grad_value_(every, clip_value)
        if clip_norm is not None:
            clip_grad_norm_(every, clip_norm)
        with torch.no_grad():
            # No direction looks at the parameters themselves, so that shrinking first is the same.
            for p in every:
                p -= (optimizer.param_groups[0]["lr"] * decoupled + unscaled) * p
        optimizer.step()
        if rates:
            rates.step()
        if step in CHECKPOINTS:
            found.append(torch.cat([p.detach().flatten() for p in every]))
    return losses, norms, found


def case(name, options):
    losses, norms, found = run(name, options, torch.float64)
    losses32, _, found32 = run(name, options, torch.float32)
    error = max(abs(a - b) for a, b in zip(losses, losses32))
    error = max(error, *(float((a - b).abs().max()) for a, b in zip(found, found32)))
    optimizer = name.split()[0]
    result = {"name": name, "optimizer": optimizer, **OPTIMIZERS[optimizer][1], **options}
    if any(key.startswith("clip") for key in options):
        result["gradient_norms"] = norms
    return {**result, "losses": losses, "parameters": found, "float32_error": float(f"{error:.1e}")}


def rates(name, base):
    optimizer = SGD([torch.zeros(1)], lr=f32(base))
    schedule = scheduler(optimizer, name)
    found = []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def main():
    parameters = initial(torch.float64)
    loss_of(parameters, torch.float64).backward()

    # The hand-written decoupled decay around Adam must be PyTorch's AdamW.
    ours = run("adam", {"lr": 0.01, "decoupled_decay": 0.5}, torch.float64)[2][-1]
    theirs = run("adamw", {"lr": 0.01, "weight_decay": 0.5}, torch.float64)[2][-1]
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-14)

    write("optimizers.json", {
        "objective": {
            "shapes": {"x": list(X.shape), "target": list(TARGET.shape), **{k: list(s) for k, s in SHAPES.items()}},
            "x": X, "target": TARGET, **INITIAL,
            "initial_gradient": torch.cat([p.grad.flatten() for p in parameters.values()]),
        },
        "checkpoints": CHECKPOINTS,
        "cases": [case(name, options) for name, options in CASES.items()],
        "schedules": [{"name": name, "torch": kind, "base": 0.1, **options, "sequence": rates(name, 0.1)}
                      for name, (kind, options) in SCHEDULES.items()],
    })


if __name__ == "__main__":
    main()
