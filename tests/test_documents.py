from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.documents import MAX_BYTES, DocumentError, Node, nearest, parse, read
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import usd


def value(text: str) -> Node:
    """The node of ``text`` as the value of a key."""
    return parse(f"key: {text}\n", "file.yaml").items()[0][1]


def messages(node: Node) -> list[str]:
    return [problem.message for problem in node.problems.found]


@pytest.mark.parametrize("word", ["NO", "no", "yes", "on", "off", "y", "2026-09-01", "2:30", "1_000", "0755x"])
def test_plain_words_that_yaml_1_1_changes_stay_text(word: str) -> None:
    """Norway is NO, not false: scalars follow the core schema of YAML 1.2."""
    node = value(word)
    assert node.text() == word
    assert not node.problems.found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("5", "integer"),
        ("-5", "integer"),
        ("0x1F", "integer"),
        ("0o17", "integer"),
        ("0.5", "number"),
        (".5", "number"),
        ("1e3", "number"),
        ("true", "boolean"),
        ("~", "nothing"),
        ("null", "nothing"),
        ("'5'", "text"),
        ('"true"', "text"),
        ("1e999", "text"),
        ("[a]", "list"),
        ("{a: b}", "mapping"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    """Each scalar has the kind that the core schema gives it; quoted ones are text."""
    assert value(text).kind == kind


def test_typed_accessors_give_values() -> None:
    """Amounts, durations, days and numbers are read exactly."""
    assert value("0.05 USD").money() == usd("0.05")
    assert value("500ms").seconds() == 0.5
    assert value("2m").seconds() == 120
    assert value("1.5h").seconds() == 5400
    assert value("2026-12-31").date() == date(2026, 12, 31)
    assert value("0.15").decimal() == Decimal("0.15")
    assert value("3").number() == 3.0
    assert value("0x10").integer() == 16
    assert value("true").boolean() is True
    assert value("block").one_of(("allow", "block")) == "block"
    assert value("[a, b]").text_or_list() == ("a", "b")
    assert value("a").text_or_list() == ("a",)


@pytest.mark.parametrize(
    ("text", "accessor", "message"),
    [
        ("5 EUR", "money", "expected an amount in dollars such as '0.05 USD', got the text '5 EUR'"),
        ("-1 USD", "money", "expected an amount in dollars such as '0.05 USD', got the text '-1 USD'"),
        ("2", "seconds", "expected a duration such as '500ms', '2s' or '5m', got 2"),
        ("0s", "seconds", "expected a duration such as '500ms', '2s' or '5m', got the text '0s'"),
        ("2026-02-30", "date", "there is no day 2026-02-30"),
        ("soon", "date", "expected a day such as 2026-12-31, got the text 'soon'"),
        ("'5'", "integer", "expected a whole number, got the text '5'"),
        ("0.5", "integer", "expected a whole number, got 0.5"),
        ("5", "text", "expected text, got a whole number; put it in quotes if it is meant as text"),
        ("true", "text", "expected text, got true or false; put it in quotes if it is meant as text"),
        ("", "text", "expected text, got nothing"),
        ("'  '", "text", "expected text, got nothing"),
        ("[]", "sequence", "expected a list of at least one, got nothing"),
        ("a", "sequence", "expected a list, got the text 'a'"),
        ("{}", "items", "expected at least one 'key: value', got nothing"),
        ("[a]", "items", "expected a mapping (key: value), got a list"),
        ("yes", "boolean", "expected true or false, got the text 'yes'"),
        ("[a, a]", "text_or_list", "'a' is listed twice"),
        ("a b", "identifier", "'a b' is not a name: use letters, digits, '_', '-' and '.' (at most 64, no spaces)"),
    ],
)
def test_wrong_types_are_told(text: str, accessor: str, message: str) -> None:
    """A wrong value is one problem that says what was expected and what is there."""
    node = value(text)
    getattr(node, accessor)()
    assert messages(node) == [message]


def test_bounds_are_kept() -> None:
    """A number outside its bounds is a problem, and the stand-in is within them."""
    node = value("50")
    assert node.decimal(0, 1) == 1
    assert messages(node) == ["50 is more than 1, the most that is possible here"]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: 1\na: 2\n", 2, 1, "duplicate key 'a': it stands in line 1 already"),
        ("a: {b: 1, b: 2}\n", 1, 11, "duplicate key 'b': it stands in line 1 already"),
        ("a: 1\n'a': 2\n", 2, 1, "duplicate key 'a': it stands in line 1 already"),
        ("a: &x 1\n", 1, 4, "anchors are not allowed ('&x')"),
        ("a: [1]\nb: *x\n", 2, 4, "aliases are not allowed ('*x'); repeat the value"),
        ("a: !!str 1\n", 1, 4, "tags are not allowed ('tag:yaml.org,2002:str')"),
        ("a: !foo {b: 1}\n", 1, 4, "tags are not allowed ('!foo')"),
        ("a: 1\n<<: {b: 1}\n", 2, 1, "merge keys ('<<') are not allowed; repeat the values"),
        ("? [a]\n: 1\n", 1, 3, "a key must be a word"),
        ("%YAML 1.1\n---\na: NO\n", 2, 1, "directives (lines that start with %) are not allowed"),
        ("a: 1\n---\nb: 1\n", 2, 1, "a second document ('---') is not allowed"),
        ("a: .inf\n", 1, 4, "'.inf' is not a number that can be used"),
        ("a: .NaN\n", 1, 4, "'.NaN' is not a number that can be used"),
    ],
)
def test_what_could_be_misread_is_an_error(text: str, line: int, column: int, message: str) -> None:
    """Every part of YAML that two readers could understand differently is refused, at its place."""
    root = parse(text, "file.yaml")
    with pytest.raises(DocumentError) as caught:
        root.problems.check()
    problem = caught.value.problems[0]
    assert (problem.line, problem.column, problem.message) == (line, column, message)


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (b"a: b: c\n", "file.yaml:1:5: not YAML: a ':' is not possible here: look at the indentation"),
        (b"a: [1\nb: 2\n", "file.yaml:1:4: not YAML: this list is not closed: a ']' or a ',' is missing"),
        (b"a: {x: 1\nb: 2\n", "file.yaml:1:4: not YAML: this '{' is not closed: a '}' or a ',' is missing"),
        (b"a: 'x\nb: 2\n", "file.yaml:1:4: not YAML: this text in quotes is not closed"),
        (b"a:\n\tb: 1\n", "file.yaml:2:1: not YAML: a tab stands here: use spaces"),
        (b"a: @home\n", "file.yaml:1:4: not YAML: a text cannot begin with @: put it in quotes"),
        (b"a: 1\nb: *\n", "file.yaml:2:4: not YAML: a text cannot begin with *: put it in quotes"),
        (b'a: "C:\\q"\n', "file.yaml:1:8: not YAML: a '\\' in double quotes begins an escape: use single quotes"),
        (b"a:\n  b: 1\n c: 2\n", "file.yaml:3:2: not YAML: this is not at the same indentation as the keys above it"),
        (b"- a\nb: c\n", "file.yaml:2:1: not YAML: this is not at the same indentation as the list above it"),
        (b"a:\n-\n-b\n", "file.yaml:3:1: not YAML: this line is neither 'key: value' nor an item of a list"),
        (b"{a: b}}\n", "file.yaml:1:7: not YAML: this does not belong to what stands above"),
        (b'a: 1\nb: "\\U00110000"\n', "file.yaml:2:5: not YAML: there is no character with this number"),
        (b'a: 1\nb: "\\UFFFFFFFF"\n', "file.yaml:2:5: not YAML: there is no character with this number"),
        ("a: x\u200by\n".encode(), "file.yaml:1:5: the invisible character U+200B is not allowed"),
        ("a: x\ufeffy\n".encode(), "file.yaml:1:5: the invisible character U+FEFF is not allowed"),
        ("\ufeff\ufeffa: x\n".encode(), "file.yaml:1:1: the invisible character U+FEFF is not allowed"),
        (b"a: 1\nb: \xff\n", "file.yaml:2:1: the file is not UTF-8 text"),
        (b"a: \x07\n", "file.yaml:1:4: a control character is not allowed"),
        ("a: x\u202ey\n".encode(), "file.yaml:1:5: the invisible character U+202E is not allowed"),
        ("a: 1\u2028b: 2\n".encode(), "file.yaml:1:5: the invisible character U+2028 is not allowed"),
        (b"#" * (MAX_BYTES + 1), "file.yaml:1:1: the file is larger than 1048576 bytes"),
        (b"[" * 100_000, "file.yaml:1:33: nested too deeply"),
        ("a: \ud800\n", "file.yaml:1:1: the file is not UTF-8 text"),
    ],
)
def test_unreadable_files_are_refused(data: bytes | str, start: str) -> None:
    """What is not YAML text of a sensible size is refused at once, with its place."""
    with pytest.raises(DocumentError) as caught:
        parse(data, "file.yaml")
    assert str(caught.value).startswith(start)


def test_all_problems_come_at_once_in_order() -> None:
    """One reading reports everything that is wrong, in the order of the file, with line, caret and suggestion."""
    root = parse("nmae: x\nsize: big\n", "file.yaml")
    fields = root.mapping(("name", "size", "day"), required=("name", "size", "day"))
    fields["size"].integer()
    fields["name"].text()
    with pytest.raises(DocumentError) as caught:
        root.problems.check()
    assert str(caught.value) == (
        "file.yaml:1:1: missing key 'day'\n"
        "    nmae: x\n"
        "    ^\n"
        "file.yaml:1:1: unknown key 'nmae'; did you mean 'name'?\n"
        "    nmae: x\n"
        "    ^\n"
        "file.yaml:2:7: expected a whole number, got the text 'big'\n"
        "    size: big\n"
        "          ^"
    )


def test_a_missing_value_is_reported_once() -> None:
    """The stand-in for a missing key adds no problems of its own, whatever is asked of it."""
    root = parse("a: 1\n", "file.yaml")
    absent = root.mapping(("a", "b"), required=("b",))["b"]
    assert not absent.present
    for accessor in ("text", "integer", "money", "date", "seconds", "boolean", "decimal", "items", "identifier"):
        getattr(absent, accessor)()
    absent.mapping(("x",), required=("x",))["x"].sequence()
    assert messages(root) == ["missing key 'b'"]


def test_an_empty_value_is_placed_at_its_key() -> None:
    """A key without a value is shown where the key is, not where the next one begins."""
    node = value("\nother: 1")
    node.text()
    assert (node.problems.found[0].line, node.problems.found[0].column) == (1, 1)


def test_long_lines_and_control_characters_are_shown_safely() -> None:
    """A long line is cut round the place, and nothing from the file can steer the terminal."""
    root = parse("k: [" + "a, " * 200 + "a]\n", "file.yaml")
    root.items()[0][1].located_texts()
    shown = root.problems.found[-1].render().split("\n")
    assert len(shown[1]) <= 104
    assert shown[1][len(shown[2]) - 1] == "a"
    shown = replace(root.problems.found[0], column=2, source_line="a\tb\x1b[31m").render().split("\n")
    assert shown[1] == "    a b [31m"


def test_an_empty_file_has_nothing() -> None:
    """An empty file, or one with comments only, is a mapping without members, which is an error."""
    for text in ("", "# only a comment\n"):
        root = parse(text, "file.yaml")
        assert root.mapping(("a",)) == {}
        assert messages(root) == ["expected at least one 'key: value', got nothing"]


def test_a_byte_order_mark_is_skipped() -> None:
    """Files from Windows editors are read, and their columns are right."""
    root = parse(b"\xef\xbb\xbfb: 1\n", "file.yaml")
    root.mapping(("a",))
    assert (root.problems.found[0].line, root.problems.found[0].column) == (1, 1)


def test_read_names_the_file(tmp_path: Path) -> None:
    """A file that cannot be opened is a configuration error that says which and why."""
    with pytest.raises(ConfigurationError, match=r"gone\.yaml: cannot be read: No such file or directory"):
        read(tmp_path / "gone.yaml")
    path = tmp_path / "there.yaml"
    path.write_text("a: 1\n")
    assert read(path).mapping(("a",))["a"].integer() == 1


def test_nearest_ignores_case_and_gives_nothing_for_a_stranger() -> None:
    """Suggestions are close words only."""
    assert nearest("credit_card", ("CREDIT_CARD", "PERSON")) == "CREDIT_CARD"
    assert nearest("xyz", ("CREDIT_CARD", "PERSON")) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"\\e[31m"', "the control character U+001B is not allowed, not even written as an escape"),
        ('"a\\0"', "the control character U+0000 is not allowed, not even written as an escape"),
        ('"\\ud800"', "the control character U+D800 is not allowed, not even written as an escape"),
        ('"\\u202e"', "the invisible character U+202E is not allowed: it changes how the file looks"),
        ('{"a\\u200b": 1}', "the invisible character U+200B is not allowed: it changes how the file looks"),
        ('"\\ufeffhr"', "the invisible character U+FEFF is not allowed: it changes how the file looks"),
        ("{a\u200db: 1}", "the invisible character U+200D is not allowed: it changes how the file looks"),
    ],
)
def test_nothing_is_smuggled_in_by_escapes(text: str, message: str) -> None:
    """What may not stand in a file may not be written as an escape either: values are printed, and compared."""
    assert message in messages(value(text))


def test_usual_texts_are_left_alone() -> None:
    """Line breaks, accents, other scripts and their joiners, and emoji are fine in prose."""
    for text in ("two\n\n  lines", "Größe", "日本語", "\u0645\u06cc\u200c\u062e\u0648", "👩\u200d💻 ok"):
        node = value(f"'{text}'")
        node.text()
        assert messages(node) == []


def test_names_are_seen_as_they_are() -> None:
    """A name holds no joiner that nobody sees, and does not go on in the next line: it would be another name."""
    node = value("[ab, a\u200db]")
    node.located_texts()
    assert messages(node) == ["the invisible character U+200D is not allowed: it changes how the file looks"]
    node = value("\n  - one\n    two\n  - three")
    assert node.text_or_list() == ("one two", "three")
    assert messages(node) == [
        "'one two' goes over several lines: write it in one, or put a '-' before each item of a list"
    ]


def test_letters_that_look_alike_are_told() -> None:
    """Where the word and the suggestion may look the same, the message says which letter is another."""
    root = parse("\u0430pp: x\n", "file.yaml")
    root.mapping(("app",))
    (problem,) = root.problems.found
    assert problem.message == "unknown key '\u0430pp' ('\u0430' is U+0430, cyrillic small letter a)"
    assert problem.suggestion == "app"


def test_long_values_are_shown_by_their_beginning() -> None:
    """A message stays readable, whatever stands in the file; words of the message itself are never cut."""
    node = value("x" * 5000)
    node.integer()
    assert messages(node) == [f"expected a whole number, got the text '{'x' * 60}…'"]
    words = "a ':' is not possible here: " + "and so on, " * 20 + "with ': ' in it"
    assert node.problems.at(1, 1, words).message == words


def test_messages_cannot_steer_a_terminal() -> None:
    """What a file holds is shown without its control characters, in the message as in the line."""
    node = value('"\\e[31mred"')
    node.integer()
    with pytest.raises(DocumentError) as caught:
        node.problems.check()
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


def test_very_many_problems_are_counted() -> None:
    """A hundred problems are told, the rest is a number; all of them are there for programs."""
    root = parse("".join(f"k{number}: 1\n" for number in range(150)), "file.yaml")
    root.mapping(("name",))
    with pytest.raises(DocumentError) as caught:
        root.problems.check()
    assert len(caught.value.problems) == 150
    assert str(caught.value).count("unknown key") == 100
    assert str(caught.value).endswith("and 50 more problems in this file")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_do(end: str) -> None:
    """Whatever ends a line, the line shown is the one that is meant."""
    root = parse(f"a: 1{end}b: 2{end}c: 3{end}", "file.yaml")
    root.mapping(("a", "b"))
    (problem,) = root.problems.found
    assert (problem.line, problem.column, problem.source_line) == (3, 1, "c: 3")
    with pytest.raises(DocumentError) as caught:
        parse(f"a: 1{end}b: \u202e{end}", "file.yaml")
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (2, 4)
