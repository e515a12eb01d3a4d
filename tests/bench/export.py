"""Exports of two million rows: time against a bare loop over the same pages, and peak memory.

    .venv/bin/python tests/bench/export.py [ROWS]

The bare loop asks for the same pages (or downloads the same file) with requests, parses them with json (or
csv) and keeps nothing. Server, loop and export are processes of their own on loopback.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROWS = 2_000_000
PAGE = 250_000
LIMIT_MB = 400
DIMENSIONS = ("deviceId", "userId", "isAdsPersonalizationAllowed", "isLimitedAdTracking")
JOB = "properties/1000/audienceExports/1"


def member(number: int) -> tuple[str, str, str, str]:
    """Give a row as GA4's look."""
    return f"{number * 7919:010d}.{1_600_000_000 + number}", f"user-{number:09d}", "true", "false"


def page(offset: int, rows: int) -> bytes:
    """Give one page of members as the Data API answers it, without indentation."""
    found = [
        {"dimensionValues": [{"value": value} for value in member(number)]}
        for number in range(offset, min(offset + PAGE, rows))
    ]
    return json.dumps({"audienceRows": found, "rowCount": rows}, separators=(",", ":")).encode()


def table(rows: int) -> bytes:
    """Give the same rows as GrowingIO's UTF-16LE."""
    lines = (",".join(member(number)) + "\r\n" for number in range(rows))
    return ("设备,用户,个性化,限制\r\n" + "".join(lines)).encode("utf-16-le")


def serve(rows: int) -> None:
    """Serve both until killed; the first line on stdout is the address."""
    pages = {offset: page(offset, rows) for offset in range(0, rows, PAGE)}
    file = table(rows)
    export = {
        "name": JOB,
        "audience": "properties/1000/audiences/7",
        "dimensions": [{"dimensionName": name} for name in DIMENSIONS],
        "state": "ACTIVE",
        "rowCount": rows,
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            if self.path.startswith("/download"):
                self._answer(file)
            else:
                self._answer(json.dumps(export if "/audienceExports/" in self.path else {}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if ":query" in self.path:
                self._answer(pages[int(body["offset"])])
            elif "submit" in body.get("query", ""):
                self._answer(b'{"data":{"submitTagUserExportJobByKey":{"id":"x","name":"x"}}}')
            elif "query" in body:
                answer = {"id": "x", "stage": "FINISH", "uris": ["/jobs/a.csv"]}
                self._answer(json.dumps({"data": {"jobResult": answer}}).encode())
            else:
                self._answer(json.dumps({"response": export}).encode())

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


def loop(address: str, rows: int, kind: str) -> int:
    """Ask for the same bytes and keep nothing."""
    import requests

    session, count = requests.Session(), 0
    if kind == "growingio":
        answer = session.get(f"{address}/download?file=/jobs/a.csv", timeout=60)
        return sum(1 for _ in csv.reader(io.StringIO(answer.content.decode("utf-16-le"), newline=""))) - 1
    for offset in range(0, rows, PAGE):
        body = {"offset": str(offset), "limit": str(PAGE)}
        answer = session.post(f"{address}/v1beta/{JOB}:query", json=body, timeout=60)
        count += len(answer.json()["audienceRows"])
    return count


def carry(address: str, folder: Path, kind: str, name: str) -> int:
    """Export once."""
    from audiencesync import export, ga4, growingio, http
    from audiencesync.settings import Export, GrowingIO

    options = http.Options(limits=None)
    connection = http.connect(address, authorize=None, options=options)
    world = export.World(
        open_ga4=lambda _: ga4.Property(connection, connection, "1000"),
        open_growingio=lambda platform: growingio.connect(
            GrowingIO(name=platform, url=address, token_env="TOKEN"),
            environ={"TOKEN": "x"},
            options=options,
            warn=lambda _: None,
        ),
        resolve=lambda _target, _text: "properties/1000/audiences/7",
        base_dir=folder,
        state_dir=folder / "state",
        environ={},
    )
    wanted = (
        Export(name="x", to=name, audience="x", dimensions=DIMENSIONS)
        if kind == "ga4"
        else Export(name="x", to=name, growingio="p", tag="t")
    )
    (result,) = export.run([wanted], world)
    if result.error:
        raise result.error
    return result.rows or 0


def child(arguments: list[str]) -> None:
    """Do one thing and print its rows, seconds and peak memory in MB."""
    what, address, rows, folder, kind, name = arguments
    began = time.perf_counter()
    count = loop(address, int(rows), kind) if what == "loop" else carry(address, Path(folder), kind, name)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([count, seconds, peak]))


def measured(*arguments: object) -> Any:
    """Run one child."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@contextmanager
def serving(rows: int) -> Iterator[str]:
    """Run the server as long as the block runs."""
    command = [sys.executable, __file__, "serve", str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def main() -> None:
    """Measure and print; fail where the memory grows past its limit or a row is missing."""
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
        return
    if sys.argv[1:2] in (["loop"], ["carry"]):
        child(sys.argv[1:])
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    failed = False
    with serving(rows) as address, tempfile.TemporaryDirectory() as folder:
        for kind in ("ga4", "growingio"):
            count, bare, peak = measured("loop", address, rows, folder, kind, "-")
            print(f"{kind:<10} bare loop     {bare:6.1f} s  1.00        {peak:5.0f} MB", flush=True)
            failed |= count != rows
            for suffix in (".csv", ".jsonl", ".csv.gz", ".parquet"):
                count, seconds, peak = measured("carry", address, rows, folder, kind, f"{kind}{suffix}")
                ratio = seconds / bare
                print(
                    f"{kind:<10} {suffix:<13} {seconds:6.1f} s  {ratio:4.2f} times  {peak:5.0f} MB",
                    flush=True,
                )
                failed |= count != rows or peak > LIMIT_MB
    sys.exit(failed)


if __name__ == "__main__":
    main()
