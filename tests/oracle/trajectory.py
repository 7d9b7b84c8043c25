"""Prints tests/oracle/trajectory.rs: what PyTorch makes of a small network, in float64.

    python tests/oracle/trajectory.py > tests/oracle/trajectory.rs

All numbers that go in are multiples of a power of two, so that f32 holds them exactly; tests/training/pytorch.rs
makes the same ones.
"""

import torch


def numbers(count, first, over):
    """Integers of both signs from a fixed pattern, divided by `over`."""
    return torch.tensor([((first + 37 * i) % 97 - 48) / over for i in range(count)], dtype=torch.float64)


layers = [torch.nn.Linear(2, 5), torch.nn.Linear(5, 5), torch.nn.Linear(5, 2)]
model = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.ReLU(), layers[2]).double()
parameters = list(model.parameters())
with torch.no_grad():
    for first, parameter in enumerate(parameters):
        parameter.copy_(numbers(parameter.numel(), 11 * (first + 1), 64).view_as(parameter))
x = numbers(14, 5, 32).view(7, 2)
target = numbers(14, 70, 64).view(7, 2)

optimizer = torch.optim.SGD(parameters, lr=0.125)
losses, gradients = [], []
for step in range(10):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x), target)
    loss.backward()
    losses.append(loss.item())
    if step == 0:
        gradients = [parameter.grad.flatten().tolist() for parameter in parameters]
    optimizer.step()


def literals(values, indent):
    return "".join(f"{indent}{value:.12e},\n" for value in values)


print(f"//! Printed by trajectory.py with PyTorch {torch.__version__.split('+')[0]}: see there.\n")
print("/// The loss before each of ten steps.")
print(f"pub(crate) const LOSSES: [f64; 10] = [\n{literals(losses, '    ')}];\n")
print("/// The gradients of the first step: weight and bias of each layer in turn.")
print("pub(crate) const GRADIENTS: [&[f64]; 6] = [")
for gradient in gradients:
    print(f"    &[\n{literals(gradient, '        ')}    ],")
print("];")
