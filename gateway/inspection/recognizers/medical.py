"""Medical conditions and medicines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import resources

from gateway.inspection.recognizers.base import EntityHit, TextRecognizer, lowered
from gateway.inspection.recognizers.vocabulary import SURE, Vocabulary, score, words_of

CONDITION = "MEDICAL_CONDITION"
MEDICATION = "MEDICATION"

_ABOUT_HEALTH = re.compile(
    r"\b(?:diagnos|suffer|patient|symptom|treat(?:ed|ment|ing)? for|history of|chronic|acute|hospital|doctor|clinic"
    r"|relaps|prescri"
    r"|therap|leide[nt]|erkrank|arzt|krank|souffr|atteint|malad|médecin|traitement|padec|sufr|enferm|médico|soffr"
    r"|malat|lijdt"
    r"|ziek|sofre|doen[çt]|chor|lekarz|surgery|disorder|medication|oncolog|survivor|stage (?:[1-4]|i))"
)
_ABOUT_TAKING = re.compile(
    r"\b(?:[0-9.,]+ ?(?:mg|µg|mcg|ml|iu)\b|tak(?:es?|en|ing)|took|dose|daily|twice|prescri|tablet|pill|medic|nimmt"
    r"|einnahme|tablette"
    r"|prend|comprimé|ordonn|toma|recet|pastilla|compress|slikt|zażywa|bierze|patient)"
)
_STEMS = (  # of the INN scheme (WHO, "The use of stems in the selection of International Nonproprietary Names")
    *(
        "mab",
        "tinib",
        "ciclib",
        "parib",
        "rafenib",
        "zomib",
        "degib",
        "lisib",
        "sartan",
        "pril",
        "prilat",
        "dipine",
        "olol",
    ),
    *("vastatin", "gliptin", "gliflozin", "glitazone", "glutide", "glinide", "prazole", "tidine", "oxetine", "triptan"),
    *("azepam", "zolam", "barbital", "cillin", "cycline", "floxacin", "thromycin", "conazole", "nidazole", "navir"),
    *(
        "tegravir",
        "buvir",
        "asvir",
        "previr",
        "ciclovir",
        "xaban",
        "gatran",
        "parin",
        "lukast",
        "setron",
        "coxib",
        "profen",
    ),
    *("dronate", "dronic", "semide", "thiazide", "caine", "curonium", "relin", "mustine", "platin", "rubicin", "taxel"),
    *("trexate", "poetin", "grastim", "cept", "leucel", "vudine", "sulfa", "gepant", "orexant", "peridone", "apine"),
    *("idone", "steride", "lutamide", "olone", "terol", "tropium", "quine", "vaptan", "fibrate", "gliclazide"),
)
_STEM = re.compile(rf"[a-z]{{3,}}(?:{'|'.join(_STEMS)})")
_ENDINGS = frozenset(stem[-3:] for stem in _STEMS)
_SHORTEST_BY_STEM = 7
_NO_MEDICINES = frozenset(
    {"concept", "precept", "percept", "intercept", "cocaine", "masculine", "pantomime", "philippine"}
)


class MedicalRecognizer(TextRecognizer):
    """Medical conditions, and medicines by international non-proprietary name, by the stems of such names and by common
    brand names; in English, with the main forms of seven other languages.

    `conditions` and `medicines` are terms to add to those that the package carries.
    """

    ENTITIES = (CONDITION, MEDICATION)

    def __init__(self, conditions: Iterable[str] = (), medicines: Iterable[str] = ()) -> None:
        super().__init__()
        self._lists = (
            (CONDITION, Vocabulary([*_shipped("conditions.txt"), *conditions]), _ABOUT_HEALTH),
            (MEDICATION, Vocabulary([*_shipped("medicines.txt"), *medicines]), _ABOUT_TAKING),
        )

    def found(self, text: str) -> Iterator[EntityHit]:
        lower = lowered(text)
        words = words_of(lower)
        for entity, vocabulary, cues in self._lists:
            for start, end, sure in vocabulary.matches(lower, words):
                yield entity, start, end, SURE if sure else score(cues, lower, start, end)
        by_stem = {w for w in words if w[-3:] in _ENDINGS and len(w) >= _SHORTEST_BY_STEM and w not in _NO_MEDICINES}
        for word in sorted(by_stem):
            if _STEM.fullmatch(word):
                for match in re.finditer(rf"(?<![\w.@/-]){word}(?![\w@(/=-])", lower):
                    yield MEDICATION, match.start(), match.end(), score(_ABOUT_TAKING, lower, *match.span()) + 0.1


def _shipped(name: str) -> list[str]:
    """The lines of a list that the package carries."""
    return (resources.files("gateway.inspection") / "data" / name).read_text(encoding="utf-8").splitlines()
