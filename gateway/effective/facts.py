"""What is asked: passages that hold an answer, and questions that have few words in common with them."""

import random
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

_SYLLABLES = (
    "ba",
    "cor",
    "dal",
    "en",
    "fir",
    "gal",
    "ho",
    "il",
    "jun",
    "kel",
    "lor",
    "mar",
    "nes",
    "or",
    "pel",
    "quin",
)
_ENDINGS = ("by", "den", "ford", "holt", "low", "mere", "nach", "stad", "ton", "wick")
_COLOURS = ("amber", "crimson", "emerald", "indigo", "magenta", "ochre", "turquoise", "violet")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Fact(msgspec.Struct, frozen=True):
    """A passage that answers a question; a reply that has all the `answers` in it is right."""

    passage: str
    question: str
    answers: tuple[str, ...]


class _Template(msgspec.Struct, frozen=True):
    kind: str
    passage: str
    question: str


class FactsError(Exception):
    """A file of facts can't be used; the message says where and why."""


def made_up(seed: int) -> Iterator[tuple[Fact, tuple[Fact, ...]]]:
    """Yield facts that no model has ever read of, each with others that say the same of somebody else; no end."""
    chance = random.Random(seed)  # noqa: S311 - the same facts each time, no secrets
    names, templates = _names(chance), _templates()
    while True:
        for template in chance.sample(templates, len(templates)):
            fact, *others = (_filled(template, next(names), chance) for _ in range(4))
            yield fact, tuple(others)


def _templates() -> list[_Template]:
    """Return the sentences to fill in; their questions are put as by people who have not read them."""
    lines = (files("gateway.effective") / "facts.tsv").read_text(encoding="utf-8").splitlines()
    return [_Template(*line.split("\t")) for line in lines]


def _filled(template: _Template, name: str, chance: random.Random) -> Fact:
    value = _value(template.kind, chance)
    return Fact(template.passage.format(name=name, value=value), template.question.format(name=name), (value,))


def _names(chance: random.Random) -> Iterator[str]:
    seen = set[str]()
    while True:
        name = ("".join(chance.sample(_SYLLABLES, 2)) + chance.choice(_ENDINGS)).capitalize()
        if name not in seen:
            seen.add(name)
            yield name


def _value(kind: str, chance: random.Random) -> str:
    match kind:
        case "number":
            return str(chance.randrange(13, 990))
        case "code":
            return f"{''.join(chance.choices('BCDFGHKLMNPQRSTVXZ', k=2))}-{chance.randrange(1000, 10000)}"
        case "time":
            return f"{chance.randrange(10, 24)}:{chance.randrange(12) * 5:02}"
        case "weekday":
            return chance.choice(_WEEKDAYS)
    return chance.choice(_COLOURS)


def read(file: Path) -> list[Fact]:
    """Return an operator's own: a JSON object a line, with `passage`, `question` and `answers`, a text or several.

    Raises:
        FactsError: it can't be read, or a line is none.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FactsError(f"{file}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    found = [_fact(line, f"{file}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise FactsError(f"{file}: there is nothing in it")
    return found


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    passage: str
    question: str
    answers: str | list[str]


def _fact(text: str, place: str) -> Fact:
    try:
        line = msgspec.json.decode(text, type=_Line)
    except msgspec.MsgspecError as error:
        raise FactsError(f"{place}: {error}") from None
    answers = (line.answers,) if isinstance(line.answers, str) else tuple(line.answers)
    if not (line.passage.strip() and line.question.strip() and answers and all(map(str.strip, answers))):
        raise FactsError(f"{place}: passage, question and answers need a text each")
    return Fact(line.passage, line.question, answers)


def is_right(fact: Fact, reply: str) -> bool:
    """Whether the reply has all the answers in it, as words of their own, however it is written."""
    said = _plain(reply)
    return all(re.search(rf"(?<!\w){re.escape(_plain(answer))}(?!\w)", said) for answer in fact.answers)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"(?<=\d),(?=\d{3})", "", text).casefold().split())


def in_turns(facts: Sequence[Fact]) -> Iterator[tuple[Fact, tuple[Fact, ...]]]:
    """Yield an operator's facts for ever, each with the passages of the next three."""
    while True:
        for place, fact in enumerate(facts):
            others = (facts[(place + step) % len(facts)] for step in (1, 2, 3))
            yield fact, tuple(other for other in others if other != fact)
