"""The reader: what it reads, what it refuses and where, and that no bytes make it fail or wait."""

import json
import math
import time
import tracemalloc
from collections.abc import Iterator
from typing import cast

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from audiencesync import source, syntax
from audiencesync.source import Document, Location, Problem, Route, Severity, parse

LIBYAML = syntax.parser_class()
MIB = 1024 * 1024
# A file of 1 MiB may take this much CPU time; on an idle machine the worst known one takes half of it.
WORST_SECONDS = 15.0

AUDIENCE = """\
# a comment
displayName: Cart abandoners
description: "Added to cart: did not buy."
membershipDurationDays: 30
filterClauses:
- clauseType: INCLUDE
  simpleFilter:
    filterExpression: {andGroup: {filterExpressions: [a, {b: 'c'}]}}
- clauseType: EXCLUDE
manage:
  contact:
  note: |
    two
    lines
  "quoted": >-
    folded
    text
"""


@pytest.fixture(params=["libyaml", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read by libyaml's parser, then by PyYAML's own."""
    if request.param == "pure":
        monkeypatch.setattr(syntax, "parser_class", lambda: syntax.PureParser)
    elif LIBYAML is syntax.PureParser:
        pytest.skip("PyYAML has no libyaml here")
    return str(request.param)


def read(text: str | bytes) -> Document:
    return parse("f.yaml", text if isinstance(text, bytes) else text.encode())


def found(text: str | bytes) -> list[tuple[int, int, str]]:
    return [(each.location.line, each.location.column, each.rule) for each in read(text).problems]


def only(text: str | bytes) -> Problem:
    (problem,) = read(text).problems
    return problem


def at(document: Document, *route: str | int, key: bool = False) -> tuple[int, int]:
    location = document.locate(route, key=key)
    return location.line, location.column


def test_a_location_prints_what_editors_open() -> None:
    assert str(Location("audiences/a.yaml", 3, 7)) == "audiences/a.yaml:3:7"
    assert Location("a", 2, 9) < Location("a", 10, 1) < Location("b", 1, 1)


def test_a_problem_is_an_error_unless_said_otherwise() -> None:
    assert Problem(Location("a", 1, 1), "rule", "message").severity is Severity.ERROR


def test_libyaml_reads_where_it_is_installed() -> None:
    assert LIBYAML.__name__ == ("CParser" if yaml.__with_libyaml__ else "PureParser")


@pytest.mark.usefixtures("parser")
def test_an_audience_is_plain_data() -> None:
    document = read(AUDIENCE)
    assert document.problems == ()
    assert document.path == "f.yaml"
    assert document.text == AUDIENCE
    assert document.data == {
        "displayName": "Cart abandoners",
        "description": "Added to cart: did not buy.",
        "membershipDurationDays": 30,
        "filterClauses": [
            {
                "clauseType": "INCLUDE",
                "simpleFilter": {"filterExpression": {"andGroup": {"filterExpressions": ["a", {"b": "c"}]}}},
            },
            {"clauseType": "EXCLUDE"},
        ],
        "manage": {"contact": None, "note": "two\nlines\n", "quoted": "folded text"},
    }


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("route", "value", "key"),
    [
        ((), (2, 1), (2, 1)),
        (("displayName",), (2, 14), (2, 1)),
        (("description",), (3, 14), (3, 1)),
        (("membershipDurationDays",), (4, 25), (4, 1)),
        (("filterClauses",), (6, 1), (5, 1)),
        (("filterClauses", 0), (6, 3), (6, 3)),
        (("filterClauses", 0, "clauseType"), (6, 15), (6, 3)),
        (("filterClauses", 0, "simpleFilter"), (8, 5), (7, 3)),
        (("filterClauses", 0, "simpleFilter", "filterExpression"), (8, 23), (8, 5)),
        (("filterClauses", 0, "simpleFilter", "filterExpression", "andGroup"), (8, 34), (8, 24)),
        (
            ("filterClauses", 0, "simpleFilter", "filterExpression", "andGroup", "filterExpressions", 1, "b"),
            (8, 62),
            (8, 59),
        ),
        (("filterClauses", 1, "clauseType"), (9, 15), (9, 3)),
        (("manage",), (11, 3), (10, 1)),
        (("manage", "contact"), (11, 3), (11, 3)),
        (("manage", "note"), (12, 9), (12, 3)),
        (("manage", "quoted"), (15, 13), (15, 3)),
    ],
)
def test_every_value_and_key_has_a_place(route: Route, value: tuple[int, int], key: tuple[int, int]) -> None:
    document = read(AUDIENCE)
    assert at(document, *route) == value
    assert at(document, *route, key=True) == key


@pytest.mark.usefixtures("parser")
def test_a_route_that_does_not_exist_is_cut_to_what_does() -> None:
    document = read(AUDIENCE)
    assert at(document, "missing") == (2, 1)
    assert at(document, "filterClauses", 7, "x") == (6, 1)
    assert at(document, "filterClauses", -1) == (6, 1)
    assert at(document, "filterClauses", "x") == (6, 1)
    assert at(document, "filterClauses", 0, "simpleFilter", "scope") == (8, 5)
    assert at(document, "filterClauses", 0, "simpleFilter", "scope", key=True) == (7, 3)
    assert at(document, "displayName", 0, "x") == (2, 14)
    assert at(document, "displayName", 0, "x", key=True) == (2, 1)
    assert at(document, 0) == (2, 1)


def test_a_document_made_by_hand_has_one_place() -> None:
    document = Document("a", "", {"a": 1})
    assert document.locate(("a", 3)) == Location("a", 1, 1)


@pytest.mark.usefixtures("parser")
def test_an_empty_item_stands_at_its_dash_and_an_empty_value_at_its_key() -> None:
    document = read("a:\n  -\n  - 1\n  - b:\nc:\n")
    assert document.data == {"a": [None, 1, {"b": None}], "c": None}
    assert at(document, "a", 0) == (2, 3)
    assert at(document, "a", 2, "b") == (4, 5)
    assert at(document, "c") == (5, 1)
    assert at(read("{a: , b}"), "b") == (1, 7)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("null", "Null", "NULL", "~", "", "# only a comment")),
        ("0", 0),
        ("-12", -12),
        ("+12", 12),
        ("0777", 777),
        ("0o777", 511),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1e3", -1000.0),
        ("1E+2", 100.0),
        (".inf", math.inf),
        ("+.Inf", math.inf),
        ("-.INF", -math.inf),
        *(
            (word, word)
            for word in (
                *(
                    "yes",
                    "no",
                    "NO",
                    "on",
                    "off",
                    "y",
                    "n",
                    "tRUE",
                    "nULL",
                    "TRUE1",
                    "nan",
                    "inf",
                    ".",
                    "-1-",
                ),
                *(
                    "1:30",
                    "1_000",
                    "2027-03-31",
                    "2027-03-31T10:00:00Z",
                    "0b1",
                    "-0o7",
                    "0x",
                    "0o8",
                    "1e",
                    "+",
                ),
                *(
                    "1.2.3",
                    "=",
                    "١٢",
                    "--1",
                    "-.nan",
                    "1 2",
                    "%".join("ab"),
                    "http://a/b",
                    "a#b",
                    "Ünïcode 😀",
                ),
            )
        ),
    ],
)
def test_scalars_mean_what_the_core_schema_of_yaml_1_2_says(text: str, value: object) -> None:
    data = read(f"a: {text}\n").data["a"]
    assert data == value
    assert type(data) is type(value)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("word", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_a_float(word: str) -> None:
    assert math.isnan(read(f"a: {word}").data["a"])


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("word", ["true", "null", "12", "1.5", "", "~", "0x1F", ".inf"])
def test_quoted_scalars_are_text(word: str) -> None:
    assert read(f'a: "{word}"\nb: \'{word}\'\n"{word}": 1\n').data == {"a": word, "b": word, word: 1}


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1" * 10_000, "10,000 characters"),
        ("-" + "9" * 5_000, "5,001 characters"),
        ("0x" + "f" * 9_000, "9,002 characters"),
        ("1." + "1" * 9_000, "9,002 characters"),
        ("1e999", "beyond the range"),
        ("-1e999", "beyond the range"),
    ],
)
def test_a_number_out_of_range_is_a_problem_at_its_place(number: str, said: str) -> None:
    document = read(f"a: 1\nb: {number}\n")
    assert document.data == {"a": 1, "b": None}
    (problem,) = document.problems
    assert (problem.rule, problem.location.line, problem.location.column) == ("number-range", 2, 4)
    assert said in problem.message
    assert read(f'{{"a": "{number}"}}').problems == ()


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "problems", "data"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, 1, "duplicate-key")], {"a": 1, "b": 2}),
        (
            "x: {a: 1, 'a': {q: 1, q: 2}}",
            [(1, 11, "duplicate-key"), (1, 23, "duplicate-key")],
            {"x": {"a": 1}},
        ),
        ('{"a": 1, "\\u0061": [2]}', [(1, 10, "duplicate-key")], {"a": 1}),
        ("a: &x 1", [(1, 4, "anchor")], {"a": 1}),
        ("a: !!str &x\n  b: 1", [(1, 4, "tag"), (1, 10, "anchor")], {"a": {"b": 1}}),
        ("a: &x [1]\nb: *x", [(1, 4, "anchor"), (2, 4, "alias")], {"a": [1], "b": [1]}),
        ("a: *nowhere", [(1, 4, "alias")], {"a": None}),
        ("a: &x [*x]", [(1, 4, "anchor"), (1, 8, "alias")], {"a": [None]}),
        ("a: &x k\n*x : 2\nb: 3", [(1, 4, "anchor"), (2, 1, "alias")], {"a": "k", "b": 3}),
        ("a: !x b", [(1, 4, "tag")], {"a": "b"}),
        ("a: !!str 5", [(1, 4, "tag")], {"a": "5"}),
        ("a: ! 5", [(1, 4, "tag")], {"a": "5"}),
        ("a: !!int 5", [(1, 4, "tag")], {"a": 5}),
        ("a: !x [1]\nb: !y {c: 1}", [(1, 4, "tag"), (2, 4, "tag")], {"a": [1], "b": {"c": 1}}),
        ("!!str a: 1", [(1, 1, "tag")], {"a": 1}),
        ("a: !x!y b", [(1, 4, "tag")], None),
        ("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3", [(1, 4, "anchor"), (3, 3, "merge-key")], None),
        ("<<: [{a: 1}, {b: 2}, 3]\nb: 4", [(1, 1, "merge-key")], {"b": 4, "a": 1}),
        ("<<: 1\na: 2", [(1, 1, "merge-key")], {"a": 2}),
        ('"<<": 1', [], {"<<": 1}),
        ("a: 1\n---\nb: 2\n---\nc: 3", [(2, 1, "several-documents")], {"a": 1}),
        ("---\na: 1\n...\n", [], {"a": 1}),
        ("%YAML 1.1\n---\na: yes", [], {"a": "yes"}),
        ("%YAML 1.2\n---\na: 1", [], {"a": 1}),
        ("%YAML 1.3\n---\na: 1", [(1, 1, "directive")], None),
        ("%YAML 2.0\n---\na: 1", [(1, 1, "directive")], None),
        ("%YAML 1.2\n%TAG ! tag:x,1:\n---\na: 1", [(2, 1, "directive")], {"a": 1}),
        ("%FOO bar\n---\na: 1", [(1, 1, "directive")], None),
        ("1: a\nb: 2", [(1, 1, "key-not-text")], {"b": 2}),
        ("~: a\ntrue: b\n1.5: c\n.inf: d", [(line, 1, "key-not-text") for line in (1, 2, 3, 4)], {}),
        ("? [a]\n: {z: 1, z: 2}\nb: 2", [(1, 3, "key-not-text"), (2, 10, "duplicate-key")], {"b": 2}),
        ("{[a]: 1, {c: d}: 2, e: 3}", [(1, 2, "key-not-text"), (1, 10, "key-not-text")], {"e": 3}),
        ("?\n: 1\nb: 2", [(1, 2, "key-not-text")], {"b": 2}),
        ("on: 1\nNO: 2\n1_0: 3", [], {"on": 1, "NO": 2, "1_0": 3}),
    ],
)
def test_what_yaml_has_and_our_files_may_not(text: str, problems: list[object], data: object) -> None:
    document = read(text)
    assert found(text) == problems
    if data is not None or any(rule == "directive" for *_, rule in found(text)):
        assert document.data == data


@pytest.mark.usefixtures("parser")
def test_a_merge_key_is_reported_alone_and_followed() -> None:
    document = read("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n")
    assert document.data == {"a": {"b": 1, "c": 2}, "d": {"c": 3, "b": 1}}
    assert at(document, "d", "b") == (1, 11)
    assert at(document, "d", "b", key=True) == (1, 8)
    assert at(document, "d", "c") == (4, 6)


@pytest.mark.usefixtures("parser")
def test_an_alias_stands_where_it_is_written() -> None:
    document = read("a: &x {b: 1}\nc: *x\nd: &y 1\ne: *y\n")
    assert at(document, "c") == (2, 4)
    assert at(document, "c", "b") == (1, 11)
    assert at(document, "e") == (4, 4)


@pytest.mark.usefixtures("parser")
def test_places_are_right_after_keys_that_were_left_out() -> None:
    document = read("1: a\na: b\na: c\n? [q]\n: r\nd: e\n")
    assert document.data == {"a": "b", "d": "e"}
    assert at(document, "a") == (2, 4)
    assert at(document, "d") == (6, 4)


@pytest.mark.usefixtures("parser")
def test_a_duplicate_key_names_both_lines() -> None:
    problem = only("a: 1\nb: 2\n\n'a': 3\n")
    assert problem.message == 'key "a" in line 4 was given in line 1 already'
    assert problem.help


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "text", ["", " \n\n", "# comment\n", "---\n", "---\n# c\n...\n", "\ufeff", "~", "null\n"]
)
def test_a_file_without_data_is_a_problem(text: str) -> None:
    assert found(text) == [(1, 1, "empty-file")]
    assert read(text).data is None


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "data"), [("hello", "hello"), ("12", 12), ("- a\n- 1", ["a", 1]), ("[]", []), ("{}", {})]
)
def test_any_data_may_be_the_root(text: str, data: object) -> None:
    assert read(text).data == data
    assert read(text).problems == ()


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("raw", "place", "said"),
    [
        (b"a: 1\nb: \xff\n", (2, 4), "0xFF"),
        ("a: ü\nb: ü".encode("latin-1"), (1, 4), "0xFC"),
        (b"\xef\xbb\xbfa: \xe4", (1, 4), "0xE4"),
        ("ü: 😀".encode() + b"\x80", (1, 5), "0x80"),
        (b"a: \xed\xa0\x80", (1, 4), "0xED"),
        (b"a: \xc0\x80", (1, 4), "0xC0"),
        (b"a: \xf0\x9f\x98", (1, 4), "0xF0"),
        ("a: 1".encode("utf-16"), (1, 1), "UTF-16"),
        (b"\xfe\xff" + "a: 1".encode("utf-16-be"), (1, 1), "UTF-16"),
        ("a: 1".encode("utf-32"), (1, 1), "UTF-32"),
        ("a: 1".encode("utf-16-le"), (1, 2), "UTF-16"),
        ("a: 1".encode("utf-16-be"), (1, 1), "UTF-16"),
    ],
)
def test_what_is_not_utf_8_is_a_problem_at_its_first_byte(
    raw: bytes, place: tuple[int, int], said: str
) -> None:
    problem = only(raw)
    assert (problem.rule, (problem.location.line, problem.location.column)) == ("not-utf-8", place)
    assert said in problem.message
    assert read(raw).data is None


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "code",
    [0, 1, 8, 0xB, 0xC, 0xE, 0x1B, 0x1F, 0x7F, 0x80, 0x85, 0x9F, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF],
)
@pytest.mark.parametrize("line", ["b: x{}y", "# x{}y", '"x{}y": 1'])
def test_a_control_character_is_a_problem_at_its_place(code: int, line: str) -> None:
    text = "a: 1\n" + line.format(chr(code))
    problem = only(text)
    column = line.index("{") + 1
    assert (problem.rule, problem.location) == ("control-character", Location("f.yaml", 2, column))
    assert f"U+{code:04X}" in problem.message
    assert read(text).data is None


@pytest.mark.usefixtures("parser")
def test_a_file_full_of_control_characters_is_one_problem() -> None:
    assert "(and 4,999 more)" in only("ab: " + "\0" * 5_000).message


@pytest.mark.usefixtures("parser")
def test_a_byte_order_mark_takes_no_column() -> None:
    document = read("\ufeffa: b\n")
    assert document.data == {"a": "b"}
    assert document.text == "a: b\n"
    assert at(document, "a") == (1, 4)
    assert at(read('\ufeff{"a": "b"}'), "a") == (1, 7)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_counts_as_one(end: str) -> None:
    document = read(AUDIENCE.replace("\n", end))
    assert document.data == read(AUDIENCE).data
    assert document.problems == ()
    assert at(document, "manage", "quoted") == (15, 13)
    assert document.line(3) == 'description: "Added to cart: did not buy."'
    assert found(f"a: 1{end}{end}b: !x 1{end}") == [(3, 4, "tag")]


def test_a_line_is_given_without_its_end() -> None:
    document = read("a: 1\r\nb: 2")
    assert [document.line(number) for number in (-1, 0, 1, 2, 3)] == ["", "", "a: 1", "b: 2", ""]


@pytest.mark.usefixtures("parser")
def test_a_tab_may_stand_where_it_does_not_indent() -> None:
    text = "a:\tb\tc\t# d\ne: f\t\n  g\nh: [\ti,\t\tj\tk\t]\t\n"
    assert read(text).data == {"a": "b\tc", "e": "f g", "h": ["i", "j\tk"]}


@pytest.mark.usefixtures("parser")
def test_columns_count_characters() -> None:
    assert at(read("'😀ü': x"), "😀ü") == (1, 7)
    assert found("a: '😀' # 😀\nb: ['😀', !x y]") == [(2, 10, "tag")]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "place", "rule", "said"),
    [
        ("a:\n\tb: 1\n", (2, 1), "tab", "tab"),
        ("a: 1\n\tb: 1\n", (2, 1), "tab", "tab"),
        ("a:\n  b: 1\n\tc: 2\n", (3, 1), "tab", "tab"),
        ('a: 1\nb: "x\n\ny: 2\n', (2, 4), "unclosed", "quote"),
        ("a: 'x", (1, 4), "unclosed", "quote"),
        ("a: [1,\n  2\n", (1, 4), "unclosed", '"["'),
        ("a: {b: [1]\n", (1, 4), "unclosed", '"{"'),
        ('{"a": [1, {"b": 2}\n', (1, 7), "unclosed", '"["'),
        ('{"a":', (1, 1), "unclosed", '"{"'),
        ("a: [1 2]: 3]", (1, 9), "syntax", ""),
        ("a: {b: 1\nc: 2}", (2, 2), "syntax", "line 1, column 4"),
        ("a: b: c", (1, 5), "syntax", "colon"),
        ("a: 1\n b: 2", (2, 3), "syntax", "indented too far"),
        ("a: 1\nbare\nc: 2", (2, 1), "syntax", "no colon"),
        ("a: - b", (1, 4), "syntax", "list"),
        ("a: ? b", (1, 4), "syntax", '"?"'),
        ("a:\n  - b\n c: 1\n", (3, 2), "syntax", "mapping that starts at line 1, column 1"),
        ("- a\nb: 1\n", (2, 1), "syntax", "list that starts at line 1, column 1"),
        ('a: "x" y\n', (1, 8), "syntax", "another key"),
        (" a: 1\nb: 2\n", (2, 1), "syntax", "does not continue"),
        ("[a] b", (1, 5), "syntax", "does not continue"),
        ("a: ]", (1, 4), "syntax", "expected a value"),
        ("a: *\n", (1, 4), "syntax", "cannot start with"),
        ("a: & b\n", (1, 4), "syntax", "cannot start with"),
        ("a: @x", (1, 4), "syntax", '"@"'),
        ("a: `x`", (1, 4), "syntax", '"`"'),
        ("a: %x", (1, 4), "syntax", '"%"'),
        ("a: |x\n", (1, 5), "syntax", '"|"'),
        ("a: !<x b\n", (1, 4), "tag", "tag"),
        ('a: "x\\d+"', (1, 6), "escape", "backslash"),
        ('a: "\\n\\u00g1"', (1, 7), "escape", "no character"),
        ('a: "\\n\\ud83d"', (1, 7), "escape", "no character"),
        ('a: "\\U00110000"', (1, 5), "escape", "no character"),
        ('a: "\\UFFFFFFFF"', (1, 5), "escape", "no character"),
        ('{"a": 1 "b": 2}', (1, 9), "syntax", '","'),
        ('{"a": [1, 2}', (1, 12), "syntax", '"]"'),
        ('["\\q"]', (1, 3), "escape", "JSON"),
        ('{"a": 1} {"b": 2}', (1, 10), "syntax", "nothing after"),
        ('{a: "\\ud83d\\ude00"}', (1, 6), "escape", "no character"),
    ],
)
def test_a_syntax_error_is_one_plain_sentence_at_its_place(
    text: str, place: tuple[int, int], rule: str, said: str
) -> None:
    problem = only(text)
    assert ((problem.location.line, problem.location.column), problem.rule) == (place, rule)
    assert said in problem.message
    assert "\n" not in problem.message
    assert problem.help
    assert read(text).data is None


@pytest.mark.usefixtures("parser")
def test_a_surrogate_pair_in_yaml_is_told_its_way_out() -> None:
    assert only('a: "\\ud83d\\ude00"').help == "write the character itself, or \\U0001F600"
    assert read('a: "\\U0001F600"').data == {"a": "😀"}


@pytest.mark.usefixtures("parser")
def test_problems_before_a_syntax_error_are_kept() -> None:
    assert found("a: 1\na: 2\nb: !x [1\n") == [(2, 1, "duplicate-key"), (3, 4, "tag"), (3, 7, "unclosed")]


@pytest.mark.usefixtures("parser")
def test_json_is_read_by_its_own_rules() -> None:
    text = (
        ' \t\r\n{\t"a"\t:\t"\\/\\ud83d\\ude00\\u0000",\n'
        '\t"b":\t[1,\t-2.5e3,\ttrue, null, {}, []],\n'
        '\t"c":"\u2028\x7f"}'
    )
    document = read(text.replace("\x7f", ""))
    assert document.problems == ()
    assert document.data == {"a": "/😀\0", "b": [1, -2500.0, True, None, {}, []], "c": "\u2028"}
    assert at(document, "a") == (2, 9)
    assert at(document, "b", 1) == (3, 11)
    assert at(document, "b", key=True) == (3, 2)
    assert found(text) == [(4, 8, "control-character")]


@pytest.mark.usefixtures("parser")
def test_half_a_surrogate_pair_is_a_problem_at_its_place() -> None:
    text = '{"a": "\\ud83d\\ude00\\\\ud83d\\ud83d", "b": ["x\\ude00"], "\\ud800": 1}'
    places = [text.index(part) + 1 for part in ('\\ud83d",', '\\ude00"]', "\\ud800")]
    assert found(text) == [(1, column, "escape") for column in places]
    assert read(text).data == {"a": "😀\\ud83d\ufffd", "b": ["x\ufffd"], "\ufffd": 1}


@pytest.mark.usefixtures("parser")
def test_json_with_the_freedoms_of_yaml_is_read_as_yaml() -> None:
    document = read('{\n\t"a": 1, # a comment\n\tb: [x, "\\/",],\n}\n')
    assert document.data == {"a": 1, "b": ["x", "/"]}
    assert document.problems == ()
    assert at(document, "b", 1) == (3, 9)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("quote", ['"', ""])
def test_the_deepest_nesting_is_64(quote: str) -> None:
    def nested(depth: int) -> str:
        return "[" * depth + quote + quote + "]" * depth

    assert found(nested(64)) == []
    assert found(nested(65)) == [(1, 65, "nesting-depth")]
    assert read(nested(65)).data is None
    keys = "".join(f"{' ' * level}a:\n" for level in range(64))
    assert found(keys) == []
    assert found(keys + " " * 64 + "a: 1\n") == [(65, 65, "nesting-depth")]


def test_the_largest_file_is_1_mib() -> None:
    fits = b"a: 1\n" + b"#" * (MIB - 5)
    assert read(fits).data == {"a": 1}
    assert found(fits + b"#") == [(1, 1, "file-size")]


def test_a_file_of_50_mb_is_refused_at_once() -> None:
    raw = b"a: b\n" * 10_000_000
    tracemalloc.start()
    start = time.process_time()
    document = read(raw)
    seconds = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [each.rule for each in document.problems] == ["file-size"]
    assert "50,000,000" in document.problems[0].message
    assert (document.data, document.text) == (None, "")
    assert seconds < 0.1
    assert peak < MIB


@pytest.mark.usefixtures("parser")
def test_reading_stops_at_the_hundredth_problem() -> None:
    document = read("- !x a\n" * 5_000)
    assert len(document.problems) == source.MAX_PROBLEMS + 1
    assert document.problems[-1].rule == "too-many-problems"
    assert document.data is None


@pytest.mark.usefixtures("parser")
def test_billion_laughs_cost_nothing() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    start = time.process_time()
    document = read("\n".join(lines))
    assert time.process_time() - start < 2
    rules = {each.rule for each in document.problems}
    assert rules == {"anchor", "alias"}
    assert len(json.dumps(document.data)) < MIB


def test_the_pure_parser_ends_at_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "parser_class", lambda: syntax.PureParser)
    monkeypatch.setattr(syntax, "MAX_PURE_EVENTS", 1_000)
    assert found("- a\n" * 990) == []
    assert [rule for *_, rule in found("- a\n" * 1_000)] == ["file-size"]


HOSTILE = {
    "brackets": "[" * 100_000,
    "braces": "{" * MIB,
    "bracket lines": "[\n" * (MIB // 2),
    "dashes": "- " * (MIB // 2),
    "question marks": "? " * (MIB // 2),
    "colons": ": " * (MIB // 2),
    "colons in brackets": "[" + ": " * (MIB // 2 - 1),
    "double quotes": '"' * MIB,
    "single quotes": "'" * MIB,
    "comments": "#\n" * (MIB // 2),
    "tabs": "a:" + "\t" * (MIB - 2),
    "line ends": "\r" * MIB,
    "anchors": "".join(f"- &a{n} x\n" for n in range(70_000)),
    "merged aliases": "a: &a {b: 1}\nc:\n  <<: [" + "*a," * (MIB // 9) + "]",
    "documents": "---\n" * (MIB // 4),
    "deep indentation": "".join(" " * n + "a:\n" for n in range(1_400))[:MIB],
    "simple keys": ('"' + "a" * 1_000 + '"\n') * 1_000,
    "keys in a line": "{" + ('"' + "a" * 1_020 + '" ') * 900,
    "one line of words": "a " * (MIB // 2),
    "lists in a list": "[" + "[]," * (MIB // 6) + "]",
    "many keys": "".join(f"k{n}: 1\n" for n in range(40_000)),
    "escapes": '["' + "\\ud800" * (MIB // 6 - 2) + '"]',
    "digits": "1" * MIB,
    "folded": 'a: "' + "x\n" * (MIB // 2 - 3) + '"',
}


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_bounded_time(name: str) -> None:
    start = time.process_time()
    document = read(HOSTILE[name])
    assert time.process_time() - start < WORST_SECONDS
    assert len(document.problems) <= source.MAX_PROBLEMS + 1


def test_every_rule_is_listed_with_a_sentence() -> None:
    rules = dict(source.READING_RULES)
    assert len(rules) == len(source.READING_RULES)
    assert all(text.endswith(".") and "\n" not in text for text in rules.values())
    used = {saying.rule for saying in syntax._SAYINGS}
    assert used <= rules.keys()


def check(document: Document) -> None:
    """Hold what is true of every document, whatever was read."""
    rules = dict(source.READING_RULES)
    locations = [each.location for each in document.problems]
    assert locations == sorted(locations)
    lines = syntax.line_starts(document.text)
    for problem in document.problems:
        assert problem.rule in rules
        assert len(problem.message.splitlines()) == 1
        assert problem.message.isprintable()
        assert problem.help
        assert 1 <= problem.location.line <= len(lines)
        assert 1 <= problem.location.column <= len(document.line(problem.location.line)) + 2
    if document.data is None:
        assert document.problems
    for route, _ in routes(document.data):
        assert document.locate(route) >= Location(document.path, 1, 1)
    json.dumps(document.data)


def routes(data: object, route: Route = ()) -> Iterator[tuple[Route, object]]:
    yield route, data
    if isinstance(data, dict):
        for key, value in data.items():
            yield from routes(value, (*route, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from routes(value, (*route, index))


FUZZ = settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PIECES = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"%@`#\\~ \t\n\r",
        *(": ", "- ", "\n  ", "<<: ", "---\n", "...\n", "&a ", "*a ", "!t ", "null", "1", "a", "é", "😀"),
        *(
            "\\ud83d",
            "\\ude00",
            "\\x00",
            "%YAML 1.2\n",
            "%TAG ! x\n",
            '"a"',
            "\ufeff",
            "\u2028",
            "\0",
            "0x1",
            "1e9",
        ),
    ]
)


@pytest.mark.usefixtures("parser")
class TestFuzz:
    @FUZZ
    @given(st.binary(max_size=200))
    @example(b"\xef\xbb\xbf\xff")
    @example(b"\xff\xfe")
    def test_any_bytes(self, raw: bytes) -> None:
        check(read(raw))

    @FUZZ
    @given(st.text(max_size=100))
    def test_any_text(self, text: str) -> None:
        check(read(text.encode("utf-8", "surrogatepass")))

    @FUZZ
    @given(st.lists(PIECES, max_size=40).map("".join))
    @example("? \n: *a\n")
    @example("!t")
    @example("- &a\n- !t\n-")
    @example("{? a, ? , ?}")
    def test_any_pieces_of_yaml(self, text: str) -> None:
        check(read(text))

    @FUZZ
    @given(st.integers(0, len(AUDIENCE)), st.integers(0, 12), st.lists(PIECES, max_size=4).map("".join))
    def test_any_mutated_audience(self, start: int, cut: int, new: str) -> None:
        check(read(AUDIENCE[:start] + new + AUDIENCE[start + cut :]))

    @FUZZ
    @given(st.text('[]{},:"a1 \\', max_size=150))
    def test_any_brackets(self, text: str) -> None:
        check(read(text))


def test_both_parsers_agree_on_files_of_pieces() -> None:
    if LIBYAML is syntax.PureParser:
        pytest.skip("PyYAML has no libyaml here")
    agreed = 0

    @settings(max_examples=500)
    @given(
        st.lists(
            st.sampled_from(["a: ", "b: ", "- ", "x", '"q"', "1", "\n", "\n  ", "[", "]", ", ", "{", "}"]),
            max_size=15,
        )
    )
    def agree(pieces: list[str]) -> None:
        nonlocal agreed
        text = "".join(pieces)
        ours = read(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(syntax, "parser_class", lambda: syntax.PureParser)
            pure = read(text)
        assert pure.data == ours.data
        assert bool(pure.problems) == bool(ours.problems)
        assert [pure.locate(route) for route, _ in routes(pure.data)] == [
            ours.locate(route) for route, _ in routes(ours.data)
        ]
        agreed += ours.data is not None

    agree()
    assert agreed > 50


PLAIN_TEXT = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\u2028\u2029\ufffe\uffff"
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN_TEXT
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_TEXT, inner, max_size=4),
    max_leaves=15,
).filter(lambda data: data is not None)


def starts(text: str, value: object) -> bool:
    """Say whether text may start the value as json.dumps or yaml.safe_dump wrote it."""
    match value:
        case dict():
            return text.startswith(("{", '"', "? "))
        case list():
            return text.startswith(("[", "- "))
        case str():
            return text.startswith('"')
        case None | bool():
            return text.startswith(json.dumps(value))
        case _:
            return float(text[: len(text) - len(text.lstrip("+-.0123456789e"))]) == float(
                cast("float", value)
            )


def check_law(document: Document, data: object) -> None:
    assert document.problems == ()
    assert document.data == data
    lines = document.text.split("\n")
    for route, value in routes(data):
        place = document.locate(route)
        assert starts(lines[place.line - 1][place.column - 1 :], value), (route, value, place)


LAW = settings(
    max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.usefixtures("parser")
class TestLaws:
    @LAW
    @given(
        DATA.filter(lambda data: isinstance(data, (dict, list))),
        st.sampled_from([None, 1, "\t"]),
        st.booleans(),
    )
    def test_json_is_read_as_it_was_written(
        self, data: object, indent: str | int | None, ascii_only: bool
    ) -> None:
        text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
        check_law(read(text), data)

    @LAW
    @given(DATA, st.booleans())
    def test_yaml_is_read_as_it_was_written(self, data: object, flow: bool) -> None:
        text = yaml.dump(data, Dumper=Dumper, allow_unicode=True, default_flow_style=flow, sort_keys=False)
        check_law(read(text), data)


class Dumper(yaml.SafeDumper):
    """Writes text in double quotes, other scalars plainly, and no aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
