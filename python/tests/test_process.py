"""Training as a part of a process: its threads, Ctrl-C, forks."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from wgrad import MLPRegressor, Trainer, _wgrad, nn, optim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4000, 20)).astype(np.float32)
Y = (X @ RNG.normal(size=20)).astype(np.float32)


def trainer(seed=0):
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 1))
    return Trainer(model, nn.MSELoss(), optim.Adam(1e-3), seed=seed)


def test_other_threads_run_while_one_trains_and_predicts():
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    other = threading.Thread(target=tick)
    network = trainer()
    other.start()
    try:
        begin = time.monotonic()
        # Some seconds at most, in one call that never returns to Python.
        network.fit(X, Y, epochs=60, batch_size=20, evaluate_every=0)
        end = time.monotonic()
        network.predict(np.repeat(X, 100, axis=0))
        after = time.monotonic()
    finally:
        done.set()
        other.join()
    assert sum(begin < at < end for at in ticks) > 10
    assert sum(end < at < after for at in ticks) > 1


def test_threads_train_networks_of_their_own_and_one_network_is_one_threads():
    alone = trainer(1)
    alone.fit(X, Y, epochs=3, batch_size=50)
    networks = [trainer(1) for _ in range(3)]
    threads = [
        threading.Thread(target=network.fit, args=(X, Y), kwargs={"epochs": 3, "batch_size": 50}) for network in networks
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for network in networks:
        np.testing.assert_array_equal(network.predict(X), alone.predict(X))
    busy, errors = trainer(), []

    def meddle(record):
        # Predictions go on meanwhile; another training of the same network does not.
        assert busy.predict(X[:2]).shape == (2, 1)
        with pytest.raises(RuntimeError, match="being trained"):
            busy.fit(X, Y)
        errors.append(record["epoch"])

    busy.fit(X, Y, epochs=2, on_epoch=meddle)
    assert errors == [1, 2]


def test_an_exception_of_a_callback_is_the_callers_and_the_network_stays():
    network = trainer()

    def fail(record):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        network.fit(X, Y, epochs=5, on_epoch=fail)
    history = network.fit(X, Y, epochs=5, on_epoch=lambda record: record["epoch"] == 3)
    assert list(history["epoch"]) == [2, 3]


CTRL_C = """
    import numpy as np, signal, warnings
    from wgrad import MLPRegressor
    # What a shell starts in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    X = np.random.default_rng(0).normal(size=(2000, 10))
    y = X[:, 0]
    model = MLPRegressor(max_iter=10**9, tol=0, n_iter_no_change=10**9, random_state=0)
    print("begins", flush=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert any("interrupted by user" in str(warning.message) for warning in caught), caught
    assert model.n_iter_ >= 1 and len(model.predict(X)) == 2000 and model.loss_curve_[-1] < model.loss_curve_[0]
    print("ends", flush=True)
"""


def test_ctrl_c_ends_the_training_and_keeps_what_was_learnt():
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(CTRL_C)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "begins\n"
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == "ends\n" and process.returncode == 0
    finally:
        process.kill()


FORK = """
    import multiprocessing, numpy as np
    from wgrad import MLPRegressor
    X = np.random.default_rng(0).normal(size=(20000, 50))
    y = X[:, 0]
    def work(seed):
        model = MLPRegressor((200,), max_iter=2, batch_size=2000, random_state=seed).fit(X, y)
        return float(model.predict(X[:1])[0]), float(parent.predict(X[:1])[0])
    # Large enough for several threads, which the children won't have.
    parent = MLPRegressor((200,), max_iter=2, batch_size=2000, random_state=0).fit(X, y)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(work, [0, 1, 0]).get(timeout=100)
    expected = float(parent.predict(X[:1])[0])
    assert results[0] == results[2] == (expected, expected) and results[1][0] != expected, results
    print("ends")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_after_training_on_several_threads_trains_and_predicts():
    environment = {**os.environ, "WGRAD_THREADS": "4"}
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORK)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert ran.stdout == "ends\n", ran.stderr


def test_arrays_come_out_without_a_copy_and_wrong_ones_are_errors():
    network = trainer()
    out = network._trainer.predict(X)
    # What is moved to NumPy is owned by it through a capsule, not a view of the network.
    assert out.shape == (4000, 1) and out.flags.c_contiguous and out.flags.writeable
    with pytest.raises(TypeError):
        network._trainer.predict(X.astype(float))
    with pytest.raises(ValueError, match="C-contiguous"):
        network._trainer.predict(X[:, ::2])
    with pytest.raises(ValueError, match="20"):
        network.predict(X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        network.predict(np.full((2, 20), np.nan))
    assert network.predict(X[:, ::-1].tolist()[:2]).shape == (2, 1)


def test_many_networks_at_once_train_as_each_would_alone():
    layers = [("Linear", {"inputs": 20, "outputs": 8, "bias": True}), ("ReLU", {})]
    layers.append(("Linear", {"inputs": 8, "outputs": 1, "bias": True}))
    data = _wgrad.Dataset(X, Y[:, None])
    rates = [1e-3, 1e-2, 1e-1, 1e30]

    def make(rate, beside):
        optimizer = ("Adam", {"learning_rate": rate, "decay_of_weights": 1e-3 * rate})
        return _wgrad.Trainer(layers, ("Mse", {}), optimizer, 7, beside)

    trainers = []
    for rate in rates:
        trainers.append(make(rate, trainers[0] if trainers else "cpu"))
    half = np.arange(0, 4000, 2, dtype=np.uint32)
    options = {"epochs": 2, "batch_size": 100, "rows": half, "validation_rows": half + 1, "evaluate_every": 1, "score": "r2"}
    outcomes, interrupted = _wgrad.fit_all(trainers, [data], [options] * 4)
    assert not interrupted and isinstance(outcomes[3]["error"], _wgrad.NotFinite)
    for rate, together, outcome in list(zip(rates, trainers, outcomes))[:3]:
        alone = make(rate, "cpu")
        [other], _ = _wgrad.fit_all([alone], [data], [options])
        np.testing.assert_array_equal(alone.predict(X), together.predict(X))
        np.testing.assert_array_equal(outcome["score"], other["score"])
    weighted = [data.with_weights(np.full(4000, 1.0 + at, np.float32)) for at in range(3)]
    outcomes, _ = _wgrad.fit_all(trainers[:3], weighted, [{"epochs": 1, "batch_size": 100}] * 3)
    assert [len(outcome["loss"]) for outcome in outcomes] == [1, 1, 1]
    with pytest.raises(ValueError, match="network 1 is on another device"):
        _wgrad.fit_all([trainers[0], make(1e-3, "cpu")], [data], [options] * 2)
    with pytest.raises(ValueError, match="3 networks"):
        _wgrad.fit_all(trainers[:3], [data], [options])


def test_a_compiled_trainer_is_pickled_with_its_optimizer():
    network = trainer()._trainer
    data = _wgrad.Dataset(X, Y[:, None])
    options = [{"epochs": 2, "batch_size": 100}]
    _wgrad.fit_all([network], [data], options)
    other = pickle.loads(pickle.dumps(network))
    _wgrad.fit_all([network], [data], options)
    _wgrad.fit_all([other], [data], options)
    np.testing.assert_array_equal(network.predict(X), other.predict(X))


def test_processes_that_are_spawned_take_a_model():
    model = MLPRegressor((8,), max_iter=5, tol=1e9, n_iter_no_change=1, random_state=0).fit(X, Y)
    code = (
        "import pickle, sys, numpy as np; m, X = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(m.predict(X).tobytes())"
    )
    ran = subprocess.run([sys.executable, "-c", code], input=pickle.dumps((model, X)), capture_output=True, timeout=100)
    assert ran.stdout == model.predict(X).tobytes(), ran.stderr
