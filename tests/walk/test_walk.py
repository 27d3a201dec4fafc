"""The walk is possible, and each of its commands does what the document says beside it."""

import re
from collections.abc import Iterator

import pytest

from benchmarks.report import console
from tests.upstreams import Upstream
from tests.upstreams.replies import CANNED
from tests.walk.looking import BrowserMissingError, browser
from tests.walk.places import place
from tests.walk.table import line, table
from tests.walk.walk import CALLERS_KEY, INSTALL, LOOK, README, TEAMS, Walked, walk

TEN_MINUTES_S = 600
HELLO = "OPENAI_API_KEY=sk-... .venv/bin/python hello.py"
AS_ACME = "OPENAI_API_KEY=$KEY .venv/bin/python hello.py"


@pytest.fixture(scope="module", autouse=True)
def a_browser() -> None:
    try:
        browser()
    except BrowserMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def upstream_of_the_walk() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def walked(upstream_of_the_walk: Upstream) -> Walked:
    with place(upstream_of_the_walk.url) as here:
        return walk(here)


def replies(printed: str) -> list[int]:
    """Return the statuses that curl has shown."""
    return [int(status) for status in re.findall(r"^HTTP/1\.1 (\d+)", printed, re.M)]


def test_every_command_of_the_documents_ends_well(walked: Walked) -> None:
    assert [(step.ran.command, step.ran.output) for step in walked.steps if step.ran.status] == []
    typed = [step.ran.command for step in walked.steps]
    assert [command for command in typed if "context-gateway serve" in command] == [
        ".venv/bin/context-gateway serve          # in a terminal of its own; forwards to https://api.openai.com/v1 "
        "with your callers' own keys",
        ".venv/bin/context-gateway serve --config gateway.yaml &",
        "context-gateway serve --config gateway.yaml &",
    ]
    assert {README, TEAMS} == {step.document for step in walked.steps}


def test_the_program_gets_an_answer_with_the_callers_own_key_and_with_the_teams(
    walked: Walked, upstream_of_the_walk: Upstream
) -> None:
    assert CANNED in walked.printed(HELLO)
    assert CANNED in walked.printed(AS_ACME)
    # By whichever way it came, the upstream is only ever shown the key that is its own.
    sent = {
        value
        for request in upstream_of_the_walk.requests
        for name, value in request.headers
        if name.lower() == b"authorization"
    }
    assert sent == {f"Bearer {CALLERS_KEY}".encode()}


def test_the_team_is_made_and_the_report_has_what_it_used(walked: Walked) -> None:
    assert "team acme is made" in walked.printed(".venv/bin/context-gateway teams add acme")
    (row,) = [line for line in walked.printed("report").splitlines() if line.lstrip().startswith("acme")]
    assert re.match(r"\s*acme\s+gpt-4o-mini\s+1\s", row)


def test_the_console_opens_with_the_admin_token_and_counts_the_request(walked: Walked) -> None:
    assert walked.overview.title == "Overview · context-gateway"
    assert walked.overview.requests == "1"
    assert "acme" in walked.overview.text
    assert "gpt-4o-mini" in walked.overview.text


def test_a_budget_warns_then_refuses_and_goes_on_where_it_is_changed(walked: Walked) -> None:
    before, after = (step.ran.output for step in walked.steps if "curl" in step.ran.command)
    statuses = replies(before)
    spent = statuses.index(429)
    assert len(statuses) == 20
    assert statuses == [200] * spent + [429] * (20 - spent)
    assert spent > 0
    assert re.search(r"^x-gateway-budget-warning: (50|80)% of the \$0\.002 a day is spent", before, re.M)
    assert re.search(r"^retry-after: \d+", before, re.M)
    assert re.search(r"^x-should-retry: false", before, re.M)
    assert "No room in the budget: of the $0.002 a day" in before
    assert '"code":"insufficient_quota"' in before
    assert replies(after) == [200] * 20


def test_a_command_is_shown_in_one_line() -> None:
    assert line("a --b    # why") == "a --b"
    assert line("cat > f <<'EOF'\na\nEOF") == "cat > f <<'EOF' …"
    assert line("x" * 100) == f"{'x' * 84} …"


@pytest.mark.slow
def test_from_nothing_it_takes_less_than_ten_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    with Upstream() as upstream, place(upstream.url, from_nothing=True) as here:
        walked = walk(here)
    with capsys.disabled():
        console().print("\n", table(walked))
    assert [(step.ran.command, step.ran.output) for step in walked.steps if step.ran.status] == []
    assert walked.steps[0].ran.command.startswith(INSTALL)
    assert LOOK in [step.ran.command for step in walked.steps]
    assert CANNED in walked.printed(HELLO)
    assert 429 in replies(walked.printed("curl"))
    assert walked.seconds < TEN_MINUTES_S
