from benchmarks.fault import Fault, outcome_of
from benchmarks.fault_place import Scene
from benchmarks.faults import scene
from benchmarks.findings import Findings, NotHereError, until


def outcome(check: object) -> tuple[bool | None, str]:
    fault = Fault("a fault", "something", check)  # type: ignore[arg-type]
    with scene() as found:
        made = outcome_of(fault, found)
    return made.held, made.said


def test_what_is_wrong_has_not_held() -> None:
    def check(_: Scene, found: Findings) -> None:
        found.need(True, "all is well")
        found.need(False, "it rained")
        found.note("the sun shone")

    assert outcome(check) == (False, "it rained")


def test_a_check_that_fails_has_not_held() -> None:
    def check(_: Scene, found: Findings) -> None:
        raise OSError("no umbrella")

    assert outcome(check) == (False, "OSError: no umbrella")


def test_what_is_not_here_is_skipped_with_its_reason() -> None:
    def check(_: Scene, found: Findings) -> None:
        raise NotHereError("no sky")

    assert outcome(check) == (None, "skipped: no sky")


def test_otherwise_it_has_held() -> None:
    assert outcome(lambda _, found: found.note("the sun shone")) == (True, "the sun shone")


def test_waiting_says_how_long_or_that_it_was_in_vain() -> None:
    looks = iter((False, False, True))
    waited = until(lambda: next(looks), 5)
    assert waited is not None
    assert waited < 5
    assert until(lambda: False, 0.02) is None
