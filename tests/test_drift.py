"""Drift: the change history tells an edit in the UI from an unapplied commit; without it nobody guesses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.cli.frame import run
from audiencesync.drift import Difference, Kind, drift, events
from audiencesync.local.context import ACCOUNT
from audiencesync.model import Desired
from audiencesync.wire import to_api
from tests.property import World
from tests.shop import PROPERTY, audience, desired
from tests.test_cli import Shell, shell

__all__ = ["shell"]

ANN = {"Authorization": "Bearer ann@example.com"}


class Office:
    """A property where Ann works in the UI while we apply."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.world.apply([desired("a"), desired("b")])
        self.names = {live.mark.key: live.name for live in self.world.lives() if live.mark}

    def ann(self, method: str, path: str, body: object, query: str = "") -> dict[str, object]:
        answer = self.world.api.answer(method, f"/v1alpha/{path}", query, json.dumps(body).encode(), ANN)
        assert answer.status == 200, answer.body
        return dict(json.loads(answer.body))

    def drift(self, wanted: list[Desired], *, history: bool = True) -> list[Difference]:
        since = datetime.fromtimestamp(self.world.clock.now, UTC) - timedelta(days=1)
        found = events(self.world.remote().change_history(ACCOUNT, since), PROPERTY)
        return list(drift(self.world.plan(wanted), found if history else None))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "state")


def told(found: list[Difference]) -> list[tuple[str, Kind, str]]:
    return [(each.key, each.kind, each.event.actor if each.event else "") for each in found]


def test_nothing_changed_is_nothing_said(office: Office) -> None:
    assert office.drift([desired("a"), desired("b")]) == []


def test_an_edit_in_the_ui_has_its_actor_and_its_time(office: Office) -> None:
    office.ann("PATCH", office.names["a"], {"displayName": "Ann's"}, "updateMask=displayName")
    found = office.drift([desired("a"), desired("b")])
    assert told(found) == [("a", Kind.EDITED, "ann@example.com")]
    assert [change.path for change in found[0].changes] == ["displayName"]
    assert found[0].event
    assert found[0].event.when.startswith("20")


def test_a_commit_that_was_not_applied_is_no_drift(office: Office) -> None:
    found = office.drift([desired("a", audience("Renamed")), desired("b"), desired("c")])
    assert [(each.key, each.kind, each.is_drift) for each in found] == [
        ("a", Kind.UNAPPLIED, False),
        ("c", Kind.UNAPPLIED, False),
    ]


def test_a_deleted_file_is_no_drift(office: Office) -> None:
    assert told(office.drift([desired("a")])) == [("b", Kind.UNAPPLIED, "")]


def test_an_archive_in_the_ui_is_told(office: Office) -> None:
    office.ann("POST", f"{office.names['b']}:archive", {})
    assert told(office.drift([desired("a"), desired("b")])) == [("b", Kind.ARCHIVED, "ann@example.com")]


def test_a_mark_taken_off_in_the_ui_is_an_edit(office: Office) -> None:
    office.ann("PATCH", office.names["b"], {"description": "mine now"}, "updateMask=description")
    assert told(office.drift([desired("a"), desired("b")])) == [("b", Kind.EDITED, "ann@example.com")]


def test_an_audience_made_in_the_ui_is_told(office: Office) -> None:
    office.ann("POST", f"properties/{PROPERTY}/audiences", to_api(audience("Ann's own")))
    found = office.drift([desired("a"), desired("b")])
    assert told(found) == [("", Kind.CREATED, "ann@example.com")]
    assert found[0].display_name == "Ann's own"


def test_without_the_history_nobody_guesses(office: Office) -> None:
    office.ann("PATCH", office.names["a"], {"displayName": "Ann's"}, "updateMask=displayName")
    found = office.drift([desired("a"), desired("b"), desired("c")], history=False)
    assert told(found) == [("a", Kind.DIFFERS, ""), ("c", Kind.DIFFERS, "")]


def test_an_edit_taken_back_is_no_drift(office: Office) -> None:
    for name in ("Ann's", "a"):
        office.ann("PATCH", office.names["a"], {"displayName": name}, "updateMask=displayName")
    assert office.drift([desired("a"), desired("b")]) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
entries = st.dictionaries(
    st.sampled_from(["id", "changeTime", "userActorEmail", "changes", "x"]),
    json_values
    | st.lists(
        st.dictionaries(
            st.sampled_from(["resource", "action", "resourceBeforeChange", "resourceAfterChange"]),
            json_values | st.dictionaries(st.just("audience"), json_values, max_size=1),
        ),
        max_size=2,
    ),
)


@given(st.lists(entries, max_size=3))
def test_any_history_is_read(history: list[dict[str, object]]) -> None:
    events(history, PROPERTY)


# ---------------------------------------------------------------- the command


def test_the_command_is_quiet_when_clean_and_exits_2_on_drift(shell: Shell) -> None:
    shell.apply()
    assert shell("drift") == 0
    assert shell.out == ""
    store = World(shell.folder / ".audiencesync")
    name = next(live.name for live in store.lives() if live.mark)
    body = json.dumps({"displayName": "Ann's \x1b[31m"}).encode()
    store.api.answer("PATCH", f"/v1alpha/{name}", "updateMask=displayName", body, ANN)
    store.close()
    assert shell("drift") == 2
    assert "ann@example.com" in shell.out
    assert "\x1b[31m" not in shell.out
    found = shell.json("drift")
    assert [(each["kind"], each["key"], each["actor"]) for each in found["drift"]] == [
        ("edited", "buyers", "ann@example.com")
    ]
    first = shell.out
    shell("drift", "--format", "json")
    assert shell.out == first


def test_accepting_writes_the_live_values_and_keeps_comments(shell: Shell) -> None:
    path = shell.folder / "buyers.yaml"
    path.write_text("# why we have it\n" + path.read_text())
    shell.apply()
    world = World(shell.folder / ".audiencesync")
    name = next(live.name for live in world.lives() if live.mark)
    world.edit(name, displayName="Ann's")
    world.close()
    path.chmod(0o640)
    assert shell("drift", "--accept") == 2
    assert path.stat().st_mode & 0o777 == 0o640
    text = path.read_text()
    assert "# why we have it" in text
    assert "displayName: Ann's" in text
    assert shell("drift") == 0
    assert shell("plan", "--detailed-exitcode") == 0


def test_drift_needs_no_workspace_to_fail_cleanly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-w", str(tmp_path), "drift", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"
