"""microtensor's and scikit-learn's MLPClassifier and MLPRegressor, side by side: scores and times of a fit.

    python benchmarks/estimators.py [--data wine titanic ...] [--write docs/estimators.md]

Two settings: each with its own defaults, which leave targets of regression as they are in scikit-learn and standardise
them in microtensor; and an equal budget, the same net, optimiser, rate, batch size and number of epochs, without early
stopping, targets of regression standardised for both. Each gets the same arrays: numbers standardised, with the median
and an indicator where they are missing, categories one-hot, by what is in the training part, three quarters of the
rows. A seed chooses the parts, the weights and the order of the rows; none was used to choose anything in microtensor.
Times are of ``fit``, with one thread or with all, whichever took less in a first fit with another seed.

diamonds is a file of the package plotnine, titanic of bokeh-sampledata; both are found without importing the package:
pip install "microtensor[benchmark]". The others are scikit-learn's, or made.
"""

import functools
import importlib.metadata
import statistics
import time
import warnings

import harness
import numpy as np

SEEDS = range(5)
PROGRAMS = {"microtensor": "microtensor", "sklearn": "scikit-learn"}
SETTINGS = {"defaults": "own defaults", "equal": "equal budget"}
HIDDEN, BATCH, EPOCHS, RATE = (128, 64), 64, 30, 1e-3       # of the equal budget


# -- data: (features, targets, whether these are classes); features are an array or a data frame -----------------------


def of_package(package, path):
    """A table from the files of an installed package, which is not imported."""
    import pandas

    try:
        file = importlib.metadata.distribution(package).locate_file(path)
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f'{package} is not installed: pip install "microtensor[benchmark]"') from None
    return pandas.read_csv(file)


def of_sklearn(name, classes):
    """One of scikit-learn's data sets."""
    from sklearn import datasets

    return *getattr(datasets, f"load_{name}")(return_X_y=True), classes


def titanic():
    """Who survived, without names."""
    table = of_package("bokeh-sampledata", "bokeh_sampledata/_data/titanic_all.csv")
    return table.drop(columns=["name", "survived"]), table["survived"].to_numpy(), True


def diamonds():
    """Prices."""
    table = of_package("plotnine", "plotnine/data/diamonds.csv")
    return table.drop(columns="price"), table["price"].to_numpy(np.float64), False


def made():
    """Classes in 20 columns, of which half tell something."""
    from sklearn.datasets import make_classification

    return *make_classification(100_000, 20, n_informative=10, n_classes=3, random_state=0), True


DATA = {
    "wine": functools.partial(of_sklearn, "wine", True),
    "breast cancer": functools.partial(of_sklearn, "breast_cancer", True),
    "diabetes": functools.partial(of_sklearn, "diabetes", False),
    "digits": functools.partial(of_sklearn, "digits", True),
    "titanic": titanic,
    "diamonds": diamonds,
    "made": made,
}


@functools.cache
def parts(name, seed):
    """(x, y) for training and for testing, float32 x; and whether y are classes."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, y, classes = DATA[name]()
    train, test = train_test_split(np.arange(len(y)), test_size=0.25, random_state=seed,
                                   stratify=y if classes else None)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder, pick = numbers, x.__getitem__
    if not isinstance(x, np.ndarray):
        words = make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"),
                              OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False))
        encoder = make_column_transformer((numbers, make_column_selector(dtype_include="number")),
                                          (words, make_column_selector(dtype_exclude="number")))
        pick = x.iloc.__getitem__
    train_x = encoder.fit_transform(pick(train)).astype(np.float32)
    return (train_x, y[train]), (encoder.transform(pick(test)).astype(np.float32), y[test]), classes


# -- the programs ------------------------------------------------------------------------------------------------------


def estimator(program, setting, classes, seed):
    """An estimator of either program."""
    equal = {"hidden_layer_sizes": HIDDEN, "batch_size": BATCH, "max_iter": EPOCHS, "learning_rate_init": RATE,
             "n_iter_no_change": EPOCHS}
    if program == "microtensor":
        from microtensor.sklearn import MLPClassifier, MLPRegressor
    else:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        equal["alpha"] = 0.0
    chosen = (MLPClassifier if classes else MLPRegressor)(random_state=seed, **(equal if setting == "equal" else {}))
    if setting == "equal" and program == "sklearn" and not classes:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.preprocessing import StandardScaler

        return TransformedTargetRegressor(chosen, transformer=StandardScaler())
    return chosen


def measure(program, name, setting, seed):
    """Seconds of a fit, its epochs, and the score on the test part."""
    from sklearn.exceptions import ConvergenceWarning

    train, test, classes = parts(name, seed)
    model = estimator(program, setting, classes, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)     # a budget is a budget
        began = time.perf_counter()
        model.fit(*train)
        seconds = time.perf_counter() - began
    epochs = getattr(model, "regressor_", model).n_iter_
    return {"seconds": seconds, "epochs": epochs, "score": float(model.score(*test)), "rows": len(train[0])}


# -- the table ---------------------------------------------------------------------------------------------------------


def compare(name, setting):
    """What each program reaches on a data set, with its better number of threads."""
    fastest = {}
    for program in PROGRAMS:
        runners = [harness.Runner(__file__, program, threads) for threads in harness.thread_counts()]
        first = {runner: runner.ask("measure", name=name, setting=setting, seed=len(SEEDS)) for runner in runners}
        fastest[program] = min(runners, key=lambda runner: first[runner]["seconds"])
        for runner in runners:
            if runner is not fastest[program]:
                runner.close()
    answers = {program: [] for program in PROGRAMS}
    for seed in SEEDS:
        for runner, found in harness.in_turn(fastest.values(), 1, "measure", name=name, setting=setting,
                                             seed=seed).items():
            answers[runner.name] += found
    for runner in fastest.values():
        runner.close()
    seconds = {program: [answer["seconds"] for answer in found] for program, found in answers.items()}
    return {program: {"threads": fastest[program].threads, "seconds": seconds[program],
                      "scores": [answer["score"] for answer in found],
                      "epochs": [answer["epochs"] for answer in found], "rows": found[0]["rows"],
                      "ratio": harness.paired(seconds[program], seconds["microtensor"])}
            for program, found in answers.items()}


def table(document):
    """A row for each data set and setting."""
    versions = document["machine"]["versions"]
    lines = [
        "Score on the test part (share of right classes; for diabetes and diamonds R²), mean ± standard deviation "
        f"over {len(SEEDS)} seeds; epochs and seconds of a fit, and how many times microtensor's that is "
        f"({document['machine']['processor']}, {document['machine']['cores']} cores, {document['date'][:10]}; "
        f"microtensor {versions['microtensor']}, scikit-learn {versions['scikit-learn']}). By default "
        "microtensor standardises the targets of regression and scikit-learn does not; the equal budget does for both.",
        "",
        "| data | training rows | setting | microtensor: score | scikit-learn: score | microtensor: epochs, s | "
        "scikit-learn: epochs, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, settings in document["data"].items():
        for setting, programs in settings.items():
            scores = [f"{statistics.mean(found['scores']):.3f} ± {statistics.stdev(found['scores']):.3f}"
                      for found in programs.values()]
            times = [f"{statistics.median(found['epochs']):.0f}, {statistics.median(found['seconds']):.2g}"
                     + f" ({found['ratio']['median']:.1f}x)" * (i > 0) for i, found in enumerate(programs.values())]
            rows = programs["microtensor"]["rows"]
            lines.append(f"| {name} | {rows:,} | {SETTINGS[setting]} | " + " | ".join(scores + times) + " |")
    return "\n".join(lines)


def main():
    """Measure, print and write."""
    parser = harness.parser(__doc__, rounds=1, page=True)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), help="only these data sets")
    options = parser.parse_args()
    if options.serve:
        return harness.serve({"measure": functools.partial(measure, options.serve)})
    document = {"data": {name: {setting: compare(name, setting) for setting in SETTINGS} for name in options.data}}
    harness.report(options, "estimators", document, table)


if __name__ == "__main__":
    main()
