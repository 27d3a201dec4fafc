"""Every SDK gets through the gateway what it gets from the upstream itself. The gate has what needs no installation."""

from collections.abc import Iterator

import pytest

from tests.sdks import environments
from tests.sdks.__main__ import row_of
from tests.sdks.catalogue import SDKS, Sdk
from tests.sdks.place import Place, a_place
from tests.sdks.snippets import DOCUMENT, SHOWN_URL, snippets
from tests.sdks.table import CASE_NAMES, NOT_RUN, Row, heads, markdown, notes

OURS = [sdk for sdk in SDKS if not sdk.lock]
OTHERS = [sdk for sdk in SDKS if sdk.lock]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with a_place() as found:
        yield found


def checked(sdk: Sdk, place: Place) -> None:
    row = row_of(sdk, place)
    if row.missing.startswith("not installed") or row.missing.startswith("no Node"):
        pytest.skip(f"{sdk.name}: {row.missing}")
    assert row.missing == ""
    assert [verdict for verdict in row.verdicts if not verdict.good] == []
    assert {verdict.case for verdict in row.verdicts} == set(CASE_NAMES[:-1] * bool(sdk.script)) | set(
        CASE_NAMES[-1:] * bool(sdk.snippet)
    )
    # The document shows what has just come out.
    assert markdown([row]).splitlines()[-1] in DOCUMENT.read_text()


@pytest.mark.model
@pytest.mark.parametrize("sdk", OURS, ids=lambda sdk: sdk.label)
def test_what_needs_no_installation(sdk: Sdk, place: Place) -> None:
    checked(sdk, place)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("sdk", OTHERS, ids=lambda sdk: sdk.label)
def test_in_an_environment_of_its_own(sdk: Sdk, place: Place) -> None:
    checked(sdk, place)


def test_the_document_has_a_row_for_every_sdk_and_a_column_for_every_case() -> None:
    text = DOCUMENT.read_text()
    assert "| " + " | ".join(heads()) + " |" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [(row[0].removeprefix("| "), row[2]) for row in rows] == [(sdk.name, sdk.api) for sdk in SDKS]


def test_every_program_of_the_document_is_run_and_names_the_gateway() -> None:
    found = snippets()
    assert set(found) == {sdk.snippet for sdk in SDKS if sdk.snippet}
    assert [name for name, snippet in found.items() if SHOWN_URL not in snippet.code] == []
    assert found["Python"].at("http://x/v1").count("http://x/v1") == 1


def test_an_sdk_that_cannot_be_installed_is_in_the_table_with_the_reason() -> None:
    row = Row(SDKS[0], "", (), "not installed: no network")
    assert {row.cell(case) for case in CASE_NAMES} == {NOT_RUN}
    assert notes([row]) == ["openai (Python), chat: not installed: no network"]


def test_our_own_environment_needs_no_installation() -> None:
    assert environments.command("", "openai_sdk")[1:] == ["-m", "tests.sdks.scripts.openai_sdk"]
