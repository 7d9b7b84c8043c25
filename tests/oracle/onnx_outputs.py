"""What onnxruntime computes with wgrad's ONNX files, and PyTorch's files for wgrad to read.

`onnx/*.onnx` of wgrad's are written by a test that is run by hand (`cargo test --test export -- --ignored`). This script
checks each by `onnx.checker`, runs it by onnxruntime on one row and on all at once, which must agree up to rounding, and
stores inputs and outputs in `onnx.json`. With PyTorch it also writes `onnx/pytorch-*.onnx`, by both of its exporters, with
PyTorch's own outputs in evaluation.

It needs the packages `numpy`, `onnx` and `onnxruntime`; for PyTorch's files `torch` and `onnxscript`.
"""

import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime

HERE = pathlib.Path(__file__).parent
ROWS = 6


def inputs(name, cols):
    """Multiples of 1 / 64 between -1 and 1; the leading columns of categories are 0 to 4 and 0 to 2."""
    numbers = (numpy.arange(ROWS * cols) * 37 % 129 - 64).astype(numpy.float32).reshape(ROWS, cols) / 64
    categories = {"embedding": [5, 5], "columns": [5, 3]}.get(name, [])
    for col, count in enumerate(categories):
        numbers[:, col] = (numpy.arange(ROWS) * 2 + col) % count
    if name == "standardised":
        numbers = numbers * numpy.array([64, 1, 2], numpy.float32) + numpy.array([170, 0.5, 0], numpy.float32)
    return numbers


def flat(array):
    """Float32 numbers with as many digits as tell them from their neighbours."""
    return [float(numpy.format_float_positional(v, unique=True)) for v in array.astype(numpy.float32).flatten()]


def run(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [source], [sink] = session.get_inputs(), session.get_outputs()
    assert source.shape[0] == sink.shape[0] == "batch", (source.shape, sink.shape)
    x = inputs(path.stem, source.shape[1])
    outputs = session.run(None, {source.name: x})[0]
    rows = numpy.concatenate([session.run(None, {source.name: row[None]})[0] for row in x])
    assert outputs.shape == (ROWS, sink.shape[1])
    assert numpy.allclose(outputs, rows, rtol=1e-4, atol=1e-5), abs(outputs - rows).max()
    assert session.get_modelmeta().producer_name == "wgrad"
    print(path.name, outputs.shape, session.get_modelmeta().custom_metadata_map)
    return {"inputs": flat(x), "outputs": flat(outputs)}


def pytorch():
    import torch
    from torch import nn

    torch.manual_seed(11)
    networks = {
        "mlp": nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8, bias=False), nn.Tanh(), nn.Dropout(0.1),
                             nn.Linear(8, 3), nn.Softmax(dim=1)),
        "norm": nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.SiLU(), nn.LayerNorm(6), nn.GELU(), nn.ELU(0.5),
                              nn.LeakyReLU(0.2), nn.Linear(6, 2), nn.LogSoftmax(dim=1)),
    }
    found = []
    for name, network in networks.items():
        for _ in range(5):  # Running statistics of their own.
            network(torch.randn(16, 4) * 2 + 1)
        network.eval()
        x = torch.tensor(inputs(name, 4))
        for exporter, options in {"dynamo": {"dynamo": True}, "torchscript": {"dynamo": False}}.items():
            for opset in (18, 20):
                path = HERE / "onnx" / f"pytorch-{name}-{exporter}-{opset}.onnx"
                try:
                    torch.onnx.export(network, (x,), path, opset_version=opset, external_data=False, **options)
                except Exception as error:
                    print(path.name, "not written:", type(error).__name__, str(error)[:200], file=sys.stderr)
                    continue
                forget_traces(path)
                found.append({"file": path.name, "cols": 4, "inputs": flat(x.numpy()),
                              "outputs": flat(network(x).detach().numpy())})
                print(path.name, sorted({node.op_type for node in onnx.load(path).graph.node}))
    return found


def forget_traces(path):
    """Removes what the exporter says of the program that called it: its files and lines."""
    model = onnx.load(path)
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *model.functions]:
        del part.metadata_props[:]
    for part in graph.node:
        part.doc_string = ""
    onnx.save(model, path)


def main():
    target = HERE / "onnx.json"
    old = json.loads(target.read_text()) if target.exists() else {}
    models = {path.stem: run(path) for path in sorted((HERE / "onnx").glob("*.onnx")) if "pytorch" not in path.stem}
    try:
        found = {"torch": __import__("torch").__version__.split("+")[0], "pytorch": pytorch()}
    except ModuleNotFoundError as error:
        print(error, "- PyTorch's files are left as they are", file=sys.stderr)
        found = {key: old[key] for key in ("torch", "pytorch")}
    entries = [f' "onnxruntime": {json.dumps(onnxruntime.__version__)}', f' "torch": {json.dumps(found["torch"])}',
               ' "models": {\n' + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in models.items()) + "\n }",
               ' "pytorch": [\n' + ",\n".join(f"  {json.dumps(v)}" for v in found["pytorch"]) + "\n ]"]
    target.write_text("{\n" + ",\n".join(entries) + "\n}\n")


if __name__ == "__main__":
    main()
