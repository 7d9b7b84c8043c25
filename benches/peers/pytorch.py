#!/usr/bin/env python3
"""Training steps of a multi-layer perceptron in PyTorch, timed as examples/throughput.rs times wgrad's.

    python pytorch.py --device cpu --sizes 2,25,25,25,2 --batch 32 --steps 2000
    python pytorch.py --device cuda --engine graph --sizes 784,512,512,10 --batch 128

Engines: `eager` is what a user writes. `graph` is the most that PyTorch can be made to give: on CUDA a captured CUDA
graph of one step; on the CPU 32 steps with a hand-written backward pass, compiled into one function. `predict` predicts
a batch again and again, from host memory into host memory.
"""
import argparse
import json
import time

import torch
from torch import nn

RATE = 0.1
STEPS_IN_GRAPH = 32


def network(sizes, device):
    last = len(sizes) - 2
    parts = []
    for i in range(last + 1):
        parts.append(nn.Linear(sizes[i], sizes[i + 1]))
        parts.append(nn.Sigmoid() if i == last else nn.ReLU())
    return nn.Sequential(*parts).to(device)


def batches(x, t, batch):
    """Gives step i its rows."""
    positions = len(x) - batch + 1

    def rows(i):
        first = (i * batch) % positions
        return x[first:first + batch], t[first:first + batch]

    return rows


def eager(model, rows):
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    mse = nn.MSELoss()

    def run(steps):
        for i in range(steps):
            x, t = rows(i)
            optimizer.zero_grad()
            loss = mse(model(x), t)
            loss.backward()
            optimizer.step()
        return loss

    return run


def cuda_graph(model, rows):
    x, t = (part.clone() for part in rows(0))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, fused=True)
    mse = nn.MSELoss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = mse(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    # CUDA wants a few steps on a stream of their own before it captures one.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def run(steps):
        for i in range(steps):
            next_x, next_t = rows(i)
            x.copy_(next_x)
            t.copy_(next_t)
            graph.replay()
        return loss

    return run


def cpu_graph(model, rows):
    layers = [part for part in model if isinstance(part, nn.Linear)]
    weights = [layer.weight.data for layer in layers]
    biases = [layer.bias.data for layer in layers]

    def many_steps(pairs, weights, biases):
        for x, t in pairs:
            values = [x]
            for i, (w, b) in enumerate(zip(weights, biases)):
                z = torch.addmm(b, values[-1], w.t())
                values.append(torch.sigmoid(z) if i == len(weights) - 1 else torch.relu(z))
            y = values[-1]
            loss = (y - t).square().mean()
            dz = (y - t) * (2 / t.numel()) * y * (1 - y)
            for i in range(len(weights) - 1, -1, -1):
                dw, db = dz.t() @ values[i], dz.sum(0)
                if i > 0:
                    dz = (dz @ weights[i]) * (values[i] > 0)
                weights[i].sub_(RATE * dw)
                biases[i].sub_(RATE * db)
        return loss

    compiled = torch.compile(many_steps, options={"cpp_wrapper": True})

    @torch.no_grad()
    def run(steps):
        for first in range(0, steps, STEPS_IN_GRAPH):
            loss = compiled([rows(first + i) for i in range(STEPS_IN_GRAPH)], weights, biases)
        return loss

    return run


def predict(model, rows):
    x = rows(0)[0].cpu().numpy()
    device = next(model.parameters()).device

    @torch.inference_mode()
    def run(steps):
        for _ in range(steps):
            y = model(torch.from_numpy(x).to(device)).cpu()
        return y[0, 0]

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--engine", choices=("eager", "graph", "predict"), default="eager")
    parser.add_argument("--sizes", default="2,25,25,25,2")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    sizes = [int(size) for size in args.sizes.split(",")]
    count = max(1024, args.batch)
    x = torch.rand(count, sizes[0], device=args.device)
    t = torch.rand(count, sizes[-1], device=args.device).round()
    model = network(sizes, args.device)
    engines = {("eager", "cpu"): eager, ("eager", "cuda"): eager, ("graph", "cpu"): cpu_graph, ("graph", "cuda"): cuda_graph,
               ("predict", "cpu"): predict, ("predict", "cuda"): predict}
    run = engines[args.engine, args.device](model, batches(x, t, args.batch))
    steps = args.steps
    if args.engine == "graph":
        # Whole graphs, so that every step that is counted is one that ran.
        steps = -(-steps // STEPS_IN_GRAPH) * STEPS_IN_GRAPH
    run(1 if args.engine == "predict" else max(2 * STEPS_IN_GRAPH, steps // 10 // STEPS_IN_GRAPH * STEPS_IN_GRAPH))
    for repeat in range(args.repeats):
        if args.device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        loss = run(steps).item()
        seconds = time.perf_counter() - start
        print(json.dumps({
            "peer": f"pytorch-{torch.__version__}-{args.engine}", "device": args.device, "threads": args.threads,
            "sizes": sizes, "batch": args.batch, "steps": steps, "repeat": repeat,
            "us_per_step": round(seconds / steps * 1e6, 3), "loss": loss,
        }), flush=True)


if __name__ == "__main__":
    main()
