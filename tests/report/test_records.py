"""Outcomes, previews, exports and explanations: the JSON that scripts rely on, and what people read."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from audiencesync.action import Action, Outcome, Reason, Status, Verb
from audiencesync.errors import AudiencesyncError, ExportError
from audiencesync.report import explained, exports, markdown, outcomes, previews, text
from audiencesync.report.catalog import Numbers
from audiencesync.report.page import Page
from audiencesync.sql.preview import Estimate
from tests.report.plans import estimates, mixed, report
from tests.shop import audience, desired, ours

BAND = "12,099 users (11,870 to 12,340 over the undocumented readings)"


def lines(page: Page) -> list[str]:
    return text.render(page, width=100, colour=False).splitlines()


def some_outcomes() -> list[Outcome]:
    actions = {action.key: action for action in mixed().actions}
    return [
        Outcome(actions["new"], Status.DONE, ours(9, "new")),
        Outcome(actions["swiss"], Status.FAILED, None, Reason("server-error", "it broke")),
        Outcome(actions["gone"], Status.SKIPPED),
        Outcome(actions["taken"], Status.BLOCKED, None, actions["taken"].blocked),
        Outcome(actions["kept"], Status.DONE),
    ]


def test_outcomes_as_json() -> None:
    data = outcomes.document(some_outcomes())
    assert (data["formatVersion"], data["error"]) == ("1.0", None)
    assert data["outcomes"][:2] == [
        {
            "verb": "create",
            "key": "new",
            "name": "properties/1000/audiences/9",
            "status": "done",
            "error": None,
        },
        {
            "verb": "replace",
            "key": "swiss",
            "name": "properties/1000/audiences/3",
            "status": "failed",
            "error": {"code": "server-error", "message": "it broke"},
        },
    ]
    assert data["summary"] == {"done": 2, "failed": 1, "skipped": 1, "blocked": 1}
    assert outcomes.document([], Reason("usage", "no"))["error"]["code"] == "usage"


def test_outcomes_as_text() -> None:
    shown = lines(outcomes.page(some_outcomes()))
    assert shown[2] == "+ new  create  done  properties/1000/audiences/9"
    assert shown[4] == "    [server-error]: it broke"
    assert shown[-1] == "Apply: 1 done, 1 failed, 1 skipped, 1 blocked."
    assert not any("kept" in each for each in shown)


def test_nothing_to_do_is_said_plainly() -> None:
    kept = Action(Verb.KEEP, "kept", ours(1, "kept"), desired("kept"))
    assert lines(outcomes.page([Outcome(kept, Status.DONE)]))[-1].startswith("Nothing to do")


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate("a", 1_204, 1_377, 190, 17), "1,204 -> 1,377 users (+190, -17)"),
        (Estimate("a", None, 12_099, band=(11_870, 12_340)), BAND),
        (Estimate("a", None, 5), "5 users"),
        (Estimate("a", None, 1), "1 user"),
        (Estimate("a", 2, 1, 0, 1), "2 -> 1 user (+0, -1)"),
        (Estimate("a", 5), "5 users before"),
        (Estimate("a"), "no users counted"),
        (Estimate("a", not_previewable="metrics"), "cannot preview: metrics"),
    ],
)  # fmt: skip
def test_numbers_in_words(estimate: Estimate, words: str) -> None:
    assert previews.users(estimate) == words


@pytest.mark.parametrize(
    ("after", "flag"),
    [
        (0, "0 users: nobody satisfies it"),
        (1, "fewer than 100 users: ad lists may not serve"),
        (99, "fewer than 100 users: ad lists may not serve"),
        (100, ""),
        (None, ""),
    ],
)
def test_small_numbers_are_flagged(after: int | None, flag: str) -> None:
    assert previews.flag(Estimate("a", None, after)) == flag


def test_previews_as_json() -> None:
    data = previews.document(estimates())
    assert (data["asOf"], data["engine"], data["error"]) == ("2026-11-20", "duckdb", None)
    assert data["previews"][0] == {
        "key": "new",
        "before": None,
        "after": 12_099,
        "gained": None,
        "lost": None,
        "band": [11_870, 12_340],
        "notPreviewable": None,
        "caveats": [],
        "flag": None,
    }
    assert data["previews"][3]["notPreviewable"] == "there is no column for customItem:size"
    assert "estimate from the event export" in data["note"]
    empty = previews.document(None, Reason("preview", "no"))
    assert empty["previews"] == []
    assert set(empty) == set(data)


def test_previews_say_that_they_are_estimates_and_what_they_rest_on() -> None:
    for shown in (
        text.render(previews.page(estimates()), width=100, colour=False),
        markdown.render(previews.page(estimates())),
    ):
        assert "estimate from the event export, not" in shown
        assert "2026-11-20" in shown
        assert "1,204 -> 1,377 users (+190, -17)" in shown
    unknown = Numbers("2026-11-20", "duckdb")
    assert previews.basis(unknown) == "As of 2026-11-20, counted by duckdb."
    assert lines(previews.page(report()))[2] == "No audiences."


@dataclass(frozen=True)
class Result:
    name: str
    status: str
    rows: int | None = None
    path: str | None = None
    manifest: str | None = None
    job: str | None = None
    error: AudiencesyncError | None = None


def test_exports_as_json_and_text() -> None:
    results = [
        Result("cart", "done", 1_204, "out/cart.csv", "out/cart.csv.manifest.json"),
        Result("payments", "running", job="j1"),
        Result("buyers", "failed", error=ExportError("fewer rows")),
    ]
    data = exports.document(results)
    assert data["exports"][0] == {
        "name": "cart",
        "status": "done",
        "rows": 1_204,
        "path": "out/cart.csv",
        "manifest": "out/cart.csv.manifest.json",
        "job": None,
        "error": None,
    }
    assert data["exports"][2]["error"] == {"code": ExportError.code, "message": "fewer rows"}
    assert lines(exports.page(results)) == [
        "cart  done  1,204 rows  out/cart.csv",
        "payments  running  job j1",
        "buyers  failed",
        f"    [{ExportError.code}]: fewer rows",
    ]
    assert lines(exports.page([])) == ["No exports are declared."]


def test_an_explanation_is_the_words_under_the_key() -> None:
    shown = lines(explained.page([desired("buyers", audience("Buyers"))]))
    assert shown[0] == 'buyers  "Buyers"'
    assert any("purchase" in each for each in shown)
    assert lines(explained.page([])) == ["No audiences."]
