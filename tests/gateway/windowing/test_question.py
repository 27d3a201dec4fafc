"""Splitting the last user message into what asks and what is pasted."""

import json
import runpy
from pathlib import Path
from pydoc_data import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.windowing.material import LONG_ASK
from gateway.windowing.question import WHOLE_BYTES, split_question
from tests.gateway.windowing import sentences

_TOPICS = [text for _, text in sorted(topics.topics.items()) if len(text) > 1500]


def _prose(size: int, first: int = 0) -> str:
    """Real prose of the language reference, about `size` characters, blank lines between its paragraphs."""
    text = ""
    at = first
    while len(text) < size:
        text += _TOPICS[at % len(_TOPICS)] + "\n\n"
        at += 1
    return text[:size].rsplit("\n\n", 1)[0]


def _log(lines: int) -> str:
    levels = ("INFO", "DEBUG", "WARNING", "ERROR")
    return "\n".join(
        f"2026-03-{1 + n % 28:02d} 10:{n % 60:02d}:{n * 7 % 60:02d} {levels[n % 4]} worker-{n % 9}: {n} took {n} ms"
        for n in range(lines)
    )


def _chat(turns: int) -> str:
    names = ("Ana", "Ben", "Chiara")
    return "\n".join(
        f"{names[n % 3]}: I think number {n} is fine, isn't it? We can talk about it later." for n in range(turns)
    )


def _records(count: int) -> list[dict[str, object]]:
    return [
        {"id": n, "name": f"item {n}", "price": n * 3.5, "tags": ["a", "b"], "note": "What is this?"}
        for n in range(count)
    ]


def _csv(rows: int) -> str:
    return "id,name,city,price\n" + "\n".join(f"{n},name {n},city {n % 17},{n * 1.5}" for n in range(rows))


def _code(functions: int) -> str:
    return "\n\n\n".join(
        f'def step_{n}(value: int) -> int:\n    """Do step {n}."""\n    return value + {n}  # why not?'
        for n in range(functions)
    )


def _email(size: int) -> str:
    head = "From: Ana <ana@example.org>\nTo: Ben\nSubject: Offer\nDate: 3 May 2026\n\nDear Ben,"
    return f"{head}\n\n{_prose(size)}\n\nBest regards\nAna"


_PASTES = {
    "prose": _prose(24_000),
    "documents": "\n\n".join(f"--- Document {n}: Title {n} ---\n{_prose(4000, n)}" for n in range(6)),
    "elements": "\n".join(f'<document title="T{n}">\n{_prose(4000, n)}\n</document>' for n in range(6)),
    "wrapped": "<documents>\n"
    + "\n".join(f"<doc id={n}>\n{_prose(4000, n)}\n</doc>" for n in range(6))
    + "\n</documents>",
    "own element": f"<vertragstext>\n{_prose(24_000)}\n</vertragstext>",
    "titles": "\n\n".join(f"# Title {n}\n\n{_prose(4000, n)}" for n in range(6)),
    "bracket titles": "\n\n".join(f"[Title {n}]\n{_prose(4000, n)}" for n in range(6)),
    "quotes": f'"""\n{_prose(24_000)}\n"""',
    "label": f"Context:\n{_prose(24_000)}",
    "files": "\n\n".join(f"### src/part_{n}.py\n```python\n{_code(60)}\n```" for n in range(4)),
    "files, comments": "\n\n".join(f"# file: part_{n}.py\n```\n{_code(60)}\n```" for n in range(4)),
    "one fence": f"```\n{_log(400)}\n```",
    "log": _log(400),
    "chat": _chat(400),
    "json": json.dumps(_records(200), indent=1),
    "json lines": "\n".join(json.dumps(r) for r in _records(300)),
    "json, one line": json.dumps(_records(300)),
    "csv": _csv(900),
    "code": _code(250),
    "email": _email(20_000),
    "one paragraph": " ".join(_prose(24_000).split()),
}
_QUESTIONS = {
    "plain": "Which of these has the lowest number, and since when?",
    "no mark": "how to change the second value",
    "labelled": "Question: what happens after the third step?",
    "boilerplate": "Based on the text above: what happens after the third step?",
    "instruction": "Explain in two sentences why the last step failed.",
    "two": "What failed first?\nAnd what did it cost?",
    "format": "Who wrote the offer? Answer in JSON with the fields name, date and city, and nothing else.",
    "options": "Which one is right?\n\nA) the first\nB) the second\nC) neither of them",
    "tldr": "TL;DR of the error please:",
    "german": "Nenne mir den Preis des dritten Angebots",
    "french": "Quel est le prix de la troisième offre ?",
    "chinese": "第三个步骤之后发生了什么",
    "chinese mark": "谁写了这份报价？",
    "japanese": "三番目の手順のあとに何が起きましたか",
    "thai": "ใครเป็นคนเขียนข้อเสนอนี้",
    "arabic": "من كتب هذا العرض؟",
    "russian": "Кто написал это предложение?",
    "hindi": "यह प्रस्ताव किसने लिखा",
}


def _covered(text: str, question: str, asks: tuple[tuple[int, int], ...]) -> bool:
    return any(question in text[start:end] for start, end in asks)


def _kept(asks: tuple[tuple[int, int], ...]) -> int:
    return sum(end - start for start, end in asks)


@pytest.mark.parametrize("paste", _PASTES.values(), ids=_PASTES)
@pytest.mark.parametrize("shape", ["{p}\n\n{q}", "{q}\n\n{p}", "{q}\n\n{p}\n\n{q}", "{p}\n{q}", "{q}\n{p}"])
def test_question_stays_whole_and_little_else(shape: str, paste: str) -> None:
    for name, question in _QUESTIONS.items():
        text = shape.format(p=paste, q=question)
        split = split_question(text)
        assert _covered(text, question, split.asks), name
        assert _kept(split.asks) < 0.25 * len(text), name
        assert question.rsplit(":", 1)[-1].strip() in split.query, name


@pytest.mark.parametrize("after", sentences.AFTER.values(), ids=sentences.AFTER)
@pytest.mark.parametrize("paste", ["prose", "titles", "elements", "log", "csv", "code", "one fence", "email"])
def test_what_follows_a_question_hides_it_from_nobody(paste: str, after: str) -> None:
    for question in ("Where is the spare key kept?", "Wo wird der Ersatzschlüssel aufbewahrt?"):
        ending = after.replace("{q}", question)
        text = f"{_PASTES[paste]}\n\n{ending}"
        split = split_question(text)
        assert _covered(text, ending, split.asks)
        assert question in split.query
        assert split.evident
        assert _kept(split.asks) < 0.25 * len(text)


@pytest.mark.parametrize(
    ("head", "question"),
    [
        ("You are a clerk of the city of Lyon.\nTone: formal\nLanguage: Portuguese", None),
        ("Format: JSON\nLanguage: Portuguese", None),
        ("Use the following text to answer. If you don't know, say so.\nQuestion: {q}\nContext:", None),
        ("### Task:\nRespond to the user query from the context, and cite.\n\n### Output:\nBe exact.", "{q}"),
        ("Task: Answer from the text. Be exact.", "<user_query>\n{q}\n</user_query>"),
    ],
)
def test_how_to_answer_stays_at_the_beginning_and_is_not_what_is_asked(head: str, question: str | None) -> None:
    asked = "Who paid for the lighthouse?"
    text = f"{head}\n\n<context>\n{_prose(24_000)}\n</context>\n\n{question or '{q}'}".replace("{q}", asked)
    split = split_question(text)
    assert split.asks[0][0] == 0
    assert _covered(text, head.replace("{q}", asked).removesuffix("\nContext:"), split.asks)
    assert asked in split.query
    assert len(split.query) < 3 * len(asked)


@pytest.mark.parametrize("label", ["{n}. ", "- ", "({n}) ", "Q{n}: ", "Question {n}: "])
def test_of_a_list_of_questions_all_are_searched_for(label: str) -> None:
    questions = ["Where is the key?", "Which ferry leaves first?", "How deep is the well?"]
    listed = "\n".join(f"{label.format(n=n)}{question}" for n, question in enumerate(questions, start=1))
    for text in (f"{_prose(24_000)}\n\n{listed}", f"{listed}\n\n{_prose(24_000)}"):
        split = split_question(text)
        assert _covered(text, listed, split.asks)
        assert [question for question in questions if question not in split.query] == []


@pytest.mark.parametrize(
    "name", ["prose", "titles", "log", "json", "json lines", "csv", "code", "email", "one paragraph"]
)
def test_material_alone_asks_nothing(name: str) -> None:
    assert not split_question(_PASTES[name]).evident
    assert split_question(f"{_PASTES[name]}\n\nWho wrote it?").evident
    assert split_question(f"Who wrote it?\n\n{_PASTES[name]}").evident


def test_settings_right_before_the_question_stay_with_it() -> None:
    ending = "Tone: formal\nLanguage: Portuguese\nLength: one sentence\n\nWhere is the spare key kept?"
    text = f"{_prose(24_000)}\n\n{ending}"
    assert _covered(text, ending, split_question(text).asks)


def test_question_in_the_middle_stays() -> None:
    first, second = _PASTES["elements"], _PASTES["elements"].replace("document", "appendix")
    question = "Question: does the first of the two contracts allow what the second one asks for?"
    for text in (f"{first}\n\n{question}\n\n{second}", f"{_PASTES['files']}\n\n{question}\n\n{_PASTES['files']}"):
        split = split_question(text)
        assert _covered(text, question, split.asks)
        assert _kept(split.asks) < 0.1 * len(text)


def test_question_between_json_texts_stays() -> None:
    question = "Now compare it with this one. Which prices differ?"
    text = f"{_PASTES['json']}\n{question}\n{_PASTES['json']}"
    split = split_question(text)
    assert _covered(text, question, split.asks)
    assert _kept(split.asks) < 0.1 * len(text)


def test_instruction_above_and_question_below_stay() -> None:
    head = "You are a careful lawyer. Use only the contract below, and cite the clause.\nAnswer in German."
    tail = "Question: who pays for the transport?\n\nThink before you answer."
    for name, paste in _PASTES.items():
        text = f"{head}\n\n{paste}\n\n{tail}"
        split = split_question(text)
        assert _covered(text, head, split.asks), name
        assert _covered(text, tail, split.asks), name
        assert "who pays for the transport?" in split.query


def test_log_with_one_line_before_and_after() -> None:
    text = f"Here's a log:\n{_log(500)}\nWhy does it fail?"
    split = split_question(text)
    assert _covered(text, "Why does it fail?", split.asks)
    assert _kept(split.asks) < 500


def test_long_report_with_its_own_fences_stays_whole_after_the_files() -> None:
    trace = "\n".join(f'  File "part_{n}.py", line {n}, in step_{n}\n    return value + {n}' for n in range(80))
    report = (
        "step_7 adds the wrong number\nWhen I call it twice the sum is off.\r\n\r\n### Steps to reproduce\n\n"
        "```python\nstep_7(7)\n```\n\n<details><summary>Traceback</summary>\n\n```\n"
        f"Traceback (most recent call last):\n{trace}\n```\n\n</details>\n\nI expected 14. Is this known?\n\n"
        "- version 3\n- Linux\n\nWhich function has to be changed?"
    )
    text = f"{_PASTES['files']}\n\n{report}"
    assert split_question(text).asks == ((text.index(report), len(text)),)
    assert split_question(report, elsewhere=100_000).asks == ((0, len(report)),)


def test_few_shot_keeps_the_last_question() -> None:
    shots = "\n\n".join(f"Q: What comes after {n}?\nA: {n + 1}, since {_prose(1600, n)[:1500]}" for n in range(12))
    text = f"Answer like in the examples.\n\n{shots}\n\nQ: What comes after 99?\nA:"
    split = split_question(text)
    assert _covered(text, "Q: What comes after 99?\nA:", split.asks)
    assert _covered(text, "Answer like in the examples.", split.asks)
    assert split.query.startswith("What comes after 99?")


def test_forwarded_mail_with_a_request_above() -> None:
    request = (
        "Hi,\n\na customer sent me the mail below. Can you tell me whether he wants his money back?\n\nThanks, Ben"
    )
    text = f"{request}\n\n---------- Forwarded message ----------\n{_email(20_000)}"
    split = split_question(text)
    assert _covered(text, "Can you tell me whether he wants his money back?", split.asks)
    assert _kept(split.asks) < 3000


def test_what_leads_to_a_short_question_stays() -> None:
    lead = "I'm trying to build my own loader.\n\nIt stops at the second file and I get an empty list.\n\nWhy?"
    text = f"{_prose(20_000)}\n\n{lead}"
    split = split_question(text)
    assert _covered(text, lead, split.asks)
    assert "empty list" in split.query


def test_a_long_report_below_a_rule_stays() -> None:
    report = "\n\n".join(f"Part {n} of the report tells what was seen, in many words." * 5 for n in range(10))
    text = f"{_chat(400)}\n\n---\n\n{report}"
    assert _covered(text, report, split_question(text).asks)


@pytest.mark.parametrize("wish", ["Svara på svenska.", "Vastaa suomeksi, kiitos.", "Tafadhali jibu kwa Kiswahili."])
def test_a_brief_wish_at_the_end_stays_in_any_language(wish: str) -> None:
    for name in ("prose", "documents", "titles", "log", "files"):
        text = f"Which statement binds a name?\n\n{_PASTES[name]}\n\n{wish}"
        assert _covered(text, wish, split_question(text).asks), name


def test_search_text_leaves_out_a_document_that_follows_the_question() -> None:
    question = "Which statement binds a name?"
    for paste in _PASTES.values():
        assert len(split_question(f"{question}\n\n{paste}").query) < 1000


def test_every_question_of_the_evaluation_cases_stays_in_one_span() -> None:
    folder = Path(__file__).resolve().parents[4] / "shared" / "eval"
    if not (folder / "evalload.py").exists():
        pytest.skip("the evaluation cases (../shared/eval) are not here")
    load = runpy.run_path(str(folder / "evalload.py"))["load"]
    extra = []
    for path in sorted((folder / "dev").glob("*.jsonl")):
        if path.name.endswith(".docs.jsonl"):
            continue
        for case in load(str(path)):
            text, question = case["messages"][-1]["content"], case["question"]
            split = split_question(text)
            assert _covered(text, question, split.asks), case["id"]
            assert question in split.query or len(text) < WHOLE_BYTES, case["id"]
            extra.append(_kept(split.asks) - len(question))
    assert sum(extra) / len(extra) < 100
    assert max(extra) < 2000


def test_sections_that_instruct_stay() -> None:
    asked = "# Question\n\nWhat is a tuple?\n\n# Output format\n\nOne line."
    text = f"# Role\nYou are an analyst.\n\n# Data\n\n{_prose(20_000)}\n\n{asked}"
    split = split_question(text)
    for part in ("You are an analyst.", "What is a tuple?", "One line."):
        assert _covered(text, part, split.asks), part
    assert _kept(split.asks) < 2000


def test_elements_that_ask_stay() -> None:
    text = f"<input>\n<data>\n{_prose(20_000)}\n</data>\n<question>What is a tuple</question>\n</input>"
    split = split_question(text)
    assert _covered(text, "What is a tuple", split.asks)
    assert _kept(split.asks) < 1000


def test_text_without_any_question_keeps_its_ends() -> None:
    for paste in _PASTES.values():
        split = split_question(paste)
        assert split.asks
        assert _kept(split.asks) < 0.3 * len(paste)


def test_long_single_paragraph_keeps_both_ends() -> None:
    text = "Can you help me with this? " + " ".join(_prose(30_000).split()) + " So what should I do about it?"
    split = split_question(text)
    assert _covered(text, "Can you help me with this?", split.asks)
    assert _covered(text, "So what should I do about it?", split.asks)
    assert _kept(split.asks) < 4000


@pytest.mark.parametrize("text", ["", "x", "Why?", "Question: why?", "为什么？", _prose(WHOLE_BYTES - 100)])
def test_short_text_is_a_question(text: str) -> None:
    split = split_question(text)
    assert split.asks == (((0, len(text)),) if text else ())


def test_long_message_is_whole_while_the_context_stands_elsewhere() -> None:
    text = _prose(LONG_ASK - 10)
    assert split_question(text, elsewhere=len(text) + 1).asks == ((0, len(text)),)
    assert split_question(text, elsewhere=100).asks != ((0, len(text)),)


_PIECE = st.sampled_from(
    [
        "```",
        "```py",
        "\n",
        "\n\n",
        "# a.py",
        "<doc>",
        "</doc>",
        "<question>",
        "{",
        '"a": 1}',
        "Question:",
        '"""',
        "---",
        "- x",
        "why?",
        "。",
        "\r\n",
        "\t",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_PIECE | st.text(max_size=12) | st.just("word " * 200), max_size=120))
def test_spans_are_ascending_disjoint_and_within(pieces: list[str]) -> None:
    text = "".join(pieces)
    split = split_question(text)
    edges = [edge for span in split.asks for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= start < end <= len(text) for start, end in split.asks)
    assert bool(split.asks) == bool(text) or not text.strip()


@pytest.mark.parametrize(
    "unit",
    ["<a>", "```\n", "{\n", "\n", "Question: ", "- ", "# a.py\n```\n", '"""\n', "<question>", "[[\n", "a,b,c,d\n", " "],
)
def test_repeated_boundaries_take_linear_work(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    assert split_question(text).asks or not text.strip()
