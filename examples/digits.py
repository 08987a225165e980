"""Recognise handwritten digits: what `microtensor train` does, without its checks and pictures.

python examples/digits.py [weights.npz]
"""

import sys
from pathlib import Path

import microtensor as mt
from microtensor import datasets, nn, optim
from microtensor.data import DataLoader, TensorDataset

path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits.npz")
path.parent.mkdir(parents=True, exist_ok=True)

mt.manual_seed(0)
train_x, train_y, test_x, test_y = datasets.digits()        # (1438, 64), (1438,), (359, 64), (359,)
loader = DataLoader(TensorDataset(train_x, train_y), batch_size=32, shuffle=True)

model = nn.Sequential(
    nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(64, 10),
)
loss_function = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-3)
schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)

for epoch in range(20):
    model.train()
    for x, y in loader:
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=5.0)
        optimizer.step()
    schedule.step()

    model.eval()
    with mt.no_grad():
        accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
    print(f"epoch {epoch + 1:2}   loss of the last batch {loss.item():.4f}   test accuracy {accuracy:.2%}")

mt.save(model.state_dict(), path)
print(f"weights: {path}")
