"""``microtensor evaluate`` measures a model that ``microtensor train`` saved, on data with known answers."""

from microtensor.cli import models, sources
from microtensor.cli.scores import print_comparison


def run(options):
    """Print the scores; of the data that the model was trained on, those of the part that training did not use."""
    trained = models.read_model(options)
    sources.check_data(options, trained)
    if trained.encoder is None:
        x, y, part = _arrays(options, trained)
    else:
        x, y, part = _table(options, trained)
    print_comparison(f"of {len(x):,} {part}", trained, x, y)
    return 0


def _arrays(options, trained):
    options.seed = trained.seed
    data = sources.read(options)
    x, y = data.parts[2]
    inputs, classes = trained.network["sizes"][0], trained.network["sizes"][-1]
    if x.shape[1] != inputs or int(y.max()) >= classes:
        options.parser.error(f"argument DATA: {options.model} takes {inputs} numbers and knows {classes} classes, "
                             f"x_test has {x.shape[1]} numbers and y_test classes up to {int(y.max())}")
    if data.checksum != trained.checksum:
        sources.print_notes([f"{options.model} was trained on other data"])
    return x, y, "examples for testing"


def _table(options, trained):
    encoder = trained.encoder

    def read(options):
        table = sources.read_table(options, target=encoder.target, task=encoder.task)
        x, y = encoder.encode(table), encoder.encode_target(table)
        if table.checksum != trained.checksum:
            table.notes.append(f"{options.model} was trained on another file: all rows are measured, also those that "
                               "training may have used")
            return table.notes, x, y, "rows"
        rows = table.split(sources.SHARES, seed=trained.seed)[2]
        return table.notes, x[rows], y[rows], "rows for testing, which training did not use"

    (notes, x, y, part), warned = sources.refused(options, read)
    sources.print_notes([*notes, *warned])
    return x, y, part
