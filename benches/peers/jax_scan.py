#!/usr/bin/env python3
"""Training steps of a multi-layer perceptron in JAX, timed as examples/throughput.rs times wgrad's: all steps are one
compiled program (jit of lax.scan), with --members all steps of many networks (jit of vmap of scan).

    python jax_scan.py --sizes 2,25,25,25,2 --batch 32 --steps 20000
    python jax_scan.py --sizes 2,25,25,25,2 --batch 32 --steps 1000 --members 128
"""
import argparse
import json
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--sizes", default="2,25,25,25,2")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--members", type=int)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
if args.threads == 1 and hasattr(os, "sched_setaffinity"):
    # XLA has as many threads as the process has cores when it starts. Its flags are not enough: with
    # --xla_cpu_multi_thread_eigen=false and intra_op_parallelism_threads=1 large products still take several.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

RATE = 0.1
SIZES = [int(size) for size in args.sizes.split(",")]
ROWS = max(1024, args.batch)

random = np.random.default_rng(0)
INPUTS = jnp.asarray(random.random((ROWS, SIZES[0]), dtype=np.float32))
TARGETS = jnp.asarray(random.random((ROWS, SIZES[-1]), dtype=np.float32).round())


def layers(generator, leading=()):
    """Weights [.., out, in] and biases [.., out]."""
    def layer(inputs, outputs):
        weight = generator.uniform(-1, 1, (*leading, outputs, inputs)) / np.sqrt(inputs)
        return jnp.asarray(weight, jnp.float32), jnp.zeros((*leading, outputs), jnp.float32)
    return [layer(*pair) for pair in zip(SIZES, SIZES[1:])]


def loss(parameters, x, t):
    for weight, bias in parameters[:-1]:
        x = jax.nn.relu(x @ weight.T + bias)
    weight, bias = parameters[-1]
    return jnp.mean((jax.nn.sigmoid(x @ weight.T + bias) - t) ** 2)


def update(parameters, x, t):
    value, gradients = jax.value_and_grad(loss)(parameters, x, t)
    return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradients), value


def in_turn(parameters, i):
    """A step on neighbouring rows."""
    first = (i * args.batch) % (ROWS - args.batch + 1)
    rows = [jax.lax.dynamic_slice_in_dim(values, first, args.batch) for values in (INPUTS, TARGETS)]
    return update(parameters, *rows)


def picked(parameters, rows):
    """A step on any rows: each member of an ensemble has an order of its own."""
    return update(parameters, INPUTS[rows], TARGETS[rows])


if args.members is None:
    state, over = layers(random), jnp.arange(args.steps)
    program = jax.jit(lambda state: jax.lax.scan(in_turn, state, over))
else:
    state = layers(random, (args.members,))
    orders = jnp.asarray(random.integers(0, ROWS, (args.members, args.steps, args.batch), dtype=np.int32))
    every = jax.vmap(lambda state, order: jax.lax.scan(picked, state, order))
    program = jax.jit(lambda state: every(state, orders))

state, _ = program(state)
jax.block_until_ready(state)
start = time.perf_counter()
state, losses = program(state)
last = float(losses[..., -1].mean())
seconds = time.perf_counter() - start
print(json.dumps({
    "peer": f"JAX {jax.__version__} " + ("scan" if args.members is None else "vmap of scan"),
    "device": f"cpu, {args.threads} thread(s)",
    "us_per_step": seconds / args.steps / (args.members or 1) * 1e6,
    "loss": last,
}))
