"""A Sequential's file, written by PyTorch and its safetensors package, and what PyTorch computes with it.

`interop.safetensors` holds the state_dict of

    Linear(4, 16), LayerNorm(16), GELU, Dropout(0.1), Linear(16, 8), LeakyReLU(0.01), Linear(8, 3), Softmax

under PyTorch's names; `interop.json` holds inputs [n, 4] and the outputs [n, 3] in evaluation, both in float32, and
the file's parameters, so that what is read can be told from what was written. It needs the package `safetensors`
besides PyTorch.

Given a file of wgrad's for this network, it loads that instead, and prints its outputs for the inputs of
`interop.json`:

    python interop.py saved.safetensors
"""

import json
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from common import HERE, write

torch.manual_seed(5)
model = nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 8),
                      nn.LeakyReLU(0.01), nn.Linear(8, 3), nn.Softmax(dim=1)).eval()

if len(sys.argv) > 1:
    model.load_state_dict(load_file(sys.argv[1]))
    with safe_open(sys.argv[1], "pt") as file:
        print("metadata", file.metadata(), file=sys.stderr)
    expected = json.loads((HERE / "interop.json").read_text())
    with torch.no_grad():
        outputs = model(torch.tensor(expected["inputs"]).view(-1, 4)).flatten()
    print("largest difference of an output:", (outputs - torch.tensor(expected["outputs"])).abs().max().item())
    same = all(p.flatten().tolist() == torch.tensor(expected["parameters"][name]).tolist()
               for name, p in model.state_dict().items())
    print("the same parameters:", same)
    sys.exit(0 if same else 1)

# LayerNorm starts as ones and zeros, which would hide a mix-up.
with torch.no_grad():
    model[1].weight.uniform_(0.5, 1.5)
    model[1].bias.uniform_(-0.5, 0.5)
    inputs = torch.randn(12, 4)
    outputs = model(inputs)
state = model.state_dict()
save_file(state, HERE / "interop.safetensors")
write("interop.json", {"inputs": inputs, "outputs": outputs, "parameters": state})
