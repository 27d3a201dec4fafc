"""The frozen values of the windowing stages, and the closed lists of decisions and reasons."""

from dataclasses import dataclass
from enum import StrEnum


class Decision(StrEnum):
    """What was done with a request (the `x-gateway-windowing` header)."""

    APPLIED = "applied"
    BYPASSED = "bypassed"
    SHADOW = "shadow"
    OFF = "off"


class Reason(StrEnum):
    """Why (the `x-gateway-reason` header): a closed list."""

    RELEVANCE = "relevance"
    SMALL = "small"
    WHOLE_DOCUMENT = "whole_document"
    NOT_TEXT = "not_text"
    NOTHING_TO_TRIM = "nothing_to_trim"
    OPTED_OUT = "opted_out"
    WARMING = "warming"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    ERROR = "error"
    LOW_CONFIDENCE = "low_confidence"
    NO_SAVING = "no_saving"
    PAUSED = "paused"


class Api(StrEnum):
    """Whose shape a request's body has."""

    CHAT = "chat"
    RESPONSES = "responses"


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """How one request is windowed; sizes in tokens of the request's model.

    With a target confidence the window is elastic: as small as reaches it, between the smallest and the largest size.
    `api` says how its body is read.
    """

    trigger_tokens: int
    window_tokens: int
    deadline_ms: int
    target_confidence: float | None = None
    min_window_tokens: int = 500
    max_window_tokens: int = 16_000
    api: Api = Api.CHAT


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """One chunk as `context-gateway trim` shows it."""

    message: int
    role: str
    start: int
    end: int
    tokens: int
    score: float
    kept: bool
    text: str


@dataclass(frozen=True, slots=True)
class WindowOutcome:
    """What windowing made of one request body.

    `body` is the spliced body when `reason` is RELEVANCE, else None: the original is to be forwarded. Token
    counts are None where nothing was counted. `stages` are (name, milliseconds); `detail` says in one line what
    went wrong, without any text of the prompt. `confidence` is the share of the evidence that is expected inside
    the window, None where none was made; `skipped` names the stages that there was no time for; `strip` is the
    packed strip of a window, for its receipt.
    """

    reason: Reason
    body: bytes | None = None
    tokens_original: int | None = None
    tokens_forwarded: int | None = None
    stages: tuple[tuple[str, float], ...] = ()
    detail: str = ""
    report: tuple[ChunkReport, ...] = ()
    confidence: float | None = None
    skipped: tuple[str, ...] = ()
    strip: bytes = b""
