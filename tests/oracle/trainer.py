"""Whole trainings by mini-batches in a fixed order, by PyTorch in float64: samples with weights, averages of the parameters.

The model is y = tanh(x W1' + b1) W2' + b2, updated by SGD with momentum. Data, weights of samples and initial parameters are
multiples of 1/64, and hyper-parameters are the float32 nearest to what the file prints. Batches are 8 rows, the last one 6.

`losses` holds the loss of each step before its update: sum of weight * loss over the batch, divided by the sum of the weights
(times those of the classes) for a mean. `epochs` has, for each epoch, the loss over its steps, each sample with its weight;
`train` and `validation` are the loss of the trained model on all rows, and scikit-learn's `accuracy_score` with
`sample_weight`. `average` are the parameters of an AveragedModel with get_ema_multi_avg_fn, updated after each step, and
`average_validation` is its loss. `lr_find` has the losses of steps on all rows of the first case at rates that rise from the
first to the last, the same smoothed as Lightning's tuner does (without its bias), and numpy's steepest gradient's rate, without
the first ten steps and the last. Parameters are listed flat, row-major, in the order w1 [5, 3], b1 [5], w2 [c, 5], b2 [c]. `float32_error` says
how far PyTorch's own float32 run strays: the largest absolute difference of a parameter or loss.
"""

import numpy as np
import torch
from sklearn.metrics import accuracy_score
from torch.nn import functional as F
from torch import nn
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common import f32, write

EPOCHS, BATCH, ROWS, HELD_OUT = 3, 8, 22, 9
LR, MOMENTUM, DECAY = 0.1, 0.5, 0.7
RATES, STEPS = (1e-4, 2.0), 40

random = torch.Generator().manual_seed(13)


def sixty_fourths(*shape, bound):
    return torch.randint(-bound, bound + 1, shape, generator=random, dtype=torch.float32) / 64


def weights(rows):
    found = sixty_fourths(rows, bound=160).abs()
    found[::7] = 0.0
    return found


X, VALIDATION = sixty_fourths(ROWS, 3, bound=128), sixty_fourths(HELD_OUT, 3, bound=128)
WEIGHTS, VALIDATION_WEIGHTS = weights(ROWS), weights(HELD_OUT)
INITIAL = {2: [sixty_fourths(*s, bound=48) for s in ((5, 3), (5,), (2, 5), (2,))],
           3: [sixty_fourths(*s, bound=48) for s in ((5, 3), (5,), (3, 5), (3,))]}
VALUES = [sixty_fourths(rows, 2, bound=96) for rows in (ROWS, HELD_OUT)]
LABELS = [torch.randint(0, 2, (rows, 2), generator=random).float() for rows in (ROWS, HELD_OUT)]
CLASSES = [torch.randint(0, 3, (rows,), generator=random) for rows in (ROWS, HELD_OUT)]
CLASS_WEIGHTS = torch.tensor([0.5, 2.0, 1.25])


def elementwise(function):
    return lambda y, t: (function(y, t, reduction="none").mean(1), torch.ones(len(t), dtype=y.dtype))


def cross_entropy(class_weights=None, ignored=-100):
    def errors(y, t):
        own = torch.ones(3, dtype=y.dtype) if class_weights is None else class_weights.to(y.dtype)
        counts = torch.where(t == ignored, 0.0, own[t])
        weight = None if class_weights is None else own
        return F.cross_entropy(y, t, weight, ignore_index=ignored, reduction="none"), counts
    return errors


by_threshold = lambda y: (y > 0).long().flatten()
by_largest = lambda y: y.argmax(1)

# Each: outputs, targets, errors and counts of the samples, how classes are read (per output or per row), options.
CASES = {
    "mse": (2, VALUES, elementwise(F.mse_loss), None, {}),
    "bce_with_logits": (2, LABELS, elementwise(F.binary_cross_entropy_with_logits), by_threshold, {}),
    "cross_entropy": (3, CLASSES, cross_entropy(), by_largest, {}),
    "cross_entropy, class weights": (3, CLASSES, cross_entropy(CLASS_WEIGHTS), by_largest,
                                     {"class_weights": CLASS_WEIGHTS}),
    "cross_entropy, ignored class": (3, CLASSES, cross_entropy(ignored=2), by_largest, {"ignore_index": 2}),
}


def run(case, dtype):
    outputs, (targets, held_out), errors, classes, _ = CASES[case]
    convert = lambda t: t.to(dtype) if t.is_floating_point() else t
    x, t = X.to(dtype), convert(targets)
    w = WEIGHTS.to(dtype)
    parameters = [p.to(dtype).clone().requires_grad_() for p in INITIAL[outputs]]
    model = nn.ParameterList(parameters)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(f32(DECAY)))
    forward = lambda x, p=parameters: torch.tanh(x @ p[0].T + p[1]) @ p[2].T + p[3]
    optimizer = SGD(parameters, lr=f32(LR), momentum=f32(MOMENTUM))
    losses, epochs = [], []
    for _ in range(EPOCHS):
        total, count = 0.0, 0.0
        for rows in torch.arange(ROWS).split(BATCH):
            optimizer.zero_grad()
            error, counts = errors(forward(x[rows]), t[rows])
            # An error has its class's weight already.
            loss = (w[rows] * error).sum() / (w[rows] * counts).sum()
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
            losses.append(loss.item())
            total += (w[rows] * error).sum().item()
            count += (w[rows] * counts).sum().item()
        epochs.append(total / count)

    def measured(x, t, w, p=parameters):
        w = w.to(dtype)
        with torch.no_grad():
            y = forward(x.to(dtype), p)
            error, counts = errors(y, convert(t))
            found = {"loss": ((w * error).sum() / (w * counts).sum()).item()}
            if classes is not None:
                each = w.repeat_interleave(2) if t.dim() == 2 else w
                found["accuracy"] = float(accuracy_score(t.long().flatten(), classes(y), sample_weight=each))
        return found

    flat = lambda parameters: torch.cat([p.detach().flatten() for p in parameters])
    validation = lambda p: measured(VALIDATION, held_out, VALIDATION_WEIGHTS, p)
    averages = list(average.module)
    return {"losses": losses, "epochs": epochs, "parameters": flat(parameters), "train": measured(X, targets, w),
            "validation": validation(parameters), "average": flat(averages),
            "average_validation": validation(averages)}


def lr_find(dtype):
    """Losses at rising rates, smoothed, and the suggestion."""
    _, (targets, _), errors, _, _ = CASES["mse"]
    parameters = [p.to(dtype).clone().requires_grad_() for p in INITIAL[2]]
    optimizer = SGD(parameters, lr=1.0, momentum=f32(MOMENTUM))
    losses, smoothed, average = [], [], 0.0
    rates = [f32(f32(RATES[0]) * (f32(RATES[1]) / f32(RATES[0])) ** (i / (STEPS - 1))) for i in range(STEPS)]
    for i, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        x, w = X.to(dtype), WEIGHTS.to(dtype)
        y = torch.tanh(x @ parameters[0].T + parameters[1]) @ parameters[2].T + parameters[3]
        error, counts = errors(y, targets.to(dtype))
        loss = (w * error).sum() / (w * counts).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        average = 0.98 * average + 0.02 * losses[-1]
        smoothed.append(average / (1 - 0.98 ** (i + 1)))
    steepest = int(np.gradient(np.array(smoothed[10:-1])).argmin())
    return {"losses": losses, "smoothed": smoothed, "suggestion": rates[10 + steepest]}


def strays(one, other):
    """The largest absolute difference of a loss or a parameter."""
    found = [abs(a - b) for a, b in zip(one["losses"] + one["epochs"], other["losses"] + other["epochs"])]
    found += [abs(one[part]["loss"] - other[part]["loss"]) for part in ("train", "validation", "average_validation")]
    return max(found + [float((one[k] - other[k]).abs().max()) for k in ("parameters", "average")])


def described(case):
    outputs, (targets, held_out), _, _, options = CASES[case]
    found = run(case, torch.float64)
    error = strays(found, run(case, torch.float32))
    return {"name": case, "outputs": outputs, "target": targets.float(), "validation_target": held_out.float(), **options,
            "initial": torch.cat([p.flatten() for p in INITIAL[outputs]]), "results": found,
            "float32_error": float(f"{error:.1e}")}


if __name__ == "__main__":
    found, single = lr_find(torch.float64), lr_find(torch.float32)
    error = max(abs(a - b) for key in ("losses", "smoothed") for a, b in zip(found[key], single[key]))
    write("trainer.json", {
        "epochs": EPOCHS, "batch": BATCH, "rows": ROWS, "lr": LR, "momentum": MOMENTUM, "decay": DECAY, "x": X, "weights": WEIGHTS,
        "validation": VALIDATION, "validation_weights": VALIDATION_WEIGHTS,
        "weighted": [described(case) for case in CASES],
        "lr_find": {"rates": RATES, "steps": STEPS, **found, "float32_error": float(f"{error:.1e}")},
    })
