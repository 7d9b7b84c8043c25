"""Networks of wgrad.nn: trained, measured, kept, and taken elsewhere."""

import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from wgrad import History, NotFinite, Trainer, nn, optim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3)).astype(np.float32)
Y = np.tanh(X @ np.array([1.0, -2.0, 0.5], np.float32))
CLASSES = (Y > 0).astype(np.float32)


def trainer(*layers, loss=None, optimizer=None, seed=0):
    model = nn.Sequential(*(layers or (nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))))
    return Trainer(model, loss or nn.MSELoss(), optimizer or optim.Adam(0.01), seed=seed)


def test_a_history_has_a_column_for_each_measure(tmp_path):
    network = trainer()
    history = network.fit(X[:150], Y[:150], epochs=20, batch_size=30, validation=(X[150:], Y[150:]))
    assert isinstance(history, History) and {len(history[name]) for name in history if name != "step_losses"} == {20}
    assert len(history["step_losses"]) == 100 and list(history["steps"]) == [5] * 20
    assert history["train_loss"][-1] < history["train_loss"][0] / 4 and np.isnan(history["train_accuracy"]).all()
    measured = network.evaluate(X[150:], Y[150:])
    assert measured == {"loss": pytest.approx(history["validation_loss"][-1]), "accuracy": None}
    expected = np.mean((network.predict(X[150:])[:, 0] - Y[150:]) ** 2)
    assert measured["loss"] == pytest.approx(expected, rel=1e-5)
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    assert [line.get_label() for line in history.plot().get_lines()] == ["loss", "train loss", "validation loss"]


def forward(state, x):
    """The network in double precision."""
    hidden = np.tanh(x.astype(float) @ state["0.weight"].T.astype(float) + state["0.bias"])
    return hidden @ state["2.weight"].T.astype(float) + state["2.bias"]


def test_state_dicts_and_files_have_pytorchs_names_and_layout(tmp_path):
    network = trainer()
    network.fit(X, Y, epochs=3)
    state = network.state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        "0.weight": (16, 3), "0.bias": (16,), "2.weight": (1, 16), "2.bias": (1,)
    }  # fmt: skip
    np.testing.assert_allclose(network.predict(X), forward(state, X), rtol=1e-4, atol=1e-5)
    path = tmp_path / "network.safetensors"
    network.save(path)
    for name, value in load_file(path).items():
        np.testing.assert_array_equal(value, state[name])
    # What another library wrote.
    save_file({name: 2 * value for name, value in state.items()}, path)
    other = trainer(seed=1)
    other.load(path)
    np.testing.assert_array_equal(other.state_dict()["2.bias"], 2 * state["2.bias"])
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.predict(X), network.predict(X))
    with pytest.raises(ValueError, match="missing: .*2.bias"):
        other.load_state_dict({name: state[name] for name in ("0.weight", "0.bias", "2.weight")})
    with pytest.raises(ValueError, match=r"0.bias is \[16\]"):
        other.load_state_dict({**state, "0.bias": np.zeros(3)})
    with pytest.raises(OSError):
        other.load(tmp_path / "nothing")


def test_a_checkpoint_goes_on_to_the_same_bits(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    straight, interrupted = trainer(), trainer()
    straight.fit(X, Y, epochs=10, batch_size=20)
    interrupted.fit(X, Y, epochs=4, batch_size=20, checkpoint=path)
    for resumed in (trainer(), trainer(), pickle.loads(pickle.dumps(interrupted))):
        if resumed.predict(X[:1]) != interrupted.predict(X[:1]):
            resumed.resume(path)
        history = resumed.fit(X, Y, epochs=10, batch_size=20, until=True)
        assert list(history["epoch"]) == [5, 6, 7, 8, 9, 10]
        np.testing.assert_array_equal(resumed.predict(X), straight.predict(X))
    other = trainer()
    other.resume(interrupted.checkpoint())
    np.testing.assert_array_equal(other.predict(X), interrupted.predict(X))
    with pytest.raises((ValueError, OSError)):
        other.resume(b"nothing")


@pytest.mark.parametrize(
    "layers, loss, targets",
    [
        ((nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)), nn.BCEWithLogitsLoss(), CLASSES),
        ((nn.Linear(3, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 2)), nn.CrossEntropyLoss(), CLASSES),
        ((nn.Linear(3, 8), nn.Residual(nn.Linear(8, 8), nn.SiLU()), nn.Linear(8, 1)), nn.HuberLoss(0.5), Y),
        ((nn.Linear(3, 8, bias=False), nn.ELU(0.5), nn.Linear(8, 1)), nn.L1Loss(), Y),
        ((nn.Linear(3, 8), nn.LeakyReLU(0.1), nn.Linear(8, 1), nn.Identity()), nn.QuantileLoss(0.5), Y),
        ((nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 1)), nn.MSELoss("sum"), Y),
        ((nn.Linear(3, 8), nn.Sigmoid(), nn.Linear(8, 2)), nn.CrossEntropyLoss([1.0, 2.0], label_smoothing=0.05), CLASSES),
    ],
    ids=lambda value: str(value)[:60] if not isinstance(value, np.ndarray) else "",
)
def test_every_module_and_loss_trains(layers, loss, targets):
    network = trainer(*layers, loss=loss)
    history = network.fit(X, targets, epochs=30, batch_size=20)
    assert history["train_loss"][-1] < 0.9 * history["train_loss"][0]
    if isinstance(loss, (nn.BCEWithLogitsLoss, nn.CrossEntropyLoss)):
        assert history["train_accuracy"][-1] > 0.8


def test_categories_are_embedded():
    numbers = RNG.integers(0, 5, (200, 2))
    y = np.array([0.0, 3, -1, 2, 5])[numbers].sum(axis=1)
    network = trainer(nn.Embedding(5, 4), nn.Linear(8, 1), optimizer=optim.Adam(0.05))
    history = network.fit(numbers, y, epochs=60, batch_size=20)
    assert history["train_loss"][-1] < 0.1


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
        optim.SGD(0.1, clip_norm=1.0, schedule=optim.step(10, 0.5)),
        optim.Adam(0.01, schedule=optim.warmup(3) * optim.cosine(30)),
        optim.AdamW(0.01, schedule=optim.exponential(0.999).per_step(), clip_value=1.0),
        optim.RMSprop(0.01, momentum=0.5, schedule=optim.multi_step([(10, 0.5), (20, 0.1)])),
    ],
    ids=repr,
)
def test_every_optimizer_trains(optimizer):
    history = trainer(optimizer=optimizer).fit(X, Y, epochs=30, batch_size=20)
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]


def test_learning_rates_are_the_schedules():
    network = trainer(optimizer=optim.SGD(0.1, schedule=optim.step(2, 0.5)))
    rates = []
    for _ in range(5):
        rates.append(network.learning_rate)
        network.fit(X, Y, epochs=1)
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.05, 0.05, 0.025], rtol=1e-6)
    network.learning_rate = 1.0
    assert network.learning_rate == 0.25


def test_early_stopping_restores_the_best_epoch(tmp_path):
    best_path = tmp_path / "best.safetensors"
    network = trainer(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 1), optimizer=optim.Adam(0.05))
    noise = Y + RNG.normal(size=200).astype(np.float32)
    history = network.fit(
        X[:100],
        noise[:100],
        epochs=200,
        batch_size=10,
        validation=(X[100:], noise[100:]),
        patience=5,
        checkpoint_best=best_path,
    )
    best = np.nanargmin(history["validation_loss"])
    assert len(history["epoch"]) == best + 6 < 200
    assert network.evaluate(X[100:], noise[100:])["loss"] == pytest.approx(history["validation_loss"][best], rel=1e-5)
    other = trainer(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 1), optimizer=optim.Adam(0.05))
    other.load(best_path)
    np.testing.assert_array_equal(other.predict(X), network.predict(X))


def test_weights_of_samples_count():
    network = trainer()
    weights = np.r_[np.ones(100), np.zeros(100)]
    network.fit(X, np.r_[Y[:100], np.full(100, 50.0)], sample_weight=weights, epochs=20)
    assert np.abs(network.predict(X)).max() < 5
    assert network.evaluate(X, Y, weights)["loss"] == pytest.approx(network.evaluate(X[:100], Y[:100])["loss"], rel=1e-4)


def test_what_is_wrong_is_said():
    with pytest.raises(TypeError, match="optimizer='adam' is no Optimizer"):
        Trainer(nn.Linear(1, 1), nn.MSELoss(), "adam")
    with pytest.raises(TypeError, match="no module"):
        nn.Sequential(np.tanh)
    with pytest.raises(ValueError, match="inputs=-1"):
        trainer(nn.Linear(-1, 2))
    with pytest.raises(ValueError, match="momentum"):
        trainer(optimizer=optim.SGD(0.1, nesterov=True))
    with pytest.raises(ValueError, match="learning rate"):
        trainer(optimizer=optim.SGD(-1.0))
    with pytest.raises(ValueError, match="seed=-1"):
        trainer(seed=-1)
    network = trainer()
    for wrong in ({"epochs": 0}, {"batch_size": 1.5}, {"accumulate": 0}, {"patience": -1}, {"evaluate_every": None}):
        with pytest.raises(ValueError, match="{}={}; give".format(*next(iter(wrong.items())))):
            network.fit(X, Y, **wrong)
    with pytest.raises(ValueError, match="3 rows of inputs and 2 rows of targets|3 .* 2"):
        network.fit(X[:3], Y[:2])
    with pytest.raises(ValueError, match="dimensions"):
        network.fit(X[None], Y)
    with pytest.raises(ValueError, match="monitor='speed'"):
        network.fit(X, Y, patience=3, monitor="speed", validation=(X, Y))
    with pytest.raises(ValueError, match="validation"):
        network.fit(X, Y, patience=3)
    before = network.predict(X)
    np.testing.assert_array_equal(network.predict(X), before)
    diverging = trainer(optimizer=optim.SGD(1e6))
    with pytest.raises(NotFinite):
        diverging.fit(X, 1e6 * Y, epochs=50)
    assert np.isfinite(diverging.predict(X)).all()
    with pytest.raises(ValueError, match="class"):
        trainer(nn.Linear(3, 2), loss=nn.CrossEntropyLoss()).fit(X, np.full(200, 7))
