from msgspec.structs import replace

from gateway.record import RequestRecord
from gateway.traffic import Traffic
from gateway.upstreams.attempts import Attempt, Outcome
from gateway.upstreams.candidates import Candidate
from tests.gateway.records import RECORD


def tried(*attempts: tuple[str, Outcome], head: float | None = None) -> RequestRecord:
    made = tuple(Attempt(Candidate(upstream), outcome) for upstream, outcome in attempts)
    return replace(RECORD, attempts=made, stages=replace(RECORD.stages, upstream_head=head))


def test_attempts_are_counted_by_upstream_and_outcome() -> None:
    traffic = Traffic()
    traffic([tried(("a", Outcome.ANSWERED)), tried(("a", Outcome.FAILED), ("b", Outcome.ANSWERED))])
    traffic([tried(("a", Outcome.ANSWERED)), tried()])
    assert {name: count for name, count in traffic.of("a").outcomes.items() if count} == {"answered": 2, "failed": 1}
    assert traffic.of("b").outcomes[Outcome.ANSWERED] == 1
    assert set(traffic.of("c").outcomes.values()) == {0}


def test_times_are_those_of_the_latest_500_that_took_one_attempt() -> None:
    traffic = Traffic()
    traffic([tried(("a", Outcome.ANSWERED), head=9999.0)] * 7)
    traffic([tried(("a", Outcome.ANSWERED), head=float(number)) for number in range(499, -1, -1)])
    traffic([tried(("b", Outcome.FAILED), ("a", Outcome.ANSWERED), head=5000.0)])
    seen = traffic.of("a")
    assert (seen.head_ms(0.5), seen.head_ms(0.95), seen.head_ms(1.0)) == (250.0, 475.0, 499.0)
    assert traffic.of("b").head_ms(0.5) is None
