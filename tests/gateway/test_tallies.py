"""Requests added up by the labels that metrics tell them apart by."""

from decimal import Decimal

from msgspec.structs import replace

from gateway.store.entries import State
from gateway.tallies import Labels, tallied
from gateway.usage import Cost
from tests.gateway.records import RECORD, REFUSED


def test_requests_of_the_same_labels_add_up() -> None:
    tallies = tallied([RECORD, RECORD, REFUSED])
    labels = Labels(RECORD.team, RECORD.model_label, "200", RECORD.decision, RECORD.reason)
    assert len(tallies) == 2
    tally = tallies[labels]
    assert tally.seconds == [RECORD.stages.total / 1e3] * 2
    assert tally.usage == {"input": 4000, "input_cached": 2000, "output": 120, "output_reasoning": 80}
    assert tally.prompts["saved"] == 2 * 17_000
    assert labels.who == ("acme", "gpt-4o-mini")


def test_what_is_not_known_is_not_there() -> None:
    (tally,) = tallied([REFUSED]).values()
    assert (tally.cost, tally.saved, tally.usage, tally.prompts) == (None, None, {}, {})
    assert (tally.errors, tally.gone) == ({"invalid_json": 1}, 1)
    assert (len(tally.first_bytes), tally.confidences) == (1, [])


def test_usage_that_is_an_estimate_is_no_usage_that_upstreams_reported() -> None:
    (tally,) = tallied([replace(RECORD, state=State.ESTIMATED)]).values()
    assert tally.usage == {}


def test_money_is_summed_where_it_is_known() -> None:
    costs = [Cost(Decimal("0.25"), Decimal("-0.5")), Cost(None, None), Cost(Decimal("0.5"), None)]
    (tally,) = tallied([replace(RECORD, cost=cost) for cost in costs]).values()
    assert (tally.cost, tally.saved) == (0.75, -0.5)


def test_tokens_of_a_prompt_that_nobody_answered_well_are_not_counted() -> None:
    (tally,) = tallied([replace(RECORD, tokens_forwarded=None, tokens_saved=None)]).values()
    assert tally.prompts == {}
