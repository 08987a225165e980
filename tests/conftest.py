"""Fixtures for all tests: one seed, printed when a test fails, for everything random."""

import os

import numpy as np
import pytest

import microtensor as mt

SEED = int(os.environ.get("MICROTENSOR_TEST_SEED", "0"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """No further processes where only some tests are asked for: one starts sooner, and -s shows what it prints."""
    some = config.option.keyword or config.option.lf or any(".py" in argument for argument in config.args)
    return 0 if some else None


@pytest.fixture(autouse=True)
def seed():
    """The seed of the run: of microtensor's default generator here, and of ``rng``."""
    print(f"MICROTENSOR_TEST_SEED={SEED}")
    mt.manual_seed(SEED)
    return SEED


@pytest.fixture
def rng(seed):
    """A NumPy generator for inputs and upstream gradients."""
    return np.random.default_rng([seed, 99])
