from itertools import product

import pytest

from gateway.budgets.outcome import Outcome, Sent, outcome_of
from gateway.budgets.worst_case import WorstCase
from gateway.delivery import Delivery
from gateway.sse import EventRelay
from gateway.store.entries import State
from gateway.usage import Usage

WORST = WorstCase(4000, 300)
REPORTED = Usage(70, 9, cached=3, reasoning=2)
SAID = b'data: {"choices":[{"delta":{"content":"four"}}]}\n\n'

# All that can become of a request: refused, not answered, answered well or badly, whole or a stream, cut off or not.
OUT, HEAD, GONE, COMPLETED, STREAMED = (True, False), (True, False), (True, False), (True, False), (0, 3, 999, None)
STATUSES = (200, 400, 429, 502)
ALL = [
    (out, head, gone, completed and head, events if head else None, status)
    for out, head, gone, completed, events, status in product(OUT, HEAD, GONE, COMPLETED, STREAMED, STATUSES)
    if out or not head
]


def sent(
    out: bool = True, head: bool = True, gone: bool = False, worst: WorstCase | None = WORST, counted: int | None = None
) -> Sent:
    return Sent(out=out, head=head, client_gone=gone, worst=worst, counted=counted)


def delivery(
    status: int = 200, events: int | None = None, completed: bool = False, usage: Usage | None = None
) -> Delivery:
    """Return a delivery; `events` of a stream were relayed, None: it is no stream."""
    relay = None if events is None else EventRelay(drop_usage=False)
    if relay:
        relay.feed(SAID * (events or 0))
    return Delivery(status=status, usage=usage, completed=completed, events=relay)


def test_what_any_request_is_billed_for() -> None:
    for out, head, gone, completed, events, status in ALL:
        request, reply = sent(out, head, gone), delivery(status, events, completed)
        assert outcome_of(request, reply) == _expected(request, reply, events), (request, reply)


def _expected(request: Sent, reply: Delivery, events: int | None) -> Outcome:
    if not request.out or (request.head and reply.status >= 400):
        return Outcome(None, State.FREE)
    if not request.head:
        return Outcome(Usage(1000, 300 if request.client_gone else 0), State.ESTIMATED)
    if events is None or (events == 0 and reply.completed):
        return Outcome(Usage(1000, 300), State.ESTIMATED)
    return Outcome(Usage(1000, min(events, 300)), State.ESTIMATED)


def test_what_the_upstream_reports_counts_wherever_it_does() -> None:
    for out, head, gone, completed, events, status in ALL:
        found = outcome_of(sent(out, head, gone), delivery(status, events, completed, REPORTED))
        assert found == Outcome(REPORTED, State.SETTLED)


@pytest.mark.parametrize("worst", [WorstCase(0, 0), WorstCase(3, 1), WORST])
@pytest.mark.parametrize("counted", [None, 0, 2, 10**6])
def test_no_estimate_is_more_than_was_reserved(worst: WorstCase, counted: int | None) -> None:
    for out, head, gone, completed, events, status in ALL:
        usage = outcome_of(sent(out, head, gone, worst, counted), delivery(status, events, completed)).usage
        assert usage is None or (usage.prompt <= worst.prompt and usage.completion <= worst.completion)


def test_a_counted_prompt_is_estimated_as_counted() -> None:
    assert outcome_of(sent(counted=777), delivery(events=2)).usage == Usage(777, 2)
    assert outcome_of(sent(counted=777, head=False), delivery(0)).usage == Usage(777, 0)


def test_a_prompt_costs_something() -> None:
    assert outcome_of(sent(counted=0), delivery(events=2)).usage == Usage(1, 2)
    assert outcome_of(sent(worst=WorstCase(3, 9)), delivery(events=2)).usage == Usage(1, 2)


def test_long_events_count_by_their_text() -> None:
    relay = EventRelay(drop_usage=False)
    relay.feed(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"word" * 50))
    assert outcome_of(sent(), Delivery(status=200, events=relay)).usage == Usage(1000, 50)


@pytest.mark.parametrize(
    ("out", "head", "state"), [(True, True, State.SETTLED), (True, False, State.FREE), (False, False, State.FREE)]
)
def test_what_is_not_counted_costs_nothing(out: bool, head: bool, state: State) -> None:
    assert outcome_of(sent(out, head, worst=None), delivery()) == Outcome(None, state)


def test_what_may_have_been_audio_is_estimated_as_audio() -> None:
    worst = WorstCase(4000, 300, audio=True)
    assert outcome_of(sent(worst=worst), delivery()).usage == Usage(1000, 300, audio_prompt=1000, audio_completion=300)
    lost = Sent(out=True, head=True, client_gone=False, worst=worst, counted=None, lost=2)
    again = outcome_of(lost, delivery(usage=Usage(70, 9, audio_prompt=5))).usage
    assert again == Usage(2070, 9, audio_prompt=2005)
