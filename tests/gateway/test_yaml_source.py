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


@pytest.mark.parametrize(
    "value, kind",
    [
        ("2024-99-99", "timestamp"),
        ("2024-01-01T25:00:00Z", "timestamp"),
        ("!!timestamp hidden", "timestamp"),
        ("0b__", "int"),
        ("!!int hidden", "int"),
        ('!!int ""', "int"),
        ("!!float hidden", "float"),
        ("!!bool hidden", "bool"),
    ],
)
def test_a_value_that_is_not_what_it_looks_like_is_a_mistake_with_its_line(value: str, kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        YamlSource.of(f"a:\n  b: {value}\n", "f").values({})
    assert str(caught.value) == f"f:2: this can't be of type {kind}; in quotes, and without a tag, it is text"
    with pytest.raises(ConfigError, match="f:1: this can't be"):
        YamlSource.of(f"? {value}\n: b\n", "f").values({})


def test_a_mapping_may_be_merged_into_another() -> None:
    found = YamlSource.of("a: &x {b: 1}\nc: {<<: *x, d: 2}\n", "f").values({})
    assert found == {"a": {"b": 1}, "c": {"b": 1, "d": 2}}


@pytest.mark.parametrize("text", ["[" * 3000, "{a: " * 3000, "- " * 3000 + "a"])
def test_what_is_nested_too_deep_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match="f: nested too deep"):
        YamlSource.of(text, "f").values({})


@pytest.mark.parametrize(
    "value, environ, found",
    [
        ("${A:-none}", {}, "none"),
        ("${A:-}", {}, ""),
        ("${A:-none}", {"A": ""}, "none"),
        ("x${A:-none}y", {"A": "${B}"}, "x${B}y"),
        ("$${A}", {"A": "1"}, "${A}"),
        ("$A {A} $", {"A": "1"}, "$A {A} $"),
    ],
)
def test_a_variable_may_have_a_default_and_its_sign_may_be_meant(
    value: str, environ: dict[str, str], found: str
) -> None:
    assert YamlSource.of(f"a: '{value}'", "f").values(environ) == {"a": found}


@pytest.mark.parametrize("value", ["${A", "${A-none}", "${1}", "${}", "${A:-${B}}"])
def test_what_begins_like_a_variable_and_is_none_is_a_mistake(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^f:2: expected \$\{NAME\} or"):
        YamlSource.of(f"b: 1\na: '{value}'", "f").values({"A": "1", "B": "1"})


def test_a_name_is_not_replaced() -> None:
    with pytest.raises(ConfigError, match="f:2: a name is taken as it stands"):
        YamlSource.of("b: 1\n${A}: 2", "f").values({"A": "1"})


@pytest.mark.parametrize("text", ['a: "\\ud800"', '"\\ud800": a', "a: ${A}"])
def test_half_a_character_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match="f:1: it holds half of a character"):
        YamlSource.of(text, "f").values({"A": "\udcff"})
