"""The most that a request can cost, before it is sent."""

import re
from dataclasses import dataclass

from gateway.policies import Route
from gateway.request import ApiRequest
from gateway.usage import Usage

# Upstreams frame messages and tools in tokens of their own, and may count in another vocabulary than ours.
_FRAME_TOKENS = 64
_FRAME_SHARE = 8
_LINKED_TOKENS = 200_000  # a prompt of which the body is only the end: what most models' context holds
_IMAGE = re.compile(rb'"(?:image_url|input_image)"')
_IMAGE_TOKENS = 3_000
# Of this family an image counts 33 times as much (platform.openai.com/docs/guides/images-vision).
_DEAR_IMAGES = ("gpt-4o-mini", 50_000)


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most tokens of prompt and completion."""

    prompt: int
    completion: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt + self.completion

    @property
    def usage(self) -> Usage:
        """The same as an upstream would report it."""
        return Usage(self.prompt, self.completion)


def worst_case(asked: ApiRequest, body: bytes, counted: int | None, route: Route, answer: int) -> WorstCase:
    """Return the most that the upstream can report for the body.

    `counted` are its tokens where windowing counted them, `answer` the most of one answer whose caller names no limit.
    """
    return WorstCase(_prompt(asked, body, counted), _completion(asked, route, answer))


def _prompt(asked: ApiRequest, body: bytes, counted: int | None) -> int:
    # A token is at least a byte of the body, so that its length is a bound without counting.
    most = len(body)
    if counted is not None:
        most = min(most, counted + counted // _FRAME_SHARE + _FRAME_TOKENS)
    family, dear = _DEAR_IMAGES
    images = len(_IMAGE.findall(body)) if b"image" in body else 0
    each = dear if (asked.model or "").startswith(family) else _IMAGE_TOKENS
    return most + images * each + (_LINKED_TOKENS if asked.linked else 0)


def _completion(asked: ApiRequest, route: Route, answer: int) -> int:
    if route is Route.EMBEDDINGS:
        return 0
    return (answer if asked.output_asked is None else asked.output_asked) * asked.answers
