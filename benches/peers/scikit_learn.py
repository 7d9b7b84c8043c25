#!/usr/bin/env python3
"""Training steps of a multi-layer perceptron in scikit-learn: one fit of MLPRegressor over 1024 rows, with ReLU hidden
layers, the squared error of a linear output, SGD without momentum, f32. It shuffles each epoch, as wgrad's `fit` does.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python scikit_learn.py --sizes 2,25,25,25,2 --batch 32 --steps 2000
"""
import argparse
import json
import time
import warnings

import numpy as np
import sklearn
from sklearn.neural_network import MLPRegressor

parser = argparse.ArgumentParser()
parser.add_argument("--sizes", default="2,25,25,25,2")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--steps", type=int, default=2000)
args = parser.parse_args()
sizes = [int(size) for size in args.sizes.split(",")]
# It always ends with a warning that it has not converged.
warnings.filterwarnings("ignore")

random = np.random.default_rng(0)
inputs = random.random((1024, sizes[0]), dtype=np.float32)
targets = random.random((1024, sizes[-1]), dtype=np.float32).round()
steps_in_epoch = -(-1024 // args.batch)
epochs = max(1, args.steps // steps_in_epoch)
model = MLPRegressor(
    hidden_layer_sizes=sizes[1:-1],
    solver="sgd",
    # Wide networks diverge at 0.1.
    learning_rate_init=0.1 if sizes[0] < 64 else 1e-4,
    momentum=0,
    nesterovs_momentum=False,
    alpha=0,
    batch_size=args.batch,
    max_iter=epochs,
    n_iter_no_change=epochs + 1,
    tol=0,
    random_state=0,
)
start = time.perf_counter()
model.fit(inputs, targets)
seconds = time.perf_counter() - start
print(json.dumps({
    "peer": f"scikit-learn {sklearn.__version__}",
    "device": "cpu",
    "us_per_step": seconds / (epochs * steps_in_epoch) * 1e6,
    "loss": float(model.loss_),
}))
