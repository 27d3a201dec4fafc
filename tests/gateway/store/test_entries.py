"""The ledger's entries: what of them may change later, and what must not."""

import msgspec
import pytest

from gateway.store.entries import Entry, Group, Span, State
from tests.gateway.store.cases import NOW, entry


def test_an_entry_needs_an_id_a_time_and_a_team_and_no_more() -> None:
    assert [field.name for field in msgspec.structs.fields(Entry) if field.required] == ["id", "time", "team"]


def test_an_entry_does_not_change() -> None:
    with pytest.raises(AttributeError):
        entry().cost_nano = 1  # type: ignore[misc]


def test_what_is_not_known_is_none_and_not_nothing() -> None:
    unknown = {name for name in Entry.__struct_fields__ if getattr(entry(), name) is None}
    counts = {"tokens_original", "tokens_forwarded", "tokens_window", "first_byte_ms"}
    assert unknown == {*counts, "cost_nano", "saved_nano", "would_save_nano"}


def test_what_older_builds_packed_has_the_fields_in_the_same_places() -> None:
    first = "id time team key user model upstream route state status error decision reason stream tokens_original"
    then = "tokens_forwarded input cached cache_written output reasoning cost_nano saved_nano total_ms first_byte_ms"
    assert list(Entry.__struct_fields__)[:26] == [*first.split(), *then.split(), "overhead_ms"]


def test_an_entry_survives_as_json() -> None:
    made = entry(state=State.ESTIMATED, stream=True, total_ms=1.25)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Entry) == made


@pytest.mark.parametrize("group", sorted(set(Group) - {Group.DAY, Group.HOUR}))
def test_a_group_is_one_of_an_entry_s_fields(group: Group) -> None:
    assert group in Entry.__struct_fields__


def test_spans_are_compared_by_value() -> None:
    assert {Span(NOW, NOW + 1), Span(NOW, NOW + 1), Span(NOW, NOW + 2)} == {Span(NOW, NOW + 1), Span(NOW, NOW + 2)}
