"""Layers and losses with options, by PyTorch in float64: batch normalisation, embeddings, cross-entropy with label smoothing,
ignored and weighted classes, quantile losses, and losses of weighted samples.

Inputs are exact in float32, and options are the float32 nearest to what the file prints. Matrices are listed flat,
row-major. A loss of weighted samples is the sum of weight * loss; its mean is that divided by the sum of the weights, which
for weighted or ignored classes is that of weight * class weight over the samples that count.

`files/batch-norm.safetensors` is the state_dict of a network with a BatchNorm1d; it needs the package `safetensors`.
"""

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from common import HERE, f32, write
from functions import (BINARY_LOGITS, BINARY_TARGETS, CLASSES, LOGITS, PREDICTION, PROBABILITIES, TARGET, exact,
                       sixty_fourths)

CLASS_WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.25], dtype=torch.float64)
# Samples 1 and 6 have no label.
PARTLY = torch.where(torch.tensor([False, True, False, False, False, False, True, False]), -100, CLASSES)
WEIGHTS = torch.tensor([1.0, 0.25, 3.0, 0.0, 0.5, 2.0, 1.5, 0.75, 4.0], dtype=torch.float64)

CROSS_ENTROPIES = [
    {"classes": CLASSES},
    {"target": PROBABILITIES},
    {"classes": CLASSES, "label_smoothing": 0.125},
    {"classes": CLASSES, "label_smoothing": 0.1},
    {"classes": CLASSES, "class_weights": CLASS_WEIGHTS},
    {"classes": CLASSES, "class_weights": CLASS_WEIGHTS, "label_smoothing": 0.25},
    {"classes": PARTLY, "ignore_index": -100},
    {"classes": PARTLY, "ignore_index": -100, "label_smoothing": 0.25},
    {"classes": CLASSES, "ignore_index": 2, "class_weights": CLASS_WEIGHTS, "label_smoothing": 0.125},
    {"target": PROBABILITIES, "label_smoothing": 0.125},
    {"target": PROBABILITIES, "class_weights": CLASS_WEIGHTS},
    {"target": PROBABILITIES, "class_weights": CLASS_WEIGHTS, "label_smoothing": 0.25},
]


def graded(leaf, value):
    return {"value": value.item(), "gradient": torch.autograd.grad(value, leaf, retain_graph=True)[0]}


def cross_entropy(case, weights):
    case = dict(case)
    target = case.pop("classes", None)
    if target is None:
        target = case["target"]
    options = {"label_smoothing": f32(case.get("label_smoothing", 0.0)), "weight": case.get("class_weights")}
    if "ignore_index" in case:
        options["ignore_index"] = case["ignore_index"]
    leaf = LOGITS.clone().requires_grad_()
    if weights is None:
        results = {r: graded(leaf, F.cross_entropy(leaf, target, reduction=r, **options)) for r in ("mean", "sum")}
    else:
        total = (weights * F.cross_entropy(leaf, target, reduction="none", **options)).sum()
        count = weights.clone()
        if target.dtype == torch.int64:
            own = torch.ones(4, dtype=torch.float64) if options["weight"] is None else options["weight"]
            count = torch.where(target == case.get("ignore_index", -100), 0.0, own[target.clamp(min=0)]) * weights
        results = {"mean": graded(leaf, total / count.sum()), "sum": graded(leaf, total)}
    plain = {k: exact(v) if isinstance(v, torch.Tensor) else v for k, v in case.items()}
    kind = "classes" if target.dtype == torch.int64 else "target"
    return {"name": "cross_entropy", "shape": list(LOGITS.shape), "prediction": exact(LOGITS), **plain,
            kind: exact(target.double()), **({} if weights is None else {"weights": exact(weights)}), **results}


def quantile(p, t, reduction, quantile):
    e = p - t
    errors = torch.where(e < 0, -quantile * e, (1 - quantile) * e)
    return {"none": errors, "mean": errors.mean(), "sum": errors.sum()}[reduction]


def elementwise(name, function, options, prediction, target, weights):
    leaf = prediction.clone().requires_grad_()
    exact_options = {k: f32(v) for k, v in options.items()}
    if weights is None:
        results = {r: graded(leaf, function(leaf, target, reduction=r, **exact_options)) for r in ("mean", "sum")}
    else:
        weights = weights[:len(prediction)]
        errors = weights[:, None] * function(leaf, target, reduction="none", **exact_options)
        cols = prediction.shape[1]
        results = {"mean": graded(leaf, errors.sum() / (cols * weights.sum())), "sum": graded(leaf, errors.sum()),
                   "sample_mean": graded(leaf, errors.sum() / weights.sum()),
                   "output_mean": graded(leaf, errors.sum() / cols)}
    return {"name": name, **options, "shape": list(prediction.shape), "prediction": exact(prediction),
            "target": exact(target), **({} if weights is None else {"weights": exact(weights)}), **results}


# No difference is 0, where a quantile loss has no derivative.
ASIDE = PREDICTION + 1 / 128
ELEMENTWISE = [
    ("mse", F.mse_loss, {}, PREDICTION, TARGET, WEIGHTS),
    ("mae", F.l1_loss, {}, PREDICTION, TARGET, WEIGHTS),
    ("huber", F.huber_loss, {"delta": 1.0}, PREDICTION, TARGET, WEIGHTS),
    ("huber", F.huber_loss, {"delta": 0.5}, PREDICTION, TARGET, WEIGHTS),
    ("bce_with_logits", F.binary_cross_entropy_with_logits, {}, BINARY_LOGITS, BINARY_TARGETS, WEIGHTS),
    ("quantile", quantile, {"quantile": 0.75}, ASIDE, TARGET, None),
    ("quantile", quantile, {"quantile": 0.1}, ASIDE, TARGET, None),
    ("quantile", quantile, {"quantile": 0.75}, ASIDE, TARGET, WEIGHTS),
]


def embedding():
    layer = nn.Embedding(5, 3, dtype=torch.float64)
    layer.weight.data = sixty_fourths(5, 3, bound=64)
    numbers = torch.tensor([[4, 0], [2, 2], [0, 4], [4, 4]])
    upstream = sixty_fourths(4, 6, bound=64)
    value = layer(numbers).flatten(1)
    (upstream * value).sum().backward()
    return {"weight": exact(layer.weight), "numbers": exact(numbers.double()), "upstream": exact(upstream),
            "value": value, "gradient": layer.weight.grad}


def batch_norm(momentum, eps):
    layer = nn.BatchNorm1d(3, momentum=f32(momentum), eps=f32(eps), dtype=torch.float64)
    layer.weight.data, layer.bias.data = sixty_fourths(3, bound=128), sixty_fourths(3, bound=64)
    start = {"weight": exact(layer.weight), "bias": exact(layer.bias)}
    batches = []
    for rows in (5, 4, 2, 33):
        x = (sixty_fourths(rows, 3, bound=256) + torch.tensor([0.0, 8.0, -2.0])).requires_grad_()
        upstream = sixty_fourths(rows, 3, bound=64)
        y = layer(x)
        by_x, by_weight, by_bias = torch.autograd.grad((upstream * y).sum(), [x, layer.weight, layer.bias])
        batches.append({"x": exact(x), "upstream": exact(upstream), "value": y, "by_x": by_x, "by_weight": by_weight,
                        "by_bias": by_bias, "running_mean": layer.running_mean.clone(),
                        "running_var": layer.running_var.clone()})
    x = sixty_fourths(3, 3, bound=256)
    return {"momentum": momentum, "eps": eps, **start, "batches": batches,
            "evaluation": {"x": exact(x), "value": layer.eval()(x)}}


def trained_file():
    """A network with a BatchNorm1d after some training, in float32: the file of its state_dict, inputs and outputs."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(10):
        x = torch.randn(16, 4) * 2 + 1
        F.cross_entropy(model(x), (x[:, 0] > x[:, 1]).long()).backward()
        optimizer.step()
    save_file(model.state_dict(), HERE / "files" / "batch-norm.safetensors")
    x = torch.randn(5, 4)
    return {"inputs": x, "outputs": model.eval()(x)}


def main():
    write("layers.json", {
        "losses": [cross_entropy(case, weights) for case in CROSS_ENTROPIES for weights in (None, WEIGHTS[:8])]
                  + [elementwise(*case) for case in ELEMENTWISE],
        "embedding": embedding(),
        "batch_norm": [batch_norm(0.1, 1e-5), batch_norm(0.25, 0.0625)],
        "file": trained_file(),
    })


if __name__ == "__main__":
    main()
