from gateway.yaml_source import YamlSource

TEXT = "a:\n  b: [x, {c: 1}]\n  d: ${D}\n"


def test_places_are_lines_and_fields() -> None:
    source = YamlSource.of(TEXT, "f")
    assert source.at(("a", "b", 1, "c")) == "f:2: a.b.1.c"
    assert source.at(("a", "d")) == "f:3: a.d"
    assert source.at(("a", "branch-name", "d")) == "f:3: a.d"
    assert source.at(("a", "e"), missing=True) == "f:1: a.e"


def test_variables_are_replaced_everywhere() -> None:
    assert YamlSource.of(TEXT, "f").values({"D": "x: y # z"}) == {"a": {"b": ["x", {"c": 1}], "d": "x: y # z"}}
