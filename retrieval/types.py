"""The frozen values that retrieval's stages hand to each other."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class DeadlineExceededError(Exception):
    """The work would end after its deadline, or its caller has gone."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which the result is of no use."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds left; negative once past."""
        return self.at - time.monotonic()

    def check(self) -> None:
        """Raise DeadlineExceededError when past."""
        if self.left() <= 0:
            raise DeadlineExceededError


@dataclass(frozen=True, slots=True)
class Atom:
    """A span that is kept or dropped whole (a JSON element), with what the scorer sees beside it.

    `start` and `end` are character offsets in the document's text; `heading` is text from elsewhere in the
    same document (keys on the way down, the record's id) that helps to score the span and is not paid for.
    """

    start: int
    end: int
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One trimmable text of the conversation.

    `message` is the index of its message in the request. With `atoms` (ascending, disjoint) these are the
    chunks; without, the chunker cuts the text itself. `name` is what the conversation calls the text (a
    tool's name and arguments, a speaker), seen by the scorer only.
    """

    text: str
    role: str
    message: int
    name: str = ""
    atoms: tuple[Atom, ...] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What the request asks: the question itself, and the last turns before it, latest last."""

    text: str
    recent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of one document's text: text[start:end], `tokens` long in the counter's encoding.

    `heading` is what stands over it (section title, speaker, enclosing function): scored, not paid for.
    """

    document: int
    start: int
    end: int
    tokens: int
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """All chunks in document order with their scores, float32[n], higher is better.

    `signals` holds each named score that went into the fusion, float32[n] each; `odds` are its log-odds that a chunk
    holds evidence, by itself, float32[n]; `skipped` names the stages that were left out.
    """

    chunks: tuple[Chunk, ...]
    scores: Floats
    signals: dict[str, Floats] = field(default_factory=dict)
    odds: Floats = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    skipped: tuple[str, ...] = ()


class Counter(Protocol):
    """Counts tokens exactly in one encoding."""

    @property
    def name(self) -> str:
        """The encoding's name: counters of one name count alike."""

    def count(self, text: str) -> int:
        """Return the number of tokens of the text."""

    def recall(self, text: str) -> int:
        """Return the number of tokens of a text that may have been counted before, or much of it."""

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    def embed(self, texts: Sequence[str], deadline: Deadline) -> Floats:
        """Return unit vectors, float32[n, dimension], for as many leading texts as the deadline allows."""
