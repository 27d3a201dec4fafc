import pytest

from gateway.budgets.worst_case import Weighing, WorstCase
from gateway.config import ModelSettings, Settings
from gateway.destinations import UpstreamSettings
from gateway.pricing import PriceBook
from gateway.request import ApiRequest
from gateway.savings import Saving
from gateway.store.entries import State
from gateway.trace import Trace, Windowed
from gateway.usage import Usage
from gateway.windowing.types import Decision, Reason, WindowOutcome

SETTINGS = Settings(
    upstreams={"main": UpstreamSettings(base_url="http://127.0.0.1:1/v1")},
    models={"house-model": ModelSettings(upstream="main")},
)
PRICES = PriceBook("http://127.0.0.1:1/v1")
OUTCOME = WindowOutcome(Reason.RELEVANCE, b"{}", 20_000, 3_000)
SAVING = Saving.of(20_000, 3_000, 0, 0, 0)


def trace(model: str | None, windowed: Windowed | None) -> Trace:
    found = Trace("chat.completions", upstream="main", windowed=windowed)
    found.request = ApiRequest(b"{}", model, stream=False, usage_asked=False, stream_options_sent=False)
    found.delivery.usage = Usage(3_000, 10)
    return found


def test_an_applied_window_shows_what_it_saved() -> None:
    done = trace("gpt-4o-mini", Windowed(Decision.APPLIED, Reason.RELEVANCE, OUTCOME, SAVING))
    record = done.record(SETTINGS, PRICES)
    assert (record.tokens_original, record.tokens_forwarded, record.tokens_saved) == (20_000, 3_000, 17_000)
    assert record.cost.saved_usd is not None
    assert record.cost.saved_usd > 0
    said = dict(done.reply_headers(PRICES))
    assert said[b"x-gateway-tokens-saved"] == b"17000"
    assert float(said[b"x-gateway-cost-saved-usd"]) > 0


def test_a_shadow_window_saves_nothing_and_its_size_is_kept() -> None:
    done = trace("gpt-4o-mini", Windowed(Decision.SHADOW, Reason.RELEVANCE, OUTCOME, SAVING))
    done.delivery.usage = usage = Usage(20_000, 10)
    record = done.record(SETTINGS, PRICES)
    assert (record.tokens_forwarded, record.tokens_saved, record.tokens_window) == (20_000, 0, 3_000)
    assert record.cost.saved_usd is None
    assert record.cost.would_save_usd == SAVING.would_be_usd(PRICES, "gpt-4o-mini", usage)
    assert b"x-gateway-cost-saved-usd" not in dict(done.reply_headers(PRICES))


def test_labels_are_configured_or_priced_models_only() -> None:
    labels = {
        m: trace(m, None).record(SETTINGS, PRICES).model_label for m in ("house-model", "gpt-4o-mini-2024-07-18", "x")
    }
    assert labels == {"house-model": "house-model", "gpt-4o-mini-2024-07-18": "gpt-4o-mini", "x": "other"}
    assert trace(None, None).record(SETTINGS, PRICES).model_label == "other"


def test_an_early_end_leaves_what_was_known() -> None:
    record = Trace("chat.completions").record(SETTINGS, None)
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
    stages = done.record(SETTINGS, None).stages
    assert (stages.receive, stages.overhead, stages.total) == (500.0, 500.0, 1000.0)
