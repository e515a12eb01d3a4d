"""Exports as a stranger runs them: the program itself, against answers copied from the vendors' pages."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import ROOT

TOKEN = "a-token-that-nobody-may-see"
TAG_JOB = "VGFnVXNlckV4cG9ydEpvYkR0bzpBYlEzWEFwWQ"
SEGMENT_JOB = "U2VnbWVudFVzZXJFeHBvcnRKb2JEdG86d1dEcjdPUU0"
ANALYSIS_JOB = "Q0hBUlRTOmJjZGJjNjViZTA4MGE4NzIyZGM0NTM0OGI2YjdjNGMz"
SEGMENT_URI = "/jobs/results/DES-202101280344-13456258654000/下载用户列表.csv"
MANIFEST_KEYS = [
    *("rows", "expectedRows", "bytes", "sha256", "columns", "source", "job"),
    *("startedAt", "finishedAt", "encoding", "delimiter"),
]
TABLE = "gio_id\t用户\t次数\n0017\tMEMBER-甲\t9007199254740993\n0018\t\t3\n"
TWO = "x,y\n1,2\n"

Reply = tuple[int, str, bytes]


@dataclass
class Site:
    """A server whose answers are written by hand; `fault` goes first and may answer, or cut with ()."""

    answers: Callable[[str, str, bytes], Reply]
    address: str = ""
    calls: list[tuple[str, str, bytes]] = field(default_factory=list)
    fault: Callable[[str, str, bytes], Reply | tuple[()] | None] = lambda *_: None

    def count(self, text: str) -> int:
        return sum(text in path or text.encode() in body for _, path, body in self.calls)


def reply(data: object, status: int = 200) -> Reply:
    return status, "application/json; charset=utf-8", json.dumps(data, ensure_ascii=False).encode()


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = (self.command, self.path, body)
            site.calls.append(call)
            found = site.fault(*call)
            if found == ():
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            status, kind, text = found or site.answers(*call)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer  # noqa: N815 - the library's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


# GrowingIO, as the guide (OP 13.6) prints its answers

GROWINGIO: dict[str, object] = {
    "submitTagUserExportJobByKey": {"id": TAG_JOB, "name": "DET-202104131140-42035184000000"},
    "submitSegmentUserExportJob": {"id": SEGMENT_JOB, "name": "DES-202101280344-13456258654000"},
    "submitAnalysisExportJob": {"id": ANALYSIS_JOB, "stage": "FINISH"},
    "tags": [{"key": "tag_payment_times", "name": "订单交易笔数"}],
    "segments": [{"id": "AVpZBzpK", "name": "分群1"}, None, {"id": "qgQMXnD3", "name": "分群4"}],
    "funnelAnalyses": [{"id": "klGvyp7E", "name": "漏斗3"}],
}
FILES = {
    "/jobs/results/DET-1/c6be148a.csv": TWO.encode("gb18030"),
    SEGMENT_URI: TABLE.encode("utf-16-le"),
    "/jobs-results/downloads/下载漏斗.csv": b"\xff\xfe" + TABLE.replace("\t", ",").encode("utf-16-le"),
}
URIS = dict(zip((TAG_JOB, SEGMENT_JOB, ANALYSIS_JOB), FILES, strict=True))


def growingio(_method: str, path: str, body: bytes) -> Reply:
    if path.startswith("/download?file="):
        return 200, "application/octet-stream", FILES[unquote(path.partition("=")[2])]
    query = json.loads(body)["query"]
    if "jobResult" in query:
        job = next(job for job in URIS if job in query)
        return reply([{"data": {"jobResult": {"id": "J1GlEDjl", "stage": "FINISH", "uris": [URIS[job]]}}}])
    name = next((name for name in GROWINGIO if name in query), "")
    return reply([{"data": {name: GROWINGIO.get(name)}}])


@pytest.fixture
def platform() -> Iterator[Site]:
    with serving(Site(growingio)) as site:
        yield site


# GA4, as the page on audienceExports prints its answers: the Operation has neither name nor done


def ga4(members: int = 2) -> Site:
    export = {
        "name": "properties/1000/audienceExports/123",
        "audience": "properties/1000/audiences/77",
        "dimensions": [{"dimensionName": "deviceId"}],
        "beginCreatingTime": "2023-06-22T21:50:34.120Z",
        "creationQuotaTokensCharged": 51,
    }
    audience = {"name": export["audience"], "displayName": "Cart abandoners", "membershipDurationDays": 30}

    def answers(method: str, path: str, _body: bytes) -> Reply:
        path = urlsplit(path).path
        if path.endswith("/audiences"):
            return reply({"audiences": [audience]})
        if path.endswith(":query"):
            rows = [{"dimensionValues": [{"value": f"MEMBER-{n}"}]} for n in range(members)]
            return reply({"audienceExport": export, "audienceRows": rows, "rowCount": members})
        if path.endswith("/audienceExports"):
            return reply({"response": {**export, "state": "CREATING"}} if method == "POST" else {})
        return reply({**export, "state": "ACTIVE", "rowCount": members, "percentageCompleted": 100})

    return Site(answers)


# The program


def workspace(folder: Path, exports: str, *, platform: str = "", targets: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    local = '  demo: {property: "1000", endpoint: local}\n'
    more = (
        f'growingio:\n  p: {{url: "{platform}", project: WlGk4Daj, tokenEnv: GIO_TOKEN}}\n'
        if platform
        else ""
    )
    text = f"owner: acme-web\ndefaultTarget: demo\ntargets:\n{targets or local}{more}exports:\n{exports}"
    (folder / "audiencesync.yaml").write_text(text)
    return folder


def start(folder: Path, *arguments: str, token: str = TOKEN) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "audiencesync", "-w", str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, **({"GIO_TOKEN": token} if token else {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str, token: str = TOKEN) -> tuple[int, Any, str]:
    """Exit code, JSON report and stderr."""
    process = start(folder, *arguments, "--format", "json", token=token)
    out, err = process.communicate(timeout=60)
    return process.returncode, json.loads(out), err


def one(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, report, _ = run(folder, "export", "run", *arguments)
    (found,) = report["exports"]
    return code, found


TAG = "  x: {growingio: p, tag: tag_payment_times, to: out/x.csv}\n"


def test_each_export_of_the_guide_becomes_a_private_file(tmp_path: Path, platform: Site) -> None:
    exports = (
        "  segment: {growingio: p, segment: qgQMXnD3, charset: UTF-16LE, to: out/s.csv}\n"
        "  funnel: {growingio: p, analysis: klGvyp7E, type: FUNNELS, charset: UTF-16LE, to: out/f.jsonl}\n"
    )
    folder = workspace(tmp_path / "w", TAG + exports, platform=platform.address)
    code, report, err = run(folder, "export", "run")
    assert (code, report["error"]) == (0, None)
    found = {each["name"]: each for each in report["exports"]}
    assert {name: (each["status"], each["rows"], each["job"]) for name, each in found.items()} == {
        "x": ("done", 1, TAG_JOB),
        "segment": ("done", 2, SEGMENT_JOB),
        "funnel": ("done", 2, ANALYSIS_JOB),
    }
    assert (folder / "out/s.csv").read_text("utf-8") == TABLE.replace("\t", ",")
    assert json.loads((folder / "out/f.jsonl").read_text("utf-8").splitlines()[1])["用户"] is None
    manifest = json.loads(Path(found["segment"]["manifest"]).read_text())
    assert list(manifest) == MANIFEST_KEYS
    assert (manifest["encoding"], manifest["delimiter"]) == ("UTF-16LE", "\t")
    assert manifest["sha256"] == hashlib.sha256((folder / "out/s.csv").read_bytes()).hexdigest()
    for path in (folder / "out").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    kept = "".join(path.read_text() for path in folder.rglob("*.json"))
    assert TOKEN not in err + kept + json.dumps(report)
    assert "MEMBER" not in err + kept + json.dumps(report)
    assert "segment: downloading 下载用户列表.csv" in err


@pytest.mark.parametrize("fault", [(), (502, "text/html", b"<html>Bad Gateway</html>")])
def test_a_submit_of_unknown_fate_is_sent_again_on_request_alone(
    tmp_path: Path, platform: Site, fault: Any
) -> None:
    folder = workspace(tmp_path / "w", TAG, platform=platform.address)
    platform.fault = lambda _method, _path, body: fault if b"mutation" in body else None
    code, found = one(folder)
    assert (code, found["status"], found["job"]) == (1, "ambiguous", None)
    assert "--restart" in found["error"]["message"]
    platform.fault = lambda *_: None
    assert (*one(folder), platform.count("mutation"))[::2] == (1, 1)
    code, found = one(folder, "--restart")
    assert (code, found["status"], platform.count("mutation")) == (0, "done", 2)


def test_what_was_not_waited_for_is_picked_up(tmp_path: Path, platform: Site) -> None:
    folder = workspace(tmp_path / "w", TAG, platform=platform.address)
    running = reply({"data": {"jobResult": {"id": "x", "stage": "RUNNING", "uris": None}}})
    platform.fault = lambda _method, _path, body: running if b"jobResult" in body else None
    for arguments in (["--no-wait"], ["--timeout", "0"]):
        code, found = one(folder, *arguments)
        assert (code, found["status"], found["job"]) == (5, "running", TAG_JOB)
        assert not (folder / "out").exists()
    platform.fault = lambda *_: None
    code, found = one(folder)
    assert (code, found["status"], platform.count("mutation")) == (0, "done", 1)


def test_a_kill_while_waiting_or_downloading_costs_no_second_job(tmp_path: Path, platform: Site) -> None:
    for moment in ("jobResult", "/download"):
        platform.calls.clear()
        folder = workspace(tmp_path / moment.strip("/"), TAG, platform=platform.address)
        reached, go_on = threading.Event(), threading.Event()

        def stop(
            _method: str,
            path: str,
            body: bytes,
            moment: str = moment,
            reached: threading.Event = reached,
            go_on: threading.Event = go_on,
        ) -> tuple[()] | None:
            if moment in path or moment.encode() in body:
                reached.set()
                go_on.wait(20)
                return ()
            return None

        platform.fault = stop
        process = start(folder, "export", "run")
        assert reached.wait(20)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        go_on.set()
        platform.fault = lambda *_: None
        assert not (folder / "out/x.csv").exists()
        code, found = one(folder)
        assert (code, found["status"], platform.count("mutation")) == (0, "done", 1)
        assert (folder / "out/x.csv").read_text() == TWO
        assert [path.name for path in folder.rglob("*.download")] == []


def _at_download(answer: Reply, _method: str, path: str, _body: bytes) -> Reply | None:
    return answer if path.startswith("/download") else None


def test_what_is_no_file_is_never_taken_for_one(tmp_path: Path, platform: Site) -> None:
    folder = workspace(tmp_path / "w", TAG, platform=platform.address)
    for kind, text in (
        ("text/html", b"<!doctype html><title>login</title>"),
        ("text/csv", b"<!-- sign in --><html><body>login"),
    ):
        answer = (200, kind, text)
        platform.fault = partial(_at_download, answer)
        code, found = one(folder)
        assert (code, found["status"], found["job"]) == (1, "failed", TAG_JOB)
        assert "?." not in found["error"]["message"]
        assert not (folder / "out/x.csv").exists()
    assert platform.count("mutation") == 1


@pytest.mark.parametrize(
    "said",
    [
        {"errors": [{"message": f"the token {TOKEN} is too old"}]},
        {"data": {"submitTagUserExportJobByKey": {"id": None, "error": {"code": "7", "message": TOKEN}}}},
    ],
)
def test_a_token_that_the_platform_echoes_is_not_shown(tmp_path: Path, platform: Site, said: object) -> None:
    folder = workspace(tmp_path / "w", TAG, platform=platform.address)
    platform.fault = lambda _method, _path, body: reply(said) if b"mutation" in body else None
    code, report, err = run(folder, "export", "run")
    assert code == 1
    assert "(credentials)" in report["exports"][0]["error"]["message"]
    assert TOKEN not in err + json.dumps(report)


def test_an_operation_without_name_and_done_becomes_a_file_of_members(tmp_path: Path) -> None:
    exports = "  x: {audience: Cart abandoners, to: out/x.csv}\n"
    with serving(ga4()) as site:
        targets = f'  demo: {{property: "1000", endpoint: "{site.address}", credentials: anonymous}}\n'
        folder = workspace(tmp_path / "w", exports, targets=targets)
        begun = time.monotonic()
        code, report, err = run(folder, "export", "run")
        assert time.monotonic() - begun < 20
    (found,) = report["exports"]
    assert (code, found["rows"], found["job"]) == (0, 2, "properties/1000/audienceExports/123")
    assert (folder / "out/x.csv").read_text() == "deviceId\nMEMBER-0\nMEMBER-1\n"
    assert "51 quota tokens" in err
    assert "MEMBER" not in err


def test_a_job_of_one_endpoint_is_not_picked_up_at_another(tmp_path: Path) -> None:
    """Both endpoints have the property and an export of that name: it is not the same export."""
    exports = "  x: {audience: Cart abandoners, to: out/x.csv}\n"
    with serving(ga4(2)) as first, serving(ga4(3)) as second:
        targets = "".join(
            f'  {name}: {{property: "1000", endpoint: "{site.address}", credentials: anonymous}}\n'
            for name, site in (("demo", first), ("other", second))
        )
        folder = workspace(tmp_path / "w", exports, targets=targets)
        assert one(folder, "--no-wait")[0] == 5
        code, report, _ = run(folder, "-t", "other", "export", "run")
        assert (code, report["exports"][0]["rows"]) == (0, 3)
        assert [method for method, path, _ in second.calls if path.endswith("/audienceExports")] == ["POST"]


def test_what_can_be_listed_is_listed(tmp_path: Path, platform: Site) -> None:
    folder = workspace(tmp_path / "w", TAG, platform=platform.address)
    code, report, _ = run(folder, "export", "list", "--platform", "p")
    found = [(each["kind"], each["id"] or each["key"], each["name"]) for each in report["items"]]
    assert code == 0
    assert found == [
        ("tag", "tag_payment_times", "订单交易笔数"),
        ("segment", "AVpZBzpK", "分群1"),
        ("segment", "qgQMXnD3", "分群4"),
        ("analysis", "klGvyp7E", "漏斗3"),
    ]
    code, report, _ = run(folder, "export", "list", token="")
    assert code == 1
    assert [each["kind"] for each in report["items"]] == ["audience", "audience", "project"]
    assert "GIO_TOKEN is not set" in report["items"][-1]["error"]
    platform.fault = lambda *_: (404, "text/plain", b"no such service")
    out, _ = start(folder, "export", "list", "--platform", "p").communicate()
    assert "analyses (FUNNELS) of p/WlGk4Daj" in out
