from decimal import Decimal

import pytest

from gateway.budgets.worst_case import Weighing, WorstCase
from gateway.config import ModelSettings, PriceSettings, Settings
from gateway.destinations import UpstreamSettings
from gateway.pricing import PriceBook
from gateway.request import ApiRequest
from gateway.savings import Saving
from gateway.store.entries import State
from gateway.trace import Trace, Windowed
from gateway.upstreams.attempts import Attempt, Outcome
from gateway.upstreams.candidates import Candidate
from gateway.usage import Usage
from gateway.windowing.types import Decision, Reason, WindowOutcome

SETTINGS = Settings(
    upstreams={"main": UpstreamSettings(base_url="http://127.0.0.1:1/v1")},
    models={"house-model": ModelSettings(upstream="main")},
)
BOOK = PriceBook("http://127.0.0.1:1/v1")
PRICES = {"main": BOOK}
OUTCOME = WindowOutcome(Reason.RELEVANCE, b"{}", 20_000, 3_000)
SAVING = Saving.of(20_000, 3_000, 0, Decimal(0))


def trace(model: str | None, windowed: Windowed | None) -> Trace:
    found = Trace("chat.completions", upstream="main", windowed=windowed)
    found.request = ApiRequest(b"{}", model, stream=False, usage_asked=False, stream_options_sent=False)
    found.delivery.usage, found.delivery.status = Usage(3_000, 10), 200
    found.asked = found.head = 1.0
    found.answered = 200
    found.tried.under_way = True
    return found


def test_an_applied_window_shows_what_it_saved() -> None:
    done = trace("gpt-4o-mini", Windowed(Decision.APPLIED, Reason.RELEVANCE, OUTCOME, SAVING))
    record = done.record(SETTINGS, PRICES)
    assert (record.tokens_original, record.tokens_forwarded, record.tokens_saved) == (20_000, 3_000, 17_000)
    assert record.cost.saved_usd is not None
    assert record.cost.saved_usd > 0
    said = dict(done.reply_headers(BOOK, 200))
    assert said[b"x-gateway-tokens-saved"] == b"17000"
    assert float(said[b"x-gateway-cost-saved-usd"]) > 0


def test_a_shadow_window_saves_nothing_and_its_size_is_kept() -> None:
    done = trace("gpt-4o-mini", Windowed(Decision.SHADOW, Reason.RELEVANCE, OUTCOME, SAVING))
    done.delivery.usage = usage = Usage(20_000, 10)
    record = done.record(SETTINGS, PRICES)
    assert (record.tokens_forwarded, record.tokens_saved, record.tokens_window) == (20_000, 0, 3_000)
    assert record.cost.saved_usd is None
    assert record.cost.would_save_usd == SAVING.would_be_usd(BOOK, "gpt-4o-mini", usage)
    assert b"x-gateway-cost-saved-usd" not in dict(done.reply_headers(BOOK, 200))


def test_labels_are_configured_or_priced_models_only() -> None:
    labels = {
        m: trace(m, None).record(SETTINGS, PRICES).model_label for m in ("house-model", "gpt-4o-mini-2024-07-18", "x")
    }
    assert labels == {"house-model": "house-model", "gpt-4o-mini-2024-07-18": "gpt-4o-mini", "x": "other"}
    assert trace(None, None).record(SETTINGS, PRICES).model_label == "other"


def test_an_early_end_leaves_what_was_known() -> None:
    record = Trace("chat.completions").record(SETTINGS, {})
    assert record.decision is None
    assert record.usage is None
    assert record.model is None
    assert record.stages.total >= 0


@pytest.mark.parametrize("decision", [Decision.APPLIED, Decision.SHADOW])
def test_no_saving_is_shown_on_a_cost_that_is_an_estimate(decision: Decision) -> None:
    cut_off = trace("gpt-4o-mini", Windowed(decision, Reason.RELEVANCE, OUTCOME, SAVING))
    cut_off.delivery.usage, cut_off.delivery.status = None, 200
    cut_off.answered = 200
    cut_off.tried.under_way = True
    cut_off.worst = Weighing(lambda: WorstCase(4_000, 100), 0)
    record = cut_off.record(SETTINGS, PRICES)
    assert record.state is State.ESTIMATED
    assert record.cost.usd is not None
    assert (record.cost.saved_usd, record.cost.would_save_usd) == (None, None)


def test_what_the_upstream_holds_itself_is_estimated_at_what_it_may_be() -> None:
    def estimated(linked: bool) -> int:
        cut_off = trace("gpt-4o-mini", Windowed(Decision.APPLIED, Reason.RELEVANCE, OUTCOME, SAVING))
        cut_off.request = ApiRequest(b"{}", "m", True, usage_asked=False, stream_options_sent=False, linked=linked)
        cut_off.delivery.usage, cut_off.delivery.status = None, 200
        cut_off.answered = 200
        cut_off.tried.under_way = True
        cut_off.worst = Weighing(lambda: WorstCase(220_000, 100), 0)
        usage = cut_off.record(SETTINGS, PRICES).usage
        return usage.prompt if usage else 0

    assert estimated(linked=False) == 3_000
    assert estimated(linked=True) == 55_000


def test_what_passes_between_a_request_s_end_and_its_record_is_nobody_s_overhead() -> None:
    done = Trace("chat.completions", started=10.0)
    done.received, done.ended = 10.5, 11.0
    stages = done.record(SETTINGS, {}).stages
    assert (stages.receive, stages.overhead, stages.total) == (500.0, 500.0, 1000.0)


@pytest.mark.parametrize(("status", "sent"), [(429, False), (400, True), (502, True), (0, True)])
def test_what_nobody_answered_well_saved_nothing(status: int, sent: bool) -> None:
    done = trace("gpt-4o-mini", Windowed(Decision.APPLIED, Reason.RELEVANCE, OUTCOME, SAVING, 5.0, Decimal("0.001")))
    done.delivery.status, done.tried.under_way, done.head = status, sent, 1.0 if sent and status else None
    done.answered = status if sent else 0
    record = done.record(SETTINGS, PRICES)
    assert (record.decision, record.tokens_original) == (Decision.APPLIED, 20_000)
    assert (record.tokens_forwarded, record.tokens_saved) == (None, None)
    assert record.cost.saved_usd == Decimal("-0.001")  # what the window was made for in vain
    said = dict(done.reply_headers(BOOK, status))
    assert said[b"x-gateway-windowing"] == b"applied"
    assert not {b"x-gateway-tokens-saved", b"x-gateway-tokens-forwarded", b"x-gateway-cost-saved-usd"} & said.keys()


def test_a_client_that_leaves_in_a_stream_that_began_has_saved_what_it_did() -> None:
    done = trace("gpt-4o-mini", Windowed(Decision.APPLIED, Reason.RELEVANCE, OUTCOME, SAVING))
    done.client_gone = True
    record = done.record(SETTINGS, PRICES)
    assert (record.status, record.tokens_saved) == (499, 17_000)
    assert record.cost.saved_usd is not None
    assert record.cost.saved_usd > 0


@pytest.mark.parametrize(
    ("decision", "shown"), [(Decision.BYPASSED, Decimal("-0.001")), (Decision.SHADOW, None), (Decision.APPLIED, None)]
)
def test_work_on_a_prompt_that_is_forwarded_whole_is_a_loss(decision: Decision, shown: Decimal | None) -> None:
    own = Decimal("0.001") if decision is not Decision.APPLIED else None
    looked_into = WindowOutcome(Reason.LOW_CONFIDENCE, None, 20_000, 20_000)
    record = trace("gpt-4o-mini", Windowed(decision, Reason.LOW_CONFIDENCE, looked_into, None, 5.0, own))
    assert record.record(SETTINGS, PRICES).cost.saved_usd == shown


def test_each_attempt_costs_what_its_own_model_does() -> None:
    done = trace("dear", None)
    done.served_model = "cheap"
    dear, cheap = (PriceSettings(input=price, output=0) for price in (100, 2))
    books = {"far": PriceBook("http://127.0.0.1:1/v1", {"dear": dear}), "main": PriceBook("http://x", {"cheap": cheap})}
    done.tried.attempts = [
        Attempt(Candidate("far", None), Outcome.TIMED_OUT), Attempt(Candidate("main", "cheap"), Outcome.ANSWERED)
    ]  # fmt: skip
    done.tried.begun = 2
    done.worst = Weighing(lambda: WorstCase(4_000, 100), 0)
    record = done.record(SETTINGS, books)
    assert (record.usage, record.state) == (Usage(4_000, 10), State.ESTIMATED)
    assert record.cost.usd == Decimal("0.1") + Decimal("0.006")
    assert done.record(SETTINGS, {"main": books["main"]}).cost.usd is None
    done.tried.under_way, done.delivery.status, done.head = False, 502, None  # the cheap one was not even connected
    record = done.record(SETTINGS, books)
    assert (record.usage, record.cost.usd) == (Usage(1_000, 0), Decimal("0.1"))
