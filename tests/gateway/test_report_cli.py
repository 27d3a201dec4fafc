import asyncio
import csv
import io
import json
from pathlib import Path

import pytest
from msgspec import structs
from typer.testing import CliRunner, Result

from gateway.cli import main
from tests.gateway.reporting.ledgers import MODELS, TEAMS, entries, fill, opened

ENTRIES = entries(1000)
DATES = ("--from", "2026-11-01", "--to", "2026-11-20")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text("upstreams: {main: {base_url: 'http://127.0.0.1:1/v1'}}\n")
    return file


@pytest.fixture
def filled(config: Path) -> Path:
    """The configuration of a gateway that has served."""

    async def write() -> None:
        async with opened(config.parent) as store:
            await fill(store, ENTRIES)

    asyncio.run(write())
    return config


def report(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["report", "--config", str(config), *arguments])


def test_a_table_by_team_and_model_unless_asked_otherwise(filled: Path) -> None:
    done = report(filled, *DATES)
    assert (done.exit_code, done.stderr) == (0, "")
    total = next(line for line in done.stdout.splitlines() if line.startswith("total"))
    assert total.split()[1] == f"{len(ENTRIES):,}"
    assert all(word in done.stdout for word in ("acme", "gpt-4o-mini", "of unknown cost"))


def test_a_table_of_very_many_groups_has_the_dearest_and_one_line_of_the_others(config: Path) -> None:
    async def write() -> None:
        async with opened(config.parent) as store:
            await fill(store, [structs.replace(entry, user=entry.id) for entry in ENTRIES])

    asyncio.run(write())
    lines = report(config, *DATES, "--group-by", "user").stdout.splitlines()
    lines = lines[
        : next(place for place, line in enumerate(lines) if line.startswith("total"))
    ]  # the next is in shadow
    assert sum(line.startswith("req-") for line in lines) == 500
    (others,) = (line.split() for line in lines if "others" in line)
    assert others[:3] == ["500", "others", "500"]
    assert (
        sum(line.count("\n") for line in report(config, *DATES, "--group-by", "user", "--format", "csv").stdout) == 1001
    )


def test_csv_and_json_say_the_same(filled: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(report(filled, *DATES, "--format", "csv").stdout)))
    found = json.loads(report(filled, *DATES, "--format", "json").stdout)
    assert len(lines) == len(TEAMS) * len(MODELS)
    assert [line["saved_usd"] for line in lines] == [row["saved_usd"] or "" for row in found["rows"]]
    assert found["total"]["requests"] == len(ENTRIES)


def test_other_groups_of_one_team(filled: Path) -> None:
    found = json.loads(report(filled, *DATES, "--format", "json", "--group-by", "user", "--team", "acme").stdout)
    users = sorted({entry.user for entry in ENTRIES if entry.team == "acme"})
    assert [row["group"]["user"] for row in found["rows"]] == users


@pytest.mark.parametrize(
    "form, start", [("html", "<!doctype html>"), ("csv", "team,model,"), ("table", " "), ("json", "{")]
)
def test_a_file_is_written_instead(filled: Path, tmp_path: Path, form: str, start: str) -> None:
    out = tmp_path / "out"
    done = report(filled, *DATES, "--format", form, "--out", str(out))
    assert (done.exit_code, done.output) == (0, "")
    assert out.read_text().startswith(start)


@pytest.mark.parametrize("team", [(), ("--team", "acme")])
def test_an_empty_ledger_is_said_to_be_empty(config: Path, team: tuple[str, ...]) -> None:
    done = report(config, *DATES, *team)
    whose = " of team acme" if team else ""
    said = f"The ledger holds no requests{whose} from 2026-11-01 00:00 to 2026-11-21 00:00 UTC.\n"
    assert (done.exit_code, done.stdout) == (0, said)


def test_an_empty_ledger_is_a_csv_without_rows_and_said_beside_it(config: Path) -> None:
    done = report(config, "--format", "csv")
    assert (done.exit_code, done.stdout.count("\n")) == (0, 1)
    assert done.stderr.startswith("The ledger holds no requests from ")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--from", "yesterday"), "--from: 'yesterday': expected a date such as"),
        (("--to", "2026-11-24T15:00"), "--to: '2026-11-24T15:00': a time needs a zone"),
        (("--group-by", "team,colour"), "--group-by: 'colour': expected some of team, key"),
        (("--format", "csv", "--out", "/nowhere/at/all.csv"), "/nowhere/at/all.csv: No such file or directory"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(filled: Path, arguments: tuple[str, ...], said: str) -> None:
    done = report(filled, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(said)


def test_a_file_that_is_no_store_is_said_in_one_line(config: Path) -> None:
    (config.parent / "gateway.db").write_text("no database, but long enough to be taken for one" * 99)
    done = report(config)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("the store can't be used: ")
