"""R-Drop with early dropout in a plain PyTorch loop, on scikit-learn's digits.

The lines that name `noise` or `rdrop_exp` are all that it adds to the loop.

python examples/plain_pytorch.py
"""

import torch
from sklearn.datasets import load_digits
from torch.nn import Dropout, Linear, ReLU, Sequential

import rdrop_exp

torch.manual_seed(0)
x, y = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x = x.float() / 16
model = Sequential(Linear(64, 128), ReLU(), Dropout(), Linear(128, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
noise = rdrop_exp.install_noise(model, dropout=0.2, when="early", cutoff=100, seed=0)

for step in range(200):
    batch = torch.randint(1297, (128,))
    noise.step(step)  # the rates of this step
    loss = rdrop_exp.rdrop_loss(model(noise.repeat(x[batch])), y[batch], alpha=0.5)  # one pass after step 100
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

accuracy = (model.eval()(x[1297:]).argmax(1) == y[1297:]).float().mean()
print(f"test accuracy {accuracy:.1%}")
