"""Canonical layout: the data and the comments survive, and a second time changes nothing."""

from __future__ import annotations

import json
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from audiencesync import commented, layout, scalars, short, source
from audiencesync.canonical import fingerprint
from audiencesync.cli import frame
from audiencesync.errors import InvalidFilesError
from audiencesync.model import Audience
from audiencesync.wire import from_api, to_api
from tests.conftest import ROOT
from tests.strategies import audiences, messy, texts

SHIPPED = sorted((ROOT / "audiences").rglob("*.yaml"))
TRICKY = (
    *("NO", "on", "y", "1:30", "0777", "0o17", "0x1f", "1_0", "0b1", "1e3", ".5", "+1", "-1", "-", "~", ""),
    *("2027-03-31", ".NaN", "-.inf", "=", "<<", "---", "--- a", "...", "? a", "!x", "%a", "@a", "`a", "&a"),
    *("x\ny", "x\ny\n", "x\n\n", "\nx", "\n", " a", "a ", " ", "\t", "a\n b\nc", "x\t#y", "a: b", "a #b"),
    *("[x]", "{x}", "a,b", "http://x:80/", "\\d+", "'\"", "#x", "\u2028", "\x85", "\x00", "\ufeff", "😀"),
    *("a b c d " * 20, "word " * 40 + "end", "x" * 200, "it's", 'say "so"', "ends:", "'", '"'),
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """Any data that a file can hold, right or wrong."""
    names = (
        "displayName",
        "manage",
        "filterClauses",
        "x",
        "stringFilter",
        "values",
        "include",
        "all",
        "where",
    )
    text = st.one_of(texts(), st.sampled_from(TRICKY), st.text(max_size=6))
    plain = st.one_of(
        text, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
    )
    keys = st.one_of(st.sampled_from(names), text)
    inner = st.recursive(
        plain,
        lambda child: st.one_of(st.lists(child, max_size=3), st.dictionaries(keys, child, max_size=3)),
        max_leaves=8,
    )
    return draw(st.dictionaries(keys, inner, min_size=1, max_size=4))


def write_somehow(data: dict[str, Any], how: int) -> str:
    """One of many texts of the same data."""
    match how:
        case 0:
            return yaml.safe_dump(data, default_flow_style=False, allow_unicode=True, sort_keys=False)
        case 1:
            return yaml.safe_dump(data, default_flow_style=None, indent=4, width=30)
        case 2:
            return yaml.safe_dump(data, default_flow_style=True, width=20)
        case _:
            return json.dumps(data, indent=2)


def with_comments(text: str, chance: random.Random) -> str:
    """The text with comments and blank lines in it, wherever they may or may not stand."""
    lines = text.split("\n")
    for number in range(chance.randrange(6)):
        at = chance.randrange(len(lines))
        kind = chance.random()
        if kind < 0.4:
            lines[at] += f"  # behind {number}"
        elif kind < 0.6:
            lines.insert(at, "")
        else:
            lines.insert(at, " " * chance.choice((0, 2, 4, 6)) + f"# alone {number}")
    return "\n".join(lines)


def one_line(audience: Audience) -> Audience:
    """The audience without blocks of text, in which a comment would be text."""
    return replace(audience, description=audience.description.replace("\n", " ").rstrip())


def written_otherwise(data: st.DataObject, audience: Audience) -> dict[str, Any]:
    """GA4's JSON of the audience in one of many forms, its description as it is."""
    return data.draw(messy(audience)) | {"description": audience.description}


def comments_of(text: str) -> list[str]:
    return sorted(re.findall(r"# (?:behind|alone) [0-9]", text))


@settings(max_examples=200)
@given(trees(), st.integers(0, 3), st.randoms(use_true_random=False), st.booleans())
def test_layout_changes_neither_data_nor_comments_and_a_second_time_nothing(
    data: dict[str, Any], how: int, chance: random.Random, windows: bool
) -> None:
    text = write_somehow(data, how)
    if how < 3:
        text = with_comments(text, chance)
    if windows:
        text = text.replace("\n", "\r\n")
    document = source.parse("a.yaml", text.encode("utf-8", "surrogatepass"))
    if document.problems or not isinstance(document.data, dict):
        return
    made = layout.format_text("a.yaml", text)
    again = source.parse("a.yaml", made.encode())
    assert not again.problems
    assert scalars.same(again.data, document.data)
    assert layout.format_text("a.yaml", made) == made
    if how < 3:
        assert comments_of(made) == comments_of(text)
    if "\r\n" in text:
        assert "\n" not in made.replace("\r\n", "")


@pytest.mark.parametrize("value", [*TRICKY, 0, -1, 0.1, 1e300, 5e-324, -0.0, 2**70, True, False, None])
@pytest.mark.parametrize("place", ["value", "list", "flow", "key"])
def test_every_scalar_is_read_back_as_the_same_data(value: object, place: str) -> None:
    data: dict[str, Any]
    match place:
        case "value":
            data = {"description": value}
        case "list":
            data = {"labels": [value, "x"]}
        case "flow":
            data = {"stringFilter": {"value": value}}
        case _:
            data = {value if isinstance(value, str) else "k": 1}
    made = layout.new_text(data, {})
    assert scalars.same(source.parse("a.yaml", made.encode()).data, data)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("NO", '"NO"'),
        ("on", '"on"'),
        ("1:30", '"1:30"'),
        ("0777", '"0777"'),
        ("1000", '"1000"'),
        ("2027-03-31", "2027-03-31"),
        ("3600s", "3600s"),
        ("/shop/", "/shop/"),
        ("(a|b)+", "(a|b)+"),
        (r"[0-9]\d", r"'[0-9]\d'"),
        ("a: b", '"a: b"'),
        ("", '""'),
        ("Größe", "Größe"),
    ],
)
def test_quotes_stand_only_where_some_reader_needs_them(value: str, line: str) -> None:
    assert scalars.text_of(value) == line


def test_text_in_brackets_is_quoted_where_a_bracket_or_comma_would_end_it() -> None:
    assert scalars.text_of("a,b", flow=True) == '"a,b"'
    assert scalars.text_of("a,b") == "a,b"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_example_workspace_is_laid_out(path: Any) -> None:
    text = path.read_text("utf-8")
    assert layout.format_text(str(path), text) == text


UNTIDY = """\
# yaml-language-server: $schema=../schemas/audience.schema.json

manage: {labels: [a], key: k}   # ours
# the conditions
filterClauses:
# first
- simpleFilter:
    filterExpression:
        andGroup:
            filterExpressions:
            -   orGroup:
                    filterExpressions:
                    - dimensionOrMetricFilter:
                        # why
                        stringFilter:
                            value: 'NO'   # Norway
                            matchType: EXACT
                        fieldName: "country"
    scope: AUDIENCE_FILTER_SCOPE_WITHIN_SAME_EVENT
  clauseType: INCLUDE
  # after the first
membershipDurationDays: 30


description: >
  Some text
  on two lines.
displayName: 'X'
# the end
"""

TIDY = """\
# yaml-language-server: $schema=../schemas/audience.schema.json

displayName: X

description: |
  Some text on two lines.
membershipDurationDays: 30
# the conditions
filterClauses:
  # first
  - clauseType: INCLUDE
    simpleFilter:
      scope: AUDIENCE_FILTER_SCOPE_WITHIN_SAME_EVENT
      filterExpression:
        andGroup:
          filterExpressions:
            - orGroup:
                filterExpressions:
                  - dimensionOrMetricFilter:
                      fieldName: country
                      # why
                      stringFilter:
                        matchType: EXACT
                        value: "NO"  # Norway
    # after the first
manage:  # ours
  key: k
  labels: [a]
# the end
"""


def test_an_untidy_file_becomes_a_tidy_one() -> None:
    assert layout.format_text("a.yaml", UNTIDY) == TIDY


def test_a_pasted_json_body_becomes_yaml() -> None:
    text = json.dumps({"displayName": "\ud83d\ude00", "description": "", "membershipDurationDays": 30})
    made = layout.format_text("a.yaml", text)
    assert made == 'displayName: 😀\ndescription: ""\nmembershipDurationDays: 30\n'


def test_a_long_text_is_folded_and_a_short_one_is_not() -> None:
    text = "word " * 60 + "end"
    made = layout.new_text({"description": text}, {})
    assert max(map(len, made.splitlines())) <= layout.WIDTH
    assert "description: >-" in made
    assert source.parse("a.yaml", made.encode()).data == {"description": text}


@pytest.mark.parametrize("text", ["a: [1\n", "a: 1\na: 2\n", "a: &x 1\n", "", "{"])
def test_a_file_that_cannot_be_read_is_refused_with_its_problems(text: str) -> None:
    with pytest.raises(InvalidFilesError) as caught:
        layout.format_text("a.yaml", text)
    assert caught.value.problems == source.parse("a.yaml", text.encode()).problems


def test_a_file_whose_layout_would_lose_something_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "text_of", lambda value, **_: str(value))
    with pytest.raises(InvalidFilesError, match="1 problem") as caught:
        layout.format_text("a.yaml", "displayName: 'NO: 1'\n")
    assert caught.value.problems


def test_the_settings_keep_their_order_and_their_brackets() -> None:
    text = 'targets:\n  demo: {property: "1000", endpoint: local}\n\n# who\nowner: x\n'
    assert layout.format_text("w/audiencesync.yaml", text) == text


# ---------------------------------------------------------------- new files


@settings(max_examples=60)
@given(audiences())
def test_a_new_file_says_exactly_the_audience(audience: Audience) -> None:
    made = layout.new_text(to_api(audience), {"key": "k"}, "../schemas/audience.schema.json")
    data = source.parse("a.yaml", made.encode()).data
    assert data.pop("manage") == {"key": "k"}
    assert from_api(data) == audience
    assert layout.format_text("a.yaml", made) == made


def test_half_a_surrogate_pair_cannot_stand_in_a_file() -> None:
    with pytest.raises(InvalidFilesError) as caught:
        layout.new_text({"displayName": "\ud83d"}, {})
    assert "surrogate" in caught.value.problems[0].message


# ---------------------------------------------------------------- the two forms


@settings(max_examples=50)
@given(st.data(), audiences(), st.randoms(use_true_random=False))
def test_turning_the_form_loses_neither_meaning_nor_comments(
    data: st.DataObject, audience: Audience, chance: random.Random
) -> None:
    audience = one_line(audience)
    body = written_otherwise(data, audience)
    text = with_comments(layout.new_text(body, {"key": "k"}), chance)
    if source.parse("a.yaml", text.encode()).problems:
        return
    brief = layout.format_text("a.yaml", text, "short")
    full = layout.format_text("a.yaml", brief, "full")
    short_data = source.parse("a.yaml", brief.encode()).data
    assert short.is_short(short_data)
    assert fingerprint(from_api(short.to_full(short_data))) == fingerprint(audience)
    assert fingerprint(from_api(source.parse("a.yaml", full.encode()).data)) == fingerprint(audience)
    assert comments_of(full) == comments_of(brief) == comments_of(text)
    assert layout.format_text("a.yaml", brief, "short") == brief
    assert layout.format_text("a.yaml", full, "full") == full


def test_conditions_that_cannot_be_turned_are_a_problem_with_its_place() -> None:
    text = "displayName: x\nfilterClauses:\n  - clauseType: INCLUDE\n    simpleFilter: {scope: NOWHERE}\n"
    with pytest.raises(InvalidFilesError) as caught:
        layout.format_text("a.yaml", text, "short")
    (problem,) = caught.value.problems
    assert (problem.location.line, problem.rule) == (4, "layout")


# ---------------------------------------------------------------- new values in an old file


@settings(max_examples=50)
@given(st.data(), audiences(), audiences(), st.booleans(), st.randoms(use_true_random=False))
def test_an_updated_file_says_the_new_audience_and_keeps_its_comments(
    data: st.DataObject, old: Audience, new: Audience, brief: bool, chance: random.Random
) -> None:
    old, new = one_line(old), one_line(new)
    if data.draw(st.booleans()):
        new = replace(old, display_name=new.display_name, trigger=new.trigger)
    body = written_otherwise(data, old) if not brief else to_api(old)
    text = with_comments(
        layout.new_text(body, {"key": "k", "labels": ["a"]}, style="short" if brief else ""), chance
    )
    document = source.parse("a.yaml", text.encode())
    if document.problems:
        return
    made = layout.updated_text("a.yaml", text, to_api(new))
    again = source.parse("a.yaml", made.encode()).data
    assert fingerprint(from_api(short.to_full(again))) == fingerprint(new)
    assert short.is_short(again) == brief
    assert again["manage"] == document.data["manage"]
    assert comments_of(made) == comments_of(text)
    assert layout.updated_text("a.yaml", made, to_api(new)) == made


def test_what_means_the_same_stays_as_it_is_written() -> None:
    updated = layout.updated_text("a.yaml", TIDY, to_api(from_api(source.parse("a", TIDY.encode()).data)))
    assert updated == TIDY


def test_one_edited_value_changes_one_line() -> None:
    data = source.parse("a", TIDY.encode()).data
    data["filterClauses"][0]["simpleFilter"]["filterExpression"]["andGroup"]["filterExpressions"][0][
        "orGroup"
    ]["filterExpressions"][0]["dimensionOrMetricFilter"]["stringFilter"]["value"] = "SE"
    updated = layout.updated_text("a.yaml", TIDY, to_api(from_api(data)))
    assert updated == TIDY.replace('value: "NO"', "value: SE")


def test_comments_know_their_entries() -> None:
    tree = commented.read(UNTIDY, source.parse("a", UNTIDY.encode()).data)
    entry = tree.entry("filterClauses")
    assert entry is not None
    assert entry.lead == ["# the conditions"]
    assert entry.node.entries is not None
    assert entry.node.entries[0].lead == ["# first"]
    assert tree.foot == ["# the end"]


# ---------------------------------------------------------------- the command


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "audiences", tmp_path / "w", ignore=shutil.ignore_patterns(".*", "events", "out"))
    return tmp_path / "w"


def test_check_writes_nothing_and_says_what_would_change(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.run(["-w", str(workspace), "fmt", "--check"]) == 0
    path = workspace / "shop" / "untidy.yaml"
    path.write_text(UNTIDY)
    assert frame.run(["-w", str(workspace), "fmt", "--check"]) == 1
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_text() == UNTIDY
    assert frame.run(["-w", str(workspace), "fmt"]) == 0
    assert path.read_text() == TIDY
    assert frame.run(["-w", str(workspace), "fmt", "--check"]) == 0


def test_paths_narrow_what_is_laid_out(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, other = workspace / "a.yaml", workspace / "shop" / "b.yaml", workspace / "c.json"
    for path in (first, second, other):
        path.write_text(UNTIDY)
    assert frame.run(["fmt", str(workspace / "shop"), str(other)]) == 0
    assert (first.read_text(), second.read_text(), other.read_text()) == (UNTIDY, TIDY, UNTIDY)
    assert f"{other} is no YAML file and is left alone" in capsys.readouterr().err
    assert frame.run(["fmt", str(workspace / "none.yaml")]) == 1


@pytest.mark.parametrize("content", [b"a: [1\n", b"\xff\xfe\x00", b"a: 1\na: 2\n"])
def test_what_cannot_be_read_is_reported_and_left_and_the_rest_is_laid_out(
    workspace: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = workspace / "a.yaml", workspace / "b.yaml"
    bad.write_bytes(content)
    good.write_text(UNTIDY)
    assert frame.run(["-w", str(workspace), "fmt"]) == 1
    assert bad.read_bytes() == content
    assert good.read_text() == TIDY
    assert f"{bad}:" in capsys.readouterr().err


def test_a_link_that_leads_out_of_the_workspace_is_left_alone(workspace: Path) -> None:
    outside = workspace.parent / "outside.yaml"
    outside.write_text(UNTIDY)
    (workspace / "link.yaml").symlink_to(outside)
    assert frame.run(["-w", str(workspace), "fmt"]) == 0
    assert outside.read_text() == UNTIDY


def test_the_whole_workspace_can_be_turned_and_turned_back(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(workspace)
    assert frame.run(["-w", name, "plan", "--format", "json"]) == 0
    before = json.loads(capsys.readouterr().out)["digest"]
    for style, word in (("short", "filterClauses:"), ("full", "include:")):
        assert frame.run(["-w", name, "fmt", "--style", style]) == 0
        assert not [path for path in workspace.rglob("*.yaml") if f"\n{word}" in path.read_text("utf-8")]
        assert frame.run(["-w", name, "validate", "--strict"]) == 0
        capsys.readouterr()
        assert frame.run(["-w", name, "plan", "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["digest"] == before
