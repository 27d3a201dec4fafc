"""What OpenAI would answer to completions of old, and to embeddings."""

import base64
import struct
from collections.abc import Iterator

from tests.upstreams.bills import tokens_of
from tests.upstreams.replies import CANNED, CREATED, Json, cut, event, prompt_tokens, usage

VECTOR = (0.25, -0.5, 1.0)
_PIECE = 4


def completion(request: Json, text: str | None = None) -> Json:
    """Return a whole completion, with a choice for each prompt."""
    said = _texts(request, text)
    choices = [_choice(request, index, kept, text, end=True) for index, kept in enumerate(said)]
    return {**_base(request), "choices": choices, "usage": usage_of(request, text)}


def events(request: Json, text: str | None = None) -> Iterator[bytes]:
    """Yield the events of a streamed completion."""
    asked = (request.get("stream_options") or {}).get("include_usage") is True
    extra: Json = {"usage": None} if asked else {}
    for index, kept in enumerate(_texts(request, text)):
        for start in range(0, len(kept), _PIECE):
            choice = _choice(request, index, kept[start : start + _PIECE], text, end=False)
            yield event({**_base(request), "choices": [choice], **extra})
        yield event(
            {**_base(request), "choices": [{**_choice(request, index, kept, text, end=True), "text": ""}], **extra}
        )
    if asked:
        yield event({**_base(request), "choices": [], "usage": usage_of(request, text)})
    yield b"data: [DONE]\n\n"


def usage_of(request: Json, text: str | None = None) -> Json:
    """Return the usage of a completion."""
    return usage(request, sum(map(tokens_of, _texts(request, text))))


def embeddings(request: Json) -> Json:
    """Return an embedding for each input, as numbers or, if asked for, in base64."""
    given = request.get("input")
    several = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
    packed = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
    vector = packed if request.get("encoding_format") == "base64" else list(VECTOR)
    count = len(given) if several and isinstance(given, list) else 1
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)]
    tokens = prompt_tokens(request)
    used = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.get("model"), "usage": used}


def _base(request: Json) -> Json:
    return {"id": "cmpl-test", "object": "text_completion", "created": CREATED, "model": request.get("model")}


def _texts(request: Json, text: str | None) -> list[str]:
    prompts = request.get("prompt")
    several = isinstance(prompts, list) and bool(prompts) and not isinstance(prompts[0], int)
    said = cut(request, CANNED if text is None else text)
    return [said] * (len(prompts) if several and isinstance(prompts, list) else 1)


def _choice(request: Json, index: int, kept: str, text: str | None, end: bool) -> Json:
    full = CANNED if text is None else text
    finish = ("stop" if cut(request, full) == full else "length") if end else None
    return {"text": kept, "index": index, "logprobs": None, "finish_reason": finish}
