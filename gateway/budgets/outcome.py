"""What a request turned out to use, and how well that is known.

A reply that says that it failed costs nothing. Else an upstream's own usage counts, unless more of the answer came
after it. Without it: a reply that never came because of the upstream costs its prompt; a stream costs what was relayed
of it, unless it is complete and nothing could be read in it, or is made in the background; any other answer, also one
that the client did not wait for, may have been produced whole, and costs the most it can have been: else leaving early
would get round a budget.
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
    where these were; `lost` attempts were given up for another although an upstream may have worked on them. `works`:
    it asks for something new, and not for what was made, and billed, before. `background`: the answer is made to its
    end also when nobody listens any more.
    """

    out: bool
    status: int
    client_gone: bool
    worst: Callable[[], WorstCase] | None
    counted: int | None
    lost: int = 0
    works: bool = True
    background: bool = False


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The usage that a request's last attempt is billed for, and how the bill is known.

    Each of the `lost` attempts before it is billed for a `prompt` of that many tokens.
    """

    usage: Usage | None
    state: State
    lost: int = 0
    prompt: int = 0

    @property
    def total(self) -> Usage | None:
        """The usage of all attempts."""
        if not self.lost:
            return self.usage
        last = self.usage or Usage(0, 0)
        return msgspec.structs.replace(last, prompt=last.prompt + self.lost * self.prompt)


def is_estimated(sent: Sent, delivery: Delivery) -> bool:
    """Whether the bill is an estimate, for which the worst case is needed."""
    if sent.worst is None:
        return False
    return sent.lost > 0 or not (_costs_nothing(sent) or _is_final(delivery))


def outcome_of(sent: Sent, delivery: Delivery) -> Outcome:
    """Return what the request is billed for."""
    found = _of_the_last(sent, delivery)
    if not sent.lost or sent.worst is None:
        return found
    return Outcome(found.usage, State.ESTIMATED, sent.lost, _prompt(sent, sent.worst()))


def _of_the_last(sent: Sent, delivery: Delivery) -> Outcome:
    if _costs_nothing(sent):
        return Outcome(None, State.FREE)
    if sent.worst is None:
        return Outcome(delivery.usage, State.SETTLED if sent.status else State.FREE)
    if _is_final(delivery):
        return Outcome(delivery.usage, State.SETTLED)
    worst = sent.worst()
    found = _estimate(sent, worst, delivery)
    if worst.audio:
        found = msgspec.structs.replace(found, audio_prompt=found.prompt, audio_completion=found.completion)
    return Outcome(found, State.ESTIMATED)


def _costs_nothing(sent: Sent) -> bool:
    return not sent.out or not sent.works or sent.status >= 400


def _is_final(delivery: Delivery) -> bool:
    """Whether the reported usage is all of it: some upstreams report as they go, others begin with a usage of nothing.

    Of a stream that broke off, one that came with the last of the text counts if it has a token for each of its events.
    """
    usage, events = delivery.usage, delivery.events
    if usage is None or events is None:
        return usage is not None
    if events.usage_passed:
        return False
    something = usage.prompt > 0 or usage.completion > 0
    if delivery.completed and something:
        return True  # As nearly always: then nobody has to look into the events.
    relayed = delivery.relayed.events
    return not relayed or (something and usage.completion >= relayed)


def _estimate(sent: Sent, worst: WorstCase, delivery: Delivery) -> Usage:
    prompt = _prompt(sent, worst)
    listened = delivery.events is not None and not sent.background
    if listened and not (delivery.completed and not delivery.relayed.events):
        found = estimated(prompt, delivery.relayed)
        return _at_least(delivery.usage, Usage(prompt, min(found.completion, worst.completion)))
    if sent.client_gone or sent.status:
        return Usage(prompt, worst.completion)
    return Usage(prompt, 0)


def _at_least(reported: Usage | None, estimate: Usage) -> Usage:
    """Return what was reported before the answer was over, and no less of the answer than was relayed."""
    if reported is None or not reported.prompt:
        return estimate
    return msgspec.structs.replace(reported, completion=max(reported.completion, estimate.completion))


def _prompt(sent: Sent, worst: WorstCase) -> int:
    """Return what the prompt has probably been counted as."""
    return min(worst.prompt, max(1, worst.prompt // _BYTES_A_TOKEN if sent.counted is None else sent.counted))
