"""DataLoader: the batches of a dataset."""

from microtensor._arguments import checked_bool, checked_count
from microtensor.creation import tensor
from microtensor.data.dataset import get_batch, get_examples, speaks_for
from microtensor.data.sampler import RandomSampler, Sampler, SequentialSampler, row_numbers


class _Pass:
    """One pass over a dataset: its rows in their order, None when it is complete, and how many batches were given.

    It keeps the batch_size that it began with.
    """

    def __init__(self, batch_size, order=None, batch=0):
        self.batch_size = batch_size
        self.order = order
        self.batch = batch


class _Batches:
    """The iterator of a pass. The loader knows the pass, and not this, which knows the loader: there is no cycle."""

    def __init__(self, loader, current):
        self.loader = loader
        self.current = current

    def __iter__(self):
        return self

    def __next__(self):
        loader, current = self.loader, self.current
        if current.order is None or current.batch == loader.count(len(current.order), current.batch_size):
            current.order, current.batch = None, 0
            raise StopIteration
        start = current.batch * current.batch_size
        batch = loader.fetch(current.order[start : start + current.batch_size])
        current.batch += 1
        return batch

    def state_dict(self):
        """As ``DataLoader.state_dict``, but of this pass, even if another one has begun."""
        return self.loader.state_of(self.current)


class DataLoader:
    """The batches of a dataset: one pass over it each time it is iterated.

    A dataset has a length and gives its rows in one of three ways: ``get_batch(rows)``, as TensorDataset has it, gives
    a batch for an int64 array of row numbers, and is the fastest; ``dataset[i]`` gives an example, and ``collate_fn``
    makes a batch of a list of them; ``__getitems__(rows)`` gives such a list for a list of row numbers.

    A loader that has loaded a ``state_dict()``, which another gave in the middle of a pass, goes on with the batches
    that remain. The state has the order of that pass, and the state of the generator that orders the next ones if
    one was given. Without one they come from the default generator, which others draw from too: save
    ``mt.default_generator().get_state()`` yourself.

    Args:
        dataset: as above.
        batch_size: the number of examples per batch; the last batch holds the rest.
        shuffle: a new order for every pass.
        sampler: an iterable with a length that gives the row numbers of a pass, in place of shuffle; a Sampler, a list.
        num_workers: 0, as there are no worker processes.
        collate_fn: makes a batch of a list of examples, also of a dataset that has get_batch; by default
            ``default_collate``.
        drop_last: leave out a last batch of fewer than batch_size examples: batch normalisation cannot train
            on a batch of one.
        generator: the mt.Generator that shuffles; by default the one that mt.manual_seed seeds.

    Attributes:
        sampler: what gives the rows: the one that was given, a RandomSampler or a SequentialSampler.

    Raises:
        TypeError: if the dataset or the sampler has no length, batch_size is no int, or collate_fn no function.
        ValueError: if batch_size is below 1, no pass would have a batch, num_workers is not 0, or sampler comes with
            shuffle or generator.
        TypeError, IndexError: when it is iterated, if what the sampler gives are no integers or no rows of the dataset.

    >>> import microtensor as mt
    >>> from microtensor.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(mt.arange(5.0)), batch_size=2)
    >>> len(loader)
    3
    >>> [x for x, in loader]
    [tensor([0., 1.]), tensor([2., 3.]), tensor([4.])]
    >>> list(DataLoader([("one", 1), ("two", 2), ("three", 3)], batch_size=2))
    [(['one', 'two'], tensor([1, 2])), (['three'], tensor([3]))]
    """

    def __init__(self, dataset, batch_size=1, shuffle=False, sampler=None, *, num_workers=0, collate_fn=None,
                 drop_last=False, generator=None):
        """Remember how to make batches; nothing is drawn yet."""
        self.batch_size = checked_count("batch_size", batch_size)
        self.drop_last = checked_bool("drop_last", drop_last)
        if num_workers != 0:
            raise ValueError(f"num_workers must be 0, got {num_workers}: there are no worker processes; a dataset with "
                             "get_batch(rows) reads a batch by one index, and a thread can prefetch batches")
        if collate_fn is not None and not callable(collate_fn):
            raise TypeError(f"collate_fn must be a function of a list of examples, not {type(collate_fn).__name__}")
        shuffle = checked_bool("shuffle", False if shuffle is None else shuffle)
        if generator is not None and sampler is None and not shuffle:
            raise ValueError("generator is for shuffle=True, and would be ignored without it")
        if sampler is not None and (shuffle or generator is not None):
            raise ValueError("sampler is mutually exclusive with shuffle and generator: it gives the order, and may "
                             "have a generator of its own")
        for name, given in (("dataset", dataset), ("sampler", [] if sampler is None else sampler)):
            if not hasattr(given, "__len__"):
                raise TypeError(f"DataLoader needs a {name} with a length, not a {type(given).__name__}: make a list "
                                "of what it gives")
        self.dataset = dataset
        self.collate_fn = collate_fn
        rows = len(dataset if sampler is None else sampler)
        if self.count(rows, self.batch_size) == 0:
            reason = f"of the {rows} rows drop_last leaves out all" if rows else "there are no rows"
            raise ValueError(f"DataLoader would give no batch of batch_size {self.batch_size}: {reason}")
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler = sampler
        self._pass = _Pass(self.batch_size)     # the newest
        self._resumes = False                   # whether the next iteration goes on with it

    def __len__(self):
        """The number of batches in a pass."""
        return self.count(len(self.sampler), self.batch_size)

    def __iter__(self):
        """Draw the order of a new pass and give its batches; after ``load_state_dict``, once, the remaining ones."""
        if not self._resumes:
            self._pass = _Pass(self.batch_size, self._draw())
        self._resumes = False
        return _Batches(self, self._pass)

    def state_dict(self):
        """Where the newest pass is: a batch counts as given from when the loop gets it.

        A pass that was broken off is the newest until the next begins.

        Returns:
            A dict that mt.save can write: "order", the rows of the pass, int64, or None when it is complete; "batch",
            how many of its batches were given; "batch_size"; and "sampler", its state, if it has a ``state_dict``, with
            that of its generator.

        >>> import microtensor as mt
        >>> from microtensor.data import DataLoader
        >>> loader, another = DataLoader(range(6), 2, shuffle=True), DataLoader(range(6), 2, shuffle=True)
        >>> batches = iter(loader)
        >>> first = next(batches)
        >>> another.load_state_dict(loader.state_dict())
        >>> [batch.tolist() for batch in batches] == [batch.tolist() for batch in another]
        True
        """
        return self.state_of(self._pass)

    def state_of(self, current):
        """``state_dict`` of a pass."""
        order = None if current.order is None else tensor(current.order)
        state = {"order": order, "batch": current.batch, "batch_size": current.batch_size}
        return {**state, "sampler": self.sampler.state_dict()} if hasattr(self.sampler, "state_dict") else state

    def load_state_dict(self, state_dict):
        """Go on where ``state_dict()`` was taken: the next iteration gives the remaining batches, if any.

        Args:
            state_dict: of a loader of the same batch_size, over as many rows.

        Raises:
            ValueError: if it has other parts or another batch_size, is of a pass over another number of rows, or has
                given more batches than there are; nothing is changed in this case and the next two.
            IndexError: if it has rows that the dataset has not.
            TypeError: if its rows are no integers.
        """
        own = self.state_dict()
        if state_dict.keys() != own.keys():
            raise ValueError(f"the state_dict of this DataLoader must have {list(own)}, and has {list(state_dict)}")
        order, batch, batch_size = (state_dict[name] for name in ("order", "batch", "batch_size"))
        if batch_size != self.batch_size:
            raise ValueError(f"the state_dict is for batch_size {batch_size}, this DataLoader has {self.batch_size}")
        if order is not None:
            order = self._rows("the state_dict's order", order)
            if len(order) != len(self.sampler):
                raise ValueError(f"the state_dict is of a pass over {len(order)} rows, a pass of this DataLoader has "
                                 f"{len(self.sampler)}")
        given = 0 if order is None else self.count(len(order), self.batch_size)
        if batch not in range(given + 1):
            raise ValueError(f"the state_dict says that {batch!r} batches were given, of {given} in the pass")
        if "sampler" in own:
            self.sampler.load_state_dict(state_dict["sampler"])
        self._pass = _Pass(batch_size, order, int(batch))
        self._resumes = order is not None

    def fetch(self, rows):
        """The batch of an int64 array of row numbers."""
        if self.collate_fn is None:
            return get_batch(self.dataset, rows)
        return self.collate_fn(get_examples(self.dataset, rows))

    def count(self, rows, batch_size):
        """The number of batches of a size that these many rows make."""
        whole, rest = divmod(rows, batch_size)
        return whole if self.drop_last or rest == 0 else whole + 1

    def _draw(self):
        """The rows of a new pass, checked."""
        at_once = isinstance(self.sampler, Sampler) and speaks_for("draw", "__iter__", self.sampler)
        return self._rows("the sampler's rows", self.sampler.draw() if at_once else self.sampler)

    def _rows(self, name, rows):
        return row_numbers(name, rows, len(self.dataset))
