"""The default generator of a thread: the shared one, and fork_rng's."""

import threading

import numpy as np
import pytest

import microtensor as mt


def numbers(generator=None):
    return mt.rand(4, generator=generator).tolist()


def test_fork_draws_its_own_seed_and_leaves_the_outer_stream():
    mt.manual_seed(3)
    first = numbers()
    with mt.random.fork_rng(7) as generator:
        assert mt.default_generator() is generator and generator.initial_seed() == 7
        assert numbers() == numbers(mt.Generator(7))
        mt.manual_seed(8)
        assert numbers() == numbers(mt.Generator(8))
    outer = mt.Generator(3)
    assert [first, numbers()] == [numbers(outer), numbers(outer)]


def test_forks_nest():
    with mt.random.fork_rng(1):
        first = numbers()
        with mt.random.fork_rng(2):
            assert numbers() == numbers(mt.Generator(2))
        generator = mt.Generator(1)
        assert [first, numbers()] == [numbers(generator), numbers(generator)]


def test_fork_ends_with_an_exception():
    before = mt.default_generator()
    with pytest.raises(RuntimeError, match="planted"), mt.random.fork_rng(1):
        raise RuntimeError("planted")
    assert mt.default_generator() is before


def test_fork_is_of_its_thread_alone():
    shared, found = mt.default_generator(), {}
    inside, done = threading.Barrier(3), threading.Barrier(3)

    def work(seed):
        with mt.random.fork_rng(seed):
            inside.wait(60)
            found[seed] = [mt.dropout(mt.ones(50), 0.5).tolist() for _ in range(20)]
            done.wait(60)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    inside.wait(60)
    assert mt.default_generator() is shared, "the main thread has no fork"
    done.wait(60)
    for thread in threads:
        thread.join()
    for seed, masks in found.items():
        generator = mt.Generator(seed)
        assert masks == [mt.dropout(mt.ones(50), 0.5, generator=generator).tolist() for _ in range(20)]


def test_a_thread_started_in_a_fork_has_the_shared_generator():
    shared, found = mt.default_generator(), []
    with mt.random.fork_rng(1):
        thread = threading.Thread(target=lambda: found.append(mt.default_generator()))
        thread.start()
        thread.join()
    assert found == [shared]


def test_fork_decorates_a_function():
    draw = mt.random.fork_rng(5)(numbers)
    assert draw() == draw() == numbers(mt.Generator(5))


@pytest.mark.parametrize("seed", [-1, 0.5, None, "1"])
def test_fork_refuses_what_is_no_seed(seed):
    before = mt.default_generator()
    with pytest.raises(ValueError, match="a seed is an int of at least 0, got "), mt.random.fork_rng(seed):
        pass
    assert mt.default_generator() is before


def test_everything_random_draws_from_the_fork():
    def everything():
        x = mt.randn(3, 4)
        layer = mt.nn.Linear(4, 4)
        order = next(iter(mt.data.DataLoader(range(20), 20, shuffle=True)))
        part = mt.data.random_split(range(20), [5, 15])[0].indices
        return np.concatenate([x.numpy().ravel(), layer.weight.detach().numpy().ravel(), order.numpy(), part])

    with mt.random.fork_rng(4):
        first = everything()
    state = mt.default_generator().get_state()
    with mt.random.fork_rng(4):
        np.testing.assert_array_equal(everything(), first)
    assert mt.default_generator().get_state() == state
