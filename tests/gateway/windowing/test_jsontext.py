import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.windowing.jsontext import Slice, atoms, identities, parse, rendered
from gateway.windowing.markers import pattern

RECORDS = [
    {
        "order_id": f"#W{n}",
        "user": {"name": f"Person {n}", "city": "Charlotte", "street": "268 Broadway, Suite 151"},
        "items": [{"sku": i} for i in range(n % 4)],
    }
    for n in range(40)
]
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.text(min_size=400, max_size=1500),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=40,
)


def tree_of(text: str) -> Slice:
    tree = parse(text)
    assert tree is not None
    return tree


@pytest.mark.parametrize("indent", [None, 2])
def test_whole_records_go_and_a_marker_takes_their_place(indent: int | None) -> None:
    text = json.dumps(RECORDS, indent=indent)
    tree = tree_of(text)
    assert len(atoms(tree)) == 40
    result = json.loads(rendered(text, tree, frozenset({3, 4, 20})))
    gaps = ["[… 3 elements omitted …]", "[… 15 elements omitted …]", "[… 19 elements omitted …]"]
    assert result == [gaps[0], RECORDS[3], RECORDS[4], gaps[1], RECORDS[20], gaps[2]]


def test_markers_are_indented_as_their_siblings_are() -> None:
    text = json.dumps(RECORDS, indent=2)
    lines = rendered(text, tree_of(text), frozenset({3})).split("\n")
    assert lines[1] == '  "[… 3 elements omitted …]",'
    assert lines[-2:] == ['  "[… 36 elements omitted …]"', "]"]


def test_a_large_record_is_cut_by_field_and_keeps_its_name() -> None:
    record = {"id": "r-17", "log": [f"line {n} of the log" for n in range(200)], "note": "short", "tail": "x " * 400}
    text = json.dumps({"records": [record, {**record, "id": "r-18"}]})
    tree = tree_of(text)
    inside, names = next((i, n) for i, n in identities(tree))
    assert [text[atoms(tree)[n].start : atoms(tree)[n].end] for n in names] == ['"id": "r-17"']
    result = json.loads(rendered(text, tree, frozenset({*names, inside.start + 1})))
    assert result["records"][0]["id"] == "r-17"
    assert result["records"][0]["log"][0] == "line 0 of the log"
    assert result["records"][1] == "[… 1 element omitted …]"
    assert any(key.startswith("…") for key in result["records"][0])


def test_headings_name_the_way_down_and_the_record() -> None:
    text = json.dumps({"data": {"orders": [{"id": "A1", "lines": ["word " * 20] * 20}]}})
    assert any("orders" in leaf.heading and "id: A1" in leaf.heading for leaf in atoms(tree_of(text)))


def test_scalars_go_in_runs() -> None:
    text = json.dumps(list(range(1000)))
    tree = tree_of(text)
    assert sum(leaf.count for leaf in atoms(tree)) == 1000
    first = json.loads(rendered(text, tree, frozenset({0})))
    assert first[: atoms(tree)[0].count] == list(range(atoms(tree)[0].count))
    assert first[-1] == f"[… {1000 - atoms(tree)[0].count} elements omitted …]"


def test_markers_of_an_object_have_keys_of_their_own() -> None:
    value = {"…": "taken", **{f"key{n}": "v" * 150 for n in range(20)}}
    text = json.dumps(value, ensure_ascii=False)
    tree = tree_of(text)
    count = len(atoms(tree))
    pairs = json.loads(rendered(text, tree, frozenset({0, count // 2})), object_pairs_hook=list)
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys))
    assert [key for key in keys if key.startswith("… ")] == ["… 2", "… 3"]


def test_a_long_string_is_cut_inside() -> None:
    page = "\n".join(f'Line {n} says "something" with a \\ and ünïcode 😀.' for n in range(200))
    for ascii_only in (True, False):
        text = json.dumps({"url": "https://example.org", "text": page}, ensure_ascii=ascii_only)
        tree = tree_of(text)
        assert len(atoms(tree)) > 10
        result = json.loads(rendered(text, tree, frozenset({0, 3, 4})))
        runs = [run.strip() for run in pattern.split(result["text"]) if run.strip()]
        assert len(runs) == 1
        assert all(run in page for run in runs)


@pytest.mark.parametrize("text", ["", "not json", '{"a":1} trailing', "[1,2", "[" * 100_000])
def test_not_json(text: str) -> None:
    assert parse(text) is None


@given(JSON_VALUES, st.sampled_from([None, 1]), st.booleans(), st.data())
def test_any_selection_parses_and_holds_only_what_stood_there(
    value: Any, indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    tree = tree_of(text)
    leaves = atoms(tree)
    assert all(a.end <= b.start for a, b in itertools.pairwise(leaves))
    kept = data.draw(st.frozensets(st.integers(0, len(leaves) - 1), min_size=1))
    result = rendered(text, tree, kept)
    json.loads(result)
    for ordinal in kept:
        assert text[leaves[ordinal].start : leaves[ordinal].end] in result
    if len(kept) == len(leaves):
        assert result == text
