"""Which of eight languages a text is in, by its small words, endings and letters: microseconds, no model.

It is shown to people. What is searched for does not depend on it: a wrong guess must not hide anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
    "pl": "Polish",
}

_READ = 400
"""Characters from the start of a text that are read."""

_LEAST = 1.2
"""Points for less than which a text is in no known language; a word of one language alone has two."""

_LEAD = 0.3
"""Points by which the best language must be ahead of the next one."""

_SMALL_WORDS = {
    "en": """
        the a an of to and in is it that this these those with for on are was were be been have has had not you
        your i me my we our they their them he she his her him at by from or as which who what when where why
        how if there here will would can could should shall may must do does did don' doesn' didn' isn' i' it'
        that' won' can' please thanks thank hello about into than then so but no yes all any some more most only
        very just also because after before while until over under between without within again still already
        never always every each both either such own same other another much many few new get got make made us
        per out up down off its tomorrow today yesterday week month year please dear regards best need want know
        think see said
    """,
    "de": """
        der die das den dem des ein eine einen einem einer eines und oder aber ist sind war waren sein wird
        werden wurde wurden worden hat haben hatte hatten habe nicht kein keine keinen mit von vom zu zum zur in
        im auf an am aus bei nach für über unter vor durch gegen ohne um als wie wenn weil dass daß ob ich du er
        sie es wir ihr mich dich uns euch mir dir ihm ihn ihnen mein meine meinen meiner meinem dein deine unser
        unsere ihre ihren ihrem seine seinen seiner auch noch nur schon sehr mehr immer wieder hier dort dann so
        was wer wo warum welche welcher kann können könnte könnten muss müssen soll sollen sollte will wollen
        möchte möchten darf bitte danke gibt heute morgen gestern woche jahr monat seit bis zwischen während
        damit diese dieser dieses diesen diesem alle allen alles man doch mal jetzt gut guten sehr geehrte herr
        frau hallo ja nein etwas nichts viel viele
    """,
    "fr": """
        le la les l' un une des du de d' et ou mais est sont était étaient être été a ont avait avaient avoir ai
        as ne pas n' plus avec pour par sur sous dans en au aux chez vers sans entre depuis pendant avant après
        comme si que qu' qui quoi dont où quand pourquoi comment je tu il elle nous vous ils elles on me te se
        lui leur leurs mon ma mes ton ta tes son sa ses notre nos votre vos ce cet cette ces c' ça cela y j' s'
        t' m' aussi encore très bien tout tous toute toutes même déjà jamais toujours rien peu beaucoup trop
        peut peux peuvent pouvez doit dois devez veux veut voulez faut fait faire va vais vont ici là alors donc
        car parce lorsque puis oui non merci bonjour madame monsieur cordialement aujourd' demain hier semaine
        mois année quel quelle quels quelles chaque plusieurs afin selon lors voici suis êtes sommes serait sera
        seront
    """,
    "es": """
        el la los las un una unos unas de del y o pero es son era eran ser sido fue fueron está están estaba
        estar he ha han había haber hay no con para por en al a sobre bajo sin entre desde hasta hacia según
        durante como si que qué quien quién cual cuál cuando cuándo donde dónde porque cómo yo tú él ella usted
        ustedes nosotros ellos ellas me te se le les lo nos mi mis tu tus su sus nuestro nuestra nuestros este
        esta esto estos estas ese esa eso esos aquel también aún muy más menos todo toda todos todas mismo ya
        nunca siempre nada poco mucho muchos puede puedo pueden podría debe deben quiero quiere hacer hace hecho
        va voy van tengo tiene tienen aquí allí entonces pues sí gracias hola señor señora hoy mañana ayer
        semana mes año años cada otro otra otros antes después ahora bien así solo sólo algo alguien
    """,
    "it": """
        il lo la i gli le l' un uno una un' di del dello della dei degli delle d' e o ma è sono era erano essere
        stato stata stati ho ha hai hanno aveva avere abbiamo non con per da dal dalla dai in nel nello nella
        nei nelle su sul sulla sui al allo alla ai alle agli tra fra senza verso come se che chi cui quale quali
        quando dove perché cosa io tu lui lei noi voi loro mi ti si ci vi ne mio mia miei tuo tua suo sua suoi
        sue nostro nostra vostro questo questa questi queste quello quella quelli anche ancora molto più meno
        tutto tutta tutti tutte già mai sempre niente poco può possono posso puoi deve devo devono vuole voglio
        vorrei fare fa fatto va vado vanno qui lì allora quindi poi sì grazie ciao buongiorno signor signora
        oggi domani ieri settimana mese anno anni ogni altro altra altri prima dopo ora bene così solo dell'
        all' nell' sull' quell' dall' c' sia siamo prego
    """,
    "nl": """
        de het een van en of maar is zijn was waren wordt worden werd werden geweest heeft hebben had hadden heb
        niet geen met voor door op aan in uit bij naar om over onder tegen zonder tussen sinds tot als dan dat
        die dit deze wie wat waar wanneer waarom hoe welke ik jij je hij zij ze wij we jullie u mij me hem haar
        ons hen hun mijn jouw uw onze ook nog al heel meer minder altijd nooit weer hier daar toen dus want
        omdat zodat terwijl kan kunnen kunt kon moet moeten wil willen zou zouden zal zullen mag graag
        alsjeblieft alstublieft bedankt dank hallo beste mevrouw meneer ja nee iets niets veel alle alles elke
        ander andere vandaag morgen gisteren week maand jaar jaren te er zo toch eens nu na sommige zelf toe
        gaat ging gaan doen doet gedaan komt laat
    """,
    "pt": """
        o a os as um uma uns umas de do da dos das e ou mas é são era eram ser sido foi foram está estão estava
        estar estou tem têm tinha ter há não com para por pelo pela em no na nos nas ao aos à às sobre sob sem
        entre desde até como se que quem qual quais quando onde porque porquê eu tu ele ela você vocês nós eles
        elas me te lhe lhes meu minha meus minhas teu seu sua seus suas nosso nossa este esta isto estes esse
        essa isso esses aquele aquela também ainda muito mais menos tudo todo toda todos todas mesmo já nunca
        sempre nada pouco pode podem posso podemos deve devem quero quer fazer faz feito vai vou vão tenho temos
        aqui ali então pois sim obrigado obrigada olá senhor senhora hoje amanhã ontem semana mês ano anos cada
        outro outra antes depois agora bem assim só num numa dele dela deste desta nesse neste favor
    """,
    "pl": """
        i w we z ze na do od o u za po przez przy dla bez pod nad przed między oraz lub albo ale a jest są był
        była było byli były być będzie będą nie tak ma mają miał miała mam mamy masz się sobie mnie mi ja ty on
        ona ono my wy oni one go jej jego ich im ją nas nam was wam mój moja moje mojego mojej twój nasz nasza
        nasze wasz swój swoje ten ta to te tego tej tym tych tymi ci co kto który która które których którzy
        kiedy gdzie dlaczego jak jaki jaka czy że żeby aby bo ponieważ jeśli gdy też także jeszcze już bardzo
        więcej mniej wszystko wszystkie wszyscy zawsze nigdy nic coś może mogą mogę można musi muszą trzeba chcę
        chce tutaj tam teraz potem więc proszę dziękuję dzień dobry pan pani pana panią dzisiaj dziś jutro
        wczoraj tydzień tygodniu miesiąc rok roku lat każdy inny tylko również według został została zostały
        podczas około
    """,
}
_ENDINGS = {
    "en": "ing ght ion uld ess lly ent ugh ers ous",
    "de": "ung ich ten cht eit sch ern gen ßen ben den",
    "fr": "eux aux ent ons ion que eur lle use ais ait ées",
    "es": "ión dad ado ada ndo ido ías nto ron nte dos das",
    "it": "one ità tto ato ata are ere ire gio nto nte ggi ndo ssa",
    "nl": "aar ijk ing eid gen ijn oor aat tje ren den ven",
    "pt": "ção ões ade ado ada ndo nho nha iro ido nte ava ram",
    "pl": "ego emu ych ymi ość cie ski ska nie owa owy nej ała ałe",
}
_LETTERS = {
    "de": "ßäöü",
    "fr": "çèêàâîôûëïœùé",
    "es": "ñ¿¡áéíóú",
    "it": "àèìòù",
    "nl": "ëï",
    "pt": "ãõçáâêéíóôú",
    "pl": "łąęśżźćńó",
}
_ENDING_POINTS = 0.35
_LETTER_POINTS = 0.6

_WORD = re.compile(r"[^\W\d_]+'?")  # "l'" and "don'" are words of their own

_FEWEST_WORDS = 4
"""In fewer words a small word says nothing."""

_ADDRESS = re.compile(r"\S*[@/%]\S*")  # "com" is a Portuguese word

Points = tuple[tuple[int, float], ...]


def guess_language(text: str) -> str:
    """The code of the language (a key of `LANGUAGES`); empty where it is none of these, or not to be told.

    From five words on it is nearly always right. A text of several languages is in that of its beginning.
    """
    beginning = text[:_READ].lower().replace("\u2019", "'")
    if "@" in beginning or "/" in beginning or "%" in beginning:
        beginning = _ADDRESS.sub(" ", beginning)
    words = _WORD.findall(beginning)
    if len(words) < _FEWEST_WORDS:
        return ""
    totals = [0.0] * len(LANGUAGES)
    for word in words:  # their small words have their own points, others those of their ending
        for number, points in _POINTS_OF.get(word) or _ENDING_POINTS_OF.get(word[-3:], ()):
            totals[number] += points
    if not beginning.isascii():
        for letter in _RARE_LETTERS.intersection(beginning):
            for number, points in _LETTER_POINTS_OF[letter]:
                totals[number] += points
    best = max(totals)
    if best < _LEAST:
        return ""
    number = totals.index(best)
    totals[number] = 0.0
    return _CODES[number] if best - max(totals) >= _LEAD else ""


def _shared(lists: Mapping[str, str], full: float) -> dict[str, Points]:
    """The points for each word: the fewer languages have it, the more."""
    owners: dict[str, list[int]] = {}
    for number, words in _numbered(lists):
        for word in dict.fromkeys(words.split()):
            owners.setdefault(word, []).append(number)
    return {
        word: tuple((number, full * math.log(len(LANGUAGES) / len(numbers))) for number in numbers)
        for word, numbers in owners.items()
    }


def _numbered(lists: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    return ((number, lists.get(code, "")) for number, code in enumerate(LANGUAGES))


_CODES = tuple(LANGUAGES)
_POINTS_OF = _shared(_SMALL_WORDS, 1.0)
_ENDING_POINTS_OF = _shared(_ENDINGS, _ENDING_POINTS)
_LETTER_POINTS_OF = _shared({code: " ".join(letters) for code, letters in _LETTERS.items()}, _LETTER_POINTS)
_RARE_LETTERS = frozenset(_LETTER_POINTS_OF)
