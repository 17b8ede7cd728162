"""Words of eight languages make sure what a number alone does not say."""

from __future__ import annotations

import pytest

from gateway.inspection.engine import Engine
from gateway.inspection.presidio import registry
from gateway.settings.recognizers import RegistrySettings

COUNTRIES = ("us", "uk", "ca", "de", "es", "it", "pl")
SURE = 50
"""Percent from which a policy usually counts a finding."""

# Entity, value, and a sentence for each language with the value left out. Where a language's countries have no
# recogniser for identity numbers, the number is another country's, told in that language.
CARD, IBAN = "4222222222222", "GB82 WEST 1234 5698 7654 32"
SENTENCES: dict[str, dict[str, tuple[str, str, str]]] = {
    "en": {
        "phone": ("PHONE_NUMBER", "2125550123", "You can reach her by phone at {} after noon."),
        "card": ("CREDIT_CARD", CARD, "My card is {} and it was charged twice."),
        "iban": ("IBAN_CODE", IBAN, "Please pay to our account {} this week."),
        "birth date": ("DATE_OF_BIRTH", "03/04/1984", "The patient was born on {} in Leeds."),
        "national id": ("US_SSN", "536-90-4399", "Her social security number is {} as you know."),
        "postcode": ("LOCATION", "94110", "The parcel goes to ZIP code {} on Monday."),
        "secret": ("SECRET", "tr0ub4dor-7", "The password is {} for now."),
    },
    "de": {
        "phone": ("PHONE_NUMBER", "030901820", "Sie erreichen ihn unter der Telefonnummer {} ab acht."),
        "card": ("CREDIT_CARD", CARD, "Meine Kreditkarte {} wurde zweimal belastet."),
        "iban": ("IBAN_CODE", IBAN, "Bitte auf das Konto {} zahlen."),
        "birth date": ("DATE_OF_BIRTH", "03.04.1984", "Die Patientin wurde geboren am {} in Köln."),
        "national id": ("DE_TAX_ID", "86095742719", "Seine Steuer-ID lautet {} laut Bescheid."),
        "postcode": ("LOCATION", "50667", "Das Paket geht an die Postleitzahl {} am Montag."),
        "secret": ("SECRET", "tr0ub4dor-7", "Das Passwort lautet {} bis morgen."),
    },
    "fr": {
        "phone": ("PHONE_NUMBER", "0142685300", "Son numéro de téléphone est le {} le matin."),
        "card": ("CREDIT_CARD", CARD, "Ma carte bancaire {} a été débitée deux fois."),
        "iban": ("IBAN_CODE", IBAN, "Merci de virer sur le compte {} demain."),
        "birth date": ("DATE_OF_BIRTH", "03/04/1984", "La patiente est née le {} à Lyon."),
        "national id": ("CA_SIN", "130 692 544", "Son numéro d'assurance sociale est {} depuis toujours."),
        "postcode": ("LOCATION", "69002", "Le colis part au code postal {} lundi."),
        "secret": ("SECRET", "tr0ub4dor-7", "Le mot de passe est {} pour l'instant."),
    },
    "es": {
        "phone": ("PHONE_NUMBER", "915 550 123", "Su teléfono es el {} por la tarde."),
        "card": ("CREDIT_CARD", CARD, "Mi tarjeta {} fue cobrada dos veces."),
        "iban": ("IBAN_CODE", IBAN, "Ingrese el importe en la cuenta {} hoy."),
        "birth date": ("DATE_OF_BIRTH", "03/04/1984", "La paciente nació el {} en Madrid."),
        "national id": ("ES_NIF", "12345678Z", "Su DNI es {} según el contrato."),
        "postcode": ("LOCATION", "28013", "El paquete va al código postal {} el lunes."),
        "secret": ("SECRET", "tr0ub4dor-7", "La contraseña es {} por ahora."),
    },
    "it": {
        "phone": ("PHONE_NUMBER", "0655501234", "Il suo telefono è {} di mattina."),
        "card": ("CREDIT_CARD", CARD, "La mia carta {} è stata addebitata due volte."),
        "iban": ("IBAN_CODE", IBAN, "Versate l'importo sul conto {} entro oggi."),
        "birth date": ("DATE_OF_BIRTH", "03/04/1984", "La paziente è nata il {} a Roma."),
        "national id": ("IT_FISCAL_CODE", "RSSMRA85T10A562S", "Il suo codice fiscale è {} come sapete."),
        "postcode": ("LOCATION", "00184", "Il pacco va al CAP {} lunedì."),
        "secret": ("SECRET", "tr0ub4dor-7", "La parola d'ordine è {} per ora."),
    },
    "nl": {
        "phone": ("PHONE_NUMBER", "0205550123", "Zijn telefoonnummer is {} in de ochtend."),
        "card": ("CREDIT_CARD", CARD, "Mijn kaart {} is twee keer belast."),
        "iban": ("IBAN_CODE", IBAN, "Betaal op de rekening {} deze week."),
        "birth date": ("DATE_OF_BIRTH", "03-04-1984", "De patiënt is geboren op {} in Utrecht."),
        "national id": ("US_DRIVER_LICENSE", "4912345678", "Haar rijbewijsnummer is {} volgens het dossier."),
        "postcode": ("LOCATION", "1012 AB", "Het pakket gaat naar postcode {} maandag."),
        "secret": ("SECRET", "tr0ub4dor-7", "Het wachtwoord is {} voorlopig."),
    },
    "pt": {
        "phone": ("PHONE_NUMBER", "912 345 678", "O telemóvel dele é {} de manhã."),
        "card": ("CREDIT_CARD", CARD, "O meu cartão {} foi cobrado duas vezes."),
        "iban": ("IBAN_CODE", IBAN, "Pague na conta {} esta semana."),
        "birth date": ("DATE_OF_BIRTH", "03/04/1984", "A paciente nasceu em {} no Porto."),
        "national id": ("US_DRIVER_LICENSE", "L-1234567", "Na carta de condução: {} segundo o contrato."),
        "postcode": ("LOCATION", "1100-148", "O pacote vai para o código postal {} na segunda."),
        "secret": ("SECRET", "tr0ub4dor-7", "A senha é {} por enquanto."),
    },
    "pl": {
        "phone": ("PHONE_NUMBER", "501 234 567", "Jego numer telefonu to {} po południu."),
        "card": ("CREDIT_CARD", CARD, "Moja karta {} została obciążona dwa razy."),
        "iban": ("IBAN_CODE", IBAN, "Proszę wpłacić na rachunek {} do piątku."),
        "birth date": ("DATE_OF_BIRTH", "03.04.1984", "Pacjentka urodzona {} w Krakowie."),
        "national id": ("PL_PESEL", "44051401359", "Jego PESEL to {} według umowy."),
        "postcode": ("LOCATION", "00-950", "Paczka idzie pod kod pocztowy {} w poniedziałek."),
        "secret": ("SECRET", "tr0ub4dor-7", "Hasło to {} na razie."),
    },
}
CASES = [(language, kind) for language, kinds in SENTENCES.items() for kind in kinds]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(registry(RegistrySettings(COUNTRIES)).recognizers)


def percent(engine: Engine, text: str, entity: str, value: str) -> int:
    """How sure the finding is that covers the value, 0 if there is none."""
    start = text.index(value)
    end = start + len(value)
    found = [s.percent for s in engine.scan(text) if s.entity == entity and s.start <= start and s.end >= end]
    return max(found, default=0)


@pytest.mark.parametrize(("language", "kind"), CASES)
def test_a_sentence_in_each_language(engine: Engine, language: str, kind: str) -> None:
    """Beside a word of the language the value is found, sure enough to be counted."""
    entity, value, sentence = SENTENCES[language][kind]
    assert percent(engine, sentence.format(value), entity, value) >= SURE


@pytest.mark.parametrize(("language", "kind"), [(a, b) for a, b in CASES if b in ("phone", "card", "national id")])
def test_it_is_the_word_that_does_it(engine: Engine, language: str, kind: str) -> None:
    """Without any word the same value is less sure, or of a form that is proof by itself."""
    entity, value, sentence = SENTENCES[language][kind]
    alone, told = (percent(engine, text, entity, value) for text in (value, sentence.format(value)))
    assert alone < told or alone == 100
