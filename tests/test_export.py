"""The engine of exports over HTTP on loopback: GA4's embedded property and a GrowingIO platform."""

from __future__ import annotations

import csv
import hashlib
import json
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

import pytest

from audiencesync import errors, export, ga4, growingio, http
from audiencesync.export import Result
from audiencesync.local.api import Api
from audiencesync.local.context import Answer, Call, Switches
from audiencesync.local.server import running
from audiencesync.local.store import Store
from audiencesync.report import exports as report
from audiencesync.settings import Export, GrowingIO
from audiencesync.wire import to_api
from tests.conftest import ROOT
from tests.growingio_server import Platform, serving
from tests.shop import audience

START = 1_790_000_000.0
DAY = 86_400.0
MEMBERS = [
    ("dev-1", "user-1", "true", "false"),
    ("0017", "", "false", "true"),
    ("9007199254740993", "用户", "true", "false"),
]


@dataclass
class Shop:
    """A workspace folder, a property and a platform; time passes only while somebody sleeps."""

    folder: Path
    api: Api
    address: str
    platform: Platform
    audience: str = ""
    now: float = START
    slept: list[float] = field(default_factory=list)
    said: list[export.Progress] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=lambda: {"TOKEN": "given-token", "SALT": "pepper"})
    calls: list[Call] = field(default_factory=list)
    fault: Callable[[Call, str], Answer | None] = lambda _call, _when: None

    def watch(self, call: Call, when: Literal["before", "after"]) -> Answer | None:
        if when == "before":
            self.calls.append(call)
        return self.fault(call, when)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def remote(self) -> ga4.Property:
        options = http.Options(limits=None, sleep=lambda _: None, random=lambda: 0.0)
        connection = http.connect(self.address, authorize=None, options=options)
        return ga4.Property(connection, connection, "1000")

    def client(self, name: str) -> growingio.GrowingIO:
        project = "" if name == "projectless" else "WlGk4Daj"
        settings = GrowingIO(name=name, url=self.platform.address, project=project, token_env="TOKEN")
        options = http.Options(limits=None, sleep=lambda _: None, random=lambda: 0.0)
        return growingio.connect(settings, environ=self.environ, options=options, warn=lambda _: None)

    def run(
        self,
        *exports: Export,
        wait: bool = True,
        timeout: float | None = None,
        restart: bool = False,
    ) -> list[Result]:
        world = export.World(
            open_ga4=lambda _: self.remote(),
            open_growingio=self.client,
            resolve=self.resolve,
            base_dir=self.folder,
            state_dir=self.folder / ".audiencesync",
            environ=self.environ,
            progress=self.said.append,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        return list(export.run(exports, world, wait=wait, timeout=timeout, restart=restart))

    def one(self, wanted: Export, *, wait: bool = True, restart: bool = False) -> Result:
        (result,) = self.run(wanted, wait=wait, restart=restart)
        return result

    def resolve(self, _target: str, text: str) -> str:
        if text != "buyers":
            raise errors.UsageError(f"no audience {text}")
        return self.audience

    def posts(self, end: str) -> list[Call]:
        return [call for call in self.calls if call.method == "POST" and call.path.endswith(end)]

    @property
    def states(self) -> list[Path]:
        return sorted((self.folder / ".audiencesync" / "exports").glob("*.json"))

    def leftovers(self) -> list[str]:
        return [
            path.name for path in self.folder.rglob("*") if path.suffix in {".part", ".download", ".rows"}
        ]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    store = Store(tmp_path / "property")
    api = Api(store=store, export_delay=20.0, members=lambda _audience, _number: MEMBERS)
    with serving() as platform, running(api) as address:
        found = Shop(tmp_path / "workspace", api, address, platform)
        found.folder.mkdir()
        api.clock = lambda: found.now
        api.faults = found.watch
        api.__post_init__()
        found.audience = str(found.remote().create(to_api(audience("Buyers")))["name"])
        found.calls.clear()
        yield found
    store.close()


BUYERS = Export(
    name="buyers",
    audience="buyers",
    dimensions=("deviceId", "isAdsPersonalizationAllowed"),
    to="out/buyers.csv",
)
TAG = Export(name="payments", growingio="p", tag="tag_payment_times", to="out/payments.csv")
SEGMENT = Export(
    name="seg", growingio="p", segment="qgQMXnD3", charset="UTF-16LE", to="out/seg.csv", tags=("rRGoVRpm",)
)
ANALYSIS = Export(name="funnel", growingio="p", analysis="klGvyp7E", type="FUNNELS", to="out/funnel.jsonl")
BOTH = pytest.mark.parametrize("wanted", [BUYERS, TAG], ids=["ga4", "growingio"])


def table(result: Result) -> list[list[str]]:
    assert result.path
    with Path(result.path).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def manifest(result: Result) -> dict[str, Any]:
    assert result.manifest
    found = json.loads(Path(result.manifest).read_text())
    assert isinstance(found, dict)
    return found


# The whole way


def test_members_of_an_audience_become_a_file(shop: Shop) -> None:
    result = shop.one(BUYERS)
    assert (result.status, result.rows, result.error) == ("done", 3, None)
    assert table(result) == [
        ["deviceId", "isAdsPersonalizationAllowed"],
        ["dev-1", "true"],
        ["0017", "false"],
        ["9007199254740993", "true"],
    ]
    body = json.loads(shop.posts("/audienceExports")[0].body)
    assert body == {
        "audience": shop.audience,
        "dimensions": [{"dimensionName": "deviceId"}, {"dimensionName": "isAdsPersonalizationAllowed"}],
    }
    query = json.loads(shop.posts(":query")[0].body)
    assert query == {"offset": "0", "limit": "250000"}
    assert not shop.states
    assert not shop.leftovers()


def test_the_manifest_says_all_that_is_promised(shop: Shop) -> None:
    result = shop.one(BUYERS)
    path = Path(result.path or "")
    found = manifest(result)
    assert list(found) == [
        *("rows", "expectedRows", "bytes", "sha256", "columns", "source", "job"),
        *("startedAt", "finishedAt", "encoding", "delimiter"),
    ]
    assert (found["rows"], found["expectedRows"], found["job"]) == (3, 3, result.job)
    assert found["bytes"] == path.stat().st_size
    assert found["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["columns"] == list(BUYERS.dimensions)
    assert found["source"]["audience"] == shop.audience
    assert found["startedAt"] < found["finishedAt"]
    assert (found["encoding"], found["delimiter"]) == (None, None)
    assert "dev-1" not in json.dumps(found)


@pytest.mark.parametrize("wanted", [TAG, SEGMENT], ids=["tag", "segment"])
def test_users_of_a_tag_and_of_a_segment_become_a_file(shop: Shop, wanted: Export) -> None:
    result = shop.one(wanted)
    assert (result.status, result.rows) == ("done", 3)
    assert table(result) == [list(row) for row in shop.platform.rows]
    found = manifest(result)
    assert (found["encoding"], found["delimiter"]) == (wanted.charset or "UTF-8", ",")
    assert found["expectedRows"] is None
    assert found["job"] in shop.platform.jobs
    assert len(shop.platform.jobs) == 1


@pytest.mark.parametrize("kind", ["FUNNELS", "CHARTS", "RETENTIONS", "FREQUENCIES"])
def test_results_of_each_analysis_become_a_file(shop: Shop, kind: str) -> None:
    shop.platform.rows = (("步骤", "转化率"), ("1", "0.5"))
    result = shop.one(replace(ANALYSIS, type=kind))
    assert Path(result.path or "").read_text("utf-8") == '{"步骤":"1","转化率":"0.5"}\n'
    (job,) = shop.platform.jobs.values()
    assert job.arguments["param"] == {"analysisType": kind}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"])
def test_every_format_is_written_for_the_owner_alone(shop: Shop, suffix: str) -> None:
    result = shop.one(replace(BUYERS, to=f"out/x{suffix}"))
    assert result.rows == 3
    for name in (result.path, result.manifest):
        assert stat.S_IMODE(Path(name or "").stat().st_mode) == 0o600
    assert not shop.leftovers()


def test_the_json_form_is_the_documented_one(shop: Shop) -> None:
    (done,) = report.document([shop.one(TAG)])["exports"]
    assert list(done) == ["name", "status", "rows", "path", "manifest", "job", "error"]
    assert done["manifest"] == f"{done['path']}.manifest.json"
    (failed,) = report.document([shop.one(replace(TAG, to="out/x.doc"))])["exports"]
    assert failed["error"]["code"] == "usage"
    assert (failed["status"], failed["path"], failed["manifest"]) == ("failed", None, None)


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ((), 0),
        (("done", "done"), 0),
        (("done", "running"), 5),
        (("running", "failed"), 1),
        (("ambiguous", "done"), 1),
    ],
)
def test_the_exit_code_of_a_run(statuses: Sequence[str], code: int) -> None:
    assert export.exit_code([Result("x", status) for status in statuses]) == code


# Waiting


def test_the_first_poll_comes_at_once_and_the_pauses_grow_to_ten_seconds(shop: Shop) -> None:
    shop.platform.switches.stages = ["RUNNING"] * 12
    assert shop.one(TAG).status == "done"
    assert shop.slept[0] == 1.0
    assert shop.slept == sorted(shop.slept)
    assert shop.slept[-1] == 10.0


def test_progress_is_told_once_for_each_change(shop: Shop) -> None:
    shop.platform.switches.stages = ["READY", "RUNNING", "RUNNING", "DATA_READY"]
    shop.one(TAG)
    said = [str(each) for each in shop.said]
    assert "payments: READY" in said
    assert said.count("payments: RUNNING") == 1
    shop.said.clear()
    shop.one(BUYERS)
    fractions = [each.fraction for each in shop.said if each.fraction is not None]
    assert fractions == sorted(fractions)
    assert any(0 < fraction < 1 for fraction in fractions)
    assert fractions[-1] == 1.0
    assert not any("dev-1" in str(each) for each in shop.said)
    assert any("quota tokens" in str(each) for each in shop.said)


@BOTH
def test_without_waiting_the_job_is_left_running_and_the_next_run_picks_it_up(
    shop: Shop, wanted: Export
) -> None:
    first = shop.one(wanted, wait=False)
    assert (first.status, first.exit_code, first.path) == ("running", 5, None)
    assert first.job
    assert not shop.slept
    second = shop.one(wanted)
    assert (second.status, second.job) == ("done", first.job)
    assert len(shop.posts("/audienceExports")) + len(shop.platform.jobs) == 1


def test_a_new_job_is_not_asked_about_without_waiting_and_a_finished_one_is_fetched(shop: Shop) -> None:
    shop.platform.switches.stages = []
    assert shop.one(TAG, wait=False).status == "running"
    assert not shop.platform.queries("jobResult")
    assert shop.one(TAG, wait=False).status == "done"
    assert not shop.slept


def test_a_run_ends_in_time(shop: Shop) -> None:
    shop.platform.switches.stages = ["RUNNING"] * 1000
    (result,) = shop.run(TAG, timeout=25)
    assert result.status == "running"
    assert sum(shop.slept) == pytest.approx(25)
    assert isinstance(result.error, errors.UnfinishedError)


def test_exports_wait_side_by_side(shop: Shop) -> None:
    shop.platform.switches.stages = ["RUNNING"] * 8
    exports = [BUYERS, TAG, SEGMENT]
    results = shop.run(*exports)
    assert {result.name: result.status for result in results} == dict.fromkeys(
        ("buyers", "payments", "seg"), "done"
    )
    assert sum(shop.slept) < 45


def test_one_failure_does_not_stop_the_others(shop: Shop) -> None:
    results = shop.run(replace(BUYERS, audience="nope"), TAG)
    assert sorted((result.name, result.status) for result in results) == [
        ("buyers", "failed"),
        ("payments", "done"),
    ]


def test_two_exports_to_one_file_are_refused(shop: Shop) -> None:
    first, second = shop.run(TAG, replace(SEGMENT, to="./out/../out/payments.csv"))
    assert {first.status, second.status} == {"done", "failed"}
    assert any("same file" in str(each.error) for each in (first, second))


# Submits


def accepted(shop: Shop) -> int:
    return len(shop.remote().exports()) + len(shop.platform.jobs)


def break_create(shop: Shop, when: str, answer: Answer | None) -> None:
    def fault(call: Call, at: str) -> Answer | None:
        if at == when and call.method == "POST" and call.path.endswith("/audienceExports"):
            if answer is None:
                raise ConnectionError
            return answer
        return None

    shop.fault = fault


BAD_GATEWAY = Answer(502, {"Content-Type": "text/plain"}, b"bad gateway")


@pytest.mark.parametrize("fault", ["cut", "502"])
@BOTH
def test_a_submit_whose_answer_is_lost_is_ambiguous_and_not_sent_again(
    shop: Shop, wanted: Export, fault: str
) -> None:
    break_create(shop, "before", BAD_GATEWAY if fault == "502" else None)
    shop.platform.faults.submit = [fault]
    first = shop.one(wanted)
    assert (first.status, first.exit_code) == ("ambiguous", 1)
    assert first.error
    assert first.error.code == "ambiguous-submit"
    assert "--restart" in str(first.error)
    shop.fault = lambda _call, _when: None
    shop.now += 3600
    assert shop.one(wanted).status == "ambiguous"
    assert accepted(shop) == 0
    assert shop.one(wanted, restart=True).status == "done"
    assert accepted(shop) == 1


@pytest.mark.parametrize("fault", ["cut-accepted", "502-accepted"])
def test_a_job_of_growingio_whose_id_was_lost_is_not_started_twice(shop: Shop, fault: str) -> None:
    shop.platform.faults.submit = [fault]
    assert [shop.one(TAG).status for _ in range(3)] == ["ambiguous"] * 3
    assert len(shop.platform.queries("submit")) == 1


def test_an_export_of_ga4_whose_name_was_lost_is_found_by_the_next_run(shop: Shop) -> None:
    break_create(shop, "after", BAD_GATEWAY)
    assert shop.one(BUYERS).status == "ambiguous"
    shop.fault = lambda _call, _when: None
    assert shop.one(BUYERS).status == "done"
    assert len(shop.posts("/audienceExports")) == 1


@pytest.mark.parametrize("named", [True, False])
def test_an_operation_may_have_a_name_or_not(shop: Shop, named: bool) -> None:
    shop.api.switches = Switches(named_operation=named)
    shop.api.__post_init__()
    assert shop.one(BUYERS).status == "done"


def test_a_refused_submit_leaves_nothing_behind(shop: Shop) -> None:
    shop.platform.switches.refusal = "no such tag"
    result = shop.one(TAG)
    assert (result.status, "no such tag" in str(result.error)) == ("failed", True)
    assert not shop.states
    shop.platform.switches.refusal = ""
    assert shop.one(TAG).status == "done"


def test_a_platform_that_is_not_there_leaves_nothing_behind(shop: Shop) -> None:
    address, shop.platform.address = shop.platform.address, "http://127.0.0.1:1"
    assert shop.one(TAG).status == "failed"
    assert not shop.states
    shop.platform.address = address


def test_a_missing_secret_is_noticed_before_anything_is_sent(shop: Shop) -> None:
    del shop.environ["TOKEN"]
    result = shop.one(TAG)
    assert (result.status, "TOKEN" in str(result.error)) == ("failed", True)
    assert not shop.platform.seen


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"to": "out/x.txt"}, "has to end in one of"),
        ({"to": "folder.csv"}, "is a folder"),
        ({"hash": "sha256"}, "needs a `saltEnv`"),
        ({"hash": "sha256", "salt_env": "NOT_SET"}, "NOT_SET is not set"),
        ({"hash": "sha256", "salt_env": "SALT", "audience": "", "tag": "x", "growingio": "p"}, "`idColumns`"),
        ({"audience": "", "analysis": "x", "growingio": "p"}, "needs a `type`"),
    ],
)
def test_what_cannot_work_costs_no_job(shop: Shop, change: dict[str, Any], said: str) -> None:
    (shop.folder / "folder.csv").mkdir()
    result = shop.one(replace(BUYERS, **change))
    assert result.status == "failed"
    assert said in str(result.error)
    assert not shop.calls
    assert not shop.platform.seen


def test_a_project_is_needed_for_all_but_tags(shop: Shop) -> None:
    exports = [replace(each, growingio="projectless") for each in (SEGMENT, ANALYSIS, TAG)]
    results = {result.name: result for result in shop.run(*exports)}
    assert [results[name].status for name in ("seg", "funnel", "payments")] == ["failed", "failed", "done"]
    assert "`project`" in str(results["seg"].error)
    assert shop.one(replace(exports[0], project="WlGk4Daj")).status == "done"


# GA4's own ways


def test_a_young_export_is_used_again_whatever_the_order_of_its_dimensions(shop: Shop) -> None:
    first = shop.one(BUYERS)
    turned = replace(BUYERS, name="turned", dimensions=BUYERS.dimensions[::-1], to="out/turned.csv")
    second = shop.one(turned)
    assert second.job == first.job
    assert table(second)[:2] == [["isAdsPersonalizationAllowed", "deviceId"], ["true", "dev-1"]]
    assert len(shop.posts("/audienceExports")) == 1


def test_an_export_is_not_used_again_when_old_or_other_or_refused(shop: Shop) -> None:
    first = shop.one(BUYERS)
    assert shop.one(replace(BUYERS, dimensions=("deviceId",))).job != first.job
    assert shop.one(BUYERS, restart=True).job != first.job
    shop.now += DAY + 60
    fresh = shop.one(BUYERS)
    assert len(shop.posts("/audienceExports")) == 4
    assert shop.one(BUYERS).job == fresh.job


def test_a_failed_export_shows_googles_words_and_the_next_run_asks_again(shop: Shop) -> None:
    shop.api.switches = Switches(export_error="Too many exports at once.")
    shop.api.__post_init__()
    first = shop.one(BUYERS)
    assert first.status == "failed"
    assert "Too many exports at once." in str(first.error)
    shop.api.switches = Switches()
    shop.api.__post_init__()
    second = shop.one(BUYERS)
    assert second.status == "done"
    assert second.job != first.job


def test_an_export_that_expired_while_nobody_looked_is_asked_for_again(shop: Shop) -> None:
    first = shop.one(BUYERS, wait=False)
    shop.now += 4 * DAY
    second = shop.one(BUYERS)
    assert second.status == "done"
    assert second.job != first.job


def test_pages_are_followed_to_the_last_row(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiencesync.jobs.MAX_MEMBERS", 2)
    assert len(table(shop.one(BUYERS))) == 4
    assert [json.loads(call.body)["offset"] for call in shop.posts(":query")] == ["0", "2"]


def test_nobody_in_an_audience_is_a_file_with_a_header(shop: Shop) -> None:
    shop.api.members = lambda _audience, _number: []
    shop.api.__post_init__()
    result = shop.one(BUYERS)
    assert (result.status, table(result)) == ("done", [list(BUYERS.dimensions)])
    assert (manifest(result)["rows"], manifest(result)["expectedRows"]) == (0, 0)


def test_a_page_that_is_cut_goes_on_where_it_stopped(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiencesync.jobs.MAX_MEMBERS", 2)
    monkeypatch.setattr("audiencesync.members._BATCH", 1)
    cuts = iter([60, 200, 200])

    def fault(call: Call, when: str) -> Answer | None:
        if when == "after" and call.path.endswith(":query") and call.answer:
            length = next(cuts, None)
            return replace(call.answer, body=call.answer.body[:length])
        return None

    shop.fault = fault
    assert [row[0] for row in table(shop.one(BUYERS))[1:]] == ["dev-1", "0017", "9007199254740993"]


def test_fewer_rows_than_promised_are_a_failure_that_names_both_numbers(shop: Shop) -> None:
    old = shop.one(BUYERS)
    before = table(old)

    def fault(call: Call, when: str) -> Answer | None:
        if when == "after" and call.path.endswith(":query"):
            body = {"audienceRows": [{"dimensionValues": [{"value": "x"}, {}]}] * 2, "rowCount": 3}
            if json.loads(call.body)["offset"] != "0":
                body = {"rowCount": 3}
            return Answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
        return None

    shop.fault = fault
    result = shop.one(BUYERS)
    assert result.status == "failed"
    assert "2 of 3" in str(result.error)
    assert table(old) == before
    assert manifest(old)["rows"] == 3
    assert not shop.leftovers()


@pytest.mark.parametrize(("promised", "counted"), [(5, 3), (3, 5)])
def test_the_larger_of_two_promises_counts(shop: Shop, promised: int, counted: int) -> None:
    def fault(call: Call, when: str) -> Answer | None:
        if when == "after" and call.answer and "/audienceExports/" in call.path:
            body = json.loads(call.answer.body)
            if "rowCount" in body:
                body["rowCount"] = counted if call.path.endswith(":query") else promised
            return replace(call.answer, body=json.dumps(body).encode())
        return None

    shop.fault = fault
    assert "3 of 5" in str(shop.one(BUYERS).error)


def test_a_page_that_is_always_cut_ends_the_run_and_keeps_the_job(shop: Shop) -> None:
    def fault(call: Call, when: str) -> Answer | None:
        if when == "after" and call.answer and call.path.endswith(":query"):
            return replace(call.answer, body=call.answer.body[:20])
        return None

    shop.fault = fault
    assert shop.one(BUYERS).status == "failed"
    assert len(shop.posts(":query")) == 5
    shop.fault = lambda _call, _when: None
    assert shop.one(BUYERS).status == "done"
    assert len(shop.posts("/audienceExports")) == 1


# GrowingIO's own ways


def test_uris_may_come_some_polls_after_the_end(shop: Shop) -> None:
    shop.platform.switches.null_uris = 4
    shop.platform.switches.null_results = 2
    assert shop.one(TAG).status == "done"


def test_uris_that_never_come_are_a_failure_that_keeps_the_job(shop: Shop) -> None:
    shop.platform.switches.null_uris = 1000
    result = shop.one(TAG)
    assert result.status == "failed"
    assert "names no file" in str(result.error)
    shop.platform.switches.null_uris = 0
    assert shop.one(TAG).status == "done"
    assert len(shop.platform.jobs) == 1


def test_an_unknown_stage_is_not_the_end(shop: Shop) -> None:
    shop.platform.switches.stages = ["NONE", "ARCHIVING", "TENCENT_PORTRAIT_RUNNING", "DATA_READY"]
    assert shop.one(TAG).status == "done"


def test_error_is_the_end_and_the_next_run_starts_anew(shop: Shop) -> None:
    shop.platform.switches.final = "ERROR"
    first = shop.one(TAG)
    assert (first.status, "ERROR" in str(first.error)) == ("failed", True)
    shop.platform.switches.final = "FINISH"
    assert shop.one(TAG).status == "done"
    assert len(shop.platform.jobs) == 2


def test_a_stage_that_only_begins_like_error_is_not_the_end(shop: Shop) -> None:
    shop.platform.switches.stages = ["ERROR_RETRYING"]
    assert shop.one(TAG).status == "done"


def test_an_error_on_a_job_ends_it(shop: Shop) -> None:
    shop.one(TAG, wait=False)
    shop.platform.switches.error = {"code": "E7", "message": "deleted"}
    result = shop.one(TAG)
    assert (result.status, "E7 deleted" in str(result.error)) == ("failed", True)
    assert not shop.states


@pytest.mark.parametrize("header_once", [False, True])
def test_several_files_become_one(shop: Shop, header_once: bool) -> None:
    uris = ["/jobs/results/a/用户 1&2.csv", "%2Fjobs%2Fresults%2Fa%2F100%25.csv", "/jobs/c#.csv"]
    shop.platform.switches.uris, shop.platform.switches.header_once = uris, header_once
    shop.platform.rows = (("id", "n"), *((f"u{n}", str(n)) for n in range(7)))
    result = shop.one(TAG)
    assert result.rows == 7
    assert table(result) == [list(row) for row in shop.platform.rows]
    assert manifest(result)["source"]["files"] == ["用户 1&2.csv", "100%.csv", "c#.csv"]


def test_files_with_different_columns_are_not_mixed(shop: Shop) -> None:
    shop.platform.switches.uris = ["/a.csv", "/b.csv"]
    shop.one(TAG, wait=False)
    shop.platform.files["/b.csv"] = "城市,用户ID\nx,y\n".encode()
    result = shop.one(TAG)
    assert (result.status, "different columns" in str(result.error)) == ("failed", True)
    assert not (shop.folder / "out" / "payments.csv").exists()
    assert not shop.leftovers()


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("mark", [False, True])
@pytest.mark.parametrize("charset", ["UTF-16LE", "UTF-16BE", "UTF-8", "GB18030"])
def test_whatever_the_file_is_written_in_it_becomes_utf8(
    shop: Shop, charset: str, mark: bool, delimiter: str
) -> None:
    switches = shop.platform.switches
    switches.charset, switches.mark, switches.delimiter = charset, mark, delimiter
    switches.stages = []
    result = shop.one(SEGMENT)
    assert table(result) == [list(row) for row in shop.platform.rows]
    assert (manifest(result)["encoding"], manifest(result)["delimiter"]) == (charset, delimiter)


@pytest.mark.parametrize(
    ("faults", "etag"),
    [
        (["cut:100000"], ""),
        (["cut:100000"], '"1"'),
        (["502"], ""),
        (["cut:100000", "cut:70000", "502"], '"1"'),
    ],
)
def test_a_broken_download_is_mended(shop: Shop, faults: list[str], etag: str) -> None:
    shop.platform.rows = (("id", "n"), *((f"user-{n:020d}", str(n)) for n in range(10_000)))
    shop.platform.switches.etag, shop.platform.switches.ranges = etag, bool(etag)
    shop.platform.faults.download = list(faults)
    assert table(shop.one(TAG)) == [list(row) for row in shop.platform.rows]
    ranged = [seen for seen in shop.platform.paths("/download") if "Range" in seen.headers]
    assert bool(ranged) == bool(etag)


@pytest.mark.parametrize("fault", ["html", "json", "404"])
def test_a_download_that_is_no_file_leaves_the_old_file_and_keeps_the_job(shop: Shop, fault: str) -> None:
    old = shop.one(TAG)
    before = table(old)
    shop.platform.rows = (*shop.platform.rows, ("neu", "1"))
    shop.platform.faults.download = [fault]
    result = shop.one(TAG)
    assert (result.status, "--restart" in str(result.error)) == ("failed", True)
    assert table(old) == before
    assert manifest(old)["rows"] == 3
    assert shop.one(TAG).rows == 4
    assert len(shop.platform.jobs) == 2
    assert not shop.leftovers()


def test_a_uri_that_climbs_is_refused(shop: Shop) -> None:
    shop.platform.switches.uris = ["/jobs/../../etc/passwd"]
    result = shop.one(TAG)
    assert (result.status, "not fetched" in str(result.error)) == ("failed", True)
    assert not shop.platform.paths("/download")


@pytest.mark.parametrize("fault", ["cut", "502", "html", "garbage", "401"])
def test_a_broken_poll_is_asked_again(shop: Shop, fault: str) -> None:
    shop.platform.faults.poll = [fault] * 2 if fault != "401" else [fault]
    assert shop.one(TAG).status == "done"


def test_polls_that_stay_broken_end_the_run_and_keep_the_job(shop: Shop) -> None:
    shop.platform.faults.poll = ["502"] * 100
    assert shop.one(TAG).status == "failed"
    shop.platform.faults.poll = []
    assert shop.one(TAG).status == "done"
    assert len(shop.platform.jobs) == 1


# What is written


def test_ids_are_hashed_with_a_salt(shop: Shop) -> None:
    wanted = replace(BUYERS, hash="sha256", salt_env="SALT", dimensions=("deviceId", "userId"))
    body = table(shop.one(wanted))[1:]
    assert body[0] == [hashlib.sha256(b"pepper" + each).hexdigest() for each in (b"dev-1", b"user-1")]
    assert body[1][1] == ""


def test_an_id_column_that_is_not_there_is_no_file_in_the_clear(shop: Shop) -> None:
    wanted = replace(TAG, hash="sha256", salt_env="SALT", id_columns=("userId",))
    result = shop.one(wanted)
    assert (result.status, "userId" in str(result.error)) == ("failed", True)
    assert not (shop.folder / "out" / "payments.csv").exists()
    named = shop.one(replace(wanted, id_columns=("用户ID",)))
    assert named.job == result.job
    assert table(named)[1][0] == hashlib.sha256(b"pepper0017").hexdigest()


def test_formulas_are_made_harmless_where_it_is_asked_for(shop: Shop) -> None:
    shop.platform.rows = (("id", "n"), ("=1+1", "-5"))
    assert table(shop.one(replace(TAG, formula_safe=True)))[1] == ["'=1+1", "-5"]


def test_neither_state_nor_manifest_holds_a_member_or_a_token(shop: Shop) -> None:
    shop.one(BUYERS, wait=False)
    shop.one(TAG, wait=False)
    shop.one(SEGMENT)
    private = [path for path in (shop.folder / ".audiencesync").rglob("*") if path.is_file()]
    texts = [path.read_text() for path in private if path.name != ".gitignore"]
    assert len(shop.states) == 2
    assert not any(word in text for text in texts for word in ("given-token", "dev-1", "0017", "pepper"))
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in shop.states)
    assert (shop.folder / ".audiencesync" / ".gitignore").read_text() == "*\n"


def test_other_settings_are_another_job(shop: Shop) -> None:
    first = shop.one(TAG, wait=False)
    second = shop.one(replace(TAG, tag="tag_city"))
    assert second.status == "done"
    assert second.job != first.job


def test_another_file_is_the_same_job(shop: Shop) -> None:
    first = shop.one(TAG, wait=False)
    assert shop.one(replace(TAG, to="out/other.parquet")).job == first.job


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"formatVersion": "9.9", "stage": "submitted", "asked": {}, "started_at": ""}'],
)
def test_a_damaged_state_is_not_taken_for_none(shop: Shop, text: str) -> None:
    shop.one(TAG, wait=False)
    (state,) = shop.states
    state.write_text(text)
    result = shop.one(TAG)
    assert (result.status, "--restart" in str(result.error)) == ("failed", True)
    assert len(shop.platform.jobs) == 1
    assert shop.one(TAG, restart=True).status == "done"


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", "用户", "x" * 300, "con.tar", "a b"])
def test_an_exports_name_is_no_path(shop: Shop, name: str) -> None:
    shop.one(replace(TAG, name=name), wait=False)
    assert len(shop.states) == 1
    assert shop.one(replace(TAG, name=name)).status == "done"
    assert len(shop.platform.jobs) == 1


def test_two_runs_at_once_do_not_start_two_jobs(shop: Shop) -> None:
    shop.platform.faults.hold = threading.Event()
    results: list[Result] = []
    first = threading.Thread(target=lambda: results.append(shop.one(TAG)))
    first.start()
    try:
        while not shop.platform.queries("submit"):
            assert first.is_alive()
        second = shop.one(TAG)
        assert (second.status, "another run" in str(second.error)) == ("failed", True)
    finally:
        shop.platform.faults.hold.set()
        first.join()
    assert results[0].status == "done"
    assert len(shop.platform.jobs) == 1


# Kills


@pytest.mark.parametrize("broken", ["audiencesync.rows.place", "audiencesync.jobfile.write_json"])
@pytest.mark.parametrize("change", [False, True])
def test_what_was_written_is_not_fetched_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, broken: str, change: bool
) -> None:
    shop.one(TAG)
    shop.platform.rows = (*shop.platform.rows, ("neu", "1"))
    name, method = broken.rsplit(".", 1)
    usual: Callable[..., None] = getattr(sys.modules[name], method)

    def fail(*arguments: Any) -> None:
        path = arguments[method == "place"]
        if path.parent.name == "out":
            raise KeyboardInterrupt
        usual(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(broken, fail)
        with pytest.raises(KeyboardInterrupt):
            shop.one(TAG)
    if change:
        for path in (shop.folder / "out").iterdir():
            path.unlink()
    downloads = len(shop.platform.paths("/download"))
    result = shop.one(TAG)
    assert (result.status, len(table(result))) == ("done", 5)
    assert manifest(result)["sha256"] == hashlib.sha256(Path(result.path or "").read_bytes()).hexdigest()
    assert len(shop.platform.paths("/download")) - downloads == int(change)
    assert len(shop.platform.jobs) == 2
    assert not shop.leftovers()


class Program:
    """The program that dies on demand."""

    def __init__(self, shop: Shop, wanted: Export) -> None:
        names = ("audience", "dimensions", "growingio", "tag", "to")
        config: dict[str, Any] = {
            "folder": str(shop.folder),
            "ga4": shop.address,
            "growingio": shop.platform.address,
            "environ": shop.environ,
            "export": {name: getattr(wanted, name) for name in names},
        }
        if wanted.audience:
            config["export"]["audience"] = shop.audience
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.export_program", json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def run(self, now: float, last: int = 0) -> dict[str, Any] | None:
        """Run the export; give its result, or None where it was killed before its step `last`."""
        _pipe(self._process.stdin).write(f"{last} {now}\n")
        _pipe(self._process.stdin).flush()
        answer = json.loads(_pipe(self._process.stdout).readline())
        assert answer is None or isinstance(answer, dict), answer
        return answer

    def close(self) -> None:
        _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        assert self._process.wait(10) == 0


def _pipe(found: IO[str] | None) -> IO[str]:
    assert found is not None
    return found


def whole(path: Path) -> bytes | None:
    """Give the file's bytes; a manifest beside it has to be its own."""
    body = path.read_bytes() if path.exists() else None
    beside = path.with_name(path.name + ".manifest.json")
    if beside.exists():
        found = json.loads(beside.read_text())
        assert body is not None
        assert found["sha256"] == hashlib.sha256(body).hexdigest()
    return body


def end(program: Program, now: float, last: int = 0) -> dict[str, Any]:
    result = program.run(now, last)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("wanted", "suffix", "unknown"),
    # Between the intent and the answer nobody can know; GA4 can be asked what has arrived.
    [(BUYERS, ".csv", 2), (TAG, ".parquet", 5)],
    ids=["ga4", "growingio"],
)
def test_a_kill_at_any_step_leaves_whole_files_and_never_a_second_job(
    shop: Shop, wanted: Export, suffix: str, unknown: int
) -> None:
    wanted = replace(wanted, name="members", to=f"out/members{suffix}")
    path = shop.folder / wanted.to
    shop.api.export_delay = 0.0
    shop.api.__post_init__()
    program, statuses, last, old = Program(shop, wanted), [], 0, None
    try:
        while True:
            last += 1
            jobs = len(shop.posts("/audienceExports")) + len(shop.platform.jobs)
            if program.run(shop.now, last) is not None:
                break
            assert (whole(path) is None) == (old is None) or whole(path)
            result = end(program, shop.now)
            statuses.append(result["status"])
            assert len(shop.posts("/audienceExports")) + len(shop.platform.jobs) - jobs <= 1
            if result["status"] == "ambiguous":
                result = end(program, shop.now, -1)
            assert result["status"] == "done"
            old = whole(path)
            assert old is not None
            assert path.with_name(path.name + ".manifest.json").exists()
            assert not shop.states
            assert not shop.leftovers()
            shop.platform.rows = (*shop.platform.rows, (f"u{last}", "1"))
            shop.now += DAY + 1
    finally:
        program.close()
    assert statuses.count("ambiguous") == unknown
    assert len(statuses) > 15
