"""GPUs, where there is an adapter, if only a software one (apt-get install mesa-vulkan-drivers)."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from sklearn.datasets import load_iris

from wgrad import MLPClassifier, devices
from wgrad._spec import WORTH_A_GPU, device_of, layers_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
GPUS = [name for name in devices() if not name.startswith("cpu")]
needs_gpu = pytest.mark.skipif(not GPUS, reason="no adapter here")
X, Y = load_iris(return_X_y=True)


@needs_gpu
@pytest.mark.parametrize("alpha", [0.0, 1e-2])
def test_a_gpu_gives_the_cpus_network(alpha):
    options = {"random_state": 0, "max_iter": 20, "learning_rate_init": 0.01, "alpha": alpha, "n_members": 2}
    on_gpu = MLPClassifier((8,), device="gpu", **options).fit(X, Y)
    on_cpu = MLPClassifier((8,), device="cpu", **options).fit(X, Y)
    # 20 steps of sums of 150 terms in single precision, added up in another order.
    np.testing.assert_allclose(on_gpu.predict_proba(X), on_cpu.predict_proba(X), rtol=1e-3, atol=1e-4)
    again = pickle.loads(pickle.dumps(on_gpu))
    np.testing.assert_array_equal(again.predict_proba(X), on_gpu.predict_proba(X))
    np.testing.assert_array_equal(again._trainers[0].parameters()[0][1], on_gpu._trainers[0].parameters()[0][1])


FORK = """
    import os, sys, numpy as np
    from wgrad import MLPRegressor
    X = np.zeros((10, 2)); y = np.ones(10)
    model = MLPRegressor((2,), max_iter=1, device="gpu").fit(X, y)
    child = os.fork()
    if child == 0:
        try:
            fit = MLPRegressor(device="gpu").fit
            for call in (lambda: model.predict(X), lambda: model.partial_fit(X, y), lambda: fit(X, y)):
                try:
                    call()
                    os._exit(1)
                except RuntimeError as error:
                    assert "forked" in str(error), error
            # The CPU path is there.
            MLPRegressor((2,), max_iter=1).fit(X, y)
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print("ends")
"""


@needs_gpu
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_of_a_process_with_a_gpu_says_so():
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORK)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert ran.stdout == "ends\n", ran.stderr


def test_auto_goes_by_the_size_of_a_step():
    model = MLPClassifier((100,), device="auto")
    small, large = layers_of(model, 20, 2), layers_of(model, 10_000, 2)
    assert device_of(model, small, 200) == "cpu"
    assert device_of(model, large, 200) == "auto"
    assert device_of(model, [("Linear", {"inputs": 1 << 11, "outputs": 1 << 11})], 1) == "auto" and WORTH_A_GPU == 1 << 22
    assert device_of(MLPClassifier(device="vulkan"), small, 200) == "vulkan"
