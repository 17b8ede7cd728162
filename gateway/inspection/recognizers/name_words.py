"""Words that the recogniser of names knows besides the name lists, in lower case."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TITLES = _words(
    """
    mr mrs ms mx miss dr prof professor sir madam madame monsieur herr herrn frau señor señora señorita signor
    signora senhor senhora doktor doctor pan pani meneer mevrouw mme mlle sra srta sr dra hr fr judge nurse
    officer captain capt sgt lt rev hon aunt uncle tante onkel
    """
)
"""Followed by a name."""

NOT_NAMES = _words(
    """
    customer customers sir madam team all world there everyone everybody colleague colleagues friend friends
    hiring manager support user users reader readers committee members member partner partners student students
    parents doctor sirs the a an i we you he she it they this that my our your please can could would will how
    what when where why who thanks thank no yes admin bot assistant ai claude chatgpt gpt siri alexa damen herren
    kunde kundin kollegen zusammen and or not in on at to for from is are diary god lord sorry okay ok well
    english german french spanish italian american british python java linux windows data president minister
    general secretary director speaker chairman human llm json api sql html http
    """
)
"""Capitalised words that follow a greeting or a title and are nobody's name."""

ORGANISATION = _words(
    """
    inc ltd llc gmbh ag corp corporation company co plc university college school institute hospital clinic bank
    group foundation association society church cathedral airport station street st road rd avenue ave boulevard
    blvd lane drive square park bridge river lake island islands county city town valley mountain mountains beach
    bay award awards prize cup trophy league club fc united museum library theatre theater stadium arena center
    centre house hall castle tower hotel press records studios pictures films magazine times journal news post
    herald tribune party act law case effect theorem equation disease syndrome test scale method algorithm model
    theory war battle treaty doctrine series show band orchestra quartet trio festival tour album airlines motors
    engine software technologies systems solutions services partners holdings capital brothers sons family dynasty
    empire kingdom republic province district region pro max plus cloud server studio api sdk framework medal day
    week month
    """
)
"""What follows a name where it is that of a thing: a street, a prize, a company."""

BEFORE_OTHER = _words("the saint st san santa mount mt lake fort port new east")
"""What stands before a name where it is that of a place."""

STRONG_ENDINGS = _words(
    """
    is was heiße heisse ist m'appelle m\u2019appelle llamo es chiamo się é me dear liebe lieber liebes hi hello hey
    hallo bonjour cher chère hola estimado estimada querido querida ciao caro cara beste cześć olá name's name\u2019s
    """
)
"""The last words of cues that announce a name."""

WEAK_CUES = _words(
    """
    from to with for by and ask asked tell told call called named met meet email emailed contact contacted about
    von mit für an avec pour con para per voor soy sono i'm i\u2019m wife husband son daughter brother sister mother
    father mom dad friend boss colleague patient client customer employee manager neighbor neighbour
    """
)
"""Words before a first name, often enough to tell it from another word."""

WEAK_PAIRS = frozenset({"i am", "this is", "ich bin", "je suis", "ik ben"})
"""The same, of two words."""
