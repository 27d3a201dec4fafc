"""Whether a request needs the whole context (summarise, translate, rewrite, count) or looks something up in it.

A logistic regression over word families of some 25 languages, their combinations, and the words themselves; its
weights stand in `intent.json`, and `python -m benchmarks.intent_train` makes them anew. Forwarding whole is always
safe and trimming a summary is not, so the threshold leans to the former as far as the measured rates allow.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise

from gateway.windowing.intent_words import FAMILIES, FORMS
from gateway.windowing.lexicon import QUESTION_MARK, QUESTION_START, UNSPACED_QUESTION, asks_strongly

_HEAD = 1200  # characters read at the beginning of a request, and at its end: long ones say there what they want
_TAIL = 400
_LEAD = 48
_WORDS = 300  # characters whose words and pairs of words count

_POLITE = re.compile(
    r"^\W*(?:(?:please|pls|kindly|can you|could you|would you|will you|i(?:'d| would) like you to|i (?:want"
    r"|need) you to|help me"
    r"|your (?:task|job) is to|in this task,?|you are given|kannst du(?: mir)?|können sie(?: mir)?|peux-tu"
    r"|pou[vr][^\W\d_]+-vous"
    r"|puoi|può|potresti|puedes?|podrías?|você pode|pode|poderia|kun je|kunt u|czy (?:możesz|mógłbyś|mogłabyś)|możesz"
    r"|можешь|можете|не мог(?:ли|ла)? бы (?:вы|ты)|هل (?:يمكنك|تستطيع)|क्या आप|bạn có thể|bisakah (?:anda|kamu)"
    r"|bitte|por favor|s'il (?:vous|te) plaît|per favore"
    r"|proszę|пожалуйста"
    r"|请你?|請你?|帮我|幫我)\b[\s,:]*)+",
    re.IGNORECASE,
)
_SOURCE = re.compile(
    r"^\W*(?:(?:given|according to|based on|from|in|with reference to|referring to|using|considering)\b"
    r"(?:[\"“«《][^\"”»》\n]{1,200}[\"”»》]|[^,:?.\"“«《\n]){1,160}?[,:]\s+(?:(?:please|can you"
    r"|could you)\s+)?)+(?=\S)",
    re.IGNORECASE,
)
_TELL = re.compile(
    r"^\W*(?:tell me|let me know|show me|find out|explain to me|answer|extract(?= (?:wh|how)))\b\W*", re.IGNORECASE
)
_WH = re.compile(
    r"^\W*(who(?:se|m)?|when|where|which|how (?:many|much|long|old|do|did|does|is|are|to)|how|why|what|is|are"
    r"|did|do|does|can|was|has)\b",
    re.IGNORECASE,
)
# Who asks how often a thing is named asks for all of the text; "How often do side effects occur?" does not.
_OCCURRENCES = re.compile(
    r"\bhow (?:many times|often)\b[^.?]{0,80}\b(?:mention(?:ed|s)?|appear(?:s|ed)?|referred to)\b"
    r"|\bhow (?:many times|often)\b[^.?]{0,40}\b(?:word|term|string|phrase)\b[^.?]{0,60}\b(?:occur\w*|used)\b"
    r"|\b(?:count|number of)\b[^.?]{0,40}\b(?:occurrences|mentions|appearances)\b"
    r"|\bwie oft\b[^.?]{0,80}\b(?:erwähnt|genannt|vorkommt|auftaucht)\b"
    r"|\bhoe vaak\b[^.?]{0,80}\b(?:voorkomt|voorkomen|genoemd|vermeld)\b"
    r"|\bcombien de fois\b[^.?]{0,80}\b(?:mentionn|appara[iî])"
    r"|\bcu[aá]ntas veces\b[^.?]{0,80}\b(?:mencion|aparec|nombra)"
    r"|\bquantas vezes\b[^.?]{0,80}\b(?:mencion|aparec|citad)"
    r"|\bquante volte\b[^.?]{0,80}\b(?:menzion|compar|appar|citat|nominat)"
    r"|\bile razy\b[^.?]{0,80}\b(?:pojawia|występuj|wspomn|wymieni)"
    r"|\bсколько раз\b[^.?]{0,80}\b(?:встреча|упомина|упомян|появля)"
    r"|\bkaç (?:kez|kere|defa)\b[^.?]{0,40}\b(?:geç(?:iyor|er|tiğ)|an[ıi]l)"
    r"|(?:xuất hiện|nhắc (?:đến|tới))[^.?]{0,40}bao nhiêu lần|bao nhiêu lần[^.?]{0,40}(?:xuất hiện|nhắc)"
    r"|\bberapa kali\b[^.?]{0,80}\b(?:muncul|disebut)"
    r"|كم مرة (?:وردت?|ذ[ُ]?كرت?|تكررت?|ظهرت?)|(?:शब्द|नाम|ज़िक्र|उल्लेख)[^।?]{0,60}कितनी बार"
    r"|몇 ?번(?:이나)? ?(?:나오|나왔|등장|언급|사용)"
    r"|(?:出现|提到|提及|出現)了?(?:几|多少|幾)次|何回.{0,12}(?:登場|出て|出現|言及)",
    re.IGNORECASE,
)
# Orders about all of something that name nothing in it.
_ALL_OF_IT = re.compile(
    r"\b(?:explain|simplify|remember|memori[sz]e)\b[^.?\n]{0,12}\b(?:this|it|everything)\b"
    r"(?!\s+(?!for|to|simply|as|in|please|like|so|and|step|line)\w)"
    r"|\b(?:anything|any two|any of)\b[^.?\n]{0,40}\bcontradict"
    r"|\bcontradict\w*\b[^.?\n]{0,30}\b(?:each other|in here|anywhere)"
    r"|\b(?:remove|find|delete|drop|list|any|are there)\b[^.?\n]{0,20}\bduplicates?\b"
    r"|\bwrite (?:me )?(?:a|the) (?:sequel|continuation)\b"
    r"|\bwhat (?:should|could|can) (?:i|we|be) improved?\b"
    r"|\b(?:which|what) (?:section|chapter|paragraph|part|line|sentence) is (?:the )?(?:longest|shortest)\b"
    r"|\bdecode\w*\b[^.?\n]{0,20}\b(?:this|it|string|base64|to)\b|\bbase64 string\b"
    r"|\b(?:find|fix|list|spot|show)\s+(?:me\s+)?(?:the\s+|all\s+|any\s+)*bugs\b\W*\Z"
    r"|\b(?:remove|strip|delete)\s+(?:the\s+|all\s+)*comments\b"
    r"|\b(?:rename|replace)\b[^.?\n]{1,80}\b(?:everywhere|throughout)\b"
    r"|\brename\s+(?:the\s+)?(?:class|function|method|variable|module|field)\b[^.?\n]{1,60}\bto\b"
    r"|\bline by line\b"
    r"|\bcosa dice quest|\bdi cosa (?:parla|tratta)|\bde quoi (?:parle|traite)|\bde qué (?:trata|habla)"
    r"|\bdo que (?:se )?(?:trata|fala)|\b(?:was steht (?:da |hier )?(?:drin|in dies)|worum geht es)"
    r"|о ч[её]м (?:это|этот|текст|докумен)|(?:这|本|该)[^，。？]{0,6}[讲说]了什么|何が書かれて|무슨 내용",
    re.IGNORECASE,
)
# Of a table's rows, these ask for all.
_OF_ALL_ROWS = re.compile(
    r"\b(?:totals?|sums?|averages?|means?|medians?|most|least|highest|lowest|largest|smallest|max(?:imum)?|min(?:imum)?"
    r"|top \d+|how many|count|number of|duplicates?|sort(?:ed)?|rank(?:ed|ing)?|group(?:ed)? by|per \w+|distribution"
    r"|correlat\w+|outliers?|percent(?:age)?s?"
    r"|summe|insgesamt|durchschnitt\w*|mittelwert|wie ?viele|anzahl|höchste\w*|niedrigste\w*|meisten|größte\w*"
    r"|somme|moyenne|médiane|combien|plus (?:grand|petit|élevé)\w*|nombre de"
    r"|suma|promedio|media|cu[aá]nt[oa]s|mayor|menor|n[uú]mero de|soma|média|quant[oa]s|maior"
    r"|somma|quanti|quante|maggiore|totaal|gemiddelde|hoeveel|сумм\w+|итог\w*|средн\w+|сколько|toplam|ortalama|kaç)\b"
    r"|合計|平均|最大|最小|何件|いくつ|总(?:和|数|共|额|金额)|總|多少|最高|最低|几(?:个|行|条)|합계|평균|최대|최소|몇",
    re.IGNORECASE,
)
_ROW = re.compile(r"[^,;\t|\n]*(?:[,;\t|][^,;\t|\n]*){2,}")
_MOSTLY = 0.8  # of a text's lines
_TABLE_LINES = 200  # that are looked at
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w'’.-]*|\b[A-Z]{2,}\d*\b|\b[A-Za-z]*\d[\w-]*\b")
_QUOTED = re.compile(r"[\"“”„«»「」『』《》`]")
_QUOTE = re.compile(r"(?<=\w )[\"“«《„][^\"”»》“\n]{1,200}[\"”»》“](?=[,:])")  # a title in a source clause
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+|[?？]")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2,}")
_LINE = 200  # characters
_SURE = 0.7
_OVER_ALL = ("made of it", "most of all", "found fault", "asks for several", "asks how many")
_TASKS = ("summary", "title", "translate", "rewrite", "extract", "judge", "count", "compare")


@dataclass(frozen=True, slots=True)
class IntentModel:
    """Weights by feature, and the probability from which a request is taken to need the whole context."""

    bias: float
    threshold: float
    weights: dict[str, float]

    def probability(self, found: Mapping[str, float]) -> float:
        """Give the probability for the features of a request."""
        score = self.bias + sum(self.weights.get(name, 0.0) * value for name, value in found.items())
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


@cache
def model() -> IntentModel:
    """Load the shipped weights once."""
    stored = json.loads(resources.files(__package__).joinpath("intent.json").read_text("utf-8"))
    return IntentModel(stored["bias"], stored["threshold"], stored["weights"])


def whole_context_probability(query: str) -> float:
    """Estimate the probability that a request (its asking text, without the material) needs the whole context."""
    return model().probability(features(query))


def needs_whole_context(query: str, context_tokens: int = 0, instructions: str = "") -> bool:
    """Whether a request needs the whole context.

    `context_tokens` is the size of what it would be read from. `instructions` is the text of the system messages
    without reference material: it decides where the user only pastes something and asks nothing (pass it where the
    last user message carries material).
    """
    del context_tokens  # no effect of it was found in the data; the caller knows whether trimming is worth anything
    asks = any(asks_strongly(line) for line in query[: _HEAD + _TAIL].splitlines())
    request = query if asks or not instructions.strip() else instructions
    if whole_context_probability(request) >= model().threshold or _OCCURRENCES.search(request[:_HEAD]):
        return True
    if len(request) <= _LINE and _ALL_OF_IT.search(request):
        return True
    return any(map(_orders_whole, _outer_lines(request)))


def needs_all_rows(query: str, material: str) -> bool:
    """Whether a request asks for a figure over all rows of what is a table: a sum, a count, the highest."""
    return _is_table(material) and _OF_ALL_ROWS.search(query[:_HEAD]) is not None


def _is_table(material: str) -> bool:
    lines = [line for line in material[: _TABLE_LINES * _LINE].splitlines()[:_TABLE_LINES] if line.strip()]
    widths = {line.count(",") + line.count(";") + line.count("\t") + line.count("|") for line in lines[:20]}
    rows = sum(1 for line in lines if _ROW.fullmatch(line))
    return len(lines) > 10 and len(widths) <= 3 and rows >= _MOSTLY * len(lines)


def _outer_lines(request: str) -> list[str]:
    """The lines of a longer request which may be the whole of it: lines of a document may have got next to them.

    That is the last line, and the first unless the last asks a question (a bug report ends with one).
    """
    lines = [line for line in request.splitlines() if line.strip()]
    outer = lines[-1:] if len(lines) < 2 or QUESTION_MARK.search(lines[-1]) else [lines[0], lines[-1]]
    return [line for line in outer if len(line) <= _LINE and len(lines) > 1]


def _orders_whole(line: str) -> bool:
    found = features(line)
    ordered = any(f"{task}, at once" in found for task in _TASKS) or "about what" in found
    return ordered and model().probability(found) >= _SURE


def features(query: str) -> dict[str, float]:
    """Give the features of a request, each between 0 and 1."""
    text = query.strip()
    text = text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}"
    core = _core(text)
    found = dict.fromkeys(_families(text, core), 1.0)
    found |= dict.fromkeys(_form(text, core, len(query)), 1.0)
    found |= _specific(core)
    found |= dict.fromkeys(_combinations(found), 1.0)
    found |= dict.fromkeys(_words(core[:_WORDS].lower()), 1.0)
    return found


def _core(text: str) -> str:
    """The request without a clause that only says where to look ("Given this paragraph about bees, ...")."""
    return _TELL.sub("", _POLITE.sub("", _SOURCE.sub("", _POLITE.sub("", text)))) or text


def _families(text: str, core: str) -> Iterator[str]:
    whole, asked, lead = _QUOTE.sub(" ", text).lower(), core.lower(), core[:_LEAD].lower()
    for name, family in FAMILIES.items():
        if family.found(asked if name in ("this_text", "narrow") else whole):
            yield name
            if family.found(lead):
                yield f"{name}, at once"
    yield from (name for name, pattern in FORMS.items() if pattern.search(text))
    if len(core) < len(text) - 8:
        yield "source clause"


def _form(text: str, core: str, length: int) -> Iterator[str]:
    if match := _WH.match(core):
        yield f"opens: {match[1].lower()}"
    if QUESTION_START.match(core) or UNSPACED_QUESTION.search(core[:_WORDS]):
        yield "opens as a question"
    if QUESTION_MARK.search(text[-_TAIL:]):
        yield "question mark"
    if length > 500:
        yield "long"
    if length < 30:
        yield "short"
    if text.count("\n") > 5:
        yield "many lines"


def _specific(text: str) -> dict[str, float]:
    """How much a request names: capitalised words within sentences, numbers, quotes."""
    part = text[:_WORDS]
    names = len(_NAME.findall(part))
    found = {"names": min(names, 4) / 4}
    if _QUOTED.search(part):
        found["quoted"] = 1.0
    return found


def _combinations(found: dict[str, float]) -> Iterator[str]:
    tasks = [task for task in _TASKS if task in found]
    narrow = [name for name in ("narrow", "said", "part", "quoted", "done", "deed") if name in found]
    if tasks:
        yield "task"
        yield from (
            f"task + {name}"
            for name in (*narrow, "this_text", "all", "question mark", "opens as a question")
            if name in found
        )
        if not narrow and not found["names"]:
            yield "task, nothing named"
    elif not {"about what", "overall", "all"} & found.keys():
        yield "no task"
    yield from (f"summary + {name}" for name in narrow if "summary" in found)
    if "extract" in found and "all" in found:
        yield "extract all"
    aim = "about a thing" if narrow or found["names"] else "nothing named"
    yield from (f"{name}, {aim}" for name in _OVER_ALL if name in found)


def _words(text: str) -> Iterator[str]:
    tokens = _TOKEN.findall(text)
    yield from (f"w:{token}" for token in tokens)
    yield from (f"w:{a} {b}" for a, b in pairwise(tokens))
    for run in _UNSPACED.findall(text):
        yield from (f"c:{run[at : at + 2]}" for at in range(len(run) - 1))
