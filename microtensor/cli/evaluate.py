"""``microtensor evaluate`` measures a classifier that ``microtensor train`` saved, on test data."""

import sys

import microtensor as mt
from microtensor import nn
from microtensor.cli import classifier
from microtensor.data import DataLoader, TensorDataset


def run(options):
    """Print loss and accuracy on the test part, and say if the data are not those that the training saw."""
    model, saved = classifier.load_trained(options)
    data = classifier.read_data(options)
    _, _, x, y = data
    inputs, classes = saved["network"]["sizes"][0], saved["network"]["sizes"][-1]
    if x.shape[1] != inputs or int(y.max()) >= classes:
        options.parser.error(f"argument --data: {options.weights} takes {inputs} numbers and knows {classes} classes, "
                             f"x_test has {x.shape[1]} numbers and y_test classes up to {int(y.max())}")
    if classifier.checksum(data) != saved.get("data"):
        print(f"note       {options.weights} was trained on other data", file=sys.stderr)
    score = mt.evaluate(model, nn.CrossEntropyLoss(), DataLoader(TensorDataset(x, y), 1024), [mt.metrics.accuracy])
    print(f"examples   {len(x):,}")
    print(f"loss       {score['loss']:.4f}")
    print(f"accuracy   {score['accuracy']:.2%}")
    return 0
