"""Fixtures for all tests: one seed, printed when a test fails, for everything random."""

import gc
import importlib
import os

import numpy as np
import pytest

import microtensor as mt

SEED = int(os.environ.get("MICROTENSOR_TEST_SEED", "0"))

if os.environ.get("MICROTENSOR_TEST_REQUIRE_ALL") == "1":
    # Where every package must be there, as in CI, a test that would be skipped without one fails instead.
    pytest.importorskip = lambda name, *_, **__: importlib.import_module(name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """No further processes where only some tests are asked for: one starts sooner, and -s shows what it prints."""
    some = config.option.keyword or config.option.lf or any(".py" in argument for argument in config.args)
    return 0 if some else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What is thorough is slow, too, so that -m "not slow" leaves it out."""
    for item in items:
        if item.get_closest_marker("thorough"):
            item.add_marker("slow")


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


@pytest.fixture
def no_gc():
    """The garbage collector off: what dies, dies by reference count alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
