import pytest

from gateway.yaml_source import ConfigError, YamlSource

TEXT = "a:\n  b: [x, {c: 1}]\n  d: ${D}\n"


def test_places_are_lines_and_fields() -> None:
    source = YamlSource.of(TEXT, "f")
    assert source.at(("a", "b", 1, "c")) == "f:2: a.b.1.c"
    assert source.at(("a", "d")) == "f:3: a.d"
    assert source.at(("a", "branch-name", "d")) == "f:3: a.d"
    assert source.at(("a", "e"), missing=True) == "f:1: a.e"


def test_variables_are_replaced_everywhere() -> None:
    assert YamlSource.of(TEXT, "f").values({"D": "x: y # z"}) == {"a": {"b": ["x", {"c": 1}], "d": "x: y # z"}}


@pytest.mark.parametrize(
    "value, said",
    [
        ("*hidden", "found undefined alias"),
        ("!hidden x", "could not determine a constructor for the tag"),
        ("!hidden!x y", "found undefined tag handle"),
    ],
)
def test_a_value_that_yaml_takes_for_syntax_is_not_quoted(value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        YamlSource.of(f"a:\n  key: {value}\n", "f").values({})
    assert str(caught.value).startswith(f"f:2: not valid YAML: {said}; a value that begins with *")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("value", ["2024-99-99", "0b__", "2024-01-01T25:00:00Z"])
def test_dates_and_numbers_that_can_not_be_are_mistakes(value: str) -> None:
    with pytest.raises(ConfigError, match="f: a date or a number that can't be one"):
        YamlSource.of(f"a: {value}\n", "f").values({})
