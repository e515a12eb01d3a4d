"""A plan in text, JSON and Markdown: one golden folder a plan; and the numbers of its closing lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from audiencesync.action import Action, Plan, Reason, Unmanaged, Verb
from audiencesync.fields import LogCondition
from audiencesync.model import Trigger
from audiencesync.report import html, markdown, plans, text
from audiencesync.report.documents import dump
from audiencesync.sql.preview import Report
from tests.report.plans import estimates, mixed, of, sequence
from tests.shop import audience, clause, desired, ours

Golden = Callable[[str, str], None]


def unchanged() -> Plan:
    return of([desired("kept")], [ours(1, "kept")])


def blocked() -> Plan:
    """An audience that is protected, and one whose live form nobody can say."""
    files = [desired("safe", audience(days=60), prevent_archive=True)]
    return of(files, [ours(1, "safe", audience(), keep=True)])


def several() -> Plan:
    """More strangers than a page shows, and steps that changed."""
    plan = of(
        [desired("steps", replace(audience(), clauses=(sequence("view", "cart", "buy"), clause("x"))))],
        [ours(1, "steps", replace(audience(), clauses=(sequence("view", "buy"), clause("x"))))],
    )
    strangers = tuple(
        Unmanaged(f"properties/1000/audiences/{n}", f"Stranger {n}", "it carries no mark")
        for n in range(2, 15)
    )
    return replace(plan, unmanaged=strangers)


PLANS: dict[str, tuple[Plan, Report | None]] = {
    "plan-mixed": (mixed(), None),
    "plan-preview": (mixed(), estimates()),
    "plan-unchanged": (unchanged(), None),
    "plan-blocked": (blocked(), None),
    "plan-several": (several(), None),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_reads_as_agreed(name: str, golden: Golden) -> None:
    plan, previews = PLANS[name]
    page = plans.page(plan, previews=previews)
    told = plans.page(plan, words=True, previews=previews)
    golden(f"report/{name}/plan.txt", text.render(page, width=100, colour=False))
    golden(f"report/{name}/plan.json", dump(plans.document(plan, previews=previews)))
    golden(f"report/{name}/plan.md", markdown.render(told))


def test_verbose_adds_what_is_kept_and_every_stranger_and_whole_definitions(golden: Golden) -> None:
    golden(
        "report/plan-mixed/verbose.txt",
        text.render(plans.page(mixed(), verbose=True), width=100, colour=False),
    )
    lines = text.render(plans.page(several(), verbose=True), width=100, colour=False)
    assert "Stranger 14" in lines
    assert "more; -v" not in lines


def test_colour_adds_nothing_but_colour() -> None:
    page = plans.page(mixed(), words=True, previews=estimates())
    bright = text.render(page, width=100, colour=True)
    assert "\x1b[31m" in bright
    assert re.sub(r"\x1b\[[0-9;]*m", "", bright) == text.render(page, width=100, colour=False)


def test_no_changes_is_said_plainly() -> None:
    assert "No changes: GA4 holds what the files say (1 unchanged)." in text.render(
        plans.page(unchanged()), width=100, colour=False
    )


def test_markdown_says_the_sum_and_the_danger_before_the_details() -> None:
    shown = markdown.render(plans.page(mixed()))
    assert shown.index("to create") < shown.index("[!CAUTION]") < shown.index("<details>")


def test_a_replacement_says_its_cost_and_its_fields() -> None:
    shown = text.render(plans.page(mixed()), width=1000, colour=False)
    assert "membershipDurationDays: 30 -> 60  (forces replacement)" in shown
    assert "a new id with an empty membership" in shown
    assert "Ads list it feeds stops growing" in shown


@pytest.mark.parametrize(
    ("plan", "audiences", "triggers"),
    [
        (mixed(), 7, 1),  # 7 live, one created, one archived, one replaced
        (unchanged(), 1, 0),
        (blocked(), 1, 0),  # what is blocked does not happen
        (
            of(
                [desired("a", audience(trigger=Trigger("j", LogCondition.JOINED)))],
                [ours(1, "a", audience())],
            ),
            1,
            1,
        ),
        (
            of(
                [desired("a", audience())],
                [ours(1, "a", audience(trigger=Trigger("j", LogCondition.JOINED)))],
            ),
            1,
            0,
        ),
        (of([desired("a")], [ours(1, "b", audience(trigger=Trigger("j", LogCondition.JOINED)))]), 1, 0),
    ],
)
def test_the_projected_use_counts_what_will_happen(plan: Plan, audiences: int, triggers: int) -> None:
    assert plans.projected(plan) == (audiences, triggers)


def test_the_json_has_what_scripts_rely_on() -> None:
    data = json.loads(dump(plans.document(mixed())))
    assert list(data)[:2] == ["formatVersion", "error"]
    assert {"target", "property", "digest", "actions", "unmanaged", "summary"} <= data.keys()
    assert data["summary"].keys() == {verb.value for verb in Verb}
    assert sum(data["summary"].values()) == len(data["actions"]) == len({a["key"] for a in data["actions"]})
    for action in data["actions"]:
        assert {"verb", "key", "displayName", "name", "changes", "updateMask", "blocked"} <= action.keys()
        assert all(change.keys() == {"path", "before", "after", "immutable"} for change in action["changes"])
    assert {each["key"]: each["blocked"]["code"] for each in data["actions"] if each["blocked"]} == {
        "taken": "name-taken"
    }


def test_an_error_before_the_plan_keeps_the_shape() -> None:
    data = plans.document(None, Reason("api", "no answer"))
    assert data["error"] == {"code": "api", "message": "no answer"}
    assert data.keys() == plans.document(mixed()).keys()
    assert set(data["summary"].values()) == {0}


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_has_a_title_in_every_format(verb: Verb) -> None:
    plan = replace(mixed(), actions=(Action(verb, "some-key", after=desired("some-key")),))
    for shown in (
        text.render(plans.page(plan, verbose=True), width=100, colour=False),
        markdown.render(plans.page(plan, verbose=True)),
        html.render(plans.page(plan, verbose=True)),
    ):
        assert "some-key" in shown
