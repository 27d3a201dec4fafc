import pytest

from retrieval.headings import Above, Outline, Strength

CODE = """import os


class Pier(
    object,
):
    def moor(self) -> int:
        # Ropes
        return 2

    def leave(self):
        return os.EX_OK


# Ferries
def sail():
    return 3
"""


def walk(text: str) -> list[tuple[str, str]]:
    """Return, of each line that is not blank, the strength of the boundary before it and what stands above."""
    outline = Outline(Above.beginning(text))
    seen = []
    for line in text.split("\n"):
        if line.strip():
            seen.append((outline.enter(line).name, outline.above()))
        else:
            outline.blank()
    return seen


def strengths(text: str) -> list[str]:
    return [strength for strength, _ in walk(text)]


def above(text: str) -> list[str]:
    return [names for _, names in walk(text)]


def test_strengths_rise_from_a_mere_cut_to_a_new_document() -> None:
    order = ["WINDOW", "SENTENCE", "LINE", "PARAGRAPH", "TURN", "HEADING", "TITLE"]
    assert [strength.name for strength in sorted(Strength)] == order


def test_markdown_sections_nest_and_end_at_their_level() -> None:
    text = "# Harbour\n\nBoats.\nMore.\n\n## Mooring ##\n### At night\nLights.\n## Fees\n# Ferries"
    assert walk(text) == [
        ("TITLE", "Harbour"),
        ("PARAGRAPH", "Harbour"),
        ("LINE", "Harbour"),
        ("HEADING", "Harbour › Mooring"),
        ("HEADING", "Harbour › Mooring › At night"),
        ("LINE", "Harbour › Mooring › At night"),
        ("HEADING", "Harbour › Fees"),
        ("TITLE", "Ferries"),
    ]


def test_latex_sections_nest() -> None:
    text = "\\section{Results}\n\\subsection*{Boats}\n\\subsubsection{Oars}\n\\section{End}"
    assert above(text) == ["Results", "Results › Boats", "Results › Boats › Oars", "End"]


@pytest.mark.parametrize(
    "line, title",
    [
        ("--- Document 2: Harbour ---", "Document 2: Harbour"),
        ("== Harbour ==", "Harbour"),
        ("[Harbour]", "Harbour"),
        ('<document title="Harbour">', 'title="Harbour"'),
        ("### src/harbour.py", "src/harbour.py"),
        ("# file: src/harbour.py", "src/harbour.py"),
    ],
)
def test_a_document_begins_and_ends_all_that_stood_above(line: str, title: str) -> None:
    assert walk(f"[Before]\n## Section\nAnn: hello\n{line}")[-1] == ("TITLE", title)


@pytest.mark.parametrize("line", ["---", "=====", "[1] [2]", "<p>", "#hashtag", "- an item", "[]"])
def test_what_only_looks_like_a_title_is_a_line(line: str) -> None:
    assert walk(f"[Before]\n{line}")[-1] == ("LINE", "Before")


@pytest.mark.parametrize("line", ["-----", "-" * 40])
def test_a_rule_of_dashes_is_no_title(line: str) -> None:
    assert walk(f"[Before]\n{line}")[-1] == ("LINE", "Before")


@pytest.mark.parametrize("heading", ["ARTICLE 7 TERMINATION", "7.1 Notice", "12. Fees of the harbour", "§ 4 Haftung"])
def test_a_numbered_clause_is_a_heading(heading: str) -> None:
    assert strengths(f"The parties agree.\n{heading}\nin writing.") == ["PARAGRAPH", "HEADING", "LINE"]


def test_a_clause_written_out_behind_its_number_is_a_paragraph() -> None:
    clause = "7.2 Either party may end this agreement by written notice of no less than ninety days to the other party."
    assert strengths(f"7.1 Notice\n{clause}") == ["HEADING", "PARAGRAPH"]


@pytest.mark.parametrize("line", ["12 boats were lost", "1,200 EUR", "a section of it", "Sectional sofas"])
def test_a_line_that_opens_with_a_number_or_such_a_word_is_no_clause(line: str) -> None:
    assert strengths(f"It was so:\n{line}")[-1] == "LINE"


@pytest.mark.parametrize("line", ["Section 3 Fees", "Article 12. Liability", "Chapter 4 The Ferry"])
def test_a_clause_named_in_title_case_is_a_heading(line: str) -> None:
    assert strengths(f"The parties agree.\n{line}")[-1] == "HEADING"


def test_definitions_in_a_fence_nest_by_their_indent_and_end_with_it() -> None:
    text = (
        "# Code\n```python\n# no heading\nclass Pier:\n    def moor(self):\n        return 2\n    at = 1\n```\nAnn: so?"
    )
    assert walk(text) == [
        ("TITLE", "Code"),
        ("LINE", "Code"),
        ("LINE", "Code"),
        ("TURN", "Code › class Pier"),
        ("TURN", "Code › class Pier › def moor(self)"),
        ("LINE", "Code › class Pier › def moor(self)"),
        ("LINE", "Code › class Pier"),
        ("LINE", "Code"),
        ("TURN", "Code › Ann"),
    ]


def test_a_source_file_without_a_fence_is_known_as_code() -> None:
    names = dict(zip([line.strip() for line in CODE.split("\n") if line.strip()], above(CODE), strict=True))
    assert names["# Ropes"] == "class Pier( › def moor(self) -> int"
    assert names["return os.EX_OK"] == "class Pier( › def leave(self)"
    assert names["# Ferries"] == ""
    assert names["return 3"] == "def sail()"


def test_a_line_of_code_in_prose_does_not_make_it_code() -> None:
    text = "import taxes rise\n" + "The harbour pays them.\n" * 30 + "# Ferries"
    assert walk(text)[-1] == ("TITLE", "Ferries")


def test_speakers_of_a_chat_take_turns_until_the_next_section() -> None:
    text = "# Monday\n[10:02] Ann Lee: hello\nand more\n(10:03) Bob: hi\nJosé Ruiz: hola\n## Later"
    assert walk(text) == [
        ("TITLE", "Monday"),
        ("TURN", "Monday › Ann Lee"),
        ("LINE", "Monday › Ann Lee"),
        ("TURN", "Monday › Bob"),
        ("TURN", "Monday › José Ruiz"),
        ("HEADING", "Monday › Later"),
    ]


@pytest.mark.parametrize("line", ["http://example.org: down", "note: small", "10:30 it began", "Ann said nothing"])
def test_a_line_without_a_speaker_is_no_turn(line: str) -> None:
    assert walk(f"Ann: hello\n{line}")[-1] == ("LINE", "Ann")


def test_plain_chinese_has_paragraphs_and_lines() -> None:
    text = "本合同自签署之日起生效。\n甲方应当付款。\n\n乙方应当交货。\n期限为三十天。"
    assert walk(text) == [("PARAGRAPH", ""), ("LINE", ""), ("PARAGRAPH", ""), ("LINE", "")]


def test_japanese_has_headings_and_speakers() -> None:
    text = "# 港の規則\n\n船は桟橋につなぎます。\n田中: はい\n夜は灯りをつけます。\n## 料金"
    assert walk(text) == [
        ("TITLE", "港の規則"),
        ("PARAGRAPH", "港の規則"),
        ("TURN", "港の規則 › 田中"),
        ("LINE", "港の規則 › 田中"),
        ("HEADING", "港の規則 › 料金"),
    ]


def test_an_outline_is_taken_up_where_it_was_interrupted() -> None:
    lines = ["# Boats", "## Fees", "Ann: forty crowns", "", "```", "# no heading", "```", "def moor():", "Text."]
    for at in range(len(lines)):
        through = Outline(Above.beginning("\n".join(lines)))
        before = Outline(Above.beginning("\n".join(lines)))
        for line in lines[:at]:
            assert before.enter(line) == through.enter(line)
        after = Outline(before.interrupted())
        assert [after.enter(line) for line in lines[at:]] == [through.enter(line) for line in lines[at:]]
        assert after.above() == through.above()
