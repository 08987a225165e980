"""Learning-rate schedules: each gives every group's lr as a function of how many times ``step`` was called.

    scheduler = StepLR(optimizer, step_size=30)
    for epoch in range(100):
        train(...)
        scheduler.step()
"""

import bisect
import copy
import math


class LRScheduler:
    """Base class: a subclass gives ``lr_at``, or ``options_at``, and if it holds functions their names, ``unsaved``.

    Args:
        optimizer: whose groups' "lr" are set; what they are now is the base.

    Attributes:
        base_lrs: the learning rates at the start, one per group.
        last_epoch: how many times ``step`` was called.
    """

    unsaved = ("optimizer",)        # attributes that state_dict leaves out

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
        pairs = list(zip(self.optimizer.param_groups, self.options_at(self.base_lrs, epoch), strict=True))
        self.last_epoch = epoch
        for group, options in pairs:
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

    unsaved = ("optimizer", "lr_lambdas")

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


def _check_positive(name, number):
    if not number >= 1:
        raise ValueError(f"{name} is a number of epochs of at least 1, got {number}")


def _increasing(milestones):
    """Milestones as a list, checked."""
    milestones = list(milestones)
    if milestones != sorted(milestones) or any(milestone < 0 for milestone in milestones):
        raise ValueError(f"milestones are numbers of epochs, at least 0 and in increasing order, got {milestones}")
    return milestones
