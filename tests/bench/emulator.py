"""Requests a second of the embedded property against a bare ThreadingHTTPServer, in the same run.

    .venv/bin/python tests/bench/emulator.py [SECONDS]

Both servers run in a process of their own; the client keeps its connections. The bare one answers every call
with a fixed body of the size of one audience. Also shown: the same calls answered without a socket.
"""

from __future__ import annotations

import http.client
import http.server
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audiencesync.local.api import Api, Switches
from audiencesync.local.server import serve
from audiencesync.local.store import Store

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
CLIENTS = 16
AUDIENCES = "/v1alpha/properties/1000/audiences"
LEAF = {"dimensionOrMetricFilter": {"fieldName": "country", "stringFilter": {"matchType": 1, "value": "CA"}}}
GROUP = {"andGroup": {"filterExpressions": [{"orGroup": {"filterExpressions": [LEAF, LEAF]}}]}}
BODY = {
    "displayName": "Measured",
    "description": "A body of ordinary size.",
    "membershipDurationDays": 30,
    "filterClauses": [{"clauseType": 1, "simpleFilter": {"scope": 3, "filterExpression": GROUP}}] * 2,
}
CREATE = json.dumps(BODY).encode()
Send = Callable[[str, str, bytes], bytes]


def bare(ready: Any) -> None:
    """Serves a fixed body, with the two settings that a fair peer needs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 64 * 1024

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(CREATE)))
            self.end_headers()
            self.wfile.write(CREATE)
            self.wfile.flush()

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()


def emulator(ready: Any, folder: str) -> None:
    """Serves the embedded property."""
    api = Api(store=Store(Path(folder)), switches=Switches(audience_limit=10**9))
    serve(api, port=0, ready=lambda base: ready.send(int(base.rpartition(":")[2])))


def rate(port: int, clients: int, call: Callable[[Send], object]) -> float:
    """Calls a second over so many connections."""
    counts = [0] * clients
    end = time.perf_counter() + SECONDS

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def send(method: str, path: str, body: bytes) -> bytes:
            connection.request(method, path, body)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(text.decode())
            return text

        while time.perf_counter() < end:
            call(send)
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def in_process(folder: str) -> None:
    """The same calls without a socket: what the property itself costs."""
    api = Api(store=Store(Path(folder) / "direct"), switches=Switches(audience_limit=10**9))
    name = json.loads(api.answer("POST", AUDIENCES, "", CREATE).body)["name"]
    for label, arguments in (
        ("get", ("GET", f"/v1alpha/{name}", "", b"")),
        ("create", ("POST", AUDIENCES, "", CREATE)),
        ("patch", ("PATCH", f"/v1alpha/{name}", "updateMask=displayName", b"")),
    ):
        count, end = 0, time.perf_counter() + SECONDS / 2
        began = time.perf_counter()
        while time.perf_counter() < end:
            method, path, query, body = arguments
            body = body if label != "patch" else b'{"displayName": "%d"}' % count
            api.answer(method, path, query, body)
            count += 1
        print(f"{label:22} {'in process':>12} {count / (time.perf_counter() - began):10,.0f}/s")


def started(target: Callable[..., None], *arguments: str) -> tuple[multiprocessing.Process, int]:
    """A server process and its port."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(theirs, *arguments))
    process.start()
    return process, mine.recv()


def main() -> None:
    """Prints calls a second and the ratio to the bare server."""
    with tempfile.TemporaryDirectory() as folder:
        (peer, peer_port), (ours, our_port) = started(bare), started(emulator, folder)
        try:
            connection = http.client.HTTPConnection("127.0.0.1", our_port)
            connection.request("POST", AUDIENCES, CREATE)
            name = json.loads(connection.getresponse().read())["name"]
            connection.close()
            for clients in (1, CLIENTS):
                floor = rate(peer_port, clients, lambda send: send("GET", "/", b""))
                print(f"{'bare server':22} {clients:4} clients {floor:10,.0f}/s")
                for label, call in (
                    ("get", lambda send: send("GET", f"/v1alpha/{name}", b"")),
                    ("create", lambda send: send("POST", AUDIENCES, CREATE)),
                    ("list (page of 50)", lambda send: send("GET", AUDIENCES, b"")),
                ):
                    found = rate(our_port, clients, call)
                    print(f"{label:22} {clients:4} clients {found:10,.0f}/s  {found / floor:5.2f} of bare")
        finally:
            for process in (peer, ours):
                process.terminate()
                process.join()
        in_process(folder)


if __name__ == "__main__":
    main()
