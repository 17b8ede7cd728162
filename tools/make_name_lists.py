"""Writes the name lists of gateway/inspection/data from the locale data of the Faker package (MIT licence).

    python tools/make_name_lists.py

First and last names of the locales below, in lower case, one a line. Names that are ordinary words in one of the
languages, and names of places, months or brands, go to ``ambiguous.txt`` as well: the recogniser asks more of those.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from pathlib import Path

from faker.providers.lorem.en_US import Provider as Lorem
from spacy.lang.de.stop_words import STOP_WORDS as GERMAN
from spacy.lang.en.stop_words import STOP_WORDS as ENGLISH
from spacy.lang.es.stop_words import STOP_WORDS as SPANISH
from spacy.lang.fr.stop_words import STOP_WORDS as FRENCH
from spacy.lang.it.stop_words import STOP_WORDS as ITALIAN
from spacy.lang.nl.stop_words import STOP_WORDS as DUTCH
from spacy.lang.pl.stop_words import STOP_WORDS as POLISH
from spacy.lang.pt.stop_words import STOP_WORDS as PORTUGUESE

LOCALES = (
    *("en_US", "en_GB", "en_IE", "en_IN", "en_NG", "en_KE", "en_PK", "en_NZ", "de_DE", "de_AT", "de_CH", "fr_FR"),
    *("fr_CA", "fr_CH", "fr_BE", "fr_DZ", "es_ES", "es_MX", "es_AR", "es_CO", "it_IT", "nl_NL", "nl_BE", "pl_PL"),
    *("pt_BR", "pt_PT", "sv_SE", "da_DK", "no_NO", "fi_FI", "tr_TR", "cs_CZ", "ro_RO", "hu_HU", "hr_HR", "id_ID"),
    *("vi_VN", "zh_CN", "zh_TW", "ja_JP", "ar_AA", "ga_IE", "sk_SK", "sl_SI", "et_EE", "lt_LT", "yo_NG", "zu_ZA"),
)
PLACES = (
    *("en_US", "en_GB", "en_AU", "en_CA", "de_DE", "de_AT", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_BR"),
    "pt_PT",
)
DATA = Path(__file__).resolve().parent.parent / "gateway" / "inspection" / "data"
NAME = re.compile(r"[^\W\d_]{2,}(?:['\u2019\-][^\W\d_]+)*")


def _words(text: str) -> list[str]:
    return text.split()


# Words that are also names in the lists, and that turn up capitalised in ordinary English, help-desk and code text.
WORDS = _words("""
able account act actor add admin agent ai air alpha amber angel angle answer app apple april arch archer art ash asia
august aurora autumn azure bach baker banks bar barber barn baron basic bass bay beach bear beck bell berry best beta
bill bills bird bishop black blank blue bolt bond book booker booth boss bowl box boy brand bridge bridges bright brook
brooks brown buck bud bug bull burn bush butler button buy call camp canon cap car card carol carpenter carter case
cash cast castle chain chance chancellor chapel charity charm chase check cherry chip christian christmas church city
clark clay clear clerk click close cloud coffee cole collins color colon constant cook cooper copper coral core corner
count cox craft crane crest crew cross crown crystal dale dash data date dawn day days dean dear deep delta demand
dev diamond dick dim dollar dolly dot dove drew drive duke dusty early earnest east easter eden edge editor elder
ember emerald english error essence estate event eve exception faith fall farmer faith fern field fields file finish
firm fish fisher flag fleet flint flora flower floyd forest form forrest foster fountain fox franc frank freedom
freeman french friday friend frost fuller gale garden gardener garnet gary gate gates gay gem general genesis gentry
german gift gig gill ginger glass glory gold golden good goodman grace grand grant gray green grey griffin ground grove
guide gull gun guy hall ham hand hardy harmony harper hart hash haven hawk hays hazel head heart heath heather heaven
helper herb hero high hill hills hint hit ho hobbs holiday holly home honey honor hood hook hope hopper horn host house
html hub hunt hunter hurt hyde ice india ink integer iris island issue ivory ivy jack jade jasmine java jay jersey
jet jewel job jobs joint joker jolly jordan journey joy judge july june junior justice keen key keys kid king kings
kit knight label lady lake lamb lamp lance land lane large lark last latin laurel law laws lead league lee legacy
legend lemon leo level liberty light lily link lion list little live lock lodge log logic london long lord lot lots
love low loyal luck lucky lunar luna lynx madison magic main major mall man manager manual map maple marble march mark
marks marsh marshal marshall mary mason mass master mat max may mayor mays mean melody memory merchant mercury mercy
merit merry mike miles mill miller milli mills mint miracle mode modest moment monday money moody moon moore moral
moss mount mountain much music mystery name nash nation new news nice nick night noble noel noon norm north nova null
number nurse oak ocean october olive opal open oracle orange orchard organ original orion otto owner pace page pages
paige palm palmer parent paris park parker parks patience patient peace peak pearl pen penny pepper perl person pet
phoenix pick pickle pierce pike pilot pine piper pitt place plan plant platt play point pole pond pool poole pope port
porter post pot potter pound powder power powers precious presence price prime prince princess print prior prosper
provider prudence purple python queen quest quick quill quinn rain rainbow ranch ray rays read reader reason red reed
reese regina region register render report reserve rest return reynolds rhodes rice rich riches ride ridge ring river
rivers roach road rob robin rock rocky rod rogue roll roman romance roof root rose rosemary ross rowan royal ruby rule
rush russet rust rusty ruth sable sacha sage sailor saint sally salt sample sanders sandy santa saturday savage scarlet
schema school scott sea search season seat see senior sentence september sequoia serene serenity set shade shape sharp
shepherd sherman shine shore short show siena sierra silk silver singer singh single sketch sky skip sloan small smart
smith snow son song south sparks spear speed spencer spring square staff star stark start state steel stephen sterling
still stock stone storm story strong style sugar summer sun sunday sunny sunshine swan sweet swift table tag tan tanner
task taylor team temple term terry test thank thanks thousand thunder thursday tiger tile tim time timer tin token tom
top tower town townsend trace track trade trail train trainer tree trigger trinity trip troy true trust tucker tuesday
turn turner tyler type union unique unit unity update user vale valley value van vector velvet venus version vest view
viola violet virgin virtue vista viv voice wade wagner wales walk walker wall walls walt ward ware warm watch water
waters wave way wayne ways weaver web webb week weeks welcome well wells west western wheel wheeler whistler white wild
wilder will willow wind winds wine wing winner winter wise wolf wolfe wonder wood woods wool word words work worker
world worth wren wright year yes york young zen zero zion
jan feb mar apr jun jul aug sep oct nov dec january february november december wednesday
api aws bash bot chat claude copilot cursor docker django flask gemini git github gitlab google grok helm jira julia
kafka kubernetes lambda linux llama mac maven mistral nginx node numpy office oracle outlook pandas paypal postgres
react redis ruby rust safari sage sap scala siri slack spark spring sql stripe swift teams terraform torch trello vite
windows word excel zoom alexa cortana watson cisco dell ford honda mercedes tesla ferrari lincoln bentley chevrolet
chrysler dior gucci hermes prada chanel armani nestle kellogg kraft heinz hilton marriott boeing siemens bosch philips
europe africa america asia australia austria belgium brazil canada chile china cuba denmark egypt england finland
france germany georgia greece holland hungary iceland india indonesia iran iraq ireland israel italy jamaica japan
jordan kenya korea lebanon malaysia mali malta mexico morocco nepal netherlands nigeria norway pakistan panama peru
poland portugal qatar romania russia samoa scotland serbia singapore slovakia slovenia spain sudan sweden switzerland
syria thailand tonga tunisia turkey uganda ukraine vietnam wales yemen zambia zimbabwe virginia carolina dakota
florida montana nevada alabama alaska arizona arkansas california colorado connecticut delaware hawaii idaho illinois
indiana iowa kansas kentucky louisiana maine maryland massachusetts michigan minnesota mississippi missouri nebraska
hampshire ohio oklahoma oregon pennsylvania tennessee texas utah vermont washington wisconsin wyoming
berlin hamburg munich vienna zurich geneva rome milan florence venice naples turin madrid barcelona lisbon porto
amsterdam rotterdam brussels warsaw krakow prague budapest dublin london paris lyon nice marseille bordeaux boston
houston dallas denver austin phoenix seattle chicago detroit atlanta orlando memphis jackson jacksonville lincoln
madison charlotte augusta savannah cleveland columbus trenton newark chester lancaster york kent essex sussex devon
sydney melbourne brisbane perth adelaide victoria kingston alberta regina hamilton halifax windsor cambridge oxford
bremen essen hagen celle bergen aachen jena gera trier fulda worms halle
said till gene sad mad tea joke til mate jail kick wan vid raid fancy fares innocent theres odd indie harsh ing pin yoga
edit hung urban server peer yen greet bitten yung loan destiny toy ion hella comfort mile lung blessing raven saga sole
marine forum tiara owe gust amor mentor nan ties sys purity paw puk tri eta gal sol imam imer neo victory sales parts
cases branch fresh block tank priest cup cookie sir madam miss mister customer client patient doctor boston
alle alter amen anders arm arme bald bar bart baum beide bernstein berg besser bitte blatt blume braun brot bucher
damit dank danke deine dies dieser dir doch du durch ecke ehe eile einer eis ende engel enge erde ernst erst essen
etwa euro feind fein fels feld fest feuer form frau frei freitag freude freund fritz fromm fuchs für ganz gast geld
genau gerade gern gross groß gut gute haar habe hahn halb hans hart hase haus heil heim heiter held hell herr herrn
herz heute hier hirsch hof hoch hofmann horn hund ihr immer jahr jung junge jäger kaiser kalt kamm kann kaufmann kein
keller klar klee klein kohl koch kopf korn kraft kranz kraus krieg kron kurz lang lange lamm laut leben lehmann leer
leicht lenz letzte lieb liebe lieber lied linde link los luft lust mai markt maurer mehl meine meister mensch metzger
milch mit mittag mond montag morgen müller nacht nagel nah name natur neu neue nicht nord not nur ober oder ohne ost
ostern paul pfeiffer platz post rabe rad rat recht reich rein reis richter ring ritter roth rot ruhe rund sache sack
sand sauer schade schatz schäfer schmidt schneider schön schreiber schulz schuster schwarz see seele sehr sein seite
selber sieg sohn sommer sonne sonntag spiegel spitz stahl stark stein stern still stolz sturm süß tag tages tante
tier tief tisch tochter tod treu unter urlaub vater vogel voll vor wahl wald wand warm wasser weber weg wein weise
weiß weit welt wenig wer wert wetter wiese wild winkel wir wirt wirth wo wolf wunder zimmer zorn zucker zug zwei
""")

# First names, mostly short forms, that the locale data lacks.
MORE_FIRST = _words("""
ben sam matt dan dave steve chris alex joe tony andy kate liz beth meg sue bob jim ed ted bill greg jeff ken pat ron
rick jen jess becky vicky maggie jenny mia leo kai eli abby bella callum carla dennis drew ellie emma finn gabe gwen
harry ian jake jamie jerry jill josh katie kevin kim larry lily lou luke mandy marge maya millie mick mo molly nate ned
noah oliver oscar ollie owen phil pete rachel robbie rosie ryan sara sasha sid sophie stan stu tess theo toby vince
wendy zach will mark josie ana ahmed ali aisha fatima hassan hussein ibrahim khalid leila mohamed mohammed muhammad
mustafa nadia omar rashid samir yasmin yusuf zainab ananya arjun deepak divya kavya lakshmi meera neha pooja priya rahul
raj rajesh rohan sanjay shreya sunil suresh vijay vikram chen fang hui jing jun lei li ling mei min ming ping qiang wei
xiu yan ying yong yu hiroshi keiko kenji yuki haruto sakura min-jun ji-woo seo-yeon olga ivan dmitri natasha svetlana
vladimir boris igor sergei yuri tatiana andrei mikhail nikolai pavel anastasia ekaterina elena irina
""")
MORE_LAST = _words("""
zhang wang li liu chen yang huang zhao wu zhou xu sun ma zhu hu guo he lin gao luo kim park lee choi jung kang cho yoon
tanaka suzuki sato watanabe takahashi nakamura kobayashi yamamoto ito kato yoshida patel singh kumar sharma gupta shah
mehta reddy iyer nair rao khan ahmed ali hussain hassan malik nguyen tran pham hoang ivanov petrov smirnov kuznetsov
popov sokolov volkov novak kowalski kowalska al-farsi haddad mansour nasser saleh aziz rahman
""")

# Names that are in the lists above, or are places, and yet nearly always mean a person when capitalised.
PERSONS = _words("""
alice anna andrea angela anita anton barbara bruno carlo carol cecilia charlotte christina christophe diana dominique
edward elisa ellen emilia emilio eric erica felix francesco frank gary georges giovanni giulia giuseppe hans helena
horst jack jakob jan jean jens johann john josef joão julia konstantin laura leonardo lisa lorenzo luca lucia lucie
maarten marcel marco margarita maria mariana marie marta martin martina mary matteo maurice max melissa michael michele
mike monica moritz nick nicolas nora otto paola paolo paul pedro peter pierre rob roberto robin rosa ruth sally samuel
sandra scott sean simone stefano stephen susanna tamara teresa tim tina tom tristan valentina victor vincent willem
ulrich heinz ernst fritz renate wolf gertrud magdalena
""")


def main() -> None:
    """Write the three files."""
    first, last = set(MORE_FIRST), set(MORE_LAST)
    for locale in LOCALES:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for attribute in dir(provider):
            values = getattr(provider, attribute)
            if not isinstance(values, (tuple, list, dict)) or "format" in attribute or "prefix" in attribute:
                continue
            if attribute.startswith(("first_", "middle_")) and "pairs" not in attribute:
                first |= set(_names(values))
            elif "last" in attribute and "pairs" not in attribute:
                last |= set(_names(values))
    words = set(WORDS) | {word.lower() for word in Lorem.word_list} | _places()
    stop = set().union(ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, DUTCH, PORTUGUESE, POLISH)
    words = (words | stop) - set(PERSONS)
    ambiguous = {name for name in first | last if name in words or len(name) < 3}
    DATA.mkdir(exist_ok=True)
    for name, lines in (("first_names", first), ("last_names", last), ("ambiguous", ambiguous)):
        (DATA / f"{name}.txt").write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")
        print(name, len(lines))


def _names(values: Iterable[object]) -> Iterable[str]:
    """Single names in Latin letters, in lower case; double names give their parts as well."""
    for value in values:
        if not isinstance(value, str):
            continue
        for name in (value, *value.replace("-", " ").split(" ")):
            name = name.lower().replace("\u2019", "'")
            if NAME.fullmatch(name) and all(ord(c) < 0x250 or 0x1E00 <= ord(c) < 0x1F00 for c in name):
                yield name


def _places() -> set[str]:
    found: set[str] = set()
    for locale in PLACES:
        provider = importlib.import_module(f"faker.providers.address.{locale}").Provider
        for attribute in ("cities", "countries", "states", "provinces", "regions", "departments", "counties"):
            for value in getattr(provider, attribute, ()):
                for place in value if isinstance(value, tuple) else (value,):
                    if isinstance(place, str):
                        found.add(place.lower())
    return found


if __name__ == "__main__":
    main()
