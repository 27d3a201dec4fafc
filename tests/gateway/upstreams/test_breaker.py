import pytest

from gateway.upstreams.breaker import Breaker, Health


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def broken(clock: Clock, times: int = 3) -> Breaker:
    breaker = Breaker(3, 10.0, clock)
    for _ in range(times):
        breaker.failed(breaker.enter(), reached=False)
    return breaker


def may_try(breaker: Breaker) -> bool:
    return breaker.health is Health.HALF_OPEN


def test_failures_in_a_row_open_it_and_only_those(clock: Clock) -> None:
    breaker = broken(clock, 2)
    breaker.succeeded(breaker.enter())
    breaker.failed(breaker.enter(), reached=True)
    assert breaker.health is Health.CLOSED
    assert broken(clock).health is Health.OPEN


def test_after_a_while_one_request_may_try(clock: Clock) -> None:
    breaker = broken(clock)
    assert breaker.wait_s == 10.0
    clock.now += 10
    assert may_try(breaker)
    probe = breaker.enter()
    assert not may_try(breaker)  # nobody else until it is over
    breaker.succeeded(probe)
    assert breaker.health is Health.CLOSED
    assert breaker.wait_s == 0.0


def test_a_probe_that_fails_doubles_the_wait_up_to_a_bound(clock: Clock) -> None:
    breaker = broken(clock)
    waits = []
    for _ in range(5):
        clock.now += breaker.wait_s
        breaker.failed(breaker.enter(), reached=False)
        waits.append(breaker.wait_s)
    assert waits == [20, 40, 80, 80, 80]


def test_many_that_fail_together_count_as_one_time(clock: Clock) -> None:
    assert broken(clock, 50).wait_s == 10.0


def test_a_probe_whose_client_left_makes_room_for_another(clock: Clock) -> None:
    breaker = broken(clock)
    clock.now += 10
    probe = breaker.enter()
    assert not may_try(breaker)
    breaker.leave(probe)
    assert may_try(breaker)


def test_how_an_older_request_ends_makes_no_room_for_a_second_probe(clock: Clock) -> None:
    breaker = Breaker(3, 10.0, clock)
    older, other = breaker.enter(), breaker.enter()
    for _ in range(3):
        breaker.failed(breaker.enter(), reached=True)
    clock.now += 10
    probe = breaker.enter()
    breaker.leave(older)
    assert not may_try(breaker)
    breaker.failed(other, reached=True)
    clock.now += 1000
    assert not may_try(breaker)
    breaker.leave(probe)
    assert may_try(breaker)
