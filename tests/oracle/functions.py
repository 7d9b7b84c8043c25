"""Values and gradients of activations and losses, by PyTorch in float64.

Inputs and targets are exact in float32, and options are the float32 nearest to what the file prints. Matrices are
listed flat, row-major. `gradient` is that of the sum of upstream * value (activations on rows) or of the loss itself.
"""

import torch
from torch.nn import functional as F

from common import f32, short, write

random = torch.Generator().manual_seed(0)


def sixty_fourths(*shape, bound):
    return torch.randint(-bound, bound + 1, shape, generator=random, dtype=torch.float64) / 64


# Around 0, where tanh saturates in float32 (9), sigmoid (17), and where exp overflows (89) or vanishes (-104).
MAGNITUDES = [2**-10, 2**-6, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 17, 20, 30, 50,
              80, 88, 89, 100, 104, 1000]
GRID = torch.tensor([-m for m in reversed(MAGNITUDES)] + [0.0] + MAGNITUDES, dtype=torch.float64)

# Derivatives at a kink are PyTorch's: ReLU 0, LeakyReLU its slope, ELU its alpha.
ELEMENTWISE = {
    "relu": (F.relu, [{}]),
    "leaky_relu": (lambda x, slope: F.leaky_relu(x, slope), [{"slope": 0.01}, {"slope": 0.2}]),
    "elu": (F.elu, [{"alpha": 1.0}, {"alpha": 0.5}]),
    "gelu": (F.gelu, [{"approximate": "none"}, {"approximate": "tanh"}]),
    "silu": (F.silu, [{}]),
    # PyTorch turns to the identity above its threshold of 20; this one keeps the function itself up to 200.
    "softplus": (lambda x, beta: F.softplus(x, beta, threshold=200), [{"beta": 1.0}]),
    "sigmoid": (torch.sigmoid, [{}]),
    "tanh": (torch.tanh, [{}]),
}

ROWS = torch.cat([
    sixty_fourths(4, 5, bound=256),
    torch.tensor([[100, -100, 0, 99.5, -20], [-100, -100, -100, -100, -100], [1000, 1000, 999, -1000, 0],
                  [-90, -89, -88, -87, -104], [0, 0, 0, 0, 0]], dtype=torch.float64),
])
UPSTREAM = sixty_fourths(*ROWS.shape, bound=64)
COLUMN = torch.tensor([[-100.0], [0.0], [3.25]], dtype=torch.float64)


def options_of(options):
    return {key: f32(v) if isinstance(v, float) else v for key, v in options.items()}


def elementwise(name, function, options):
    x = GRID.clone().requires_grad_()
    value = function(x, **options_of(options))
    value.sum().backward()
    return {"name": name, **options, "value": value, "derivative": x.grad}


def rowwise(name, function, x, upstream):
    leaf = x.clone().requires_grad_()
    value = function(leaf, dim=1)
    (upstream * value).sum().backward()
    return {"name": name, "shape": list(x.shape), "x": exact(x), "upstream": exact(upstream), "value": value,
            "gradient": leaf.grad}


def exact(values):
    """The same numbers as float32, which prints them shortly; fails where they are none."""
    return [short(v) for v in values.flatten().tolist()]


# Differences of 0, of exactly Huber's deltas, large ones and ordinary ones.
TARGET = sixty_fourths(6, 3, bound=128)
DIFFERENCE = sixty_fourths(6, 3, bound=192)
DIFFERENCE[0] = torch.tensor([0.0, 1.0, -1.0])
DIFFERENCE[1] = torch.tensor([0.5, -0.5, 16.0])
PREDICTION = TARGET + DIFFERENCE

LOGITS = torch.cat([
    sixty_fourths(5, 4, bound=256),
    torch.tensor([[100, -100, 0, 1], [-100, 100, 100, 99], [-100, -100, -100, -100]], dtype=torch.float64),
])
CLASSES = torch.tensor([0, 3, 1, 2, 2, 1, 2, 0])
PROBABILITIES = torch.tensor([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.125, 0.125, 0.25], [0, 0, 0.5, 0.5],
                              [0.0625, 0.8125, 0.0625, 0.0625], [0.25, 0.25, 0.25, 0.25], [0.5, 0, 0, 0.5],
                              [0, 1, 0, 0]], dtype=torch.float64)

BINARY_LOGITS = torch.cat([
    sixty_fourths(4, 2, bound=320),
    torch.tensor([[100, -100], [100, -100], [20, -20], [0, 1000], [0, -1000]], dtype=torch.float64),
])
BINARY_TARGETS = torch.tensor([[0, 1], [1, 0], [0.25, 0.75], [0.5, 0.125], [0, 1], [1, 0], [1, 1], [1, 1], [0.5, 0]],
                              dtype=torch.float64)

# Cross-entropy has one term a row, so that PyTorch's mean is over the rows; elsewhere it is over all elements.
LOSSES = [
    ("mse", F.mse_loss, {}, PREDICTION, TARGET),
    ("mae", F.l1_loss, {}, PREDICTION, TARGET),
    ("huber", F.huber_loss, {"delta": 1.0}, PREDICTION, TARGET),
    ("huber", F.huber_loss, {"delta": 0.5}, PREDICTION, TARGET),
    ("cross_entropy", F.cross_entropy, {}, LOGITS, CLASSES),
    ("cross_entropy", F.cross_entropy, {}, LOGITS, F.one_hot(CLASSES, 4).double()),
    ("cross_entropy", F.cross_entropy, {}, LOGITS, PROBABILITIES),
    ("bce_with_logits", F.binary_cross_entropy_with_logits, {}, BINARY_LOGITS, BINARY_TARGETS),
]


def reduced(function, options, prediction, target, reduction):
    leaf = prediction.clone().requires_grad_()
    if reduction == "sample_mean":
        value = function(leaf, target, reduction="sum", **options) / len(prediction)
    elif reduction == "output_mean":
        value = function(leaf, target, reduction="sum", **options) / prediction.shape[1]
    else:
        value = function(leaf, target, reduction=reduction, **options)
    value.backward()
    return {"value": value.item(), "gradient": leaf.grad}


def loss(name, function, options, prediction, target):
    reductions = ["mean", "sum", "sample_mean"] + ([] if name == "cross_entropy" else ["output_mean"])
    classes = target.dtype == torch.int64
    return {"name": name, **options, "shape": list(prediction.shape), "prediction": exact(prediction),
            "classes" if classes else "target": target if classes else exact(target),
            **{r: reduced(function, options_of(options), prediction, target, r) for r in reductions}}


def main():
    rows = {"softmax": F.softmax, "log_softmax": F.log_softmax}
    write("functions.json", {
        "grid": exact(GRID),
        "elementwise": [elementwise(name, function, options)
                        for name, (function, settings) in ELEMENTWISE.items() for options in settings],
        "rowwise": [rowwise(name, function, x, upstream) for name, function in rows.items()
                    for x, upstream in ((ROWS, UPSTREAM), (COLUMN, UPSTREAM[:3, :1]))],
        "losses": [loss(*case) for case in LOSSES],
    })


if __name__ == "__main__":
    main()
