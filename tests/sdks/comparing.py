"""One case of one SDK, directly and through the gateway."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.sdks.cases import CASES, Case
from tests.sdks.catalogue import Sdk
from tests.sdks.driver import Driver
from tests.sdks.place import Place
from tests.upstreams import Recorded, Upstream

SAME, TRIMMED, UNSUPPORTED = "same", "trimmed", "not supported"
DIFFERENT, WHOLE, WRONG = "different", "not trimmed", "wrong both ways"
GOOD = frozenset((SAME, TRIMMED, UNSUPPORTED))
# What stands in for the prompt and its count, and so differs where the prompt was trimmed.
_OF_ANSWER = ("text", "finish", "parsed", "calls", "pieces", "events", "parts", "error")
_NOTE = 160


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an SDK fared in a case."""

    sdk: Sdk
    case: str
    outcome: str
    note: str = ""

    @property
    def good(self) -> bool:
        """Whether the gateway made no difference."""
        return self.outcome in GOOD


@dataclass(frozen=True, slots=True)
class Seen:
    """What the SDK made of a case, and what the upstream saw of it."""

    answers: tuple[Mapping[str, Any], ...]
    requests: tuple[Recorded, ...]
    gone: int
    prompt_tokens: int


def compared(driver: Driver, sdk: Sdk, place: Place) -> Iterator[Verdict]:
    """Put every case to a running program, directly and through the gateway.

    Raises ProgramEndedError.
    """
    for case in CASES:
        direct = _seen(driver, case, sdk.api, place.upstream.url, place.upstream)
        relayed = _seen(driver, case, sdk.api, place.gateway_url, place.upstream)
        yield Verdict(sdk, case.name, *judged(case, direct, relayed))


def _seen(driver: Driver, case: Case, api: str, url: str, upstream: Upstream) -> Seen:
    upstream.clear()
    answers = tuple(driver.ask(ask.job(url, api)) for ask in case.asks)
    if case.left:
        upstream.wait_gone()
    bills = upstream.wait_bills(len(case.asks)) if case.trimmed else upstream.bills
    return Seen(answers, tuple(upstream.requests), upstream.gone, sum(bill.input for bill in bills))


def judged(case: Case, direct: Seen, relayed: Seen) -> tuple[str, str]:
    """Return the outcome, and what there is to say of it."""
    if reason := next((answer["unsupported"] for answer in direct.answers if "unsupported" in answer), None):
        return UNSUPPORTED, reason
    if not case.right(direct.answers):
        return WRONG, _short(direct.answers)
    if case.left and direct.gone == 0:
        return UNSUPPORTED, "goes on reading"
    return _of_trimmed(direct, relayed) if case.trimmed else _of_same(direct, relayed)


def _of_same(direct: Seen, relayed: Seen) -> tuple[str, str]:
    found = difference(direct.answers, relayed.answers)
    found = found or difference(_requests(direct), _requests(relayed), "requests")
    found = found or difference(direct.gone, relayed.gone, "left early")
    return (DIFFERENT, found) if found else (SAME, "")


def _of_trimmed(direct: Seen, relayed: Seen) -> tuple[str, str]:
    found = difference(_core(direct), _core(relayed))
    if found:
        return DIFFERENT, found
    if relayed.prompt_tokens >= direct.prompt_tokens:
        return WHOLE, ""
    return TRIMMED, f"{direct.prompt_tokens:,} → {relayed.prompt_tokens:,} tokens in {len(direct.requests)} prompts"


def _core(seen: Seen) -> list[dict[str, Any]]:
    return [{name: answer[name] for name in _OF_ANSWER if name in answer} for answer in seen.answers]


def _requests(seen: Seen) -> list[tuple[str, str, Any]]:
    """Return what was asked, without the gateway's one edit: that a stream is to report its usage.

    An upstream that refuses such a stream is asked again without it: that is one request too.
    """
    pairs = zip((None, *seen.requests), seen.requests, strict=False)
    return [_asked(request) for before, request in pairs if before is None or not _again(before, request)]


def _asked(request: Recorded) -> tuple[str, str, Any]:
    body = request.json()
    kept = {name: value for name, value in body.items() if name != "stream_options"} if body else body
    return request.method, request.target, kept


def _again(before: Recorded, request: Recorded) -> bool:
    return before.body != request.body and _asked(before) == _asked(request)


def difference(one: Any, other: Any, at: str = "") -> str:
    """Return where two values differ first, and how; '' where they don't."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return _first(difference(one.get(k), other.get(k), f"{at}.{k}") for k in sorted({*one, *other}))
    if _listed(one) and _listed(other) and len(one) == len(other):
        return _first(difference(a, b, f"{at}[{i}]") for i, (a, b) in enumerate(zip(one, other, strict=True)))
    return "" if one == other else f"{at.lstrip('.')}: {_short(one)} / {_short(other)}"


def _first(found: Iterator[str]) -> str:
    return next((said for said in found if said), "")


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _NOTE else text[:_NOTE] + "…"
