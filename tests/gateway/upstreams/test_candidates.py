from collections import Counter
from typing import Any

from gateway.config import Settings
from gateway.upstreams.candidates import Candidate, Candidates, Served, least_busy


def candidates(**models: Any) -> Candidates:
    upstreams = {name: {"base_url": f"https://{name}/v1"} for name in ("a", "b", "c")}
    return Candidates(Settings.model_validate({"upstreams": upstreams, "models": models}))


def test_what_nothing_is_said_of_goes_to_the_first() -> None:
    found = candidates(gpt={"upstream": "b"})
    assert found.of("other") == found.of(None) == Served((Candidate("a"),))
    assert found.of("gpt") == Served((Candidate("b"),))


def test_a_star_stands_for_all_that_are_not_listed() -> None:
    found = candidates(**{"*": {"upstreams": ["b", "c"]}, "gpt": {"upstream": "a"}})
    assert found.of("other") == found.of(None) == Served((Candidate("b"), Candidate("c")))
    assert found.of("gpt") == Served((Candidate("a"),))


def test_fallbacks_stay_with_the_models_upstream_unless_they_name_another() -> None:
    found = candidates(gpt={"upstream": "b", "fallbacks": [{"model": "mini"}, {"upstream": "c"}]})
    assert found.of("gpt").all == (Candidate("b"), Candidate("b", "mini"), Candidate("c"))


def test_each_gets_its_share_by_weight_and_load() -> None:
    among = [Candidate(name) for name in "abc"]
    weights = {"a": 1.0, "b": 2.0, "c": 1.0}
    busy: Counter[str] = Counter()
    for _ in range(400):
        busy[least_busy(among, busy.__getitem__, weights.__getitem__).upstream] += 1
    assert abs(busy["b"] - 200) <= 2
    assert abs(busy["a"] - 100) <= 2


def test_equals_are_chosen_by_chance() -> None:
    among = [Candidate("a"), Candidate("b")]
    chosen = Counter(least_busy(among, lambda _: 0, lambda _: 1.0).upstream for _ in range(200))
    assert min(chosen["a"], chosen["b"]) > 40
