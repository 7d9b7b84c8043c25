"""What the oracle scripts share: numbers that are exact in float32, and compact, readable JSON."""

import json
import math
import pathlib

import torch

torch.set_num_threads(1)

HERE = pathlib.Path(__file__).parent


def f32(value):
    """The float32 nearest to a number, as a Python float: what a float32 library computes with when told 0.1."""
    return torch.tensor(value, dtype=torch.float32).item()


def short(value):
    """The float with the fewest digits that still reads back as this float32.

    Its neighbours read back as the same float32 too, so a JSON reader that is off by one unit in the last place of a
    float64 does no harm.
    """
    assert f32(value) == value, f"{value} is no float32"
    for digits in range(1, 18):
        text = float(f"{value:.{digits}g}")
        if all(f32(t) == value for t in (math.nextafter(text, -math.inf), text, math.nextafter(text, math.inf))):
            return int(text) if text == int(text) else text
    raise ValueError(value)


def plain(value):
    """Tensors as flat, row-major lists: float32 (and Python numbers that are one) as `short`, float64 in full."""
    if isinstance(value, torch.Tensor):
        numbers = value.detach().flatten().tolist()
        return [short(v) for v in numbers] if value.dtype == torch.float32 else numbers
    return value


def text(value, indent=""):
    """JSON with a line for each key; whatever holds no dictionary stays on one line."""
    value = plain(value)
    inner = indent + " "
    if isinstance(value, dict) and value:
        rows = [f"{inner}{json.dumps(key)}: {text(v, inner)}" for key, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(v, (dict, torch.Tensor)) for v in value):
        return "[\n" + ",\n".join(inner + text(v, inner) for v in value) + f"\n{indent}]"
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def write(name, value):
    """Writes `name`, relative to this folder."""
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text({"torch": torch.__version__.split("+")[0], **value}) + "\n")
    print(f"{path.relative_to(HERE)}: {path.stat().st_size} bytes")
