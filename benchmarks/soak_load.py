"""The soak's clients: small requests, streams, prompts that are windowed, errors, clients that leave, bad bodies."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp
import orjson

from demo import texts

KEY = "sk-soak-team-with-budgets"
BODY_MB = 1
_PAUSE_S = 0.02  # between a client's requests, so that the load is steady and does not measure the clients
_KINDS = {"small": 58, "stream": 20, "windowed": 4, "error": 5, "leaves": 6, "breaks": 3, "bad": 3, "too large": 1}
_EXCERPT = (24_000, 60_000)  # characters: some 6,000 to 15,000 tokens
# What names no model has no price, which a budget does not allow.
_BAD = ((b'{"model": "gpt-4o-mini", "messages": [', 400), (b"[]", 403), (b"\xff\xfe", 400))
_TOO_LARGE = b'{"messages": "' + b"x" * (BODY_MB * 1_500_000) + b'"}'


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `leaves`: after how many seconds its client goes, if it does; `expected`: the status it must get."""

    kind: str
    user: str
    body: bytes
    expected: int
    leaves: float | None = None


@dataclass(slots=True)
class Seen:
    """What the clients saw: which user's request has which id, how many of each kind ended how."""

    ids: dict[str, str] = field(default_factory=dict)  # by user; what has no user is known by its id alone
    left: set[str] = field(default_factory=set)  # users of requests whose client went before it knew the id
    unnamed: int = 0  # bodies so bad that they name nobody, and refused so soon that the reply was not read
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexpected: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return sum(self.ended.values())


def request_of(number: int) -> Request:
    """Return the request of that number, always the same one."""
    dice = random.Random(number)  # noqa: S311 - no secret
    (kind,) = dice.choices(list(_KINDS), list(_KINDS.values()))
    user = f"u{number}"
    if kind == "bad":
        return Request(kind, user, *dice.choice(_BAD))
    if kind == "too large":
        return Request(kind, user, _TOO_LARGE, 413)
    return _good(kind, user, dice)


def _good(kind: str, user: str, dice: random.Random) -> Request:
    stream = kind in ("stream", "breaks") or (kind != "error" and dice.random() < 0.3)
    tokens = dice.randint(5, 40)
    status = dice.choice((500, 503, 429, 400)) if kind == "error" else 200
    plan = {"tokens": tokens, "ms": dice.choice((0, 0, 1, 3)), "status": status}
    if kind == "breaks":
        plan["breaks"] = dice.randint(1, 4)
    if kind == "leaves":
        plan["ms"] = 5
    text = _excerpt(dice) if kind == "windowed" else "x" * dice.randint(10, 2000)
    body = {
        "model": "gpt-4o-mini",
        "user": user,
        "stream": stream,
        "max_tokens": 64,
        "metadata": plan,
        "messages": [{"role": "user", "content": text + "\n\nWhat is said here of the names that a class defines?"}],
    }
    leaves = dice.uniform(0.002, 0.05) if kind == "leaves" else None
    return Request(kind, user, orjson.dumps(body), status, leaves)


def _excerpt(dice: random.Random) -> str:
    whole = texts.reference()
    size = dice.randint(*_EXCERPT)
    start = dice.randrange(len(whole) - size)
    return whole[start : start + size]


async def client(url: str, numbers: Iterator[int], until: float, seen: Seen) -> None:
    """Send requests one after the other until that moment of the loop's clock."""
    loop = asyncio.get_running_loop()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as session:
        while loop.time() < until:
            request = request_of(next(numbers))
            how = await _sent(session, url, request, seen)
            seen.ended[request.kind, how] += 1
            if how not in _expected(request):
                seen.unexpected[request.kind, how] += 1
            await asyncio.sleep(_PAUSE_S)


def _expected(request: Request) -> set[str]:
    may_leave = {"left"} if request.leaves else set[str]()
    # A refusal that comes while the body is still being sent may not be read by this client.
    may_break = {"unread"} if request.kind == "too large" else set[str]()
    return {str(request.expected)} | may_leave | may_break


async def _sent(session: aiohttp.ClientSession, url: str, request: Request, seen: Seen) -> str:
    named = False
    try:
        async with asyncio.timeout(request.leaves), session.post(url, data=request.body) as reply:
            seen.ids[request.user] = reply.headers["x-gateway-request-id"]
            named = True
            content = await reply.read()
            return str(reply.status) if _ended(request, content) else "cut"
    except TimeoutError:
        how = "left"
    except aiohttp.ClientError:
        how = "unread" if request.kind == "too large" else "broken"
    if not named and request.kind == "too large":
        seen.unnamed += 1
    elif not named:
        seen.left.add(request.user)
    return how


def _ended(request: Request, content: bytes) -> bool:
    """Whether a stream that the upstream broke off ends with an error event, and any other as it should."""
    if request.kind == "breaks":
        return b'"error"' in content[content[:-2].rfind(b"\n\n") :]
    return not content.startswith(b"data: ") or content.endswith(b"data: [DONE]\n\n")
