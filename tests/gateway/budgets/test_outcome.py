import json
from itertools import product

import msgspec
import pytest

from gateway.budgets.outcome import Outcome, Sent, is_estimated, outcome_of
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
    (out, status if head else 0, gone, completed and head, events if head else None)
    for out, head, gone, completed, events, status in product(OUT, HEAD, GONE, COMPLETED, STREAMED, STATUSES)
    if out or not head
]


def sent(
    out: bool = True, status: int = 200, gone: bool = False, worst: WorstCase | None = WORST, counted: int | None = None
) -> Sent:
    return Sent(
        out=out, status=status, client_gone=gone, worst=None if worst is None else lambda: worst, counted=counted
    )


def delivery(
    status: int = 200, events: int | None = None, completed: bool = False, usage: Usage | None = None
) -> Delivery:
    """Return a delivery; `events` of a stream were relayed, None: it is no stream."""
    relay = None if events is None else EventRelay(drop_usage=False)
    if relay:
        relay.feed(SAID * (events or 0))
    return Delivery(status=status, usage=usage, completed=completed, events=relay)


def test_what_any_request_is_billed_for() -> None:
    for out, status, gone, completed, events in ALL:
        request, reply = sent(out, status, gone), delivery(status, events, completed)
        assert outcome_of(request, reply) == _expected(request, reply, events), (request, reply)


def _expected(request: Sent, reply: Delivery, events: int | None) -> Outcome:
    if not request.out or request.status >= 400:
        return Outcome(None, State.FREE)
    if not request.status:
        return Outcome(Usage(1000, 300 if request.client_gone else 0), State.ESTIMATED)
    if events is None or (events == 0 and reply.completed):
        return Outcome(Usage(1000, 300), State.ESTIMATED)
    return Outcome(Usage(1000, min(events, 300)), State.ESTIMATED)


@pytest.mark.parametrize("lost", [0, 2])
@pytest.mark.parametrize("usage", [None, REPORTED])
def test_the_worst_case_is_worked_out_for_estimates_alone(lost: int, usage: Usage | None) -> None:
    wanted = 0

    def weigh() -> WorstCase:
        nonlocal wanted
        wanted += 1
        return WORST

    for out, status, gone, completed, events in ALL:
        wanted = 0
        request, reply = Sent(out, status, gone, weigh, None, lost), delivery(status, events, completed, usage)
        estimated = outcome_of(request, reply).state is State.ESTIMATED
        assert estimated == is_estimated(request, reply) == (wanted > 0)


def test_what_the_upstream_reports_counts_of_an_answer_that_is_one() -> None:
    for out, status, gone, completed, events in ALL:
        if out and status < 400 and (completed or (events or 0) <= REPORTED.completion):
            found = outcome_of(sent(out, status, gone), delivery(status, events, completed, REPORTED))
            assert found == Outcome(REPORTED, State.SETTLED)


@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("worst", [WORST, None])
def test_a_reply_that_says_that_it_failed_costs_nothing(status: int, worst: WorstCase | None) -> None:
    assert outcome_of(sent(status=status, worst=worst), delivery(status, usage=REPORTED)) == Outcome(None, State.FREE)


@pytest.mark.parametrize("worst", [WORST, None])
def test_what_was_billed_before_is_not_billed_again(worst: WorstCase | None) -> None:
    looked_at = msgspec.structs.replace(sent(worst=worst), works=False)
    assert outcome_of(looked_at, delivery(usage=REPORTED)) == Outcome(None, State.FREE)


def streamed(*pieces: bytes, completed: bool) -> Delivery:
    relay = EventRelay(drop_usage=False)
    for piece in pieces:
        relay.feed(piece)
    return Delivery(status=200, usage=relay.usage, completed=completed, events=relay)


def says(completion: int, prompt: int = 70, text: str = "") -> bytes:
    choices = [{"delta": {"content": text}}] if text else []
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return b"data: " + json.dumps({"choices": choices, "usage": usage}).encode() + b"\n\n"


@pytest.mark.parametrize("completed", [True, False])
@pytest.mark.parametrize("first", [says(1), says(1, text="four"), SAID + says(1)])
@pytest.mark.parametrize("together", [True, False])
def test_a_usage_that_more_of_the_answer_follows_is_not_all_of_it(
    first: bytes, completed: bool, together: bool
) -> None:
    later = SAID * 100
    cut = streamed(*([first + later] if together else [first, later]), completed=completed)
    found = outcome_of(sent(), cut)
    assert found == Outcome(Usage(70, cut.relayed.events), State.ESTIMATED)
    assert cut.relayed.events >= 100


@pytest.mark.parametrize("completed", [True, False])
def test_a_usage_of_nothing_is_none_where_something_was_relayed(completed: bool) -> None:
    nothing = streamed(*[says(0, 0, "four")] * 50, completed=completed)
    assert outcome_of(sent(), nothing) == Outcome(Usage(1000, 50), State.ESTIMATED)
    assert outcome_of(sent(), streamed(says(0, 0), completed=True)) == Outcome(Usage(0, 0), State.SETTLED)


@pytest.mark.parametrize("completed", [True, False])
def test_a_usage_that_grows_with_the_answer_counts(completed: bool) -> None:
    grown = streamed(*[says(number + 1, text="four") for number in range(50)], completed=completed)
    assert outcome_of(sent(), grown) == Outcome(Usage(70, 50), State.SETTLED)


def test_one_that_does_not_grow_does_not_where_the_stream_broke_off() -> None:
    pieces = [says(1, text="four")] * 50
    assert outcome_of(sent(), streamed(*pieces, completed=False)) == Outcome(Usage(70, 50), State.ESTIMATED)


def test_a_client_that_leaves_with_the_usage_has_it_all() -> None:
    left = streamed(SAID * 5, says(9), b"data: [DONE]\n\n", completed=False)
    assert outcome_of(sent(gone=True), left) == Outcome(Usage(70, 9), State.SETTLED)


def test_each_attempt_that_was_given_up_is_a_prompt_more() -> None:
    lost = msgspec.structs.replace(sent(), lost=2)
    assert outcome_of(lost, delivery(usage=REPORTED)) == Outcome(REPORTED, State.ESTIMATED, 2, 1000)
    assert outcome_of(lost, delivery(usage=REPORTED)).total == Usage(2070, 9, cached=3, reasoning=2)
    failed = msgspec.structs.replace(sent(out=False, status=0), lost=1)
    assert outcome_of(failed, delivery(0)).total == Usage(1000, 0)


@pytest.mark.parametrize("worst", [WorstCase(0, 0), WorstCase(3, 1), WORST])
@pytest.mark.parametrize("counted", [None, 0, 2, 10**6])
def test_no_estimate_is_more_than_was_reserved(worst: WorstCase, counted: int | None) -> None:
    for out, status, gone, completed, events in ALL:
        usage = outcome_of(sent(out, status, gone, worst, counted), delivery(status, events, completed)).usage
        assert usage is None or (usage.prompt <= worst.prompt and usage.completion <= worst.completion)


def test_a_counted_prompt_is_estimated_as_counted() -> None:
    assert outcome_of(sent(counted=777), delivery(events=2)).usage == Usage(777, 2)
    assert outcome_of(sent(counted=777, status=0), delivery(0)).usage == Usage(777, 0)


def test_what_the_client_saw_instead_is_not_what_is_billed() -> None:
    assert outcome_of(sent(status=200), delivery(500)) == Outcome(Usage(1000, 300), State.ESTIMATED)
    assert outcome_of(sent(status=429), delivery(500)) == Outcome(None, State.FREE)


def test_a_prompt_costs_something() -> None:
    assert outcome_of(sent(counted=0), delivery(events=2)).usage == Usage(1, 2)
    assert outcome_of(sent(worst=WorstCase(3, 9)), delivery(events=2)).usage == Usage(1, 2)


def test_long_events_count_by_their_text() -> None:
    relay = EventRelay(drop_usage=False)
    relay.feed(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"word" * 50))
    assert outcome_of(sent(), Delivery(status=200, events=relay)).usage == Usage(1000, 50)


@pytest.mark.parametrize(
    ("out", "status", "state"), [(True, 200, State.SETTLED), (True, 0, State.FREE), (False, 0, State.FREE)]
)
def test_what_is_not_counted_costs_nothing(out: bool, status: int, state: State) -> None:
    assert outcome_of(sent(out, status, worst=None), delivery()) == Outcome(None, state)


def test_what_may_have_been_audio_is_estimated_as_audio() -> None:
    worst = WorstCase(4000, 300, audio=True)
    assert outcome_of(sent(worst=worst), delivery()).usage == Usage(1000, 300, audio_prompt=1000, audio_completion=300)
    lost = msgspec.structs.replace(sent(worst=worst), lost=2)
    again = outcome_of(lost, delivery(usage=Usage(70, 9, audio_prompt=5)))
    assert (again.usage, again.lost, again.prompt) == (Usage(70, 9, audio_prompt=5), 2, 1000)


def test_what_is_made_in_the_background_is_made_to_its_end_whoever_listens() -> None:
    background = msgspec.structs.replace(sent(gone=True), background=True)
    assert outcome_of(background, delivery(events=3)) == Outcome(Usage(1000, 300), State.ESTIMATED)
    heard = delivery(events=3, completed=True, usage=REPORTED)
    assert outcome_of(background, heard) == Outcome(REPORTED, State.SETTLED)
