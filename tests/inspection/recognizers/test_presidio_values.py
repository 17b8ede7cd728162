"""What Presidio's own recognisers accept is found here too, where the recogniser is on."""

from __future__ import annotations

import pytest
from presidio_analyzer import EntityRecognizer, predefined_recognizers

from gateway.inspection.engine import Engine
from gateway.inspection.presidio import registry, silence
from gateway.settings.recognizers import RegistrySettings, catalogue, countries

# Ours take the place of these two, and must find what they find.
REPLACED = {"PresidioCardRecognizer", "PresidioDateRecognizer"}
EVERYTHING = registry(
    RegistrySettings(
        countries=tuple(sorted(countries())),
        switch_on=tuple(entry.name for entry in catalogue() if entry.name not in REPLACED),
    )
)
ENGINE = Engine(EVERYTHING.recognizers)
WORD = {entry.class_name: (entry.context or ("",))[0] for entry in catalogue() if entry.module == "presidio"}

TABLE = """
CreditCardRecognizer | 4012888888881881 | 4012-8888-8888-1881 | 4012 8888 8888 1881 | 122000000000003
CreditCardRecognizer | my credit card: 122000000000003 | 371449635398431 | 5555555555554444 | 5019717010103742
CreditCardRecognizer | 30569309025904 | 6011000400000000 | 3528000700000000 | 6759649826438453 | 4111111111111111
CreditCardRecognizer | 4917300800000000 | 4484070000000000 | 4012888888881881 and 4012-8888-8888-1881
CryptoRecognizer | 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ | bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4
CryptoRecognizer | bc1p5d7rjq7g6rdk2yhzks9smlaqtedr4dekq08ge8ztwac72sfr9rusxg3297 | 3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy
CryptoRecognizer | 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa
EmailRecognizer | info@presidio.site | my email address is info@presidio.site
EmailRecognizer | try one of these emails: info@presidio.site or anotherinfo@presidio.site
EmailRecognizer | user+tag@sub.example.co.uk
IbanRecognizer | AL47212110090000000235698741 | AL47 2121 1009 0000 0002 3569 8741 | AD1200012030200359100100
IbanRecognizer | AD12 0001 2030 2003 5910 0100 | AT611904300234573201 | AT61 1904 3002 3457 3201
IbanRecognizer | AZ21NABZ00000000137010001944 | BH67BMAG00001299123456 | BY13NBRB3600900000002Z00AB00
IbanRecognizer | BE68539007547034 | BA391290079401028494 | BR9700360305000010009795493P1 | BG80BNBG96611020345678
IbanRecognizer | CR05015202001026284066 | HR1210010051863000160 | CY17002001280000001200527600
IbanRecognizer | CZ6508000000192000145399 | DK5000400440116243 | DO28BAGR00000001212453611324
IbanRecognizer | TL380080012345678910157 | EE382200221020145685 | FO6264600001631634 | FI2112345600000785
IbanRecognizer | FR1420041010050500013M02606 | GE29NB0000000101904917 | DE89370400440532013000
IbanRecognizer | GI75NWBK000000007099453 | GR1601101250000000012300695 | GL8964710001000206
IbanRecognizer | GT82TRAJ01020000001210029690 | HU42117730161111101800000000 | IS140159260076545510730339
IbanRecognizer | IE29AIBK93115212345678 | IL620108000000099999999 | IT60X0542811101000000123456
IbanRecognizer | JO94CBJO0010000000000131000302 | KZ86125KZT5004100100 | XK051212012345678906
IbanRecognizer | KW81CBKU0000000000001234560101 | LV80BANK0000435195001 | LB62099900000001001901229114
IbanRecognizer | LI21088100002324013AA | LT121000011101001000 | LU280019400644750000 | MT84MALT011000012345MTLCAST001S
IbanRecognizer | MR1300020001010000123456753 | MU17BOMM0101101030300200000MUR | MD24AG000225100013104168
IbanRecognizer | MC5811222000010123456789030 | ME25505000012345678951 | NL91ABNA0417164300 | MK07250120000058984
IbanRecognizer | NO9386011117947 | PK36SCBL0000001123456702 | PS92PALS000000000400123456702
IbanRecognizer | PL61109010140000071219812874 | PT50000201231234567890154 | QA58DOHB00001234567890ABCDEFG
IbanRecognizer | RO49AAAA1B31007593840000 | SM86U0322509800000000270100 | SA0380000000608010167519
IbanRecognizer | RS35260005601001611379 | SK3112000000198742637541 | SI56263300012039086 | ES9121000418450200051332
IbanRecognizer | SE4550000000058398257466 | CH9300762011623852957 | TN5910006035183598478831
IbanRecognizer | TR330006100519786457841326 | AE070331234567890123456 | GB29NWBK60161331926819
IbanRecognizer | VA59001123000012345678 | VG96VPVG0000012345678901
IbanRecognizer | this is an iban VG96 VPVG 0000 0123 4567 8901 in a sentence
IpRecognizer | 192.168.0.1 | 684D:1111:222:3333:4444:5555:6:77 | my ipv6: 684D:1111:222:3333:4444:5555:6:77
IpRecognizer | 10.0.0.0/8 | ::1 | fe80::1ff:fe23:4567:890a%eth2 | 2001:db8::1/64 | ::ffff:192.168.1.1
MacAddressRecognizer | 00:1A:2B:3C:4D:5E | 00-1A-2B-3C-4D-5E | 0012.3456.789A
PhoneRecognizer | My US number is (415) 555-0132, and my international one is +1 415 555 0132 | (425) 882-9090
PhoneRecognizer | +1 (425) 882-9090 | tel: 425-882-9090 | +44 20 7123 1234 | +972 3 978 5555
PhoneRecognizer | My Israeli number is 09-7625400 | _: (415)555-0132 | United States: (415)555-0132
PhoneRecognizer | +55 11 98456 5666 | +91 9876543210
UsBankRecognizer | 945456787654 | my bank account number is 945456787654
UsItinRecognizer | 911-701234 911701234 | 911-70-1234 | 91170-1234 911701234 | my tax id 911-70-1234
UsPassportRecognizer | 912803456 | Z12803456 | A12803456 | my passport is 912803456
UsSsnRecognizer | 078-05-1126 | 078.05.1126 | 078 05 1126 | 078051126 | 078-051121 07805-1121
UsMbiRecognizer | 1EG4-TE5-MK73 | 1EG4TE5MK73 | my medicare beneficiary id is 2A22-AA2-AA22
UsNpiRecognizer | 1234567893 | 1245319599
AbaRoutingRecognizer | 121000358 | 3222-7162-7 | 121042882 | 021000021 | 011000015
UsLicenseRecognizer | H12234567 | my driver's license is H12234567
MedicalLicenseRecognizer | BB1388568 | A91388568 | my DEA is BB1388568
NhsRecognizer | 401-023-2137 | 221 395 1837 | 0032698674
UkNinoRecognizer | AA 12 34 56 B | hh 01 02 03 d | tw987654a | PR 123612C | my nino is AA 12 34 56 B
UkPassportRecognizer | AB1234567 | passport number: CD7654321
UkDrivingLicenceRecognizer | MORGA607054SM9IJ | JONES710238HA3DX
UkVehicleRegistrationRecognizer | AB51 ABC | BD62XYZ | A123 BCD | ABC 123D
UkPostcodeRecognizer | SW1A 1AA | EC1A 1BB | W1A 0AX | M1 1AE
DeTaxIdRecognizer | 86095742719 | 47036892816 | 65929970489
DeSocialSecurityRecognizer | 15070649C103
DeHealthInsuranceRecognizer | A123456780 | M123456785
DeIdCardRecognizer | T22000129
DePassportRecognizer | C01X00T41
DeVatIdRecognizer | DE123456789 | DE136695976 | DE 136 695 976
DeHandelsregisterRecognizer | HRB 123456 | HRA 1234
DeFuehrerscheinRecognizer | BO12345678A
DeKfzRecognizer | B-AB 1234 | M AB 123
DePlzRecognizer | 10115 | 80331
DeLanrRecognizer | 123456601 | 234567701
DeBsnrRecognizer | 011234567 | 521234567
DeTaxNumberRecognizer | 181/815/08155
EsNifRecognizer | 55555555K | 55555555-K | 1111111-G | 1111111G
EsNieRecognizer | Z8078221M | X9613851N | Y8063915Z | Y8063915-Z | Mi NIE es X9613851N
EsPassportRecognizer | AAA123456
ItFiscalCodeRecognizer | AAAAAA00B11C333N | RSSMRA85M01H501Q
ItDriverLicenseRecognizer | AA0123456B
ItVatCodeRecognizer | 01333550323 | 01333550323 nor
ItIdentityCardRecognizer | AA0000000 | 0000000AA | AA12345BB
ItPassportRecognizer | AA0000000
PlPeselRecognizer | 44051401458
FiPersonalIdentityCodeRecognizer | 010594Y9032 | 010594Y9021 | 020594X903P | 030594W903B
SePersonnummerRecognizer | 850709-9805 | 19850709-9805
SeOrganisationsnummerRecognizer | 556703-7485 | 5567037485
AuTfnRecognizer | 876 543 210 | 876543210
AuAbnRecognizer | 51 824 753 556 | 51824753556
AuAcnRecognizer | 000 000 019 | 005 499 981 | 006249976
AuMedicareRecognizer | 2123 45670 1 | 2123456701
CaSinRecognizer | 130-692-544 | 130 692 544 | 130692544
CaPostalCodeRecognizer | K1A 0B1 | M5V 2T6
InAadhaarRecognizer | 312345678909 | 399876543211 | 3123 4567 8909 | 3123-4567-8909
InPanRecognizer | AAASA1111R | ABCPD1234Z | ABCND1234Z
InPassportRecognizer | A2096457 | A20 96457
InVoterRecognizer | KSD1287349 | DBJ2289013
InGstinRecognizer | 27ABCDE1234F1Z5 | 29AABCT1332L1ZS | 01AAACR5055K1Z8
InVehicleRegistrationRecognizer | KA53ME3456 | KA99ME3456 | MN2412 | MCX1243 | 22BH4721AA
SgFinRecognizer | G3311756Q | S1234567D | T1234567Z | G1122144L
SgUenRecognizer | 53125226D | 197401143C | S57TU0392K
KrRrnRecognizer | 960121-1234567 | 960121-3234567 | 9601211234567 | 900101-1234563
KrFrnRecognizer | 960121-5234567 | 9601215234567
KrBrnRecognizer | 124-81-00998 | 1248100998 | 220-81-62517
KrDriverLicenseRecognizer | 11-22-123456-12 | 112212345612
KrPassportRecognizer | M12345678 | M123A4567 | S98765432
ThTninRecognizer | 1234567890121
TrNationalIdRecognizer | 10000000146 | 76558242278
TrLicensePlateRecognizer | 34 ABC 123 | 06 AB 1234
NgVehicleRegistrationRecognizer | ABC-123DE | LAG 345FG
PhPassportRecognizer | P1234567A | EB1234567
PhUmidRecognizer | 0111-1234567-8 | 0033-1234567-9
ZaIdNumberRecognizer | 8001015009087
ZaPassportRecognizer | A12345678 | M87654321
ZaIncomeTaxNumberRecognizer | 0001339050 | 9999999999
ZaVatNumberRecognizer | 4123456789 | 4480230138
ZaTrafficRegisterNumberRecognizer | 1234567890123
ZaCompanyRegistrationRecognizer | 2010/123456/07 | CK2005/123456
UrlRecognizer | https://www.microsoft.com/ | http://www.microsoft.com | www.microsoft.com | microsoft.com
UuidRecognizer | 550e8400-e29b-41d4-a716-446655440000
DateRecognizer | 5/21/2020 | 05/21/20 | 21/5/2020 | 5-21-2020 | 2020-05-21 | 21.5.2020 | 5-May-2021 | 05-MAY-21
"""
VALUES = [
    (kind, value) for line in TABLE.split("\n") if line for kind, *values in [line.split(" | ")] for value in values
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_found_as_by_presidio(kind: str, value: str) -> None:
    """A value that Presidio's recogniser accepts is found in full as the same entity: alone, or behind one of its words
    where a confidence below the floor, or a checksum that one number in ten has, asks for one."""
    silence()
    if kind == "EmailRecognizer":  # asks the network when it validates
        entity, accepted = "EMAIL_ADDRESS", [(value.index("info") if "info" in value else 0, 0)]
    else:
        stock: EntityRecognizer = getattr(predefined_recognizers, kind)()
        entity = stock.supported_entities[0]
        accepted = [(r.start, r.end) for r in stock.analyze(value, [entity], None)]
    assert accepted
    for before in ("", f"{WORD.get(kind, '')} "):
        spans = [span for span in ENGINE.scan(before + value) if span.entity == entity]
        if all(any(s.start <= a + len(before) and s.end >= b + len(before) for s in spans) for a, b in accepted):
            return
    pytest.fail("not found")


def test_every_recogniser_has_values() -> None:
    """No recogniser of Presidio's that can be switched on is missing from the table but those for insurers' forms."""
    forms = {"UsClaimNumberRecognizer", "UsHealthInsuranceMemberIdRecognizer", "UsPrescriptionNumberRecognizer"}
    forms |= {"UsPriorAuthorizationNumberRecognizer", "UsProviderTaxIdRecognizer", "UsReferralNumberRecognizer"}
    plates = {"ZaDriverLicenseRecognizer", "ZaLicensePlateRecognizer", "ZaMobileNumberRecognizer"}
    listed = {entry.class_name for entry in catalogue() if entry.module == "presidio"}
    none_known = {"NgNinRecognizer", "PhTinRecognizer"}
    assert listed - {kind for kind, _ in VALUES} == forms | plates | {"ZaTelephoneNumberRecognizer"} | none_known
