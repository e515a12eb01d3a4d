"""The README says what is true: the table of fields, the commands, the exit codes, the links."""

from __future__ import annotations

import os
import re

import pytest

from audiencesync import validate
from audiencesync.cli.frame import _COMMANDS
from audiencesync.fields import ENUMS, FIELDS, Field, Kind
from tests.conftest import ROOT

README = ROOT / "README.md"


def _limits(field: Field) -> str:
    said = []
    if field.required:
        said.append("required")
    if field.union:
        said.append("one of its kind")
    if field.output_only:
        said.append("GA4 gives it")
    if field.minimum is not None and field.kind is not Kind.INT64:
        said.append(f"at least {field.minimum}")
    if field.maximum is not None and field.kind is not Kind.INT64:
        said.append(f"at most {field.maximum}")
    if field.kind is Kind.INT64:
        said.append("64 bits")
    return ", ".join(said)


def _kind(field: Field) -> str:
    kind = field.kind.value
    if field.kind is Kind.ENUM:
        kind = " / ".join(f"`{value}`" for value in ENUMS[field.of].python)
    elif field.kind is Kind.MESSAGE:
        kind = field.of
    return f"list of {kind}" if field.repeated else kind


def _change(field: Field) -> str:
    if field.message != "Audience" or field.output_only or field.of == "Manage":
        return ""
    return "replaces" if field.immutable else "in place"


def table() -> str:
    """The table of audience fields, out of the one field table."""
    rows = ["| field | value | rules | a change | what it is |", "| --- | --- | --- | --- | --- |"]
    message = ""
    for field in FIELDS:
        if field.message != message:
            message = field.message
            rows.append(f"| **{message}** | | | | |")
        rows.append(
            f"| `{field.name}` | {_kind(field)} | {_limits(field)} | {_change(field)} | {field.doc} |"
        )
    return "\n".join(rows)


def _between(text: str, name: str) -> tuple[str, str, str]:
    start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    before, found, rest = text.partition(start)
    inside, ended, after = rest.partition(end)
    assert found, f"the README has no {start}"
    assert ended, f"the README has no {end}"
    return before + start, inside, end + after


def test_the_table_of_fields_is_the_field_table(request: pytest.FixtureRequest) -> None:
    text = README.read_text("utf-8")
    before, inside, after = _between(text, "fields")
    if request.config.getoption("--update-golden") and not os.environ.get("CI"):
        README.write_text(before + table() + after, "utf-8")
        return
    assert inside == table()


def test_every_command_and_exit_code_is_told() -> None:
    text = README.read_text("utf-8")
    for name in _COMMANDS:
        assert re.search(rf"^\| `{name}\b", text, re.MULTILINE), name
    for code in range(6):
        assert re.search(rf"^\| {code} \|", text, re.MULTILINE), code


def test_links_within_the_repository_lead_somewhere() -> None:
    text = README.read_text("utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text):
        assert (ROOT / target).exists(), target
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in headings, anchor


def test_rules_have_names_that_the_readme_may_rely_on() -> None:
    known = {rule.id for rule in validate.all_rules()}
    for rule in re.findall(r"\[([a-z]+(?:-[a-z]+)+)\](?!\()", README.read_text("utf-8")):
        assert rule in known, rule
