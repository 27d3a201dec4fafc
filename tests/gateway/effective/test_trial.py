import asyncio

import pytest

from gateway.destinations import UpstreamSettings
from gateway.effective.asking import CannotAskError
from gateway.effective.facts import made_up
from gateway.effective.prompts import Filler
from gateway.effective.trial import Plan, tried
from tests.upstreams import Upstream


async def test_a_question_that_cannot_be_asked_ends_those_beside_it(upstream: Upstream) -> None:
    plan = Plan("behave:error-401", (1_000,), questions=4, at_once=4)
    answers = tried(UpstreamSettings(base_url=upstream.url), plan, made_up(1), Filler(plan.model))
    with pytest.raises(CannotAskError, match="status 401"):
        await anext(answers)
    assert {task for task in asyncio.all_tasks() if not task.done()} == {asyncio.current_task()}


def test_a_plan_knows_what_it_sends() -> None:
    assert Plan("m", (1_000, 2_000), questions=20, at_once=4).tokens == 120_000
