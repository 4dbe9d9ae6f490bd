"""Divided passes: order, errors, passes that are left, and processes that end."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import torch

from dividing import helped_by_threads
from resemblance.config.errors import UserError
from resemblance.data.stopping import stopping_by
from resemblance.training.devices.pool import map_over_devices

MAIN = threading.main_thread()


def where(number: int) -> tuple[int, bool, bool]:
    """Return the number, whether the first process computes it, and whether gradients are computed."""
    return number, threading.current_thread() is MAIN, torch.is_grad_enabled()


def fail_at(bad: int, number: int) -> int:
    if number == bad:
        raise UserError(f"{number} is bad")
    return number


def nested(number: int) -> list[tuple[int, bool, bool]]:
    return list(map_over_devices(where, range(number)))


def test_items_come_in_order_and_every_third_is_computed_here():
    with helped_by_threads(2), torch.no_grad():
        results = list(map_over_devices(where, range(8)))
        assert [number for number, _, _ in results] == list(range(8))
        assert [here for _, here, _ in results] == [number % 3 == 0 for number in range(8)]
        assert not any(gradients for _, _, gradients in results)
        assert list(map_over_devices(where, range(0))) == []
    assert all(here for _, here, _ in map_over_devices(where, range(3)))


@pytest.mark.parametrize("bad", [2, 3])
def test_an_error_is_raised_in_its_turn_wherever_it_happens_and_the_next_pass_is_right(bad):
    with helped_by_threads():
        passed = map_over_devices(partial(fail_at, bad), range(9))
        assert [next(passed) for _ in range(bad)] == list(range(bad))
        with pytest.raises(UserError, match=f"{bad} is bad"):
            next(passed)
        assert [number for number, _, _ in map_over_devices(where, range(5))] == list(range(5))


def test_a_pass_can_be_left():
    with helped_by_threads():
        for number, _, _ in map_over_devices(where, range(100)):
            if number == 3:
                break
        assert [here for _, here, _ in map_over_devices(where, range(4))] == [True, False, True, False]


def test_a_pass_within_a_pass_is_not_divided():
    with helped_by_threads():
        [_, inner] = list(map_over_devices(nested, range(1, 3)))
        assert len(inner) == 2
        for number, _, _ in map_over_devices(where, range(3)):
            assert all(here for _, here, _ in map_over_devices(where, range(3))), number


def test_what_cannot_be_pickled_is_refused():
    with helped_by_threads(), pytest.raises(UserError, match=r"pickled.*--devices 1"):
        list(map_over_devices(lambda number: number, range(3)))


def secret(number: int) -> object:
    return lambda: number


def test_results_that_cannot_be_pickled_are_refused():
    with helped_by_threads(), pytest.raises(UserError, match="pickled"):
        list(map_over_devices(secret, range(3)))


def test_a_process_that_has_ended_is_reported():
    with helped_by_threads() as pool:
        passed = map_over_devices(where, range(9))
        next(passed)
        pool.connections[0].close()
        with pytest.raises(UserError, match="has ended"):
            list(passed)


def test_a_divided_pass_can_be_stopped():
    class Stop(Exception):
        pass

    def check() -> None:
        if len(done) == 4:
            raise Stop

    done: list[int] = []
    with helped_by_threads(), stopping_by(check), pytest.raises(Stop):
        done.extend(number for number, _, _ in map_over_devices(where, range(100)))
    assert done == list(range(4))
