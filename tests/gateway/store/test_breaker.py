"""The breaker, by a clock that the tests turn."""

import pytest

from gateway.store.breaker import PAUSE_S, THRESHOLD, WINDOW_S, Breaker


class Clock:
    """Tells the time that it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
def breaker(clock: Clock, changes: list[bool]) -> Breaker:
    return Breaker(lambda there, _why: changes.append(there), clock)


def fail(breaker: Breaker, times: int = THRESHOLD) -> None:
    for _ in range(times):
        breaker.failed("silence")


def test_it_opens_after_several_failures_in_a_row(breaker: Breaker, changes: list[bool]) -> None:
    fail(breaker, THRESHOLD - 1)
    assert (breaker.admits(), breaker.closed, changes) == (True, True, [])
    breaker.failed("silence")
    assert (breaker.admits(), breaker.closed, changes) == (False, False, [False])


def test_why_it_opened_is_told_and_the_latest_reason_is_at_hand(clock: Clock) -> None:
    told: list[tuple[bool, str]] = []
    breaker = Breaker(lambda *said: told.append(said), clock)
    breaker.failed("silence")
    breaker.failed("refusal", certainly=True)
    breaker.failed("silence")
    assert (told, breaker.why) == ([(False, "refusal")], "silence")
    breaker.succeeded()
    assert told[1:] == [(True, "")]


def test_a_success_in_between_starts_the_count_again(breaker: Breaker) -> None:
    fail(breaker, THRESHOLD - 1)
    breaker.succeeded()
    fail(breaker, THRESHOLD - 1)
    assert breaker.admits()


def test_failures_far_apart_are_not_in_a_row(breaker: Breaker, clock: Clock) -> None:
    for _ in range(THRESHOLD + 1):
        breaker.failed("silence")
        clock.now += WINDOW_S
    assert breaker.admits()


def test_one_failure_that_is_certain_opens_it(breaker: Breaker, changes: list[bool]) -> None:
    breaker.failed("refusal", certainly=True)
    assert (breaker.admits(), changes) == (False, [False])


def test_after_the_pause_one_caller_tries_and_no_other(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += PAUSE_S - 0.01
    assert not breaker.admits()
    clock.now += 0.01
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    assert (breaker.trying, breaker.closed) == (True, False)


def test_his_success_closes_it(breaker: Breaker, clock: Clock, changes: list[bool]) -> None:
    fail(breaker)
    clock.now += PAUSE_S
    assert breaker.admits()
    breaker.succeeded()
    assert (breaker.admits(), breaker.trying, changes) == (True, False, [False, True])


def test_his_failure_leaves_it_open_for_another_pause_and_says_nothing(
    breaker: Breaker, clock: Clock, changes: list[bool]
) -> None:
    fail(breaker)
    clock.now += PAUSE_S
    assert breaker.admits()
    clock.now += PAUSE_S / 2
    breaker.failed("silence")
    clock.now += PAUSE_S - 0.01
    assert not breaker.admits()
    clock.now += 0.01
    assert (breaker.admits(), changes) == (True, [False])


def test_another_tries_where_nothing_is_heard_of_the_first(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += PAUSE_S
    assert breaker.admits()
    clock.now += PAUSE_S
    assert [breaker.admits() for _ in range(2)] == [True, False]


def test_each_change_is_told_once(breaker: Breaker, changes: list[bool]) -> None:
    for _ in range(2):
        fail(breaker, THRESHOLD * 3)
        breaker.succeeded()
        breaker.succeeded()
    assert changes == [False, True, False, True]
