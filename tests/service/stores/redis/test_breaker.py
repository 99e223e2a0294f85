from __future__ import annotations

import pytest

from service.stores.redis.breaker import Breaker


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, max_failures=3, pause_s=1, longest_pause_s=4)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def probes(breaker: Breaker, clock: Clock, seconds: int) -> list[int]:
    """Seconds, from now, at which a probe is allowed; every probe fails."""
    allowed = []
    for second in range(seconds):
        if breaker.allows():
            breaker.failed()
            allowed.append(second)
        clock.now += 1
    return allowed


def test_single_failures_do_not_open_it(breaker: Breaker) -> None:
    for _ in range(10):
        fail(breaker, 2)
        breaker.succeeded()
    assert breaker.allows()


def test_failures_in_a_row_open_it_for_a_pause(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    assert not breaker.allows()
    clock.now += 0.99
    assert not breaker.allows()
    clock.now += 0.02
    assert breaker.allows()


def test_one_probe_per_pause_is_allowed(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1.5
    assert [breaker.allows() for _ in range(5)] == [True, False, False, False, False]


def test_pauses_grow_to_the_longest(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    assert probes(breaker, clock, 20) == [1, 2, 4, 8, 12, 16]


def test_a_probe_that_succeeds_closes_it_and_the_next_pause_is_short_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    probes(breaker, clock, 20)
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows() for _ in range(5)] == 5 * [True]
    fail(breaker, 3)
    assert probes(breaker, clock, 3) == [1, 2]


def test_operations_that_ran_when_it_opened_make_no_pause_longer(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 30)
    assert probes(breaker, clock, 5) == [1, 2, 4]
