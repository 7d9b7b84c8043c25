"""First and second derivatives by PyTorch's create_graph in float64.

For each case: loss = sum of upstream * f(inputs); `first` holds its gradients by the inputs; `second` those of the sum of
directions * first. All inputs are exact in float32, and matrices are listed flat, row-major.
"""

import torch
from torch.nn import functional as F

from common import f32, short, write

random = torch.Generator().manual_seed(0)


def sixty_fourths(*shape, bound):
    return torch.randint(-bound, bound + 1, shape, generator=random, dtype=torch.float64) / 64


def any_(*shape):
    """From -3 to 3, and none so near 0 that it could stand on a kink."""
    x = sixty_fourths(*shape, bound=192)
    return x + (x == 0) * 0.5


def positive(*shape):
    return 0.375 + sixty_fourths(*shape, bound=192).abs()


def small(*shape):
    return sixty_fourths(*shape, bound=64)


def layer_norm(x, weight, bias):
    # The epsilon that a float32 library adds.
    return F.layer_norm(x, x.shape[1:], weight.flatten(), bias.flatten(), f32(1e-5))


CLASSES = torch.tensor([2, 0, 1, 2])
PROBABILITIES = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.125, 0.75, 0.125], [0.5, 0.125, 0.25]],
                             dtype=torch.float64)




X = (any_(4, 6),)
PAIR = (any_(4, 3), any_(4, 3))
CASES = [
    ("identity", X, lambda x: x * 1.0),
    ("relu", X, F.relu),
    ("tanh", X, torch.tanh),
    ("sigmoid", X, torch.sigmoid),
    ("leaky_relu 0.125", X, lambda x: F.leaky_relu(x, 0.125)),
    ("leaky_relu -0.5", X, lambda x: F.leaky_relu(x, -0.5)),
    ("elu 1.5", X, lambda x: F.elu(x, 1.5)),
    # By itself: PyTorch's own elu takes no negative alpha in a second derivative.
    ("elu -0.5", X, lambda x: torch.where(x > 0, x, -0.5 * torch.expm1(x))),
    ("gelu", X, F.gelu),
    ("gelu_tanh", X, lambda x: F.gelu(x, approximate="tanh")),
    ("silu", X, F.silu),
    ("softplus", X, lambda x: F.softplus(x, threshold=200)),
    ("exp", X, torch.exp),
    ("log", (positive(4, 6),), torch.log),
    ("pow 2", X, lambda x: x ** 2),
    ("pow 3", X, lambda x: x ** 3),
    ("pow -0.5", (positive(4, 6),), lambda x: x ** -0.5),
    ("affine", X, lambda x: x * -0.5 + 2.0),
    ("softmax", (any_(4, 5),), lambda x: F.softmax(x, 1)),
    ("log_softmax", (any_(4, 5),), lambda x: F.log_softmax(x, 1)),
    ("layer_norm", (any_(4, 5), any_(1, 5), any_(1, 5)), layer_norm),
    ("mse mean", PAIR, lambda p, t: F.mse_loss(p, t).reshape(1, 1)),
    ("mse sum", PAIR, lambda p, t: F.mse_loss(p, t, reduction="sum").reshape(1, 1)),
    ("mae mean", PAIR, lambda p, t: F.l1_loss(p, t).reshape(1, 1)),
    ("huber 0.5", PAIR, lambda p, t: F.huber_loss(p, t, delta=0.5).reshape(1, 1)),
    ("bce", PAIR, lambda p, t: F.binary_cross_entropy_with_logits(p, t).reshape(1, 1)),
    ("bce with itself", (any_(4, 3),), lambda p: F.binary_cross_entropy_with_logits(p, p).reshape(1, 1)),
    ("cross_entropy classes", (any_(4, 3),), lambda z: F.cross_entropy(z, CLASSES).reshape(1, 1)),
    ("cross_entropy probabilities", (any_(4, 3), PROBABILITIES), lambda z, t: F.cross_entropy(z, t).reshape(1, 1)),
    ("add row", (any_(3, 4), any_(1, 4)), lambda a, b: a + b),
    ("sub column", (any_(3, 4), any_(3, 1)), lambda a, b: a - b),
    ("mul both ways", (any_(3, 1), any_(1, 4)), lambda a, b: a * b),
    ("mul by itself", (any_(3, 4),), lambda a: a * a),
    ("div", (any_(3, 4), positive(3, 4)), lambda a, b: a / b),
    ("div number", (any_(3, 4), positive(1, 1)), lambda a, b: a / b),
    ("div row", (any_(1, 4), positive(3, 4)), lambda a, b: a / b),
    ("matmul", (small(3, 5), small(5, 2)), lambda a, b: a @ b),
    ("matmul by itself", (small(4, 4),), lambda a: a @ a),
    ("linear", (small(3, 5), small(2, 5), small(1, 2)), lambda x, w, b: x @ w.T + b),
    ("sum of squares", (any_(3, 4),), lambda x: (x * x).sum().reshape(1, 1)),
    ("cube of sum_rows", (small(3, 4),), lambda x: x.sum(0, keepdim=True) ** 3),
    ("cube of mean_cols", (small(3, 4),), lambda x: x.mean(1, keepdim=True) ** 3),
    ("tanh of transpose", (any_(3, 4),), lambda x: torch.tanh(x.T)),
    ("product of slices", (any_(3, 5),), lambda x: x[:, 0:3] * x[:, 2:5]),
    ("tanh of concat", (any_(3, 2), any_(3, 1)), lambda a, b: torch.tanh(torch.cat([a, b, a], 1))),
    ("residual", (small(3, 4), small(4, 4)), lambda x, w: (x + torch.tanh(x @ w)) ** 2),
    ("attention", (small(3, 4),), lambda x: F.softmax(x @ x.T, 1) @ x),
]


def exact(values):
    """The same numbers as float32, which prints them shortly; fails where they are none."""
    return [short(v) for v in values.flatten().tolist()]


def derivatives(name, inputs, f):
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = f(*leaves)
    upstream = sixty_fourths(*value.shape, bound=64) + 1 / 64
    first = torch.autograd.grad((upstream * value).sum(), leaves, create_graph=True)
    directions = [sixty_fourths(*x.shape, bound=64) for x in inputs]
    along = sum((d * g).sum() for d, g in zip(directions, first))
    second = [None] * len(leaves)
    if along.requires_grad:
        second = torch.autograd.grad(along, leaves, allow_unused=True)
    # What does not depend, or depends on nothing, may come as None or as a zero without storage.
    second = [torch.zeros_like(x) if s is None else torch.zeros_like(x) + s for x, s in zip(inputs, second)]
    return {"name": name, "shapes": [list(x.shape) for x in inputs], "inputs": [exact(x) for x in inputs],
            "upstream": exact(upstream), "directions": [exact(d) for d in directions], "value": value,
            "first": [torch.zeros_like(x) + g for x, g in zip(inputs, first)], "second": second}


def main():
    write("second.json", {"cases": [derivatives(*case) for case in CASES]})


if __name__ == "__main__":
    main()
