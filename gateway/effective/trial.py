"""Every question at every length, through the gateway as it is and with its windowing left out."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from gateway.destinations import UpstreamSettings
from gateway.effective.asking import Answer, ask
from gateway.effective.facts import Fact, is_right
from gateway.effective.prompts import Filler, prompt
from gateway.upstreams.upstream import Upstream

_NAME = "gateway"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be asked: `questions` of each of the `lengths` in tokens, `at_once` at the same time."""

    model: str
    lengths: tuple[int, ...]
    questions: int
    at_once: int

    @property
    def tokens(self) -> int:
        """Return how many tokens of prompts are sent to the gateway."""
        return 2 * self.questions * sum(self.lengths)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question at one length, answered both ways."""

    length: int
    fact: Fact
    direct: Answer
    through: Answer

    @property
    def right(self) -> tuple[bool, bool]:
        """Whether it was answered right directly, and through the gateway."""
        first, second = (is_right(self.fact, answer.text or "") for answer in (self.direct, self.through))
        return first, second


_Question = tuple[int, Fact, str]  # length, what is asked, the prompt


async def tried(
    gateway: UpstreamSettings, plan: Plan, facts: Iterator[tuple[Fact, tuple[Fact, ...]]], filler: Filler
) -> AsyncIterator[Asked]:
    """Yield each question with its answers; the same facts at every length.

    Raises:
        CannotAskError: the gateway, its upstream or the model does not answer at all.
    """
    chosen = list(islice(facts, plan.questions))
    async with Upstream(_NAME, gateway) as opened:
        for length in plan.lengths:
            questions = _questions(plan, length, chosen, filler)
            for start in range(0, plan.questions, plan.at_once):
                together = list(islice(questions, plan.at_once))
                for asked in await _together(opened, plan.model, together, start):
                    yield asked


def _questions(
    plan: Plan, length: int, facts: Sequence[tuple[Fact, tuple[Fact, ...]]], filler: Filler
) -> Iterator[_Question]:
    """Yield the prompts of one length, made when they are wanted: long ones are megabytes together."""
    for place, (fact, others) in enumerate(facts):
        yield length, fact, prompt(fact, others, filler, length, (place + 0.5) / plan.questions)


async def _together(gateway: Upstream, model: str, questions: list[_Question], start: int) -> list[Asked]:
    work = [_asked(gateway, model, question, (start + place) % 2) for place, question in enumerate(questions)]
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # none is left that still asks


async def _asked(gateway: Upstream, model: str, question: _Question, turn: int) -> Asked:
    """Ask both ways, now the one first and now the other: whatever the first warms up, the second finds warm."""
    length, fact, text = question
    answers = dict[bool, Answer]()
    for windowing in (bool(turn), not turn):
        answers[windowing] = await ask(gateway, model, text, windowing=windowing)
    return Asked(length, fact, answers[False], answers[True])
