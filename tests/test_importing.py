"""Import: one stably named file each, adoptions only in the next plan, nothing at all in the one after."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import audiencesync
from audiencesync import importing, mark, workspace, writing
from audiencesync.action import Plan, Status
from audiencesync.apply import Options
from audiencesync.cli import frame
from audiencesync.errors import UsageError
from audiencesync.importing import Choices, Import
from audiencesync.live import read
from audiencesync.mark import Mark
from audiencesync.source import Severity
from audiencesync.wire import to_api
from tests.strategies import audiences

SETTINGS = 'owner: acme-web\ntargets:\n  demo: {property: "1000", endpoint: local}\n'
POLICY = "policy: {require: [contact, labels, reviewBy]}\n"
CLAUSE = {
    "clauseType": "INCLUDE",
    "simpleFilter": {
        "scope": "AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS",
        "filterExpression": {
            "andGroup": {
                "filterExpressions": [
                    {"orGroup": {"filterExpressions": [{"eventFilter": {"eventName": "purchase"}}]}}
                ]
            }
        },
    },
}


def raw(number: int | str = 1, name: str = "Buyers", **fields: Any) -> dict[str, Any]:
    """One audience as GA4 lists it."""
    return {
        "name": f"properties/1000/audiences/{number}",
        "displayName": name,
        "membershipDurationDays": 30,
        "adsPersonalizationEnabled": True,
        "createTime": "2026-01-01T00:00:00Z",
        "eventTrigger": {},
        "filterClauses": [CLAUSE],
    } | fields


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "audiencesync.yaml").write_text(SETTINGS)
    return tmp_path


def bring_in(
    folder: Path, raws: Sequence[Mapping[str, Any]], *, choices: Choices | None = None, write: bool = True
) -> Import:
    """Imports into a folder; the workspace has no errors afterwards."""
    loaded = audiencesync.load(folder)
    found = importing.import_audiences(raws, loaded, audiencesync.target(loaded), choices=choices)
    if write:
        importing.write(found)
        assert not [e for e in workspace.load(folder).problems if e.severity is Severity.ERROR]
    return found


def import_live(folder: Path) -> Import:
    loaded = audiencesync.load(folder)
    with audiencesync.connect(loaded) as remote:
        return bring_in(folder, remote.audiences())


def create(folder: Path, bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    with audiencesync.connect(audiencesync.load(folder), write=True) as remote:
        return [remote.create(body)["name"] for body in bodies]


def plan(folder: Path) -> Plan:
    loaded = audiencesync.load(folder)
    with audiencesync.connect(loaded) as remote:
        return audiencesync.compare(loaded, "", audiencesync.read(remote))


def apply(folder: Path) -> None:
    loaded = audiencesync.load(folder)
    with audiencesync.connect(loaded, write=True) as remote:
        made = audiencesync.compare(loaded, "", audiencesync.read(remote))
        statuses = {each.status for each in audiencesync.carry_out(made, remote, Options())}
    assert statuses == {Status.DONE}


def verbs(made: Plan) -> set[str]:
    assert not any(action.blocked for action in made.actions)
    return {action.verb.value for action in made.actions}


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.yaml")}


# ---------------------------------------------------------------- the whole way


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(audiences(), min_size=3, max_size=6))
def test_after_an_import_the_plan_adopts_and_then_keeps(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "audiencesync.yaml").write_text(SETTINGS)
    bodies = [to_api(each) for each in wanted]
    for number, body in enumerate(bodies):
        body.pop("eventTrigger", None)
        body["displayName"] = f"{body['displayName']} {number}"
    create(folder, bodies)
    found = import_live(folder)
    assert len(found.files) == len(bodies)
    assert verbs(plan(folder)) == {"adopt"}
    before = texts(folder)
    assert not import_live(folder).files
    apply(folder)
    assert verbs(plan(folder)) == {"keep"}
    assert not import_live(folder).files
    assert texts(folder) == before


def test_recorded_answers_are_imported_adopted_and_kept(folder: Path, shared_data: Path) -> None:
    pages = [json.loads(path.read_text()) for path in sorted((shared_data / "recorded").glob("*.json"))]
    listed = [each for page in pages for each in page["audiences"]]
    output = {"name", "adsPersonalizationEnabled", "eventTrigger"}
    create(
        folder,
        [
            {"description": ""} | {name: value for name, value in each.items() if name not in output}
            for each in listed
            if "filterClauses" in each
        ],
    )
    found = import_live(folder)
    assert {Path(file.path).name for file in found.files} == {
        "top-download-training-pipeline-users-500.yaml",
        "all-users.yaml",
    }
    assert verbs(plan(folder)) == {"adopt"}
    apply(folder)
    assert verbs(plan(folder)) == {"keep"}


def test_the_recorded_pages_are_read_offline(folder: Path, shared_data: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.json"
    both.write_bytes(
        b"".join(path.read_bytes() for path in sorted((shared_data / "recorded").glob("*.json")))
    )
    saved = importing.read_saved(both)
    assert (saved.property, len(saved.audiences), saved.complete) == ("312213553", 4, True)
    loaded = audiencesync.load(folder)
    wanted, note = importing.target_of(saved, loaded.sound(), audiencesync.target(loaded))
    assert "312213553" in note
    found = importing.import_audiences(saved.audiences, loaded, wanted, number=saved.property)
    assert len(found.files) == 2
    assert [each.reason for each in found.skipped] == [
        "it is one of GA4's default audiences (no filterClauses)"
    ] * 2


def test_a_managed_audience_whose_file_was_lost_is_written_back(folder: Path) -> None:
    create(folder, [to_body("Buyers")])
    bring = import_live(folder)
    apply(folder)
    (path,) = (file.path for file in bring.files)
    path.unlink()
    found = import_live(folder)
    assert [(file.path, file.key, file.adopt) for file in found.files] == [(path, "buyers", "")]
    assert "adopt" not in path.read_text()
    assert verbs(plan(folder)) == {"keep"}


def to_body(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "displayName": name,
        "description": "x",
        "membershipDurationDays": 30,
        "filterClauses": [CLAUSE],
    } | fields


# ---------------------------------------------------------------- what becomes of each


def test_a_file_is_laid_out_and_names_what_it_adopts(folder: Path) -> None:
    (file,) = bring_in(folder, [raw(7, "Größe & Träume", description="Old.\n")]).files
    assert file.path.name == "grosse-traume.yaml"
    assert file.text == (
        "displayName: Größe & Träume\n"
        "description: Old.\n"
        "membershipDurationDays: 30\n"
        "filterClauses:\n"
        "  - clauseType: INCLUDE\n"
        "    simpleFilter:\n"
        "      scope: AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS\n"
        "      filterExpression:\n"
        "        andGroup:\n"
        "          filterExpressions:\n"
        "            - orGroup:\n"
        "                filterExpressions:\n"
        "                  - eventFilter:\n"
        "                      eventName: purchase\n"
        "manage:\n"
        "  key: grosse-traume\n"
        '  adopt: "7"\n'
    )


def test_the_short_form_can_be_asked_for(folder: Path) -> None:
    (file,) = bring_in(folder, [raw()], choices=Choices(style="short")).files
    assert "include:\n  - event: purchase\n" in file.text


def test_adopt_is_a_map_where_targets_have_other_properties(folder: Path) -> None:
    (folder / "audiencesync.yaml").write_text(SETTINGS + '  live: {property: "2000"}\ndefaultTarget: demo\n')
    (file,) = bring_in(folder, [raw(7)]).files
    assert '  adopt: {demo: "7"}\n' in file.text


def marked(number: int, owner: str, key: str, text: str = "Text") -> str:
    return mark.attach(text, Mark(owner, key, 1, str(number)), "1000")


def test_no_mark_reaches_a_file_and_copies_of_ours_are_adopted(folder: Path) -> None:
    (file,) = bring_in(folder, [raw(8, "Copy", description=marked(7, "acme-web", "buyers"))]).files
    assert "audiencesync" not in file.text
    assert file.adopt == "8"


SITE_KIT: dict[str, Any] = json.loads(json.dumps(CLAUSE))
SITE_KIT["simpleFilter"]["filterExpression"]["andGroup"]["filterExpressions"][0]["orGroup"][
    "filterExpressions"
] = [
    {
        "dimensionOrMetricFilter": {
            "fieldName": "groupId",
            "stringFilter": {"matchType": "EXACT", "value": "created_by_googlesitekit:new_visitors"},
        }
    }
]


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (raw(filterClauses=[]), "it is one of GA4's default audiences (no filterClauses)"),
        (raw(description=marked(1, "other", "buyers")), "it belongs to owner other"),
        (raw(filterClauses=[SITE_KIT]), "it carries another tool's mark"),
        (raw(filterClauses=[CLAUSE | {"newThing": {"x": 1}}]), "it holds what cannot be written in a file"),
        (raw(name=""), "it breaks a rule"),
        (raw(name="\ud83d"), "no file can hold it"),
        (raw(membershipDurationDays=9000), "it breaks a rule"),
        (raw(description="x" * 2_000_000), "no file can hold it: the file has"),
    ],
)
def test_what_gets_no_file_is_listed_with_the_reason(folder: Path, live: dict[str, Any], reason: str) -> None:
    found = bring_in(folder, [live])
    assert not found.files
    (skipped,) = found.skipped
    assert skipped.name == live["name"]
    assert skipped.reason.startswith(reason)


def test_existing_files_are_left_alone_to_the_last_comment(folder: Path) -> None:
    bring_in(folder, [raw(7)])
    path = folder / "buyers.yaml"
    path.write_text("# mine\n" + path.read_text().replace("displayName: Buyers", "displayName:   'Mine'"))
    before = path.read_bytes()
    found = bring_in(folder, [raw(7), raw(8, "Others")])
    assert [file.path.name for file in found.files] == ["others.yaml"]
    assert [(each.name, each.reason) for each in found.kept] == [
        ("properties/1000/audiences/7", "adopted by buyers")
    ]
    assert path.read_bytes() == before


def test_the_schema_line_follows_the_settings(folder: Path) -> None:
    line = "# yaml-language-server: $schema=schemas/workspace.schema.json\n"
    (folder / "audiencesync.yaml").write_text(line + SETTINGS)
    (file,) = bring_in(folder, [raw(7)]).files
    assert file.text.startswith("# yaml-language-server: $schema=schemas/audience.schema.json\n")


def test_what_the_policy_requires_is_filled_in_and_said(folder: Path) -> None:
    (folder / "audiencesync.yaml").write_text(SETTINGS + POLICY)
    found = bring_in(folder, [raw(7)], choices=Choices(today=date(2026, 1, 1)))
    (file,) = found.files
    assert "  contact: unassigned\n  labels: [imported]\n  reviewBy: 2026-04-01\n" in file.text
    assert len(found.notes) == 3
    chosen = Choices("crm", ("a", "b"), "2027-01-01")
    (file,) = bring_in(folder, [raw(8, "B")], choices=chosen).files
    assert "  contact: crm\n  labels: [a, b]\n  reviewBy: 2027-01-01\n" in file.text


def test_an_audience_that_breaks_the_policy_is_skipped_with_the_rule(folder: Path) -> None:
    (folder / "audiencesync.yaml").write_text(SETTINGS + 'policy: {displayName: "[A-Z].*"}\n')
    found = bring_in(folder, [raw(7, "lower"), raw(8, "Upper")])
    assert [file.key for file in found.files] == ["upper"]
    assert found.skipped[0].reason.startswith("it breaks a rule: ")


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Cart abandoners", "cart-abandoners"),
        ("  --Ünïcode__ (50%) ", "unicode-50"),
        ("../../etc/passwd", "etc-passwd"),
        ("/absolute", "absolute"),
        ("C:\\temp\\x", "c-temp-x"),
        ("a\x00b\n\x1b[31m", "a-b-31m"),
        ("日本", "audience-7"),
        ("...", "audience-7"),
        ("CON", "con-7"),
        ("lpt1", "lpt1-7"),
        ("audiencesync", "audiencesync-7"),
        ("x" * 300, "x" * 80),
    ],
)
def test_names_become_stems_that_stay_in_the_folder(folder: Path, name: str, stem: str) -> None:
    (file,) = bring_in(folder, [raw(7, name)]).files
    assert file.path == folder / f"{stem}.yaml"
    assert len(stem) <= importing.MAX_STEM


def test_equal_names_get_their_ids_whatever_their_order(folder: Path) -> None:
    lives = [raw(1, "Same"), raw(2, "same!"), raw(3, "SAME"), raw(4, "x" * 99), raw(5, "x" * 98)]
    first = {file.name: file.path.name for file in bring_in(folder, lives, write=False).files}
    second = {file.name: file.path.name for file in bring_in(folder, lives[::-1], write=False).files}
    assert first == second
    assert sorted(first.values())[:3] == ["same-1.yaml", "same-2.yaml", "same-3.yaml"]
    assert len({name.lower() for name in first.values()}) == len(lives)


def test_a_name_that_a_file_has_is_not_taken(folder: Path) -> None:
    bring_in(folder, [raw(7, "Buyers")])
    (file,) = bring_in(folder, [raw(7, "Buyers"), raw(8, "BUYERS")]).files
    assert file.path.name == "buyers-8.yaml"


@given(st.lists(st.text(max_size=90), min_size=1, max_size=6))
@settings(max_examples=60)
def test_stems_are_safe_and_unique(names: list[str]) -> None:
    empty = workspace.Workspace(Path(), (), None, (), {}, 0)
    lives = [read(raw(number, name), "1000") for number, name in enumerate(names)]
    stems = importing._stems(lives, empty)
    assert len(set(stems)) == len(names)
    for stem in stems:
        assert stem.isascii()
        assert stem.replace("-", "").isalnum()
        assert 0 < len(stem) <= importing.MAX_STEM


# ---------------------------------------------------------------- saved answers


@pytest.mark.parametrize(
    "content",
    [
        [raw(1), raw(2)],
        {"audiences": [raw(1), raw(2)]},
        [{"audiences": [raw(1)], "nextPageToken": "x"}, {"audiences": [raw(2), raw(1)]}],
    ],
)
def test_saved_answers_come_in_several_forms(tmp_path: Path, content: object) -> None:
    path = tmp_path / "saved.json"
    path.write_text("\ufeff" + json.dumps(content), "utf-8")
    saved = importing.read_saved(path)
    assert [each["name"] for each in saved.audiences] == [raw(1)["name"], raw(2)["name"]]
    assert saved.complete


def test_one_audience_is_an_answer_and_so_is_none(tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(raw(3)))
    assert importing.read_saved(path).audiences == (raw(3),)
    path.write_text("{}")
    assert importing.read_saved(path) == importing.Saved("", ())


def test_a_page_that_promises_another_is_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    path.write_text(json.dumps({"audiences": [raw(1)], "nextPageToken": "more"}))
    assert not importing.read_saved(path).complete


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"[1", "not JSON at line 1, column 3"),
        (b"{'a': 1}", "not JSON at line 1, column 2"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nest too deep"),
        (b"1" * 5000, "a number is too long"),
        (b"[1]", "entry 1 has no name"),
        (b'"x"', "entry 1 has no name"),
        (b'{"name": "properties/1/audiences/../../x"}', "entry 1 has no name"),
        (b'{"error": {"code": 403}}', "it holds error"),
        (b'{"audiences": {}}', "audiences is not a list"),
        (
            b'[{"name": "properties/1/audiences/1"}, {"name": "properties/2/audiences/1"}]',
            "several properties",
        ),
    ],
)
def test_a_malformed_answer_gives_one_clear_message(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "saved.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        importing.read_saved(path)


def test_a_missing_answer_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        importing.read_saved(tmp_path / "none.json")


# ---------------------------------------------------------------- files


def test_a_file_that_appeared_meanwhile_is_not_written_over(folder: Path) -> None:
    found = bring_in(folder, [raw(7)], write=False)
    (folder / "buyers.yaml").write_text("precious")
    with pytest.raises(UsageError, match="cannot be written: File exists"):
        importing.write(found)
    assert (folder / "buyers.yaml").read_text() == "precious"
    assert [path.name for path in folder.iterdir() if path.suffix == ".part"] == []


def test_a_read_only_workspace_is_one_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    found = bring_in(folder, [raw(7)], write=False)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match=r"buyers\.yaml cannot be written: Read-only file system"):
        importing.write(found)


def test_a_full_disk_leaves_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = folder / "audiencesync.yaml"
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(UsageError, match="No space left"):
        writing.overwrite(path, "new")
    assert path.read_text() == SETTINGS
    assert list(folder.iterdir()) == [path]


def test_overwriting_keeps_rights_and_links(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    writing.overwrite(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


# ---------------------------------------------------------------- the command


def test_the_command_imports_offline_and_a_second_time_changes_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps([raw(7, "\x1b[31mBuyers"), raw(8, "Default", filterClauses=[])]))
    arguments = ["-w", str(folder), "import", "--from-json", str(saved)]
    assert frame.run(arguments) == 0
    shown = capsys.readouterr().out
    assert "Import: 1 written, 0 have files, 1 skipped." in shown
    assert "\x1b" not in shown
    before = texts(folder)
    assert frame.run(arguments) == 0
    assert "Import: 0 written, 1 have files, 1 skipped." in capsys.readouterr().out
    assert texts(folder) == before


def test_the_command_refuses_a_workspace_with_errors(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_text("displayName: x\n")
    assert frame.run(["-w", str(folder), "import"]) == 1
    assert "audiencesync validate" in capsys.readouterr().err


def test_the_command_refuses_a_day_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["-w", str(folder), "import", "--review-by", "soon"]) == 1
    assert "--review-by takes a day" in capsys.readouterr().err
