"""Problems as text with a caret under the place, and as JSON, SARIF and GitHub annotations."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from audiencesync.action import Reason
from audiencesync.report import github, problems, sarif
from audiencesync.report.documents import dump
from audiencesync.report.escape import cells
from audiencesync.source import Location, Problem, Severity


def problem(line: int = 1, column: int = 1, **more: Any) -> Problem:
    place = Location(more.pop("path", "shop/a.yaml"), line, column)
    return Problem(place, more.pop("rule", "some-rule"), more.pop("message", "it is wrong"), **more)


def shown(found: Problem, source: str) -> list[str]:
    return problems.text([found], {found.location.path: source}, colour=False).split("\n")


def test_a_problem_is_its_place_its_line_a_caret_and_its_help() -> None:
    found = problem(2, 5, help="write instead:\n  name: x")
    assert shown(found, "a: 1\nb:  wrong\n") == [
        "shop/a.yaml:2:5: it is wrong [some-rule]",
        "    2 | b:  wrong",
        "      |     ^",
        "        write instead:",
        "          name: x",
        "",
    ]


@pytest.mark.parametrize(
    ("source", "column", "at"),
    [
        ("x: abc", 4, "abc"),
        ("\tx: abc", 5, "abc"),
        ("x:\t\tabc", 5, "abc"),
        ("日本語: abc", 6, "abc"),
        ("😀: abc", 4, "abc"),
        ("e\u0301\u0301: abc", 6, "abc"),
        ("\u202e\x1b: abc", 5, "abc"),
        ("x: 日本", 4, "日本"),
        (f"{'y' * 500}: abc", 503, "abc"),
        (f"{'日' * 300}abc{'z' * 300}", 301, "abc"),
    ],
)
def test_the_caret_stands_under_the_place(source: str, column: int, at: str) -> None:
    _, line, caret, *_ = shown(problem(1, column), source)
    assert caret.endswith("^")
    before = line[: line.index(at)]
    assert cells(before) == cells(caret) - 1
    assert cells(line) < 350


@pytest.mark.parametrize("source", ["a\nb: x\n", "a\r\nb: x\r\n", "a\rb: x\r"])
def test_every_line_end_counts(source: str) -> None:
    assert shown(problem(2, 4), source)[1] == "    2 | b: x"


@pytest.mark.parametrize(("source", "line", "column"), [("", 1, 1), ("a\n", 5, 1), ("\n \n", 2, 1)])
def test_a_place_without_text_shows_no_line(source: str, line: int, column: int) -> None:
    assert shown(problem(line, column), source) == [
        f"shop/a.yaml:{line}:{column}: it is wrong [some-rule]",
        "",
    ]


def test_a_column_behind_the_line_points_behind_it() -> None:
    assert shown(problem(1, 99), "abc")[1:3] == ["    1 | abc", "      |    ^"]


def test_a_file_that_is_not_at_hand_shows_no_line() -> None:
    assert problems.text([problem()], {}, colour=False) == "shop/a.yaml:1:1: it is wrong [some-rule]\n"


def test_a_warning_says_so_behind_its_rule() -> None:
    assert shown(problem(severity=Severity.WARNING), "")[0].endswith("it is wrong [some-rule] (warning)")


def test_colour_adds_nothing_but_colour() -> None:
    found = [problem(1, 2, help="h"), problem(2, 1, severity=Severity.WARNING)]
    bright = problems.text(found, {"shop/a.yaml": "ab\ncd"}, colour=True)
    assert "\x1b[1;31m" in bright
    plain = problems.text(found, {"shop/a.yaml": "ab\ncd"}, colour=False)
    assert re.sub(r"\x1b\[[0-9;]*m", "", bright) == plain


@pytest.mark.parametrize(
    ("found", "files", "words"),
    [
        ([], 1, "1 file: no problems"),
        ([], 12, "12 files: no problems"),
        ([problem()], 1, "1 error in 1 of 1 file"),
        ([problem(), problem(path="b")], 3, "2 errors in 2 of 3 files"),
        ([problem(), problem(severity=Severity.WARNING)], 3, "1 error and 1 warning in 1 of 3 files"),
        ([problem(severity=Severity.WARNING)] * 2, 3, "2 warnings in 1 of 3 files"),
    ],
)
def test_the_summary_counts(found: list[Problem], files: int, words: str) -> None:
    assert problems.summary(found, files) == words


def test_the_json_is_the_one_that_scripts_rely_on() -> None:
    found = [problem(2, 5, help="h"), problem(severity=Severity.WARNING)]
    data = json.loads(dump(problems.document(found, 7)))
    assert data == {
        "formatVersion": "1.0",
        "error": None,
        "problems": [
            {
                "path": "shop/a.yaml",
                "line": 2,
                "column": 5,
                "rule": "some-rule",
                "severity": "error",
                "message": "it is wrong",
                "help": "h",
            },
            {
                "path": "shop/a.yaml",
                "line": 1,
                "column": 1,
                "rule": "some-rule",
                "severity": "warning",
                "message": "it is wrong",
                "help": "",
            },
        ],
        "summary": {"files": 7, "errors": 1, "warnings": 1},
    }
    assert problems.document([], 0, Reason("usage", "no"))["error"] == {"code": "usage", "message": "no"}


def test_sarif_names_rules_places_and_levels() -> None:
    found = [problem(2, 5, help="h"), problem(rule="other", severity=Severity.WARNING)]
    log = sarif.document(found, [("unused", "Never met."), ("some-rule", "It has to be right.")], "1.2.3")
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["semanticVersion"]) == ("audiencesync", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == ["unused", "some-rule", "other"]
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["invocations"] == [{"executionSuccessful": True}]
    first, second = run["results"]
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "shop/a.yaml"},
        "region": {"startLine": 2, "startColumn": 5},
    }
    assert (first["ruleId"], first["ruleIndex"], first["level"]) == ("some-rule", 1, "error")
    assert first["message"]["text"] == "it is wrong\nh"
    assert (second["ruleIndex"], second["level"]) == (2, "warning")


def test_sarif_says_what_stopped_the_command() -> None:
    (invocation,) = sarif.document([], [], "1", Reason("usage", "no folder"))["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "no folder"


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a b/ö#?%.yaml", "a%20b/%C3%B6%23%3F%25.yaml"),
        ("/abs/a.yaml", "file:///abs/a.yaml"),
        ("javascript:x", "javascript%3Ax"),
        ("\ud800", "%ED%A0%80"),
    ],
)
def test_sarif_paths_are_uri_references(path: str, uri: str) -> None:
    result = sarif.document([problem(path=path)], [], "1")["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_sarif_messages_hold_no_links() -> None:
    result = sarif.document([problem(message="[x](http://evil.example)")], [], "1")["runs"][0]["results"][0]
    assert result["message"]["text"] == r"[x\](http://evil.example)"


def test_github_commands_escape_data_and_properties() -> None:
    found = problem(2, 5, path="a,b:c%.yaml", message="50% :: , x", help="one\ntwo")
    assert github.text([found, problem(severity=Severity.WARNING)]) == (
        "::error file=a%2Cb%3Ac%25.yaml,line=2,col=5,title=some-rule::50%25 :: , x%0Aone%0Atwo\n"
        "::warning file=shop/a.yaml,line=1,col=1,title=some-rule::it is wrong\n"
    )


def test_the_rules_are_listed_in_two_columns() -> None:
    assert (
        problems.rules_text([("a", "First."), ("longer", "Second.")]) == "a       First.\nlonger  Second.\n"
    )
