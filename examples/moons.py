"""Separate two moons with a small network, and draw where it decides for which.

python examples/moons.py [picture.png]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import microtensor as mt
from microtensor import datasets, nn, optim
from microtensor.data import DataLoader, TensorDataset

path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/moons.png")
path.parent.mkdir(parents=True, exist_ok=True)

mt.manual_seed(0)
x, y = datasets.moons(300, noise=0.15)          # (300, 2), (300,)
model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
history = mt.fit(
    model, nn.CrossEntropyLoss(), optimizer, DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True), epochs=150,
    progress=False,
)
print(f"loss {history['loss'][0]:.4f} in the first epoch, {history['loss'][-1]:.4f} in the last")

# The probability of the lower moon on a grid of points.
across, up = np.meshgrid(np.linspace(-1.6, 2.6, 210), np.linspace(-1.2, 1.7, 145))
grid = mt.tensor(np.stack([across, up], axis=-1), dtype=mt.float32)     # (145, 210, 2)
with mt.no_grad():
    probability = model(grid).softmax(dim=-1)[..., 1].numpy()           # (145, 210)
    accuracy = (model(x).argmax(1) == y).float().mean().item()

figure = Figure(figsize=(7.5, 4.8), layout="constrained")
axes = figure.subplots()
shades = axes.contourf(across, up, probability, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.7)
axes.contour(across, up, probability, levels=[0.5], colors="black", linewidths=1.5)
for label, color, name in ((0, "tab:blue", "upper moon"), (1, "tab:red", "lower moon")):
    points = x[y == label].numpy()
    axes.scatter(*points.T, s=22, color=color, edgecolor="white", linewidth=0.6, label=name)
axes.set_title(f"Two moons: {accuracy:.1%} of the points on their side of the boundary")
axes.set_xlabel("$x_1$")
axes.set_ylabel("$x_2$")
axes.set_aspect("equal")
axes.legend(loc="upper right")
figure.colorbar(shades, shrink=0.9, label="probability of the lower moon")
figure.savefig(path, dpi=150)
print(f"picture: {path}")
