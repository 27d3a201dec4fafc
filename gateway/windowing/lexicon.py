"""Words by which a text asks, in many languages: compiled patterns, no logic.

Alternatives are stems where a language inflects; scripts without spaces are matched without word boundaries.
"""

import re

_QUESTION_WORDS = (
    # English
    r"what(?:'?s|’s)?|who(?:m|se|'s|’s)?|when|where|which|why|how|whether|is|are|was|were|do|does|did|can|could"
    r"|should"
    r"|would|will|has|have|had",
    # German, Dutch, Scandinavian
    r"wer|wen|wem|wessen|was|wann|wo|woher|wohin|warum|wieso|weshalb|wie|wieviele?|welche[rsmn]?|wozu"
    r"|wie|wat|wanneer|waar|waarom|hoe|hoeveel|welke?|vem|vad|när|var|varför|hur|vilken|vilket|vilka|hvem|hva|hvad"
    r"|hvornår|hvor|hvorfor|hvordan|hvilken|hvilket|hvilke|kuka|mikä|mitä|milloin|missä|miksi|miten|kuinka",
    # Romance
    r"qui|que|quoi|quand|où|pourquoi|comment|combien|quel(?:le)?s?|est-ce|qu[’']\w+"
    r"|qué|quién(?:es)?|cuándo|cuál(?:es)?|dónde|cómo|cuánt[oa]s?|por qué|o que|quem|quando|onde|qual|quais"
    r"|quant[oaie]s?"
    r"|por que|porque|porquê|chi|che|cosa|dove|perché|come|quale|quali|cine|ce|când|unde|care|cât[ăei]?|cum|què"
    r"|quan",
    # Slavic, Greek, Turkish, Hungarian, Vietnamese, Indonesian
    r"кто|что|когда|где|куда|откуда|почему|зачем|как|какой|какая|какое|какие|каков\w*|сколько|чей|кого|кому|чем"
    r"|хто|що|коли|чому|як|який|яка|скільки|kto|kiedy|gdzie|dlaczego|jak|jaki[ea]?|któr[yae]|ile|kdo|kdy|kde|proč"
    r"|jaký|který|kolik|ποι[οαόάέουςη]\w*|πότε|πού|γιατί|πώς|πόσ\w+|τι"
    r"|kim|nerede|neden|niçin|nasıl|hangi|kaç|mikor|hol|miért|hogyan|melyik|hány|gì|nào|đâu|tại sao|vì sao"
    r"|bao nhiêu|thế nào|ai(?= (?:đã|là|sẽ|đang|được|có|phải)\b)|khi nào|czy|siapa|apa|kapan|di mana|mengapa"
    r"|kenapa|bagaimana|berapa",
    # Arabic, Persian, Hebrew
    r"من|ما|متى|أين|لماذا|كيف|كم|هل|ماذا|أي|چه|کی|کجا|چرا|چگونه|کدام|מי|מה|מתי|איפה|למה|מדוע|איך|כמה|האם",
)
_QUESTION_UNSPACED = (
    "什么|甚麼|什麼|谁|誰|哪|几|幾|多少|为什么|為什麼|为何|為何|怎么|怎麼|怎样|如何|是否|吗|嗎|呢$"
    "|何|どこ|どれ|どの|どう|なぜ|いつ|いくつ|いくら|ですか|ますか|か。?$|でしょう"
    "|누구|누가(?!복음)|무엇|뭐|뭘|언제|어디|왜(?=[ ?요])|어떻게|몇|얼마|어느|무슨|[습입합됩]니까|니까\\W*$"
    "|나요|까요|[은는인]가요?\\W*$"
    "|ใคร|อะไร|เมื่อใด|เมื่อไ|ที่ใด|ที่ไหน|ทำไม|อย่างไร|กี่|เท่าใด|เท่าไ|ใด|ไหม|หรือไม่"
    "|क्या|कौन|कब |कहाँ|कहां|क्यों|कैसे|कितन|किस"
)
_REQUEST_WORDS = (
    # Latin script: politeness and imperatives of requests, English first
    r"please|pls|plz|kindly|tell me|give|list|find|show|explain|describe|identify|name|write|rewrite|rephrase"
    r"|summari[sz]e"
    r"|summary|tl;?dr|translate|extract|answer|respond|reply|return|output|using|use|compare|count|check|review"
    r"|analy[sz]e"
    r"|classify|determine|fix|refactor|implement|add|convert|generate|create|provide|proofread|correct|highlight"
    r"|suggest"
    r"|based on|according to|from the (?:text|passage|document|above)|given|help|need|want|i'd like|let me know"
    r"|look"
    r"|ensure|make sure|keep|format|do not|don't|only|remember|think|quote|cite|choose|select|pick|question|task"
    r"|instructions?"
    r"|bitte|nenne?|erkläre?|beschreibe?|fasse|schreibe?|übersetze?|liste|antworte?|finde|gib|zeige?|vergleiche?"
    r"|s'il (?:vous|te) plaît|veuillez|explique[zr]?|résume[zr]?|traduis(?:ez)?|liste[zr]?|réponde?[zs]?"
    r"|donne[zr]?|décri\w+|réécri\w+|relis(?:ez)?|corrige[zr]?|reformule[zr]?|rédige[zr]?"
    r"|compte[zr]?(?= (?:combien|les?|tou))"
    r"|compare[zr]?|di(?:s|tes)-moi|peux-tu|pouvez-vous|fais|faites"
    r"|lies(?= (?:bitte|mein|den|die|das|dies))|korrigiere?|zähle?|formuliere?|überarbeite?|verbessere?|erstelle?"
    r"|sag(?:en sie)?(?= (?:mir|bitte|uns))"
    r"|por favor|explica|resume|resuma|traduce|traduz\w*|lista|responde|escribe|escreva|describe|dime|diga"
    r"|encuentra|haz(?:me)?|reescribe|revis[ae]|cuenta(?= (?:cu[aá]nt|las?|los|tod))|compara|enumera|reescreva|corrija"
    r"|con(?:te|ta)(?= (?:quant|as|os|tod|le|gli|tutt))|faça|faz"
    r"|per favore|spiega|riassumi|traduci|elenca|rispondi|scrivi|descrivi|riscrivi|rileggi|correggi|confronta"
    r"|dimmi|fai|fammi|puoi|si us plau|examina|fes|resumeix|tradueix"
    r"|alsjeblieft|graag|vat|vertaal|leg uit|tel(?= (?:hoe|alle|het|de|hoeveel))|controleer|vergelijk"
    r"|herschrijf|corrigeer|zeg"
    r"|noem|geef|maak|kun je|vänligen|sammanfatta|översätt|förklara|lütfen|özetle\w*|çevir\w*"
    r"|açıkla\w*"
    r"|proszę|napisz|sprawdź|policz|porównaj|powiedz|zrób|popraw|wypisz|przepisz|streść|podsumuj|przetłumacz"
    r"|wyjaśnij|odpowiedz|prosím|shrň\w*|přelož\w*|vă rog|rezumă|rezumați"
    r"|tradu\w*"
    r"|hãy|vui lòng|tóm tắt|dịch|giải thích|viết lại|sửa|đếm|so sánh|liệt kê|cho (?:tôi|mình|em) biết|tolong"
    r"|tulis|periksa"
    r"|hitung|bandingkan|buat(?:kan)?|sebutkan|perbaiki|beri tahu|ringkas\w*|terjemah\w*|jelaskan|kérlek|foglald",
    r"пожалуйста|ответь\w*|объясни\w*|перечисли\w*|назови\w*|напиши\w*|найди\w*|переведи\w*|кратко|опиши\w*"
    r"|резюм\w+|провер(?:ь|ьте)|посчита\w*|подсчита\w*|сравни\w*|скажи\w*|сделай\w*|перепиши\w*|исправь\w*|составь\w*"
    r"|будь ласка|поясни\w*|переклади\w*|παρακαλώ|εξήγησε|περίληψη|μετάφρασε|απάντησε",
)
_REQUEST_UNSPACED = (
    # anywhere in a sentence: forms of politeness
    "(?<![邀申宴聘提])请(?!求|愿)|(?<![邀申宴聘提])請(?!求|願)|帮我|幫我|告诉我|告訴我"
    "|ください|下さい|なさい|してほしい|教えて|してくれ|주세요|주십시오|하시오|하세요|줘(?:요)?\\W*$|해라\\W*$"
    "|알려|โปรด|กรุณา|ช่วย"
    "|कृपया|बताइए|बताएं|बताओ|कीजिए|करें|दीजिए|लिखिए|लिखें|बनाइए|बनाएं|गिनिए|सुधारिए|समझाइए"
    "|يرجى|من فضلك|لطفا|בבקשה"
    # at its end: verbs of languages that put them there
    "|(?:özetle|çevir|düzelt|karşılaştır|listele|açıkla|söyle|\\byaz|[ıiuü] say)(?:y?[iıuü]n(?:[iıuü]z)?)?\\W*$"
    "|(?:して|直して|書いて|数えて|挙げて|まとめて)\\W*$"
    # at its beginning: bare verbs
    "|^\\W*(?:总结|總結|概括|概述|简述|翻译|翻譯|列出|列举|提取|回答|解释|解釋|说明|說明|根据|根據|基于|改写"
    '|比较|对比|分析|描述|找出|校对|润色|统计(?=一下|出|每|各|所有|文|全|这|该|[“「"])'
    "|将|把|给出|以下|下記|次の|用中文|用英文|要約|翻訳|สรุป|แปล|อธิบาย|ตอบ|สร้าง|จง|सारांश|अनुवाद"
    "|لخ\u0651?ص|ترجم|اشرح|أجب|اذكر|اكتب|أعد|دق\u0651?ق|صح\u0651?ح|قارن|احسب|أخبرني|خلاصه|ترجمه|توضیح|סכם|תרגם"
    "|הסבר|כתוב)"
)
# The Greek question mark is typed as an ASCII semicolon: it asks at the end of a line that begins in Greek.
QUESTION_MARK = re.compile(
    r"[?？؟⁇՞፧\u037e]"
    r"|^(?:[^\w\n]"
    r"|\d)*(?=[\u0370-\u03ff\u1f00-\u1fff])(?=[^\n]*[\u0370-\u03ff\u1f00-\u1fff]{2})[^\n={}<>]*;[ \t\r\"”»*_)]*$",
    re.MULTILINE,
)
QUESTION_START = re.compile(rf"^\W*(?:{'|'.join(_QUESTION_WORDS)})\b", re.IGNORECASE)
UNSPACED_QUESTION = re.compile(_QUESTION_UNSPACED)
REQUEST_START = re.compile(
    rf"^\W*(?:(?:so|now|then|and|also|first|finally|hi|hello|hey)\b\W*)?(?:{'|'.join(_REQUEST_WORDS)})\b", re.IGNORECASE
)
UNSPACED_REQUEST = re.compile(_REQUEST_UNSPACED)
PERSONAL = re.compile(
    r"\b(?:i|i['’](?:m|ve|d|ll)|my|me|we|our|us|you|your|ich|mein\w*|mir|mich|wir|je|j['’]|mon|ma|mes|nous|yo|mi"
    r"|nosotros|eu|meu|io|mio|ik|mijn|jag"
    r"|min|ja|mój|já|můj|я|мой|мне|мы|أنا|לי|मैं|मेरा)\b|我|私|僕|저는|나는|ผม|ฉัน",
    re.IGNORECASE,
)
STANDING = re.compile(
    r"\b(?:from (?:now on|here on|this point)|going forward|henceforth|for the rest of (?:this|our|the) \w+"
    r"|in (?:all |every )?(?:your )?(?:future|following|subsequent|next|other) (?:answers?|repl(?:y|ies)|responses?)"
    r"|(?:always|never) (?:answer|reply|respond|use|write|call|speak|address|format|keep|include|mention|translate|end"
    r"|start|begin|cite)|(?:every|each) (?:answer|reply|response)|remember that|keep in mind"
    r"|(?:ab|von) (?:jetzt|nun|sofort|hier)(?: an| ab)?\b|künftig|in zukunft|(?:antworte|schreib\w*|nenn\w*|verwende) "
    r"(?:mir |mich )?(?:immer|nie|stets)|à partir de maintenant|désormais|dorénavant|toujours (?:répondre|utiliser)"
    r"|(?:réponds|utilise|écris)(?:-moi)? toujours|a partir de ahora|de ahora en adelante|en adelante"
    r"|(?:responde|usa|escribe) siempre|siempre (?:responde|usa|escribe)|a partir de agora|de agora em diante"
    r"|(?:responda|use|escreva) sempre|d'ora in (?:poi|avanti)|(?:rispondi|usa|scrivi) sempre|vanaf nu|voortaan"
    r"|от(?:ныне| этого момента)|с этого момента|впредь|всегда (?:отвечай|пиши|используй)|od teraz|bundan sonra)\b"
    r"|从现在(?:开始|起)|今后|以后(?:都|请)|從現在(?:開始|起)|これから(?:は|ずっと)|今後は|以後は|앞으로|지금부터"
    r"|من الآن فصاعد",
    re.IGNORECASE,
)
ASK_LABEL = re.compile(
    r"(?:#{1,6} |\*\*)?(?:(?=question)|(?![a-z]))"  # `query:` in lower case is a key of some code or data
    r"(?i:(?:(?:my|the|user|final|your)\s+)?(?:original\s+)?(?:questions?|query|q|tasks?|instructions?|requests?"
    r"|prompt|problem"
    r"|frage|aufgabe|vraag|question|consigne|pregunta|tarea|pergunta|domanda|întrebare|pytanie|otázka|fråga"
    r"|spørgsmål"
    r"|soru|câu hỏi|pertanyaan|вопрос|задание|питання|ερώτηση|سؤال|السؤال|سوال"
    r"|שאלה|प्रश्न|คำถาม|问题|問題|问|质问|質問|指示"
    r"|任务|要求|질문|지시)\s*(?:is\s+as\s+follows\s*|\d{1,3}\s*)?(?:\*\*)?\s*[:：](?:\*\*)?)"
)
MATERIAL_LABEL = re.compile(
    r"(?:#{1,6} |\*\*)?(?:(?:the|here(?:'s| is| are))\s+)?(?:[\w'’-]+\s+){0,4}?(?:context|text|article"
    r"|document(?:s|ation)?"
    r"|passages?|transcript|material|sources?|report|story|paper|input|data|logs?|code ?base|code|files?|content"
    r"|e-?mails?"
    r"|reviews?|contract|chat|conversation|kontext|dokumente?|artikel|quelle|contexte|texte|contexto|texto"
    r"|documento"
    r"|контекст|текст|документ|статья|上下文|文本|文章|正文|资料|資料|文書|本文|会议记录|記事|본문|문서)"
    r"(?:\s+of\s+[^\n:]{1,60}|\s+(?:below|above|follows?))?\s*(?:\*\*)?[:：](?:\*\*)?\s*$",
    re.IGNORECASE,
)
BOILERPLATE = re.compile(
    r"(?:(?:based|relying) on|according to|given|using|with reference to|referring to"
    r"|from)\s+(?:only\s+)?(?:the|this|these)\s+"
    r"(?:\w+\s+){0,2}(?:text|document|passage|context|article|material|information|paragraph|content)s?"
    r"(?:\s+(?:above|below|provided))?\s*[:,]\s*",
    re.IGNORECASE,
)


_END = 40  # characters looked at where only a sentence's end counts
_CODE_LINE = 300
# `return total;`, `using System;`: verbs of requests are words of programming languages too
_CODE = re.compile(r"\s*\w+(?:\s+\S+|[^;\n]*[=(){}\[\]<>+*/&|\\][^;\n]*)\s*;\s*\Z")
_EXCLAMATION = re.compile(r"\W*what an? [^?]*!\W*\Z", re.IGNORECASE)
_STATEMENT_END = re.compile(r"(?<![かかね吗嗎呢])[.。:,;]\W*$")


def asks_strongly(sentence: str) -> bool:
    """Whether a line or sentence evidently asks or instructs, in any of the languages of the tables."""
    if ASK_LABEL.match(sentence.lstrip()) or QUESTION_MARK.search(sentence):
        return True
    if REQUEST_START.match(sentence) and not (len(sentence) <= _CODE_LINE and _CODE.match(sentence)):
        return True
    if not sentence.isascii() and UNSPACED_REQUEST.search(sentence):
        return True
    if _STATEMENT_END.search(sentence[-_END:]) or _EXCLAMATION.match(
        sentence
    ):  # "When the war ended, he left." opens like a question and is none
        return False
    return bool(QUESTION_START.match(sentence) or (not sentence.isascii() and UNSPACED_QUESTION.search(sentence)))
