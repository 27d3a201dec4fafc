"""What a request turned out to use, and how well that is known.

An upstream's own usage counts wherever there is one. Without it: a reply that never came because of the upstream costs
its prompt; a stream costs what was relayed of it, unless it is complete and nothing could be read in it; any other
answer, also one that the client did not wait for, may have been produced whole, and costs the most it can have been:
else leaving early would be a way round a budget.
"""

from collections.abc import Callable

import msgspec

from gateway.budgets.worst_case import WorstCase
from gateway.delivery import Delivery
from gateway.store.entries import State
from gateway.usage import Usage, estimated

_BYTES_A_TOKEN = 4


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request that is over: whether it went out, what it may have cost, how its reply came.

    `status` is what the upstream said, whatever the client saw; 0 where no reply's head came. `worst` works the most
    out, for an estimate alone; it is None for routes whose tokens are not counted. `counted` are the prompt's tokens
    where these were; `lost` attempts were given up for another although an upstream may have worked on them.
    """

    out: bool
    status: int
    client_gone: bool
    worst: Callable[[], WorstCase] | None
    counted: int | None
    lost: int = 0


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The usage that a request is billed for, and how it is known."""

    usage: Usage | None
    state: State


def is_estimated(sent: Sent, delivery: Delivery) -> bool:
    """Whether the bill is an estimate, for which the worst case is needed."""
    if sent.worst is None:
        return False
    return sent.lost > 0 or (delivery.usage is None and not _costs_nothing(sent))


def outcome_of(sent: Sent, delivery: Delivery) -> Outcome:
    """Return what the request is billed for."""
    found = _of_the_last(sent, delivery)
    if not sent.lost or sent.worst is None:
        return found
    last = found.usage or Usage(0, 0)
    worst = sent.worst()
    lost = sent.lost * _prompt(sent, worst)
    audio = last.audio_prompt + lost * worst.audio
    return Outcome(msgspec.structs.replace(last, prompt=last.prompt + lost, audio_prompt=audio), State.ESTIMATED)


def _of_the_last(sent: Sent, delivery: Delivery) -> Outcome:
    if delivery.usage is not None:
        return Outcome(delivery.usage, State.SETTLED)
    if sent.worst is None:
        return Outcome(None, State.SETTLED if sent.status else State.FREE)
    if _costs_nothing(sent):
        return Outcome(None, State.FREE)
    worst = sent.worst()
    found = _estimate(sent, worst, delivery)
    if worst.audio:
        found = msgspec.structs.replace(found, audio_prompt=found.prompt, audio_completion=found.completion)
    return Outcome(found, State.ESTIMATED)


def _costs_nothing(sent: Sent) -> bool:
    return not sent.out or sent.status >= 400


def _estimate(sent: Sent, worst: WorstCase, delivery: Delivery) -> Usage:
    prompt = _prompt(sent, worst)
    if delivery.events is not None and not (delivery.completed and not delivery.relayed.events):
        found = estimated(prompt, delivery.relayed)
        return Usage(prompt, min(found.completion, worst.completion))
    if sent.client_gone or sent.status:
        return Usage(prompt, worst.completion)
    return Usage(prompt, 0)


def _prompt(sent: Sent, worst: WorstCase) -> int:
    """Return what the prompt has probably been counted as."""
    return min(worst.prompt, max(1, worst.prompt // _BYTES_A_TOKEN if sent.counted is None else sent.counted))
