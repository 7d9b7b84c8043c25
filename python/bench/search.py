"""Seconds for a random search over 1,000 configurations, by `wgrad.search` on workers of Dask and by scikit-learn's search.

    python bench/search.py [--configurations N] [--rounds N]

Both search the same space with the same folds of the digits' first 600 rows, for a network 64-16-10 trained for 20 epochs. Each
worker is a process with one thread, and so is each of scikit-learn's. The rounds are interleaved; the figures are medians.
"""

import argparse
import os
import statistics
import time
import warnings
from functools import partial

# Before NumPy and wgrad look.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "WGRAD_THREADS"):
    os.environ[name] = "1"

import sklearn.neural_network  # noqa: E402
from distributed import LocalCluster  # noqa: E402
from scipy.stats import loguniform  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import RandomizedSearchCV  # noqa: E402

import wgrad  # noqa: E402

SPACE = {"learning_rate_init": loguniform(1e-3, 1e-1), "alpha": loguniform(1e-6, 1e-1), "batch_size": [32, 64]}
NETWORK = {"hidden_layer_sizes": (16,), "max_iter": 20, "n_iter_no_change": 20}


def timed(run):
    start = time.perf_counter()
    score = run()
    return time.perf_counter() - start, score


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning"
    X, y = load_digits(return_X_y=True)
    X, y = X[:600] / 16, y[:600]
    budget = options.configurations

    def ours(client):
        model = wgrad.MLPClassifier(**NETWORK)
        return wgrad.search(model, SPACE, X, y, budget=budget, cv=3, client=client, refit=False).best_score_

    def theirs(jobs):
        model = sklearn.neural_network.MLPClassifier(**NETWORK, random_state=0)
        search = RandomizedSearchCV(model, SPACE, n_iter=budget, cv=3, refit=False, n_jobs=jobs, random_state=0)
        return search.fit(X, y).best_score_

    times = {}
    for _ in range(options.rounds):
        for workers in (1, 2):
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
            with cluster, cluster.get_client() as client:
                client.wait_for_workers(workers)
                times.setdefault(("wgrad", workers), []).append(timed(partial(ours, client)))
            times.setdefault(("scikit-learn", workers), []).append(timed(partial(theirs, workers)))
    for workers in (1, 2):
        (own, score), (other, other_score) = (
            (statistics.median(seconds for seconds, _ in rounds), rounds[-1][1])
            for rounds in (times["wgrad", workers], times["scikit-learn", workers])
        )
        print(
            f"{budget} configurations, 3 folds, {workers} worker{'s' * (workers > 1)}: wgrad {own:.1f} s, "
            f"scikit-learn {other:.1f} s, {other / own:.1f}x; best scores {score:.3f} and {other_score:.3f}"
        )


if __name__ == "__main__":
    main()
