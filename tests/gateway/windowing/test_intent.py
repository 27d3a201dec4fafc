"""Whole document or look-up: requests that were not in training, in many languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.windowing.intent import features, model, needs_all_rows, needs_whole_context, whole_context_probability
from tests.gateway.windowing import sentences

WHOLE = {
    "en": [
        "Summarise the attached report in five bullet points.",
        "Could you please give me a brief summary of this interview?",
        "What's this paper about?",
        "Translate the document into Portuguese.",
        "Please proofread the following cover letter.",
        "Rewrite the whole article for a general audience.",
        "List all companies mentioned in the filing.",
        "How many times is the word 'risk' used?",
        "Turn the transcript into a set of meeting notes.",
        "Compare all the offers and put them in a table.",
        "Identify every security problem in this code base.",
        "Add comments to this script and return all of it.",
        "What are the main arguments of the author?",
        "Give me the key takeaways.",
        "Come up with a title for this post.",
        "What is the overall mood of these comments?",
        "Condense this to 200 words.",
        "Extract all phone numbers as a list.",
        "Simplify the text for a ten-year-old.",
        "Write a synopsis of the play.",
    ],
    "de": [
        "Bitte fasse den folgenden Bericht kurz zusammen.",
        "Übersetze den ganzen Text ins Französische.",
        "Verbessere den Stil dieses Briefes.",
    ],
    "fr": [
        "Peux-tu me faire un résumé de cet article ?",
        "Traduisez le texte ci-dessous en allemand.",
        "Liste toutes les entreprises citées.",
    ],
    "es": [
        "Hazme un resumen del informe.",
        "Traduce todo el texto al francés.",
        "Corrige todos los errores gramaticales.",
    ],
    "it": [
        "Fammi un riassunto della riunione.",
        "Traduci l'intero testo in tedesco.",
        "Elenca tutte le aziende citate.",
    ],
    "pt": ["Faça um resumo do relatório.", "Traduza todo o texto para o espanhol."],
    "nl": ["Geef een samenvatting van het verslag.", "Vertaal het hele document naar het Duits."],
    "sv": ["Ge mig en sammanfattning av rapporten.", "Översätt hela texten till tyska."],
    "da": ["Lav et sammendrag af rapporten.", "Oversæt hele teksten til tysk."],
    "fi": ["Tiivistä raportti viiteen kohtaan.", "Käännä koko teksti saksaksi."],
    "pl": ["Podsumuj raport w pięciu punktach.", "Przetłumacz cały tekst na niemiecki."],
    "cs": ["Shrň zprávu do pěti bodů.", "Přelož celý text do němčiny."],
    "hu": ["Foglald össze a jelentést öt pontban.", "Fordítsd le az egész szöveget németre."],
    "ro": ["Fă un rezumat al raportului.", "Tradu tot textul în germană."],
    "tr": ["Raporu beş maddede özetle.", "Bütün metni Almancaya çevir."],
    "vi": ["Hãy tóm tắt báo cáo.", "Dịch toàn bộ văn bản sang tiếng Đức."],
    "id": ["Buat ringkasan laporan ini.", "Terjemahkan seluruh teks ke bahasa Jerman."],
    "ru": ["Составь краткое содержание отчёта.", "Переведи весь текст на немецкий.", "Исправь все ошибки."],
    "uk": ["Підсумуй звіт у п'яти пунктах.", "Переклади весь текст німецькою."],
    "el": ["Γράψε μια περίληψη της έκθεσης.", "Μετάφρασε όλο το κείμενο στα γερμανικά."],
    "ar": ["اكتب ملخصا للتقرير", "ترجم النص كله إلى الألمانية"],
    "fa": ["گزارش را خلاصه کن", "کل متن را به آلمانی ترجمه کن"],
    "he": ["כתוב תקציר של הדוח", "תרגם את כל הטקסט לגרמנית"],
    "hi": ["रिपोर्ट का सारांश दीजिए", "पूरे पाठ का जर्मन में अनुवाद कीजिए"],
    "th": ["ช่วยสรุปรายงานนี้", "แปลข้อความทั้งหมดเป็นภาษาเยอรมัน"],
    "zh": ["用三句话概括这份报告", "把全文翻译成德语", "提取文中所有的公司名称", "請總結這份報告"],
    "ja": ["この報告書を要約して", "全文をドイツ語に翻訳してください", "誤字をすべて直して校正してください"],
    "ko": ["이 보고서를 요약해 주세요", "전체 텍스트를 독일어로 번역해 줘"],
}
LOOKUP = {
    "en": [
        "Who chaired the audit committee?",
        "When does the lease expire?",
        "Where did the second explosion happen?",
        "Why was the flight to Oslo delayed?",
        "How much did they pay for the land?",
        "What did Dr. Patel recommend about the dosage?",
        "Summarise what the minister said about fuel prices.",
        "Summarize clause 7.",
        "Which port does the proxy listen on?",
        "What does ERR_4021 mean?",
        "Does the policy cover theft abroad?",
        "Is Tuesday's meeting still on?",
        "Yes please, cancel both of them.",
        "What's the phone number of the clinic in Leeds?",
        "Based on the text above: in which year was the bridge rebuilt?",
        "Given this article about bats, what do fruit bats eat?",
        "Fix the crash in parse_date when the input is empty.",
        "Translate the sentence about the harbour into French.",
        "How did Maria vote on item 12?",
        "According to the report, what caused the fire?",
    ],
    "de": ["Wer leitet den Prüfungsausschuss?", "Wann endet der Mietvertrag?", "Was empfahl Dr. Patel zur Dosis?"],
    "fr": ["Qui préside le comité d'audit ?", "Quand le bail prend-il fin ?", "Combien ont-ils payé le terrain ?"],
    "es": ["¿Quién preside el comité de auditoría?", "¿Cuándo vence el contrato?", "¿Cuánto pagaron por el terreno?"],
    "it": ["Chi presiede il comitato?", "Quando scade il contratto?"],
    "pt": ["Quem preside o comitê?", "Quando termina o contrato?"],
    "nl": ["Wie leidt de commissie?", "Wanneer loopt het contract af?"],
    "sv": ["Vem leder kommittén?", "När löper avtalet ut?"],
    "da": ["Hvem leder udvalget?", "Hvornår udløber kontrakten?"],
    "fi": ["Kuka johtaa valiokuntaa?", "Milloin sopimus päättyy?"],
    "pl": ["Kto kieruje komisją?", "Kiedy wygasa umowa?"],
    "cs": ["Kdo vede výbor?", "Kdy končí smlouva?"],
    "hu": ["Ki vezeti a bizottságot?", "Mikor jár le a szerződés?"],
    "ro": ["Cine conduce comitetul?", "Când expiră contractul?"],
    "tr": ["Komiteyi kim yönetiyor?", "Sözleşme ne zaman bitiyor?"],
    "vi": ["Ai lãnh đạo ủy ban?", "Khi nào hợp đồng hết hạn?"],
    "id": ["Siapa yang memimpin komite?", "Kapan kontrak berakhir?"],
    "ru": ["Кто возглавляет комитет?", "Когда истекает договор?", "Что доктор сказал о дозе?"],
    "uk": ["Хто очолює комітет?", "Коли закінчується договір?"],
    "el": ["Ποιος προεδρεύει της επιτροπής;", "Πότε λήγει το συμβόλαιο;"],
    "ar": ["من يرأس اللجنة؟", "متى ينتهي العقد؟"],
    "fa": ["چه کسی رئیس کمیته است؟", "قرارداد کی تمام می‌شود؟"],
    "he": ["מי עומד בראש הוועדה?", "מתי מסתיים החוזה?"],
    "hi": ["समिति का अध्यक्ष कौन है?", "अनुबंध कब समाप्त होता है?"],
    "th": ["ใครเป็นประธานคณะกรรมการ", "สัญญาสิ้นสุดเมื่อไร"],
    "zh": ["谁主持审计委员会？", "租约什么时候到期？", "医生对剂量有什么建议？", "第七条说了什么？"],
    "ja": ["委員会の議長は誰ですか", "契約はいつ終わりますか", "医師は用量について何と言いましたか"],
    "ko": ["위원회 의장은 누구입니까?", "계약은 언제 끝나나요?"],
}


@pytest.mark.parametrize("language", WHOLE)
def test_whole_document_requests_are_recognised(language: str) -> None:
    assert [r for r in WHOLE[language] if not needs_whole_context(r)] == []


@pytest.mark.parametrize("language", LOOKUP)
def test_look_ups_are_recognised(language: str) -> None:
    assert [r for r in LOOKUP[language] if needs_whole_context(r)] == []


@pytest.mark.parametrize("language", sentences.WHOLE)
def test_summarise_translate_rewrite_proofread_count_and_compare_need_all(language: str) -> None:
    assert len(sentences.WHOLE[language]) == 6
    assert [r for r in sentences.WHOLE[language] if not needs_whole_context(r)] == []


@pytest.mark.parametrize("language", sentences.WHOLE)
def test_who_when_what_why_and_where_are_look_ups(language: str) -> None:
    assert len(sentences.LOOKUP[language]) >= 5
    assert [r for r in sentences.LOOKUP[language] if needs_whole_context(r)] == []


def test_long_prompt_templates_are_whole() -> None:
    prompt = (
        "# IDENTITY\n\nYou are an expert in podcasts.\n\n# STEPS\n\n- Listen to all of it.\n- Note ideas.\n\n"
        "# OUTPUT\n\n- A section IDEAS with 20 bullets.\n- A section QUOTES.\n\n# INPUT"
    )
    assert needs_whole_context(prompt)


def test_system_message_decides_where_the_user_only_pastes() -> None:
    pasted = "The bridge was built in 1901. It carries two lanes."
    assert needs_whole_context(pasted, 9000, "You are a translator. Translate whatever the user sends into Polish.")
    assert not needs_whole_context("Who built it?", 9000, "You are a translator. Translate whatever the user sends.")


def test_a_bug_report_is_a_look_up() -> None:
    report = (
        "load() fails for empty files\n\n"
        + 'Traceback:\n  File "a.py", line 3\n' * 40
        + "\nWhich function has to be changed?"
    )
    assert not needs_whole_context(report)


@pytest.mark.parametrize(
    "request_text",
    [
        "What do the guests think of the service?",
        "Summarise the reviewers' comments on the seats and the sound.",
        "How do tenants rate the lifts?",
        "Describe the relationship between Elsa and the gardener.",
        "What is the significance of the ring in the novel?",
    ],
)
def test_what_many_say_and_how_people_relate_needs_all_of_the_text(request_text: str) -> None:
    assert needs_whole_context(request_text)


@pytest.mark.parametrize(
    "request_text",
    [
        "Place an order for 20 shares of Initech, then send me the invoice.",
        'In the paper "Abstractive Summarization of Trials": which baseline is used?',
        "Which of these functions merges two dictionaries?",
        "Into which languages was the novel translated?",
        "What did guest Anna Berg say about the lift?",
    ],
)
def test_words_of_a_task_alone_make_no_whole_document_request(request_text: str) -> None:
    assert not needs_whole_context(request_text)


@given(st.text(max_size=3000))
def test_any_text_gets_a_probability(text: str) -> None:
    assert 0 <= whole_context_probability(text) <= 1
    assert all(0 <= value <= 1 for value in features(text).values())


def test_shipped_model_has_weights_for_both_sides() -> None:
    assert model().weights["summary"] > 0 > model().weights["opens as a question"]
    assert 0.3 <= model().threshold <= 0.5


def test_an_order_next_to_lines_of_the_document_counts() -> None:
    line = "- **Rules**: see `rules.md` for the list of files that match"
    assert needs_whole_context(f"{line}\n{line}\nTranslate the text into Polish.")
    assert needs_whole_context(f"Summarise the text.\n{line}\n{line}")


@pytest.mark.parametrize(
    ("request_text", "whole"),
    [
        ("How many times is Paris mentioned?", True),
        ("How often does the word 'whale' occur?", True),
        ("Wie oft wird der Kanzler erwähnt?", True),
        ("Combien de fois Paris apparaît-il ?", True),
        ("文中提到了几次巴黎？", True),
        ("Сколько раз упоминается Париж?", True),
        ("이 글에서 파리가 몇 번 언급되나요?", True),
        ("How often do side effects occur?", False),
        ("Сколько раз Анна была в Париже?", False),
        ("How many times did Ann win the cup?", False),
    ],
)
def test_counting_what_is_named_needs_all_of_the_text(request_text: str, whole: bool) -> None:
    assert needs_whole_context(request_text) is whole


_ALL_OF_IT = [
    "Explain this to a five year old.", "Is there anything contradictory in here?", "Please remove duplicates.",
    "Do any two statements contradict each other?", "Write a sequel.", "What should I improve?", "Find the bugs.",
    "Which section is the longest?", "What does this decode to?", "Remove the comments.", "Explain line by line.",
    "Rename class HelpFormatter to Helper.", "Replace Okonkwo by Lee everywhere.", "Cosa dice questo documento?",
]  # fmt: skip
_PART_OF_IT = [
    "Explain this error.", "Where does he contradict himself about the price?", "What improved after the change?",
    "Which section covers refunds?", "What is the base64 of the logo used for?", "Who found the bug in parse_date?",
    "Why was the class HelpFormatter renamed?",
]  # fmt: skip


@pytest.mark.parametrize("request_", _ALL_OF_IT)
def test_orders_that_name_nothing_in_it_need_all_of_it(request_: str) -> None:
    assert needs_whole_context(request_)


@pytest.mark.parametrize("request_", _PART_OF_IT)
def test_questions_with_the_same_words_are_look_ups(request_: str) -> None:
    assert not needs_whole_context(request_)


_TABLE = "id,name,city,amount\n" + "\n".join(f"{n},Customer{n},Town{n % 37},{n * 13 % 997}.50" for n in range(500))


@pytest.mark.parametrize(
    "question",
    [
        "What is the total amount?",
        "How many rows are there?",
        "What is the median?",
        "Which city has the most customers?",
        "Top 5 customers by amount?",
        "Wie hoch ist die Summe?",
        "合計はいくら？",
    ],
)
def test_figures_over_a_table_need_all_its_rows(question: str) -> None:
    assert needs_all_rows(question, _TABLE)
    assert not needs_all_rows(question, "The total amount was paid. It was the most they could do. " * 200)


def test_one_row_of_a_table_is_a_look_up() -> None:
    assert not needs_all_rows("Where does Customer77 live?", _TABLE)


@pytest.mark.parametrize(
    "request_",
    [
        "Which clauses are unfavourable to the Customer?",
        "What risks does this contract contain?",
        "Is this contract fair?",
        "Which site is mentioned most often?",
        "Who said the most?",
        "List action items.",
        "Create a study guide.",
        "Make a mind map.",
        "Draw a mermaid diagram of this process.",
        "Give me keywords for SEO.",
        "Explain like I'm five",
        "Find unused variables.",
        "Which functions are never called?",
        "Which requirements are not covered?",
        "Which employees are missing from the list?",
        "Which customers have not paid?",
        "Welche Stadt wird am häufigsten genannt?",
        "Quelle ville est citée le plus souvent ?",
        "¿Qué ciudad se menciona con más frecuencia?",
        "哪个城市被提到最多？",
        "最も多く言及されている都市はどこですか。",
    ],
)
def test_what_is_made_of_a_text_or_asks_for_several_things_in_it_needs_it_whole(request_: str) -> None:
    assert needs_whole_context(request_)


@pytest.mark.parametrize(
    "request_",
    [
        "Which three things must the pilot report before take-off?",
        "Which badge is needed to start the generator?",
        "What does error E-114 mean?",
        "What arguments does render_page take?",
        "How much did the pump cost?",
        "How many replicas does vantaa-seaplane have?",
        "What are the side effects of ibuprofen?",
    ],
)
def test_a_question_for_one_thing_is_a_look_up_though_it_asks_in_the_plural(request_: str) -> None:
    assert not needs_whole_context(request_)
