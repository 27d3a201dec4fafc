"""Usage and cost of one reply, as the upstream reports it, and an estimate where it was cut off before it could."""

from decimal import Decimal
from typing import Annotated, NamedTuple

import msgspec

# From here on a count is no count of tokens, and would not fit where sums are kept.
HUGE = 10**12
_CHARACTERS_A_TOKEN = 4


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one reply in the upstream's own count.

    `cached` (read from a prompt cache) and `cache_written` (written to one) are part of prompt, reasoning is part of
    completion; `audio_prompt` and `audio_completion` are those of them that are audio.
    """

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0
    cache_written: int = 0
    audio_prompt: int = 0
    audio_completion: int = 0


class Relayed(msgspec.Struct, frozen=True, gc=False):
    """How much of a streamed answer has passed: the events that carried some of it, and its characters."""

    events: int = 0
    characters: int = 0


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What one reply cost, in USD, and what windowing saved: net of lost cache discounts and the gateway's own cost.

    `would_save_usd` is what the window would have saved that was made in shadow; nothing of it was. Each is None where
    it is not known: an unknown price is never 0.
    """

    usd: Decimal | None = None
    saved_usd: Decimal | None = None
    would_save_usd: Decimal | None = None


_Count = Annotated[int, msgspec.Meta(ge=0, lt=HUGE)] | None


class _Read(msgspec.Struct):
    cached_tokens: _Count = None
    cache_write_tokens: _Count = None  # OpenAI, OpenRouter
    cache_creation_tokens: _Count = None  # LiteLLM
    audio_tokens: _Count = None


class _Made(msgspec.Struct):
    reasoning_tokens: _Count = None
    audio_tokens: _Count = None


class _Usage(msgspec.Struct):
    """The names under which chat completions, completions, embeddings and responses report, and their look-alikes."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    input_tokens: _Count = None
    output_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _Read | None = None
    completion_tokens_details: _Made | None = None
    input_tokens_details: _Read | None = None
    output_tokens_details: _Made | None = None
    cached_tokens: _Count = None  # Moonshot
    prompt_cache_hit_tokens: _Count = None  # DeepSeek
    cache_read_input_tokens: _Count = None  # Anthropic's names, which LiteLLM passes on
    cache_creation_input_tokens: _Count = None


class _Reply(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()


class Reported(NamedTuple):
    """What a reply says of itself: its usage, and which model answered."""

    usage: Usage | None
    model: str | None


_LONGEST_NAME = 256  # characters of a model's name that anybody is told
_NOTHING = Reported(None, None)
_GROUP = "_details"
_ANSWER = ("completion_tokens", "output_tokens")
_NOTHING_READ, _NOTHING_MADE = _Read(), _Made()
_reply = msgspec.json.Decoder(_Reply)
_counts = msgspec.json.Decoder(_Usage)
_text = msgspec.json.Decoder(str)


def reported(body: bytes) -> Reported:
    """Read what a whole reply, or one event of a stream, says of itself."""
    try:
        reply = _reply.decode(body)
        if reply.response and not reply.usage:
            # An event of the Responses API holds the whole response.
            reply = _reply.decode(reply.response)
        usage = _usage(_decoded(reply.usage)) if reply.usage else None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _NOTHING
    return Reported(usage, _name(reply.model))


def estimated(prompt_tokens: int, relayed: Relayed) -> Usage:
    """Return what a stream that was cut off is taken to have used, since its usage would have come at its end.

    Most upstreams send one event a token; those that put several tokens into one event are caught by the text's
    length, at the usual four characters a token. The larger count stands: it errs towards what the upstream bills.
    Reasoning that was not shown is not in it. The caller bounds it by what the request allowed.
    """
    by_length = -(-relayed.characters // _CHARACTERS_A_TOKEN)
    return Usage(prompt=prompt_tokens, completion=max(relayed.events, by_length))


def _name(model: msgspec.Raw) -> str | None:
    # Read apart: a name that is none must not cost the usage beside it.
    try:
        return _text.decode(model)[:_LONGEST_NAME] if model else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _decoded(usage: msgspec.Raw) -> _Usage:
    try:
        return _counts.decode(usage)
    except msgspec.ValidationError:
        # Something in it is no count: what is one counts all the same.
        return msgspec.convert(_cleaned(msgspec.json.decode(usage)), _Usage)


def _cleaned(usage: object) -> object:
    if not isinstance(usage, dict) or any(map(_is_no_count, map(usage.get, _ANSWER))):
        return {}  # An answer that can't be read would be one that cost nothing.
    groups = {name: value for name, value in usage.items() if name.endswith(_GROUP) and isinstance(value, dict)}
    return {**_only_counts(usage), **{name: _only_counts(group) for name, group in groups.items()}}


def _only_counts(group: dict[str, object]) -> dict[str, object]:
    return {name: v for name, v in group.items() if not (_is_no_count(v) or name.endswith(_GROUP))}


def _is_no_count(value: object) -> bool:
    return value is not None and not (type(value) is int and 0 <= value < HUGE)


def _usage(found: _Usage) -> Usage | None:
    prompt = found.input_tokens if found.prompt_tokens is None else found.prompt_tokens
    if prompt is None:
        return None
    read = found.prompt_tokens_details or found.input_tokens_details or _NOTHING_READ
    made = found.completion_tokens_details or found.output_tokens_details or _NOTHING_MADE
    # xAI and Gemini leave reasoning out of completion_tokens, count it in total_tokens and bill it as output.
    completion = max(found.completion_tokens or found.output_tokens or 0, (found.total_tokens or 0) - prompt)
    cached = (
        read.cached_tokens or found.cached_tokens or found.prompt_cache_hit_tokens or found.cache_read_input_tokens or 0
    )
    written = read.cache_write_tokens or read.cache_creation_tokens or found.cache_creation_input_tokens or 0
    # A part is not more than the whole, whatever an upstream says.
    cached = min(cached, prompt)
    return Usage(
        prompt=prompt,
        completion=completion,
        cached=cached,
        reasoning=min(made.reasoning_tokens or 0, completion),
        cache_written=min(written, prompt - cached),
        audio_prompt=min(read.audio_tokens or 0, prompt),
        audio_completion=min(made.audio_tokens or 0, completion),
    )
