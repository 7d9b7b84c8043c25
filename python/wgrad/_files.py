"""Estimators as safetensors files: the network's tensors under PyTorch's names, the rest as text."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from typing import Any

import numpy as np

_KEY = "wgrad.estimator"


def write(path: Any, tensors: dict[str, np.ndarray], texts: dict[str, str]) -> None:
    """A safetensors file of float32 tensors, in the place of what was there in one step."""
    header: dict[str, Any] = {"__metadata__": texts}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + 4 * tensor.size
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    # The tensors begin at a multiple of 8.
    text += b" " * (-len(text) % 8)
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".wgrad-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for tensor in tensors.values():
                file.write(np.ascontiguousarray(tensor, dtype="<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())
        # As a new file would have it; temporary ones are the user's alone.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read(path: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The float32 tensors of a safetensors file, and its texts."""
    with open(path, "rb") as file:
        return parse(file.read(), path)


def parse(content: bytes, of: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The same of a file's content; `of` is what an error is about."""
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        texts = header.pop("__metadata__", {})
        tensors = {}
        for name, entry in header.items():
            start, end = (8 + length + at for at in entry["data_offsets"])
            if entry["dtype"] != "F32" or not 8 + length <= start <= end <= len(content):
                raise ValueError(name)
            tensors[name] = np.frombuffer(content[start:end], "<f4").reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"{of} is damaged, or no safetensors file of float32 tensors") from error
    return tensors, texts


def _plain(value: Any) -> Any:
    """A parameter as JSON has it."""
    if isinstance(value, (np.integer, np.floating, np.bool_, np.ndarray)):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def save(estimator: Any, path: Any) -> None:
    parameters = {name: _plain(value) for name, value in estimator.get_params(deep=False).items()}
    if not isinstance(parameters["random_state"], (int, type(None))):
        parameters["random_state"] = None
    classes = getattr(estimator, "classes_", None)
    if classes is not None and classes.dtype.kind not in "biufUO":
        raise ValueError(f"classes of the kind {classes.dtype} have no place in a file; use pickle")
    state = {
        "class": type(estimator).__name__,
        "parameters": parameters,
        "made_of": [estimator._layers, *estimator._made_of],
        "fitted": {name: _plain(getattr(estimator, name)) for name in _FITTED if hasattr(estimator, name)},
        "classes": None if classes is None else [classes.dtype.str, classes.tolist()],
        "features": getattr(estimator, "feature_names_in_", np.array([])).tolist(),
    }
    tensors = {}
    several = len(estimator._trainers) > 1
    for member, trainer in enumerate(estimator._trainers):
        for name, value in trainer.parameters():
            tensors[f"{member}.{name}" if several else name] = value if name.endswith("weight") else value.ravel()
    try:
        write(path, tensors, {_KEY: json.dumps(state)})
    except TypeError as error:
        raise ValueError(f"{error}: this estimator has no place in a file; use pickle") from error


# What an estimator is besides its networks.
_FITTED = (
    "n_features_in_", "n_outputs_", "_multilabel", "_is_vector", "_head", "loss_curve_", "loss_", "best_loss_", "n_iter_", "t_",
    "validation_scores_", "best_validation_score_", "members_",
)  # fmt: skip


def load(cls: Any, path: Any) -> Any:
    tensors, texts = read(path)
    if _KEY not in texts:
        raise ValueError(f"{path} has a network, but no estimator: use Trainer.load, or PyTorch")
    try:
        state = json.loads(texts[_KEY])
        if state["class"] != cls.__name__:
            raise ValueError(f"{path} is of a {state['class']}; call {state['class']}.load")
        return _rebuilt(cls, state, tensors)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error


def _rebuilt(cls: Any, state: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    """The estimator of this state, with these tensors."""
    if isinstance(state["parameters"]["hidden_layer_sizes"], list):
        state["parameters"]["hidden_layer_sizes"] = tuple(state["parameters"]["hidden_layer_sizes"])
    estimator = cls(**state["parameters"])
    for name in state["fitted"].keys() & set(_FITTED):
        setattr(estimator, name, state["fitted"][name])
    if state["classes"] is not None:
        kind, values = state["classes"]
        estimator.classes_ = np.array(values, dtype=np.dtype(kind))
    if state["features"]:
        estimator.feature_names_in_ = np.array(state["features"], dtype=object)
    layers, loss, optimizer, seeds, device = state["made_of"]
    estimator._layers = _tuples(layers)
    estimator._made_of = (_tuples(loss), _tuples(optimizer), seeds, device)
    estimator._random_state = np.random.RandomState(seeds[0] % 2**32)
    estimator._rebuild()
    several = len(seeds) > 1
    for member, trainer in enumerate(estimator._trainers):
        names = [name for name, _ in trainer.parameters()]
        wanted = {name: tensors[f"{member}.{name}" if several else name] for name in names}
        trainer.set_parameters({name: np.atleast_2d(value).astype(np.float32) for name, value in wanted.items()})
    estimator._expose()
    return estimator


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were: a name with its options, or a list of these."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    items = [_tuples(item) for item in value]
    is_list = all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in items)
    return items if is_list and items else tuple(items)
