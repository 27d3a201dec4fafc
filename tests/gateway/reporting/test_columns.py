from dataclasses import fields, replace
from decimal import Decimal

import pytest

from gateway.reporting.columns import COLUMNS, compact, money, named, notes
from gateway.reporting.rows import Row, nothing


def written(name: str, value: object) -> tuple[str, str, str]:
    (column,) = named(name)
    row = replace(nothing(), **{name: value})  # type: ignore[arg-type]
    return column.exact(row), column.shown(row), column.short(row)


def test_every_figure_of_a_row_has_a_column() -> None:
    assert [column.name for column in COLUMNS] == [field.name for field in fields(Row) if field.name != "group"]


@pytest.mark.parametrize(
    "name, value, exact, shown, short",
    [
        ("input", 1_234_567, "1234567", "1,234,567", "1.2M"),
        ("tokens_saved", -1_234_567, "-1234567", "-1,234,567", "-1.2M"),
        ("cost_usd", Decimal("1234.5"), "1234.500000000", "1,234.5000", "1,234"),
        ("cost_usd", Decimal("12.345678901"), "12.345678901", "12.3457", "12.35"),
        ("cost_usd", Decimal("0.000000007"), "0.000000007", "0.000000007", "0.000000007"),
        ("cost_usd", Decimal("0"), "0.000000000", "0.0000", "0.0000"),
        ("saved_usd", Decimal("-0.25"), "-0.250000000", "-0.2500", "-0.2500"),
        ("saved_usd", None, "", "–", "–"),
        ("mean_total_ms", 1234.56789, "1234.5679", "1,234.6", "1,235"),
        ("mean_total_ms", None, "", "–", "–"),
        ("effective_tokens", 0.1234, "0.1234", "12.3%", "12.3%"),
        ("effective_tokens", None, "", "–", "–"),
    ],
)
def test_how_figures_are_written(name: str, value: object, exact: str, shown: str, short: str) -> None:
    assert written(name, value) == (exact, shown, short)


def test_money_is_exact_to_the_nano_dollar_at_any_size() -> None:
    nanos = 123_456_789_012_345_678
    assert written("cost_usd", nanos * Decimal("1e-9"))[0] == "123456789.012345678"


@pytest.mark.parametrize(
    "count, text",
    [(0, "0"), (9_999, "9,999"), (10_000, "10.0K"), (99_949, "99.9K"), (123_456, "123K"), (5 * 10**12, "5,000B")],
)
def test_counts_where_there_is_little_room(count: int, text: str) -> None:
    assert compact(count) == text


@pytest.mark.parametrize("usd, text", [("-0.0042", "-0.0042"), ("0.01", "0.0100"), ("-3", "-3.0000")])
def test_amounts_are_not_rounded_to_nothing(usd: str, text: str) -> None:
    assert money(Decimal(usd)) == text


def test_what_is_not_known_is_counted_in_words() -> None:
    assert notes(nothing()) == ()
    assert notes(replace(nothing(), unpriced=1, estimated=1200, unsettled=3)) == (
        "1 request of unknown cost, in no sum of money",
        "1,200 requests estimated: the upstream's own usage never came",
        "3 requests unsettled: their gateway died, they count as the most they can have been",
    )
