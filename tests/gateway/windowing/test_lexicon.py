import time

import pytest

from gateway.windowing.lexicon import (
    ASK_LABEL,
    BOILERPLATE,
    MATERIAL_LABEL,
    PERSONAL,
    QUESTION_MARK,
    QUESTION_START,
    REQUEST_START,
    UNSPACED_QUESTION,
    UNSPACED_REQUEST,
    asks_strongly,
)


@pytest.mark.parametrize(
    "sentence",
    [
        "Is the pier open today?",
        "what's the notice period",
        "Please list the parties.",
        "So, tell me the price.",
        "Question: the price of the ferry",
        "**Question:** the price of the ferry",
        "Welche Frist gilt für die Kündigung",
        "Quel est le prix de la troisième offre",
        "¿Cuándo sale el barco",
        "Кто написал это предложение",
        "من كتب هذا العرض",
        "谁写了这份报价",
        "请总结以上内容。",
        "三番目の手順のあとに何が起きましたか。",
        "要約してください。",
        "ใครเป็นคนเขียนข้อเสนอนี้",
        "यह प्रस्ताव किसने लिखा",
    ],
)
def test_questions_and_requests_of_many_languages_ask(sentence: str) -> None:
    assert asks_strongly(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "The parties agree on the price.",
        "When the war ended, he left.",
        "Will is the captain's first name.",
        "query: select name from boats",
        "Der Vertrag gilt ab Mai.",
        "申请人提交文件。",
        "他没有回来。",
        "船は桟橋につなぎます。",
        "",
    ],
)
def test_statements_and_data_do_not_ask(sentence: str) -> None:
    assert not asks_strongly(sentence)


@pytest.mark.parametrize("sentence", ["Really?", "本当？", "حقا؟", "Πότε έφυγε\u037e", "a\u037e b"])
def test_question_marks_of_other_scripts(sentence: str) -> None:
    assert QUESTION_MARK.search(sentence)


@pytest.mark.parametrize("line", ["Πότε έφυγε;", "1. Η Άννα ήρθε;  ", "«Τι είναι το HTTP;»", "Χθες.\nΠότε έφυγε;\nOK"])
def test_a_semicolon_ends_a_question_on_a_greek_line(line: str) -> None:
    assert QUESTION_MARK.search(line)


@pytest.mark.parametrize(
    "line", ["a; b! c.", "return total;", "λ(x);", 'String s = "γεια";', "the Greek word λόγος;", "Ήρθε; και έφυγε."]
)
def test_a_semicolon_elsewhere_is_no_question_mark(line: str) -> None:
    assert not QUESTION_MARK.search(line)


@pytest.mark.parametrize(
    "line", ["return total;", "    return a + b(c);", "using System.Text;", "What a day this was!"]
)
def test_statements_of_programs_and_exclamations_do_not_ask(line: str) -> None:
    assert not asks_strongly(line)


@pytest.mark.parametrize("line", ["Return the total at the end;", "Use British spelling throughout;"])
def test_instructions_may_end_with_a_semicolon(line: str) -> None:
    assert asks_strongly(line)


@pytest.mark.parametrize(
    "line", ["αβ" + ";" * 60_000 + "x", "return " + "(" * 60_000, "1 " * 60_000, "é" + "줘 " * 60_000]
)
def test_long_lines_are_read_in_linear_time(line: str) -> None:
    started = time.perf_counter()
    asks_strongly(line)
    assert time.perf_counter() - started < 5


def test_a_question_word_counts_at_the_beginning_and_whole() -> None:
    assert QUESTION_START.match("  - Where is it")
    assert not QUESTION_START.match("Whereas the parties agree")
    assert not QUESTION_START.match("It is known where")


def test_a_request_counts_at_the_beginning_or_after_a_greeting() -> None:
    assert REQUEST_START.match("Hello, please look")
    assert REQUEST_START.match("Übersetze den Brief")
    assert not REQUEST_START.match("They gave a list")
    assert not REQUEST_START.match("Listing 4 has it")


def test_scripts_without_spaces_ask_in_the_middle_of_a_sentence() -> None:
    assert UNSPACED_QUESTION.search("船在什么地方")
    assert UNSPACED_REQUEST.search("谢谢，请回答")
    assert UNSPACED_REQUEST.search("翻译下面的文字")
    assert not UNSPACED_REQUEST.search("他申请翻译工作")


@pytest.mark.parametrize("text", ["I lost it", "Where is our boat", "ich weiß", "我想知道", "私の船"])
def test_who_speaks_of_himself_is_told(text: str) -> None:
    assert PERSONAL.search(text)


def test_a_text_without_a_person_is_not_personal() -> None:
    assert not PERSONAL.search("The mayor weighs the fish.")


@pytest.mark.parametrize(
    "text", ["Question: why", "### Task: sum up", "Q: why", "Frage: warum", "问题：为什么", "Q 3: why"]
)
def test_a_label_before_what_is_asked(text: str) -> None:
    label = ASK_LABEL.match(text)
    assert label
    assert label[0].rstrip()[-1] in ":："


@pytest.mark.parametrize("text", ["A matter: why", "query: id", "Question 7", "The question is: why"])
def test_what_is_no_label_before_a_question(text: str) -> None:
    assert not ASK_LABEL.match(text)


@pytest.mark.parametrize(
    "line", ["Context:", "Here is the meeting transcript:", "**Text below:**", "# Document:", "上下文："]
)
def test_a_label_before_pasted_material_stands_alone_on_its_line(line: str) -> None:
    assert MATERIAL_LABEL.match(line)
    assert not MATERIAL_LABEL.match(f"{line} the ferry")


def test_a_phrase_that_only_points_at_the_material_ends_before_the_question() -> None:
    question = "who pays?"
    for phrase in ("Based on the text above: ", "According to this document, ", "Using only the provided context, "):
        found = BOILERPLATE.match(phrase + question)
        assert found
        assert found.end() == len(phrase)
    assert not BOILERPLATE.match("Based on a true story, who pays?")
