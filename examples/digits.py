"""Recognise handwritten digits: the net of `microtensor train`, by SGD, without its checks and pictures.

python examples/digits.py [weights.npz]
"""

import sys
from pathlib import Path

import microtensor as mt
from microtensor import datasets, nn, optim
from microtensor.data import DataLoader, TensorDataset, random_split

path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits.npz")
path.parent.mkdir(parents=True, exist_ok=True)

mt.manual_seed(0)
x, y, test_x, test_y = datasets.digits()        # (1438, 64), (1438,), (359, 64), (359,)
train, val = random_split(TensorDataset(x, y), [0.9, 0.1])

model = nn.Sequential(
    nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(64, 10),
)
loss = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-3)
schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)



def tell(training):
    """A callback: what the epoch came to."""
    row = training.history.last()
    print(f"epoch {training.epoch:2}   validation loss {row['val_loss']:.4f}   accuracy {row['val_accuracy']:.2%}")


mt.fit(
    model, loss, optimizer, DataLoader(train, batch_size=32, shuffle=True), DataLoader(val, batch_size=1000),
    epochs=20, scheduler=schedule, clip=5.0, metrics=[mt.metrics.accuracy],
    callbacks=[tell], progress=False,
)
score = mt.evaluate(model, loss, DataLoader(TensorDataset(test_x, test_y), batch_size=1000), [mt.metrics.accuracy])
print(f"test accuracy {score['accuracy']:.2%}")

mt.save(model.state_dict(), path)
print(f"weights: {path}")
