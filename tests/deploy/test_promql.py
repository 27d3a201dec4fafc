"""The reader of expressions finds what they name."""

from tests.deploy.promql import Matcher, selectors


def test_a_metric_its_conditions_and_the_labels_it_is_summed_by() -> None:
    (found,) = selectors('sum by (team, kind) (rate(tokens_total{kind=~"a|b", team!="x"}[5m])) * 60')
    assert found.metric == "tokens_total"
    assert found.matchers == [Matcher("kind", "=~", "a|b"), Matcher("team", "!=", "x")]
    assert found.groups == {"team", "kind"}


def test_each_sum_has_its_own_labels() -> None:
    one, two = selectors("sum by (a) (x) / sum by (b) (y offset 1h) > bool 0")
    assert (one.metric, one.groups) == ("x", {"a"})
    assert (two.metric, two.groups) == ("y", {"b"})


def test_labels_to_match_on_count_for_both_sides_within_the_parentheses() -> None:
    one, two, three = selectors("sum by (t) (delta(x[1h]) and on (i) sum by (i) (resets(y[1h])) == 0) or z")
    assert one.groups == {"t", "i"}
    assert two.groups == {"t", "i"}
    assert (three.metric, three.groups) == ("z", set())


def test_functions_numbers_and_ranges_are_no_metrics() -> None:
    (found,) = selectors("histogram_quantile(0.95, sum by (le) (rate(a:b_bucket[5m]))) or vector(0) * 1e3")
    assert found.metric == "a:b_bucket"
