"""Learning-rate schedules: each gives every group's lr as a function of how many times ``step`` was called.

    scheduler = StepLR(optimizer, step_size=30)
    for epoch in range(100):
        train(...)
        scheduler.step()

``ReduceLROnPlateau`` alone looks at a metric, and not at the number of steps.
"""

import bisect
import copy
import math

from microtensor._arguments import checked_count, checked_number
from microtensor.core import refuse_in_capture


class LRScheduler:
    """Base class: a subclass defines ``lr_at`` or ``options_at``, and lists what cannot be saved in ``unsaved``.

    Args:
        optimizer: whose groups' "lr" are set; what they are now is the base.

    Attributes:
        base_lrs: the learning rates at the start, one per group.
        last_epoch: how many times ``step`` was called.
        per_batch: whether ``mt.fit`` calls ``step`` after each batch, and not after each epoch; may be set.
    """

    per_batch = False
    moving = ("last_epoch",)                    # attributes that step changes
    unsaved = ("optimizer", "per_batch")        # attributes that state_dict leaves out

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self._go_to(0)

    def lr_at(self, base_lr, epoch):
        """The learning rate of a group that started with base_lr after some epochs."""
        raise NotImplementedError(f"{type(self).__name__} has no lr_at")

    def options_at(self, base_lrs, epoch):
        """The options of the groups that started with base_lrs after some epochs: a dict for each group."""
        return [{"lr": self.lr_at(base_lr, epoch)} for base_lr in base_lrs]

    def step(self):
        """Go on to the next epoch."""
        self._go_to(self.last_epoch + 1)

    def get_last_lr(self):
        """The current learning rates, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        """All but the optimiser and functions, which are not data."""
        return {name: value for name, value in self.__dict__.items() if name not in self.unsaved}

    def load_state_dict(self, state_dict):
        """Take over what ``state_dict()`` of a schedule of the same class gave, and set the learning rates.

        Raises:
            ValueError: if it is another schedule's or for another number of groups; nothing is changed.
        """
        loaded = self._loaded(state_dict)
        loaded._go_to(loaded.last_epoch)        # of the copy: if it raises, nothing is changed
        self.__dict__.update(loaded.__dict__)

    def _loaded(self, state_dict):
        """A copy of the schedule with another state, once that is checked."""
        own = self.state_dict()
        if state_dict.keys() != own.keys():
            raise ValueError(f"expected a state_dict with {sorted(own)}, got {sorted(state_dict)}")
        groups, own_groups = len(state_dict["base_lrs"]), len(self.optimizer.param_groups)
        if groups != own_groups:
            raise ValueError(f"the state_dict is for {groups} groups, the optimiser has {own_groups}")
        loaded = copy.copy(self)
        loaded.__dict__.update(state_dict)
        return loaded

    def _go_to(self, epoch):
        refuse_in_capture("a step of a schedule")
        groups, new = self.optimizer.param_groups, self.options_at(self.base_lrs, epoch)
        if len(new) != len(groups):
            raise ValueError(f"{type(self).__name__} is for {len(new)} groups, the optimiser has {len(groups)}: "
                             "make a new schedule after add_param_group")
        self.last_epoch = epoch
        for group, options in zip(groups, new, strict=True):
            group.update(options)


class StepLR(LRScheduler):
    """The learning rate multiplied by gamma every step_size epochs.

    Args:
        optimizer: whose learning rates are set.
        step_size: epochs between two drops.
        gamma: the factor of a drop.

    Formula: lr = base gamma^floor(epoch / step_size)
    """

    def __init__(self, optimizer, step_size, gamma=0.1):
        _check_positive("step_size", step_size)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer)

    def lr_at(self, base_lr, epoch):
        """base gamma^floor(epoch / step_size)."""
        return base_lr * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """The learning rate multiplied by gamma at each of some epochs.

    Args:
        optimizer: whose learning rates are set.
        milestones: numbers of epochs, in increasing order; one that comes twice counts twice.
        gamma: the factor of a drop.

    Raises:
        ValueError: if milestones are below 0 or not in increasing order.

    Formula: lr = base gamma^k, k the number of milestones of at most epoch
    """

    def __init__(self, optimizer, milestones, gamma=0.1):
        self.milestones = _increasing(milestones)
        self.gamma = gamma
        super().__init__(optimizer)

    def lr_at(self, base_lr, epoch):
        """base gamma^(number of milestones of at most epoch)."""
        return base_lr * self.gamma ** bisect.bisect_right(self.milestones, epoch)


class ExponentialLR(LRScheduler):
    """The learning rate multiplied by gamma every epoch.

    Args:
        optimizer: whose learning rates are set.
        gamma: the factor.

    Formula: lr = base gamma^epoch
    """

    def __init__(self, optimizer, gamma):
        self.gamma = gamma
        super().__init__(optimizer)

    def lr_at(self, base_lr, epoch):
        """base gamma^epoch."""
        return base_lr * self.gamma**epoch


class LambdaLR(LRScheduler):
    """The learning rate times a function of the epoch; a state_dict does not hold the function.

    Args:
        optimizer: whose learning rates are set.
        lr_lambda: takes the number of epochs and returns the factor; or a list of such functions, one per group.

    Raises:
        TypeError: if one of them is no function.
        ValueError: if their number is not that of the groups.

    Formula: lr = base lr_lambda(epoch)
    """

    unsaved = (*LRScheduler.unsaved, "lr_lambdas")

    def __init__(self, optimizer, lr_lambda):
        groups = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"lr_lambda has {len(self.lr_lambdas)} functions, the optimiser has {groups} groups")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda must be a function of the epoch, got a {type(function).__name__}")
        super().__init__(optimizer)

    def options_at(self, base_lrs, epoch):
        """base lr_lambda(epoch), of each group by its own function."""
        return [{"lr": base_lr * factor(epoch)} for base_lr, factor in zip(base_lrs, self.lr_lambdas, strict=True)]


class CosineAnnealingLR(LRScheduler):
    """The learning rate down half a cosine wave, from its base to eta_min in T_max epochs.

    Args:
        optimizer: whose learning rates are set.
        T_max: epochs until eta_min.
        eta_min: the lowest learning rate.

    Formula: lr = eta_min + (base - eta_min) (1 + cos(pi epoch / T_max)) / 2

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts.
    """

    def __init__(self, optimizer, T_max, eta_min=0.0):  # noqa: N803  (PyTorch's name)
        _check_positive("T_max", T_max)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer)

    def lr_at(self, base_lr, epoch):
        """eta_min + (base - eta_min) (1 + cos(pi epoch / T_max)) / 2."""
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class LinearLR(LRScheduler):
    """The learning rate times a factor that moves from start_factor to end_factor, linearly: a warm-up.

    Args:
        optimizer: whose learning rates are set.
        start_factor: the factor at first.
        end_factor: the factor in the end, and from then on.
        total_iters: epochs in between.

    Formula: lr = base (start + (end - start) min(epoch, total_iters) / total_iters)
    """

    def __init__(self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters=5):
        _check_positive("total_iters", total_iters)
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError("start_factor must be in (0, 1] and end_factor in [0, 1], "
                             f"got {start_factor} and {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def lr_at(self, base_lr, epoch):
        """base (start + (end - start) min(epoch, total_iters) / total_iters)."""
        done = min(epoch, self.total_iters) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class OneCycleLR(LRScheduler):
    """The learning rate up from max_lr / div_factor to max_lr and down to almost 0, and the momentum the other way.

    Call ``step`` after every batch. The optimiser's own learning rate and momentum (Adam's beta1) are replaced.

    Args:
        optimizer: whose learning rates and momentums are set.
        max_lr: the highest learning rate, or a list of them, one per group.
        total_steps: batches in the cycle; if None, it is epochs steps_per_epoch.
        epochs, steps_per_epoch: the other way to say how many batches there are.
        pct_start: the share of the steps in which the learning rate goes up.
        anneal_strategy: "cos" goes from level to level along half a cosine wave, "linear" along a line.
        cycle_momentum: whether the momentum goes from max_momentum down to base_momentum and back up.
        base_momentum, max_momentum: its lowest and highest value, or a list of them, one per group.
        div_factor: max_lr divided by the first learning rate.
        final_div_factor: the first learning rate divided by the last.
        three_phase: go down as long as up, to the first learning rate, and from there to the last.

    Raises:
        TypeError: if a number of steps or epochs is not an int.
        ValueError: if the number of steps is not given or below 1, an argument is out of range, a list has another
            length than the groups, or the optimiser has no momentum to cycle; in ``step``, if total_steps are done.

    Formula, with levels a and b at the steps s and e where a phase starts and ends, p = (step - s) / (e - s), and
        n = total_steps, pct = pct_start:
        cos: b + (a - b) (1 + cos(pi p)) / 2;  linear: a + (b - a) p
        two phases: lr max/div, max, max/div/final;  momentum max, base, max;  at the steps 0, pct n - 1, n - 1
        three phases: lr max/div, max, max/div, max/div/final;  momentum max, base, max, max;  at 0, pct n - 1,
        2 pct n - 2, n - 1

    >>> import microtensor as mt
    >>> optimizer = mt.optim.SGD([mt.ones(1)], lr=1.0, momentum=0.9)
    >>> scheduler = OneCycleLR(optimizer, max_lr=0.5, total_steps=5, pct_start=0.4, anneal_strategy="linear")
    >>> for step in range(4):
    ...     print(f"{optimizer.param_groups[0]['lr']:.3f} {optimizer.param_groups[0]['momentum']:.3f}")
    ...     scheduler.step()
    0.020 0.950
    0.500 0.850
    0.333 0.883
    0.167 0.917

    Source: Smith and Topin 2017, arXiv:1708.07120; two phases are fastai's.
    """

    per_batch = True

    def __init__(self, optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None, pct_start=0.3,
                 anneal_strategy="cos", cycle_momentum=True, base_momentum=0.85, max_momentum=0.95, div_factor=25.0,
                 final_div_factor=1e4, three_phase=False):
        if total_steps is not None:
            self.total_steps = checked_count("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = checked_count("epochs", epochs) * checked_count("steps_per_epoch", steps_per_epoch)
        else:
            raise ValueError("OneCycleLR needs total_steps, or both epochs and steps_per_epoch")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start is a share of the steps, from 0 to 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if not (div_factor > 0 and final_div_factor > 0):
            raise ValueError("div_factor and final_div_factor must be above 0, "
                             f"got {div_factor} and {final_div_factor}")
        if cycle_momentum and not optimizer.defaults.keys() & {"momentum", "betas"}:
            raise ValueError(f"{type(optimizer).__name__} has neither momentum nor betas: pass cycle_momentum=False")
        self.max_lrs = _per_group("max_lr", max_lr, optimizer, math.inf)
        self.base_momentums = _per_group("base_momentum", base_momentum, optimizer, 1)
        self.max_momentums = _per_group("max_momentum", max_momentum, optimizer, 1)
        self.pct_start, self.three_phase = pct_start, three_phase
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        super().__init__(optimizer)

    def options_at(self, base_lrs, epoch):
        """Those of the formula at step number epoch, whatever base_lrs are."""
        if epoch > self.total_steps:
            raise ValueError(f"step {epoch} of OneCycleLR, whose total_steps are {self.total_steps}: call step once "
                             "after each batch, or make the schedule longer")
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        bounds = [0.0, peak, 2 * self.pct_start * self.total_steps - 2, last] if self.three_phase else [0.0, peak, last]
        phase = next((i for i, end in enumerate(bounds[1:]) if epoch <= end), len(bounds) - 2)
        start, end = bounds[phase : phase + 2]
        done = (epoch - start) / (end - start) if end != start else 1.0         # a phase may have no steps

        options = []
        for group, max_lr, low, high in zip(self.optimizer.param_groups, self.max_lrs, self.base_momentums,
                                            self.max_momentums, strict=False):      # a group may be new: see _go_to
            first = max_lr / self.div_factor
            lrs = [first, max_lr, *([first] if self.three_phase else []), first / self.final_div_factor]
            options.append({"lr": self._between(*lrs[phase : phase + 2], done)})
            if self.cycle_momentum:
                momentum = self._between(*[high, low, high, high][phase : phase + 2], done)
                options[-1].update({"betas": (momentum, *group["betas"][1:])} if "betas" in group
                                   else {"momentum": momentum})
        return options

    def _between(self, a, b, done):
        if self.anneal_strategy == "linear":
            return a + (b - a) * done
        return b + (a - b) / 2 * (1 + math.cos(math.pi * done))


class ReduceLROnPlateau(LRScheduler):
    """The learning rate multiplied by factor whenever a metric has not improved for more than patience epochs.

    Args:
        optimizer: whose learning rates are set.
        mode: "min" if a lower metric is better, "max" if a higher one is.
        factor: of a drop, at least 0 and below 1.
        patience: the number of epochs without improvement that are tolerated.
        threshold: by how much a metric must be better than the best one to be an improvement.
        threshold_mode: "rel" for a threshold that is a share of the best metric, "abs" for one in its unit.
        cooldown: epochs after a drop that are not counted.
        min_lr: the lowest learning rate, or a list of them, one per group.
        eps: a learning rate that would fall by eps or less is not changed.

    Attributes:
        base_lrs: the current learning rates: they do not depend on the epoch.
        best: the best metric so far; at first inf, or -inf for "max".
        num_bad_epochs: epochs without improvement since the last one, or since the last drop.
        cooldown_counter: epochs of cooldown that are still to come.

    Raises:
        ValueError: if an argument is out of range, or min_lr is a list of another length than the groups.

    Formula: metric < best (1 - threshold) is an improvement; max: metric > best (1 + threshold);
        abs: metric < best - threshold;  max: metric > best + threshold;  nan is none;
        at a drop lr = max(factor lr, min_lr)

    >>> import microtensor as mt
    >>> optimizer = mt.optim.SGD([mt.ones(1)], lr=1.0)
    >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     scheduler.step(loss)
    ...     print(scheduler.get_last_lr())
    [1.0]
    [1.0]
    [1.0]
    [0.5]
    """

    moving = (*LRScheduler.moving, "base_lrs", "best", "num_bad_epochs", "cooldown_counter")

    def __init__(self, optimizer, mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel", cooldown=0,
                 min_lr=0, eps=1e-8):
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}")
        for name, value in (("patience", patience), ("cooldown", cooldown), ("threshold", threshold)):
            checked_number(name, value, 0)
        if not 0 <= factor < 1:
            raise ValueError(f"factor must be at least 0 and below 1, got {factor}")
        _per_group("min_lr", min_lr, optimizer, math.inf)
        self.min_lr = min_lr
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def lr_at(self, base_lr, epoch):
        """base, which ``step`` lowers."""
        return base_lr

    def step(self, metrics):
        """Go on to the next epoch.

        Args:
            metrics: a number, or a tensor of one element: what the epoch came to.
        """
        metric = float(metrics)
        lrs = self.get_last_lr()            # and not base_lrs, as others may have set them
        lowest = _per_group("min_lr", self.min_lr, self.optimizer, math.inf)        # there may be new groups
        lowered = [self._lowered(lr, bound) for lr, bound in zip(lrs, lowest, strict=True)]
        self.num_bad_epochs += 1
        if self._is_better(metric):
            self.best, self.num_bad_epochs = metric, 0
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lrs, self.cooldown_counter, self.num_bad_epochs = lowered, self.cooldown, 0
        self.base_lrs = lrs
        super().step()

    def _is_better(self, metric):
        step = -self.threshold if self.mode == "min" else self.threshold
        limit = self.best * (1 + step) if self.threshold_mode == "rel" else self.best + step
        return metric < limit if self.mode == "min" else metric > limit

    def _lowered(self, lr, lowest):
        lowered = max(lr * self.factor, lowest)
        return lowered if lr - lowered > self.eps else lr


class SequentialLR(LRScheduler):
    """One schedule after the other: each begins anew at its milestone, from the optimiser's own learning rates.

    Only this schedule is stepped: it asks the others, as functions, what the learning rate is.

    Args:
        optimizer: whose learning rates are set.
        schedulers: schedules of this optimiser, made just before, in any order.
        milestones: the numbers of epochs at which the second schedule begins, the third, ..., in increasing order.

    Attributes:
        base_lrs: the learning rates from before the schedules were made.

    Raises:
        TypeError: if one of them is no schedule.
        ValueError: if there is none, one is for another optimiser or needs a metric, the milestones are not one less
            or not in order, or the learning rates have been changed since the schedules were made.

    Formula: lr = that of schedule k after epoch - milestone_k epochs, k the number of milestones of at most epoch

    >>> import microtensor as mt
    >>> optimizer = mt.optim.SGD([mt.ones(1)], lr=1.0)
    >>> warmup = LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> scheduler = SequentialLR(optimizer, [warmup, ExponentialLR(optimizer, gamma=0.5)], milestones=[3])
    >>> for epoch in range(6):
    ...     print(*scheduler.get_last_lr(), end=" ")
    ...     scheduler.step()
    0.25 0.5 0.75 1.0 0.5 0.25
    """

    def __init__(self, optimizer, schedulers, milestones):
        self.schedulers = list(schedulers)
        self.milestones = _increasing(milestones)
        for scheduler in self.schedulers:
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"SequentialLR takes schedules, got a {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError("SequentialLR gives no metric, which ReduceLROnPlateau needs: step that one by itself")
            if scheduler.optimizer is not optimizer:
                raise ValueError("SequentialLR takes schedules of one optimiser, "
                                 f"its {type(scheduler).__name__} is for another one")
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(f"SequentialLR needs a milestone between each two schedules, got {len(self.schedulers)} "
                             f"schedules and the milestones {self.milestones}")
        self.per_batch = any(scheduler.per_batch for scheduler in self.schedulers)
        base_lrs = _lrs_before(optimizer, self.schedulers)
        for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
            group["lr"] = lr
        super().__init__(optimizer)

    def options_at(self, base_lrs, epoch):
        """Those of the schedule whose turn it is."""
        number = bisect.bisect_right(self.milestones, epoch)
        begun = self.milestones[number - 1] if number else 0
        return self.schedulers[number].options_at(base_lrs, epoch - begun)

    def state_dict(self):
        """With those of the schedules, in place of them."""
        return {**super().state_dict(), "schedulers": [scheduler.state_dict() for scheduler in self.schedulers]}

    def _loaded(self, state_dict):
        loaded = super()._loaded(state_dict)
        schedulers, states = self.schedulers, state_dict["schedulers"]
        if len(states) != len(schedulers):
            raise ValueError(f"the state_dict is for {len(states)} schedules, this one has {len(schedulers)}")
        loaded.schedulers = [scheduler._loaded(state) for scheduler, state in zip(schedulers, states, strict=True)]
        return loaded


def _lrs_before(optimizer, schedulers):
    """The learning rates from before the schedules were made, which changed them in an unknown order.

    Each found some rates and set others, which the next one found, or which are there now: so all but those of before
    were set by one of them.
    """
    made = set(schedulers)
    found = [[group["lr"] for group in optimizer.param_groups], *[scheduler.base_lrs for scheduler in made]]
    for scheduler in made:
        lrs = [options["lr"] for options in scheduler.options_at(scheduler.base_lrs, 0)]
        if lrs not in found:
            raise ValueError(f"the learning rates were changed after a schedule had set them to {lrs}: make all "
                             "schedules of a SequentialLR just before it")
        found.remove(lrs)
    base_lrs, = found
    return base_lrs


def _check_positive(name, number):
    if not number >= 1:
        raise ValueError(f"{name} must be at least 1, got {number}")


def _increasing(milestones):
    """Milestones as a list, checked."""
    milestones = list(milestones)
    if milestones != sorted(milestones) or any(milestone < 0 for milestone in milestones):
        raise ValueError(f"milestones are numbers of epochs, at least 0 and in increasing order, got {milestones}")
    return milestones


def _per_group(name, numbers, optimizer, limit):
    """A number for each group, at least 0 and below a limit, from one number or a list."""
    groups = len(optimizer.param_groups)
    numbers = list(numbers) if isinstance(numbers, (list, tuple)) else [numbers] * groups
    if len(numbers) != groups:
        raise ValueError(f"{name} has {len(numbers)} numbers, the optimiser has {groups} groups")
    if not all(0 <= number < limit for number in numbers):
        raise ValueError(f"{name} must be at least 0 and below {limit}, got {numbers}")
    return numbers
