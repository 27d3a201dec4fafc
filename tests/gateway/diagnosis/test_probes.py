import json

from gateway.diagnosis.probes import probes


def test_every_probe_has_a_name_of_its_own_asks_for_little_and_for_the_model() -> None:
    found = probes("gpt-x")
    assert len({probe.name for probe in found}) == len(found)
    bodies = {probe.name: json.loads(probe.body) for probe in found if probe.body is not None}
    for name, body in bodies.items():
        assert body.get("model", "gpt-x") == "gpt-x" or name == "an unknown model"
        assert body.get("max_tokens", 16) <= 64
    assert bodies["stream"]["stream"] is True
    assert bodies["an unknown parameter"]["x_unknown_parameter"] == {"a": [1, None, "é"]}


def test_without_a_body_it_is_a_get() -> None:
    methods = {probe.name: probe.method for probe in probes("m")}
    assert (methods["models"], methods["chat"]) == ("GET", "POST")
