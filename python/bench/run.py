#!/usr/bin/env python3
"""Times and scores of wgrad's estimators beside scikit-learn's MLPs (and PyTorch, if it can be imported), on one thread each,
in turn: ours, theirs, ours, theirs.

    python bench/run.py                        all tables
    python bench/run.py iris digits --rounds 5

All train the same network with the same settings: scikit-learn's defaults (100 hidden units, Adam, mini-batches of 200), for a
given number of epochs; PyTorch by a plain loop over shuffled indices. Inputs are standardised, and regressions' targets. Times
are CPU seconds of `fit` and of `predict` on the training data (the mean of 20 calls), medians over the rounds; scores are on a
quarter that is held out, the means over the rounds, each with a split and seed of its own, with their standard error.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

TABLES = {
    # Epochs, and what is given.
    "iris": (200, "150 x 4, 3 classes"),
    "digits": (100, "1,797 x 64, 10 classes"),
    "diabetes": (200, "442 x 10, a number"),
    "made": (10, "100,000 x 20, 2 classes"),
}
# The first call of a process prepares something in each of them.
PREDICTIONS = 20
ONE_THREAD = {
    **os.environ, "WGRAD_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip


def table(name, seed):
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    if name == "made":
        X, y = datasets.make_classification(100_000, 20, n_informative=10, random_state=0)
    else:
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    is_class = name != "diabetes"
    X, X_test, y, y_test = train_test_split(X, y, random_state=seed, stratify=y if is_class else None)
    mean, deviation = X.mean(axis=0), X.std(axis=0) + 1e-12
    X, X_test = (X - mean) / deviation, (X_test - mean) / deviation
    if not is_class:
        mean, deviation = y.mean(), y.std()
        y, y_test = (y - mean) / deviation, (y_test - mean) / deviation
    return X, X_test, y, y_test, is_class


def torch_estimator(is_class, epochs, seed):
    import numpy as np
    import torch
    from sklearn.metrics import accuracy_score, r2_score

    torch.set_num_threads(1)

    class Plain:
        def fit(self, X, y):
            torch.manual_seed(seed)
            outputs = int(y.max()) + 1 if is_class else 1
            self.net = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 100), torch.nn.ReLU(), torch.nn.Linear(100, outputs))
            loss_of = torch.nn.CrossEntropyLoss() if is_class else torch.nn.MSELoss()
            # scikit-learn's penalty is of the weights alone; its gradient is alpha / 200 times them.
            weights = [p for p in self.net.parameters() if p.ndim == 2]
            biases = [p for p in self.net.parameters() if p.ndim == 1]
            batch = min(200, len(X))
            groups = [{"params": weights, "weight_decay": 1e-4 / batch}, {"params": biases}]
            optimizer = torch.optim.Adam(groups, lr=1e-3)
            X = torch.tensor(X, dtype=torch.float32)
            y = torch.tensor(y, dtype=torch.int64 if is_class else torch.float32)
            for _ in range(epochs):
                order = torch.randperm(len(X))
                for start in range(0, len(X), batch):
                    rows = order[start : start + batch]
                    outputs = self.net(X[rows])
                    loss = loss_of(outputs if is_class else outputs[:, 0], y[rows])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            return self

        def predict(self, X):
            with torch.no_grad():
                outputs = self.net(torch.tensor(X, dtype=torch.float32)).numpy()
            return np.argmax(outputs, axis=1) if is_class else outputs[:, 0]

        def score(self, X, y):
            return (accuracy_score if is_class else r2_score)(y, self.predict(X))

    return Plain()


def measure(library, name, seed):
    X, X_test, y, y_test, is_class = table(name, seed)
    epochs = TABLES[name][0]
    if library == "PyTorch":
        model = torch_estimator(is_class, epochs, seed)
    else:
        if library == "wgrad":
            from wgrad import MLPClassifier, MLPRegressor
        else:
            from sklearn.neural_network import MLPClassifier, MLPRegressor
        kind = MLPClassifier if is_class else MLPRegressor
        model = kind(max_iter=epochs, tol=0, n_iter_no_change=10**6, random_state=seed)
    # What is done once in a process, such as loading libraries.
    small = slice(0, 60)
    import warnings

    warnings.simplefilter("ignore")
    if library == "PyTorch":
        torch_estimator(is_class, 1, seed).fit(X[small], y[small])
    else:
        type(model)(max_iter=1).fit(X[small], y[small]).predict(X[small])
    start = time.process_time()
    model.fit(X, y)
    fitted = time.process_time()
    for _ in range(PREDICTIONS):
        model.predict(X)
    predicted = (time.process_time() - fitted) / PREDICTIONS
    print(json.dumps({"fit": fitted - start, "predict": predicted, "score": model.score(X_test, y_test)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=3, metavar=("LIBRARY", "TABLE", "SEED"), help="one of them, for this program")
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure[0], args.measure[1], int(args.measure[2]))
    if unknown := set(args.tables) - set(TABLES):
        sys.exit(f"no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    libraries = ["wgrad", "scikit-learn", *(["PyTorch"] if importlib.util.find_spec("torch") else [])]
    print("| table | library | score | fit, CPU s | predict, CPU ms | wgrad fits faster by | and predicts by |")
    print("|---|---|---|---|---|---|---|")
    for name in args.tables or TABLES:
        results = {library: [] for library in libraries}
        for seed in range(args.rounds):
            for library in libraries:
                command = [sys.executable, __file__, "--measure", library, name, str(seed)]
                ran = subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD)
                if ran.returncode:
                    sys.exit(f"{' '.join(command)} failed:\n{ran.stderr}")
                results[library].append(json.loads(ran.stdout.splitlines()[-1]))
        own = None
        for library, runs in results.items():
            fit, predict = (statistics.median(run[what] for run in runs) for what in ("fit", "predict"))
            scores = [run["score"] for run in runs]
            error = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else float("nan")
            own = own or (fit, predict)
            faster = "" if library == "wgrad" else f"**{fit / own[0]:.1f}x** | {predict / own[1]:.1f}x"
            title = f"{name}: {TABLES[name][1]}; {TABLES[name][0]} epochs" if library == "wgrad" else ""
            print(
                f"| {title} | {library} | {statistics.mean(scores):.4f} ± {error:.4f} | {fit:.3f} | {1e3 * predict:.2f} | "
                f"{faster or ' | '} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
