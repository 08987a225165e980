"""Whole trainings on small real data: scores and times of microtensor, PyTorch and scikit-learn.

    python benchmarks/training.py [--write docs/training.md]

Each program gets the same arrays and parts, and trains the same net (one hidden layer of 64, ReLU) by Adam for the
same number of epochs, batches of 32; then it takes the weights of its best epoch on the validation part, and is scored
on the test part, which nothing was chosen by. A seed chooses the parts, the first weights and the order. Times are of a
whole training, with one thread or with all, whichever is faster, after a warm-up with another seed. PyTorch's loop is
what an expert would write: batches by one index, no DataLoader, Adam with fused=True. The data are scikit-learn's.
"""

import itertools
import statistics
import time
import warnings

import harness
import numpy as np

HIDDEN, BATCH, EPOCHS, RATE = 64, 32, 60, 2e-3
SEEDS = range(5)
DATA = ("wine", "breast_cancer", "diabetes", "digits")
PROGRAMS = {"microtensor": "microtensor", "torch": "PyTorch", "sklearn": "scikit-learn"}


def arrays(name, seed):
    """(x, y) of the training, validation and test part, standardised by the training part; whether y are classes."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    classes = name != "diabetes"
    order = np.random.default_rng(seed).permutation(len(x))
    train, val, test = np.split(order, [int(0.7 * len(x)), int(0.85 * len(x))])

    def standardised(columns):
        mean, std = columns[train].mean(axis=0), columns[train].std(axis=0)
        return ((columns - mean) / np.where(std > 0, std, 1)).astype(np.float32)

    x, y = standardised(x), y.astype(np.int64) if classes else standardised(y[:, None])
    return [(x[part], y[part]) for part in (train, val, test)], classes


def score(outputs, targets, classes):
    """The share of right classes, or R^2."""
    if classes:
        return float((outputs.argmax(axis=1) == targets).mean())
    return float(1 - ((targets - outputs) ** 2).sum() / ((targets - targets.mean()) ** 2).sum())


# -- the programs: each returns a function that trains and gives the outputs for the test part -------------------------


def microtensor(train, val, test, classes, seed):
    """As docs/training.md does it."""
    import microtensor as mt
    from microtensor import nn, optim
    from microtensor.data import DataLoader, TensorDataset

    def run():
        mt.manual_seed(seed)
        data = [TensorDataset(mt.from_numpy(x), mt.from_numpy(y)) for x, y in (train, val)]
        model = nn.Sequential(nn.Linear(train[0].shape[1], HIDDEN), nn.ReLU(),
                              nn.Linear(HIDDEN, int(train[1].max()) + 1 if classes else 1))
        loss = nn.CrossEntropyLoss() if classes else nn.MSELoss()
        mt.fit(model, loss, optim.Adam(model.parameters(), lr=RATE), DataLoader(data[0], BATCH, shuffle=True),
               DataLoader(data[1], 1024), epochs=EPOCHS, callbacks=[mt.fitting.EarlyStopping(patience=EPOCHS)],
               progress=False)
        with mt.no_grad():
            return model(mt.from_numpy(test[0])).numpy()

    return run


def torch(train, val, test, classes, seed):
    """The loop written by hand."""
    import torch
    from torch import nn

    def run():
        torch.manual_seed(seed)
        x, y = map(torch.from_numpy, train)
        val_x, val_y = map(torch.from_numpy, val)
        model = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(),
                              nn.Linear(HIDDEN, int(y.max()) + 1 if classes else 1))
        loss_function = nn.CrossEntropyLoss() if classes else nn.MSELoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        best, best_state = float("inf"), None
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH):
                loss = loss_function(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                val_loss = loss_function(model(val_x), val_y).item()
            if val_loss < best:
                best, best_state = val_loss, {name: p.clone() for name, p in model.state_dict().items()}
        model.load_state_dict(best_state)
        with torch.no_grad():
            return model(torch.from_numpy(test[0])).numpy()

    return run


def sklearn(train, val, test, classes, seed):
    """Its own loop; it takes the validation part from the training part, by its own draw, of the same size."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x, y = (np.concatenate(pair) for pair in zip(train, val, strict=True))
    kind = MLPClassifier if classes else MLPRegressor

    def run():
        model = kind(hidden_layer_sizes=HIDDEN, batch_size=BATCH, learning_rate_init=RATE, alpha=0.0, max_iter=EPOCHS,
                     early_stopping=True, validation_fraction=len(val[0]) / len(x), n_iter_no_change=EPOCHS,
                     random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)     # it has used its budget, as it should
            model.fit(x, y if classes else y.ravel())
        return model.predict_proba(test[0]) if classes else model.predict(test[0])[:, None]

    return run


def measure(program, name, seed):
    """Seconds and score of a training."""
    parts, classes = arrays(name, seed)
    run = globals()[program](*parts, classes, seed)
    began = time.perf_counter()
    outputs = run()
    return {"seconds": time.perf_counter() - began, "score": score(outputs, parts[2][1], classes)}


# -- the table ---------------------------------------------------------------------------------------------------------


def best_threads(turns, program):
    """A program's results with the number of threads that took it the least time."""
    return min((found for (name, _), found in turns.items() if name == program),
               key=lambda found: statistics.median(result["seconds"] for result in found))


def table(document):
    """A row for each data set."""
    versions = document["machine"]["versions"]
    named = ", ".join(f"{package} {versions[package]}" for package in ("microtensor", "torch", "scikit-learn"))
    lines = [
        "Score on the test part (share of right classes; for diabetes R²), mean ± standard deviation over "
        f"{len(SEEDS)} seeds, and milliseconds of a whole training of {EPOCHS} epochs, with how many times "
        f"microtensor's that is ({document['machine']['processor']}, {document['machine']['cores']} cores, "
        f"{document['date'][:10]}; {named}):",
        "",
        "| data | training rows | " + " | ".join(f"{label}: score" for label in PROGRAMS.values()) + " | "
        + " | ".join(f"{label}: ms" for label in PROGRAMS.values()) + " |",
        "|---" * (2 + 2 * len(PROGRAMS)) + "|",
    ]
    for name, found in document["data"].items():
        scores = [f"{statistics.mean(p['scores']):.3f} ± {statistics.stdev(p['scores']):.3f}"
                  for p in found["programs"].values()]
        times = [f"{1e3 * statistics.median(p['seconds']):.0f}" + f" ({p['ratio']['median']:.1f}x)" * (i > 0)
                 for i, p in enumerate(found["programs"].values())]
        lines.append(f"| {name.replace('_', ' ')} | {found['rows']} | " + " | ".join(scores + times) + " |")
    return "\n".join(lines)


def main():
    """Measure, print and write."""
    options = harness.parser(__doc__, rounds=3, page=True).parse_args()
    if options.serve:
        return harness.serve({"measure": lambda **arguments: measure(options.serve, **arguments)})
    runners = [harness.Runner(__file__, program, threads)
               for program, threads in itertools.product(harness.installed(PROGRAMS), harness.thread_counts())]
    document = {"data": {}}
    for name in DATA:
        for runner in runners:
            runner.ask("measure", name=name, seed=len(SEEDS))
        turns = {(runner.name, runner.threads): [] for runner in runners}
        for seed in SEEDS:
            for runner, answers in harness.in_turn(runners, options.rounds, "measure", name=name, seed=seed).items():
                turns[runner.name, runner.threads] += answers
        programs = {}
        for program in harness.installed(PROGRAMS):
            best = best_threads(turns, program)
            seconds = [found["seconds"] for found in best]
            programs[program] = {"seconds": seconds, "scores": [found["score"] for found in best[:: options.rounds]]}
            programs[program]["ratio"] = harness.paired(seconds, programs["microtensor"]["seconds"])
        document["data"][name] = {"rows": len(arrays(name, 0)[0][0][0]), "programs": programs}
    for runner in runners:
        runner.close()
    harness.report(options, "training", document, table)


if __name__ == "__main__":
    main()
