"""Words that show whether a request needs a whole text, by family and language: compiled patterns, little logic.

Patterns without IGNORECASE on lowered text, one word boundary before all words of a family, and other scripts only
where there are any: 20 times faster than one plain alternation.
"""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Family:
    """Words of one meaning: `words` begin at a word boundary, `anywhere` holds for scripts without them."""

    words: str
    anywhere: str = ""
    _words: re.Pattern[str] = field(init=False, repr=False)
    _anywhere: re.Pattern[str] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_words", re.compile(rf"\b(?:{self.words})", re.DOTALL))
        object.__setattr__(self, "_anywhere", re.compile(self.anywhere, re.DOTALL) if self.anywhere else None)

    def found(self, lowered: str) -> bool:
        """Whether a lowered text has a word of the family."""
        if self._words.search(lowered):
            return True
        return self._anywhere is not None and not lowered.isascii() and self._anywhere.search(lowered) is not None


_TEXT_NOUN = (
    r"(?:documents?|texts?|articles?|passages?|paragraphs?|books?|papers?|meetings?|transcripts?|reports?|story"
    r"|stories|scenes?|news|e-?mails?"
    r"|conversations?|dialogues?|chats?|reviews?|bills?|patents?|code|files?|functions?|modules?|sentences?"
    r"|contracts?|chapters?|speech|logs?"
    r"|tables?|data|content|input|thread|essays?|drafts?|poems?|movies?|letters?|messages?|diff|pull request"
    r"|information|description|html|json|csv|entry)"
)
FAMILIES = {
    "summary": Family(
        r"summar(?:y|ies|i[sz]\w*)|tl;?dr\b|gist\b|recap\w*|synops\w*|condens\w*|compress\b|shorten\w*|distill?\w*"
        r"|outlines?\b|overview\b|digest\b|sum (?:\w+ )?up\b"
        r"|key ?(?:points?|takeaways?|ideas?|facts|developments)\b|takeaways?\b"
        r"|main (?:points?|ideas?|topics?|takeaways?|arguments?|findings|components)\b|minutes\b|bullet points\b"
        r"|shorter version\b|zusammenfass\w*|fass\w*\b.{0,80}\bzusammen|kürze\b|protokoll\b|résum\w+|synthèse"
        r"|compte rendu|resum[aeioí]\w*|síntesis|riassu\w+|sintesi|samenvat\w*|vat\b.{0,60}\bsamen|sammanfatt\w*"
        r"|sammenfat\w*|sammendrag|op?psummer\w*|yhteenveto\w*|tiivist\w*|streś[cć]\w*|streszcz\w*|podsumuj\w*"
        r"|shrň\w*|souhrn\w*|összefoglal\w*|foglal\w*\b.{0,20}össze|rezum\w*|özet\w*|(?:me)?ringkas\w*"
        r"|(?:me)?rangkum\w*"
        r"|резюм\w*|обобщ\w*|суммир\w*|перескаж\w*|подытож\w*|підсум\w*",
        r"tóm tắt|περίληψη|συνόψισ\w*|кратк\w+ (?:излож|содерж|переска)\w*|لخ\u0651?ص|تلخيص|ملخص|خلاصه|סכם|תקציר|סיכום"
        r"|सारांश|संक्षेप|สรุป|总结|總結|摘要|概括|概述|归纳|歸納|要点|纪要|核心|要約|まとめ|概要|議事録|요약"
        r"|정리해",
    ),
    "title": Family(
        r"(?:title|headline|subject(?: line)?|abstract|caption|table of contents)\b|titel\b|titre\b|título\b"
        r"|titolo\b",
        r"заголов\w*|标题|標題|題目|关键词|關鍵詞|主题|タイトル|제목|عنوان",
    ),
    "translate": Family(
        r"translat\w*|übersetz\w*|tradui\w*|tradu[crtz]\w*|tradu\b|vert(?:aal|al)\w*|översätt\w*|overs[æe]t\w*"
        r"|käännä\w*|přelož\w*"
        r"|prelož\w*|fordít\w*|çevir\w*|dịch\b|(?:men?)?t?erjemah\w*|перевед\w*|перевод\w*|переклад\w*",
        r"tłumacz\w*|μετάφρασ\w*|ترجم|תרגם|अनुवाद|แปล|翻译|翻譯|译成|譯成|翻訳|訳して|번역",
    ),
    "into_language": Family(
        r"(?:in)?to (?:the )?(?:\w+ )?(?:english|german|french|spanish|italian|portuguese|dutch|polish|russian"
        r"|ukrainian|chinese"
        r"|mandarin|japanese|korean|arabic|persian|farsi|hebrew|hindi|bengali|tamil|urdu|turkish|vietnamese"
        r"|indonesian|thai"
        r"|swedish|danish|norwegian|finnish|czech|greek|latin|hungarian|romanian|swahili)\b",
    ),
    "rewrite": Family(
        r"re-?writ\w*|rephras\w*|paraphras\w*|reword\w*|proof-?read\w*|gramma\w*|punctuat\w*|spelling\b|typos?\b"
        r"|capitali[sz]\w*|proper case|polish\w*|improve\b|simplif\w*|restructure\b|reformat\b|convert\w*"
        r"|refactor\w*|turn\b.{0,40}\binto\b|more (?:concise|formal|professional)"
        r"|add (?:\w+ )?(?:comments|type hints|docstrings|punctuation)|port (?:this|the)\b|clean up\b|anonymi[sz]e"
        r"|merge\b|synthesi[sz]e|retell\b|continue the\b|umschreib\w*|schreibe?\b.{0,60}\bum\b|formulier\w*"
        r"|korrigier\w*|verbesser\w*|réécri\w*|reformul\w*|corrig\w*|corregg\w*|corrij\w*|reescri?b?\w*|riscriv\w*"
        r"|lies\b.{0,60}\bkorrektur|korrekturles\w*|überarbeit\w*|umformulier\w*|relis(?:ez)?\b|rileggi\b|revis[ae]\b"
        r"|ortho?gra\w*|ortografi\w*|ortografía|gram[aá]ti\w*|verbeter\w*|her(?:schrijf|schrijv|formule)\w*|skriv om\b"
        r"|przepisz\w*|napisz\b.{0,60}\bod nowa|pisowni\w*|gramatyk\w*|przeredag\w*|popraw\w*|oprav\w*"
        r"|yeniden yaz\w*|düzelt\w*|yazım (?:hata|yanlış)\w*|dil bilgisi|imla\b|viết lại|sửa (?:lại|lỗi)|chính tả"
        r"|ngữ pháp|tulis ulang|ejaan\b|tata bahasa|perbaiki\b|parafras\w*|перепиш\w*|исправ\w*|отредакт\w*"
        r"|переформулир\w*|вычита\w*|орфограф\w*|пунктуац\w*|грамматик\w*",
        r"صح\u0651?ح |أعد (?:صياغة|كتابة)|دق\u0651?ق |تدقيق|إملائي|दोबारा लिख|फिर से लिख|वर्तनी|व्याकरण|सुधारि|सुधारें"
        r"|改写|改寫|润色|潤色|校对|校對|修改|纠正|重写|错别字|语法|拼写|書き直|校正|添削|言い換え|文法|교정"
        r"|고쳐|맞춤법|다시 ?(?:써|작성)|바꿔 ?써"
        r"|다듬",
    ),
    "extract": Family(
        r"extract\w*|(?:complete |full |comma separated |bulleted )?list of\b|list (?:all|every|each|the|out)\b"
        r"|enumerate\b|identify\b|highlight\b|collect\b|extrah\w*|extrai\w*|extra(?:e|er)\b|liste\w*\b|elenca\w*"
        r"|enumer\w*|wypisz\b|vypiš\b|перечисл\w*|выпиш\w*",
        r"提取|抽取|列出|列举|抽出|列挙|挙げ|나열|추출|รายชื่อ|सूची|استخرج",
    ),
    "all": Family(
        r"(?:all|every|everything|each|whole|entire|entirely|any|complete|full|throughout|from beginning to end)\b"
        r"|alle[rsnm]?\b|jede[rsnm]?\b|ganze[nrs]?\b|tou(?:s|tes?)\b|tod[oa]s?\b|tutt[ieoa]\b|alla\b|kaikki\b"
        r"|(?:ge)?hele\b|inter[oa]\b|wszystki\w+|všechn\w+|összes\b|toate?\b|όλ[αεου]\w*|جميع|كل\b|همه\b|כל\b"
        r"|tüm\w*|bütün\b|semua\b|seluruh\b|все[хмй]?\b|весь\b|всё\b|усі\b",
        r"tất cả|toàn bộ|सभी|पूर[ेा] |كافة|ทั้งหมด|所有|全部|全文|整(?:篇|体|體)"
        r"|每(?:个|個|一|条|段|句|位|人)|すべての|全ての|全文|各(?:段|章|人|月|行|自)|모든|전체",
    ),
    "overall": Family(
        r"(?:overall|in general|generally|general (?:opinion|view|impression|overview|consensus|sentiment"
        r"|summary|mood|tone)|main|key(?= [a-z])|major|broad|consensus|in short|in a nutshell|briefly?|concise(?:ly)?"
        r"|short)\b"
        r"|throughout\b|plots?\b|themes?\b|sentiments?\b|tone\b|trends?\b|patterns?\b|setting\b|impressions?\b"
        r"|insamt|général",
    ),
    "judge": Family(
        r"(?:classif\w*|categori[sz]\w*|rate|rating|grade|evaluat\w*|assess\w*|review|critique|analy[sz]e"
        r"|analysis|feedback|score|judge|label|rank|sort|group|check (?:this|the|my|for|all)|contradictions?"
        r"|inconsistenc\w+|suggestions)\b"
        r"|bewerte\w*|analy\w+",
        r"分析|评价|評価|분석|анализ\w*",
    ),
    "count": Family(
        r"count\b|how many times\b|number of (?:times|occurrences)\b|occurrences?\b|average\b|add up\b|zähle?\b"
        r"|compte[rz]? (?:combien|les?\b|tou)|combien de fois\b|cuenta (?:cu[aá]nt|las?\b|los\b|tod)|cuántas veces\b"
        r"|conta (?:quant|le\b|gli\b|i\b|as\b|os\b|tod)|conte (?:quant|as\b|os\b|tod)|quan(?:te volte|tas vezes)\b"
        r"|wie oft\b|hoe vaak\b|tel (?:hoe|alle|het|de)\b|policz\w*|zlicz\w*|ile razy\b|kaç (?:kez|kere|defa)\b"
        r"|đếm\b|bao nhiêu lần|hitung\w*|berapa kali\b",
        r"сосчита\w*|посчита\w*|подсчита\w*|сколько раз\b|كم مرة|عدد مرات|احسب|गिनि|गिनो|गिनें|कितनी बार"
        r"|统计|統計|几次|多少次|幾次|数えて|何回|次数|세어|몇 ?번",
    ),
    "compare": Family(
        r"compar\w*|contrast\b|diff(?:er)?\b|differences? between\b|vergleich\w*|vergelijk\w*|confront\w*"
        r"|srovne?j|porówn\w*"
        r"|karşılaştır\w*|so sánh|(?:mem|per)?banding\w*",
        r"сравни\w*|сопостав\w*|قارن|مقارنة|तुलना|比较|比較|对比|對比|비교",
    ),
    "create": Family(
        r"(?:write|generate|create|make|draft|compose|produce|prepare|turn|give|provide)\b|schreibe?\b|erstelle?\b"
        r"|écri[st]\w*|rédige\w*|escrib\w*|escrev\w*|scrivi\b|napisz\b|напиши\w*",
        r"写|寫|生成|作成|書いて|써 ?줘|작성",
    ),
    "this_text": Family(
        rf"(?<!\bin )(?<!\bof )(?:this|these|the|following|above|below|given|my|whole|entire|previous|past|provided"
        rf"|aforementioned)\s+(?:\w+\s+)?{_TEXT_NOUN}\b"
        r"(?! (?:about|on|that|which|where|regarding)\b)"
        rf"|{_TEXT_NOUN} (?:below|above)\b"
        r"|the (?:following|above|below)\b|this\b(?=\W*$)"
        r"|(?:dies(?:e[rsnm]?)?|de[nmr]|das) (?:\w+ )?(?:text|dokument|artikel)\b"
        r"|(?:ce|cet|cette|le|l[’'])\s*(?:texte|document|article)"
        r"|(?:este|el|lo) (?:texto|documento|artículo|siguiente)|(?:o|este) (?:texto|artigo)"
        r"|(?:il|questo|quest[’']) ?(?:testo|articolo)|deze tekst|texten\b|teksten\b|ten (?:tekst|artykuł)"
        r"|metni?\b|этот? текст|текста?\b",
        r"النص|متن|הטקסט|पाठ|ข้อความ|บทความ|下文|以下|上文|以上|下面|本文|文本|文章|这篇|這篇|段落|对话|表格|评论"
        r"|文章を|記事|段落|이 글|문서",
    ),
    "narrow": Family(
        r"(?:(?<!is )about|regarding|concerning|related to|relating to|with respect to|towards?|on the (?:topic"
        r"|subject"
        r"|question) of)\b"
        r"|over\b|über\b|zum\b|sobre\b|à propos|про\b|о\b",
        r"关于|有关|について|에 대해|เกี่ยวกับ",
    ),
    "said": Family(
        r"(?:say|says|said|think|thinks|thought|discuss(?:ed)?|mention(?:ed|s)?|suggest(?:ed)?|propos(?:e|ed|al)"
        r"|recommend(?:ed)?|explain(?:ed)|argue[ds]?|agree[d]?|disagree[d]?|decide[d]?|describe[ds]|called|named"
        r"|happened|founded|born|died|won|opinions?|feel)\b"
        r"|sagte?\b|gesagt\b|dit\b|dijo\b",
        r"说|言",
    ),
    "part": Family(
        r"(?:section|chapter|clause|item|line|page|paragraph|step|figure|table|column|row|question|part|episode"
        r"|season|order|invoice|user|version|article)\s*(?:no\.?\s*)?[#№]?\d"
        r"|(?:first|second|third|fourth|last|next) (?:paragraph|section|sentence|part|chapter|page|line|row|item"
        r"|one|option|question|answer|step|clause|table|message|query|study|recipe)s?\b"
        r"|the (?:sentence|paragraph|section|clause|part|chapter|line|word|title|remark|quote|message) (?:about"
        r"|on|in|of"
        r"|that|which|where|with|regarding|beginning|starting)\b"
        r"|(?:erste|zweite|dritte|letzte)[rsnm]?\b",
        r"第.{1,3}(?:章|节|条|项|段|回|个|の|案)",
    ),
    "answer": Family(
        r"answer(?:ing|s)?\b|questions?\b|q:|correct answer\b|tell me\b|find (?:the|out)\b"
        r"|wh(?:ich|at) (?:function|line|file|class|method)s?\b|which of (?:these|the|those)\b|where in (?:this"
        r"|the)\b|context\b|passage\b|according to\b|based on\b"
        r"|given (?:this|the|a)\b",
        r"回答|答案|告诉|教えて",
    ),
    "crowd": Family(
        r"(?:guests?|customers?|clients?|reviewers?|users|visitors|commenters|respondents|readers|buyers|tenants"
        r"|employees|attendees)\b(?:[’']s?)?\s(?:[\w’']+ ){0,4}(?:say(?:ing)?|said|think|thought|feel|felt|rate[ds]?"
        r"|rating|describe[ds]?|liked?|dislike[ds]?|complain\w*|praise[ds]?|opinions?|feedback|comments?|reactions?"
        r"|react\w*|impressions?|reviews?|satisf\w*|experience[ds]?)\b"
        r"|(?:reviews|feedback|reactions|comments|complaints) (?:about|on|of|from|regarding|related to|concerning)\b"
        r"|according to (?:the |most )?(?:guests|customers|reviewers|users|reviews|visitors)\b"
        r"|(?:gäste|kunden|nutzer|besucher)\b.{0,40}\b(?:sagen|meinen|finden|bewerten|urteilen|denken|zufrieden)"
        r"|(?:clients|utilisateurs|voyageurs)\b.{0,40}\b(?:pensent|disent|trouvent|jugent|satisfaits)"
        r"|(?:clientes|usuarios|huéspedes|usuários|hóspedes)\b.{0,40}\b(?:opinan|dicen|piensan|valoran|acham|dizem)",
        r"(?:顾客|客人|用户|客户|住客|顧客|網友|网友).{0,8}(?:评价|怎么看|反馈|意见|看法|評價|感想)|口コミ|후기",
    ),
    "made of it": Family(
        r"(?:study|revision) guide|cheat ?sheet|mind ?map|flash ?cards?\b|quiz\w*|(?:mermaid|uml|sequence|flow) ?\w*"
        r"|diagrams?\b|flow ?charts?\b|knowledge graph|time ?lines?\b|chronolog\w*|glossary\b|faqs?\b|slides?\b"
        r"|slide deck|presentation\b|infographic|action items?\b|to-?dos?\b|next steps\b|keywords?\b|hashtags?\b|tags\b"
        r"|entit(?:y|ies)\b|blog ?post|newsletter\b|press release|release notes|changelog\b|commit message|test cases\b"
        r"|unit tests\b|index of\b|moral of\b|explain like\b|eli5\b"
        r"|zeitleiste|stichw[oö]rt\w*|lernkarten|karteikarten|schaubild|carte mentale|chronologie|fiches? de révision"
        r"|mots[- ]clés|línea de tiempo|mapa (?:mental|conceptual)|palabras clave|linha do tempo|mappa (?:mentale"
        r"|concettuale)|хронологи\w*|ключевые слова",
        r"时间线|時間線|思维导图|关键词|知识图谱|大纲|年表|時系列|マインドマップ|キーワード|타임라인"
        r"|키워드|الخط الزمني",
    ),
    "most of all": Family(
        r"(?:most|least|more) (?:often|frequent(?:ly)?|common(?:ly)?|active|positive|negative|important|relevant"
        r"|mentioned|cited|used)\b|the most\b(?=\W*$)|the most (?:attention|often|space|words|mentions|times)\b"
        r"|majority\b|recurring\b|predominant\w*|am häufigsten|am meisten|häufigste\w*|le plus (?:souvent|cité)"
        r"|les plus (?:fréquent\w*|cité\w*)|más (?:veces|frecuen\w*|a menudo|mencionad\w*|común)"
        r"|com (?:mais|maior) frequência"
        r"|mais (?:vezes|mencionad\w*)|più (?:spesso|frequent\w*|citat\w*|menzionat\w*)|het (?:vaakst|meest)|чаще всего"
        r"|najczęściej|en (?:çok|sık)",
        r"最(?:多|常|频繁|頻繁)|最も(?:多く|頻繁)|一番(?:多く|よく)|가장 (?:많이|자주)|الأكثر|الاكثر"
        r"|सबसे (?:ज़्यादा|अधिक)",
    ),
    "found fault": Family(
        r"(?:un)?favou?rable\b|risk(?:s|y)\b|(?:un)?fair\b|problematic\b|red flags?|loopholes?|wrong with\b|errors\b"
        r"|mistakes\b|bugs\b|vulnerabilit\w*|weak(?:ness(?:es)?| points| spots)\b|strengths\b|missing\b|unused\b"
        r"|never \w+ed\b"
        r"|not (?:covered|addressed|mentioned|tested|documented)\b|unanswered\b|uncovered\b|outdated\b|redundan\w+"
        r"|duplicate\w*|anomal\w+|outliers?\b|illegal\b|compl(?:y|ies|iant|iance)\b|one-sided|ambigu\w+|unclear\b|plausible"
        r"|dead code|schwachstellen|risiken|fehler(?:n|haft\w*)?\b|lücken|widersprüch\w*|risques\b|erreurs\b|lacunes"
        r"|riesgos\b|errores\b|carencias",
        r"风险|漏洞|错误|矛盾|不利|问题点|リスク|矛盾|誤り|問題点|위험|오류|모순|المخاطر|أخطاء",
    ),
    "relation": Family(
        r"relationships? (?:between|of|with)\b|relate to (?:each other|one another)\b"
        r"|(?:significance|importance|role|symbolism|meaning) of\b.{0,80}\b(?:story|novel|book|play|poem|film)\b",
    ),
    "deed": Family(
        r"(?:purchas\w*|buy|sell|bookings?|book (?:a|an|the|me|my|us|it|that)\b(?! (?:about|into))|reserv(?:e|ations?)"
        r"|cancel\w*|(?:place|placing) (?:an?|the|my) \w*\s?order|orders? for|refund\w*|shares|stocks?|flights?"
        r"|credit card|invoice|ticket|itinerary|log(?:ged)? ?in(?:to)?\b|go ahead|proceed|dispatch|send|post|tweet)\b",
    ),
    "done": Family(
        r"(?:is|are|was|were|been|be|being|an?|the) (?:\w+ ){0,2}(?:translated|rewritten|paraphrased|summari[sz]ed"
        r"|shortened|converted|compared|listed|classified|counted|extracted|simplified|revised|corrected|merged)\b",
    ),
    "code_search": Family(
        r"python\b|java(?:script)?\b|numpy\b|pandas\b|dataframe\b|lambda\b|regex\b|dict(?:ionary)?\b|array\b"
        r"|string\b|how to\b",
    ),
    "issue": Family(
        r"traceback\b|expected\b|fails?\b|instead of\b|raise[sd]?\b|regression\b|bug\b|version\b|reproduce\b"
        r"|error\b|exception\b|which function has to\b",
    ),
    "about what": Family(
        r"what(?: is| are| was| were|[’']s) (?:this|these|the|it)\b[^?]{0,40}\babout\b|what (?:this|these"
        r"|the) (?:\w+ ){1,3}(?:is|are) about\b|worum geht\b|de quoi (?:parle"
        r"|traite)|de qué trata"
        r"|sobre o que\b|di cosa parla|waar gaat\b|vad handlar|o czym\b|o čem\b|despre ce\b|ne hakkında\b"
        r"|what (?:happens|happened|becomes?) (?:in|to|of)\b[^?]{0,60}\b(?:story|book|text|novel|film)\b"
        r"|throughout the\b"
        r"|in the story\b|(?:discussed|topics?|discussion points|talked about) (?:\w+ ){0,3}in the meeting\b",
        r"о чём|о чем|про що|عن ماذا|เกี่ยวกับอะไร|讲了什么|说了什么内容|文章的内容|무슨 내용|何について書",
    ),
}
FORMS = {
    "asks for several": re.compile(
        r"^\W*(?:which|what)\s+(?:of\s+(?:these|the|my|our)\s+)?(?:(?!(?:does|is|was|has|this|its|his)\b)[a-z]{2,}(?<!s)s"
        r"\s+(?!(?:is|was|does|has)\b)[a-z]|(?!(?:two|three|four|five|six|does|did|do)\b)[a-z-]+\s+[a-z]{2,}(?<!s)s"
        r"\s+(?:are|were|do|did|have|had|can|could|must|should|need)\b)",
        re.IGNORECASE,
    ),
    "asks how many": re.compile(r"^\W*how (?:many|much)\b", re.IGNORECASE),
    "choices": re.compile(r"(?:^|\n)\s*\(?[A-Da-d1-4][).]\s+\S"),
    "consent": re.compile(
        r"^\W*(?:yes|no|yeah|yep|ok(?:ay)?|sure|thanks?|thank you|great|perfect|please (?:go|do|proceed|cancel"
        r"|book|change)|hi|hello"
        r"|i(?:'d|'m|'ll| )|my|we)\b",
        re.IGNORECASE,
    ),
    "template": re.compile(
        r"\bINPUT\b|\bOUTPUT\b|\bSTEPS\b|(?:^|\n)#+ ?(?i:identity|role|goal|steps|output|input|instructions)"
        r"|\bas (?:an )?input\b"
        r"|\bthe input\b|\b[Yy]ou (?:will be|are|get) (?:given|provided|presented)|\b[Yy]ou (?:take|read|extract)\b"
        r"|\b[Yy]ou are an? (?:\w+ ){0,3}(?:expert|reviewer|editor)"
    ),
}
