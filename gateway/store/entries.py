"""The ledger: one entry a request, and sums over them."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec


class State(StrEnum):
    """How an entry's usage is known."""

    SETTLED = "settled"  # as the upstream reported it
    ESTIMATED = "estimated"  # by what was relayed, or by the most it can have been
    UNSETTLED = "unsettled"  # nobody settled it: the most it can have been
    CORRECTED = "corrected"  # an unsettled one, as an operator says
    FREE = "free"  # nothing was spent: refused, or failed before the upstream worked


class Entry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the ledger holds of one request.

    `time` is its arrival in seconds since the epoch, money is in nano-USD, times in milliseconds; `input` counts all
    prompt tokens, of which `cached` were read from a cache and `cache_written` written to one; `output` counts all
    completion tokens, of which `reasoning` were not shown. A window that was made in shadow has `tokens_window`, and
    would have saved `would_save_nano`, of which nothing was saved. What is not known is None.

    Packed entries are tuples of the fields: a new one stands at the end, and has a default for what is older.
    """

    id: str
    time: float
    team: str
    key: str = ""
    user: str = ""
    model: str = ""
    upstream: str = ""
    route: str = ""
    state: State = State.SETTLED
    status: int = 0
    error: str = ""
    decision: str = ""
    reason: str = ""
    stream: bool = False
    tokens_original: int | None = None
    tokens_forwarded: int | None = None
    input: int = 0
    cached: int = 0
    cache_written: int = 0
    output: int = 0
    reasoning: int = 0
    cost_nano: int | None = None
    saved_nano: int | None = None
    total_ms: float = 0.0
    first_byte_ms: float | None = None
    overhead_ms: float = 0.0
    tokens_window: int | None = None
    would_save_nano: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in seconds since the epoch: since <= time < until."""

    since: float
    until: float


class Group(StrEnum):
    """What sums can be made by; days and hours in UTC."""

    TEAM = "team"
    KEY = "key"
    USER = "user"
    MODEL = "model"
    UPSTREAM = "upstream"
    ROUTE = "route"
    STATE = "state"
    STATUS = "status"
    REASON = "reason"
    DAY = "day"
    HOUR = "hour"


@dataclass(frozen=True, slots=True)
class Usages:
    """Sums over entries. `group` holds the values they share, as text ("2026-11-24", "2026-11-24T15:00", "429").

    Tokens original and forwarded are summed where both are known, which takes an answer that was a success; so are the
    `windowed`. `priced` entries have a known cost; `cost_nano` and `saved_nano` sum what is known. `refused` counts
    statuses 429, `failed` those of 500 and above; `estimated` and `unsettled` count entries of these states. Times are
    sums of milliseconds over the `timed` entries, whose times are known (`first_byte_ms` over `first_bytes`);
    `slowest_ms` is the largest total.

    `shadowed` entries have a window made in shadow: `tokens_shadowed` of originals, `tokens_window` in these windows;
    `shadow_priced` of them have a known `would_save_nano`, which is no part of `saved_nano`.
    """

    group: tuple[str, ...]
    requests: int = 0
    windowed: int = 0
    tokens_original: int = 0
    tokens_forwarded: int = 0
    input: int = 0
    cached: int = 0
    cache_written: int = 0
    output: int = 0
    reasoning: int = 0
    priced: int = 0
    cost_nano: int = 0
    saved_nano: int = 0
    refused: int = 0
    failed: int = 0
    estimated: int = 0
    unsettled: int = 0
    timed: int = 0
    total_ms: float = 0.0
    overhead_ms: float = 0.0
    first_bytes: int = 0
    first_byte_ms: float = 0.0
    slowest_ms: float = 0.0
    shadowed: int = 0
    tokens_shadowed: int = 0
    tokens_window: int = 0
    shadow_priced: int = 0
    would_save_nano: int = 0
