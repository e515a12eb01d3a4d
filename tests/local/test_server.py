"""The embedded property over HTTP: connections, many clients, stops and kills."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Literal
from urllib.error import HTTPError

import pytest

from audiencesync.errors import UsageError
from audiencesync.local.api import Api
from audiencesync.local.context import Answer, Call, Switches
from audiencesync.local.server import MAX_BODY, running
from audiencesync.local.store import Store
from tests.local.conftest import AUDIENCES, Json, MakeProperty, Property, body_of


def send(base: str, method: str, path: str, body: object = None) -> tuple[int, Json]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@contextmanager
def connected(base: str) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(base.removeprefix("http://"), timeout=30)) as connection:
        yield connection


def test_the_same_is_answered_over_http(ga: Property) -> None:
    with running(ga.api) as base:
        assert base.startswith("http://127.0.0.1:")
        status, made = send(base, "POST", AUDIENCES, body_of("Ä"))
        assert status == 200
        assert send(base, "GET", f"/v1alpha/{made['name']}?%24alt=json") == (200, made)
        status, _ = send(
            base, "PATCH", f"/v1alpha/{made['name']}?updateMask=displayName", {"displayName": "B"}
        )
        assert status == 200
        assert send(base, "GET", AUDIENCES) == (200, ga.call("GET", AUDIENCES))
        assert send(base, "POST", AUDIENCES, {"x": 1})[0] == 400
        assert send(base, "DELETE", f"/v1alpha/{made['name']}")[0] == 405


def test_a_connection_is_kept_and_answers_at_once(ga: Property) -> None:
    with running(ga.api) as base, connected(base) as connection:
        connection.connect()
        sock = connection.sock
        took = []
        for _ in range(50):
            began = time.monotonic()
            connection.request("POST", AUDIENCES, json.dumps({"x": 1}))
            answer = connection.getresponse()
            assert answer.status == 400
            assert answer.version == 11
            answer.read()
            took.append(time.monotonic() - began)
        # Nagle's algorithm against delayed acknowledgements would take 40 ms a call.
        assert median(took) < 0.03
        assert connection.sock is sock


def test_nothing_about_the_machine_is_told(ga: Property) -> None:
    with running(ga.api) as base, connected(base) as connection:
        connection.request("GET", AUDIENCES)
        answer = connection.getresponse()
        assert answer.headers["Server"].strip() == "audiencesync"
        assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Length": str(MAX_BODY + 1)}, 413),
        ({"Content-Length": "9" * 40}, 413),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": "x"}, 400),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_body_of_unknown_or_absurd_length_is_refused(
    ga: Property, headers: dict[str, str], code: int
) -> None:
    with running(ga.api) as base, connected(base) as connection:
        connection.putrequest("POST", AUDIENCES)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == code
        assert answer.headers["Connection"] == "close"
        assert json.loads(answer.read())["error"]["code"] == code


def test_a_body_that_ends_too_soon_changes_nothing(ga: Property) -> None:
    with running(ga.api) as base, connected(base) as connection:
        body = json.dumps(body_of()).encode()
        connection.putrequest("POST", AUDIENCES)
        connection.putheader("Content-Length", str(len(body) + 1))
        connection.endheaders(body)
        assert connection.sock
        connection.sock.shutdown(socket.SHUT_WR)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            connection.getresponse()
        assert ga.names() == ["All Users", "Purchasers"]


def test_a_cut_line_is_a_cut_line(make: MakeProperty) -> None:
    def faults(call: Call, when: Literal["before", "after"]) -> Answer | None:
        if call.method == "POST" and when == "after":
            raise ConnectionResetError
        return Answer.of(503, {"error": {}}) if call.method == "DELETE" else None

    ga = make(faults=faults)
    with running(ga.api) as base, connected(base) as connection:
        assert send(base, "DELETE", AUDIENCES) == (503, {"error": {}})
        connection.request("POST", AUDIENCES, json.dumps(body_of("A")))
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            connection.getresponse()
    assert ga.names() == ["All Users", "Purchasers", "A"]


def test_a_store_that_fails_is_an_internal_error(ga: Property) -> None:
    with running(ga.api) as base:
        ga.api.store.close()
        ga.api.store.path.unlink()
        status, answer = send(base, "GET", AUDIENCES)
        assert (status, answer["error"]["status"]) == (500, "INTERNAL")


def test_16_clients_at_once_lose_nothing(make: MakeProperty) -> None:
    ga = make(Switches(audience_limit=1000))

    def work(client: int) -> list[str]:
        names = []
        with connected(base) as connection:
            for number in range(12):
                connection.request("POST", AUDIENCES, json.dumps(body_of(f"{client}-{number}")))
                answer = connection.getresponse()
                assert answer.status == 200
                names.append(json.loads(answer.read())["name"])
                connection.request("GET", f"/v1alpha/{names[-1]}")
                assert json.loads(connection.getresponse().read())["displayName"] == f"{client}-{number}"
            connection.request("POST", f"/v1alpha/{names.pop()}:archive", "{}")
            assert connection.getresponse().read() == b"{}"
        return names

    with running(ga.api) as base, ThreadPoolExecutor(16) as pool:
        made = [name for names in pool.map(work, range(16)) for name in names]
        status, page = send(base, "GET", f"{AUDIENCES}?pageSize=200")
    assert status == 200
    listed = [found["name"] for found in page["audiences"]]
    assert sorted(made) == sorted(listed[2:])
    assert len(listed) == 2 + 16 * 11


def test_16_clients_at_once_cannot_overfill_a_property(make: MakeProperty) -> None:
    ga = make(Switches(audience_limit=20))
    with running(ga.api) as base, ThreadPoolExecutor(16) as pool:
        codes = list(
            pool.map(lambda number: send(base, "POST", AUDIENCES, body_of(str(number)))[0], range(48))
        )
    assert (codes.count(200), codes.count(429)) == (18, 30)


def test_a_taken_port_is_named(ga: Property) -> None:
    with running(ga.api) as base:
        port = int(base.rpartition(":")[2])
        with (
            pytest.raises(UsageError, match=f"port {port}: another program listens there"),
            running(ga.api, port=port),
        ):
            pass


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000)])
def test_an_address_that_is_not_ours_is_named(ga: Property, host: str, port: int) -> None:
    with (
        pytest.raises(UsageError, match=f"cannot listen on {host} port {port}: "),
        running(ga.api, host, port),
    ):
        pass


def test_a_port_that_was_just_left_can_be_taken_again(ga: Property) -> None:
    with running(ga.api) as base:
        send(base, "GET", AUDIENCES)
    with running(ga.api, port=int(base.rpartition(":")[2])) as again:
        assert again == base


SERVER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from audiencesync.local.api import Api, Switches
    from audiencesync.local.server import serve
    from audiencesync.local.store import Store

    def say(line):
        sys.stdout.write(line + "\\n")
        sys.stdout.flush()

    def slowly(call, when):
        if when == "before" and call.headers.get("slow"):
            say("begun")
            time.sleep(1)

    api = Api(store=Store(Path(sys.argv[1])), switches=Switches(audience_limit=100_000), faults=slowly)
    serve(api, port=0, ready=say)
    say("stopped")
    """
)


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its base URL."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            assert server.stdout
            yield server, server.stdout.readline().strip()
        finally:
            server.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_after_what_is_under_way(tmp_path: Path, number: signal.Signals) -> None:
    with (
        process(tmp_path / ".audiencesync") as (server, base),
        connected(base) as slow,
        connected(base) as idle,
    ):
        idle.request("GET", AUDIENCES)
        idle.getresponse().read()
        slow.request("POST", AUDIENCES, json.dumps(body_of("slow")), {"Slow": "yes"})
        assert server.stdout
        assert server.stdout.readline().strip() == "begun"
        server.send_signal(number)
        assert slow.getresponse().status == 200
        assert server.stdout.readline().strip() == "stopped"
        assert server.wait(10) == 0
    assert "slow" in Property(Api(store=Store(tmp_path / ".audiencesync"))).names()


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    folder = tmp_path / ".audiencesync"
    answered: list[str] = []
    for round_ in range(3):
        with process(folder) as (server, base):

            def work(client: int, base: str = base, round_: int = round_) -> None:
                with connected(base) as connection:
                    for number in range(10_000):
                        body = body_of(f"{round_}-{client}-{number}")
                        try:
                            connection.request("POST", AUDIENCES, json.dumps(body))
                            answer = connection.getresponse()
                            name = json.loads(answer.read())["name"]
                        except (OSError, http.client.HTTPException):
                            return
                        answered.append(name)

            clients = [threading.Thread(target=work, args=(client,)) for client in range(4)]
            for client in clients:
                client.start()
            before = len(answered)
            while len(answered) < before + 20:
                time.sleep(0.01)
            server.kill()
            for client in clients:
                client.join()
    store = Store(folder)
    with store.read() as tx:
        there = {f"properties/1000/audiences/{found.id}" for found in tx.audiences("1000", limit=100_000)}
        history = [
            change.resource for change in tx.changes(["1000"], (0, 1 << 62), before=1 << 62, limit=100_000)
        ]
    assert set(answered) <= there
    assert len(answered) >= 60
    # Each create is in the history, whole or not at all.
    assert len(history) == len(set(history)) == len(there) - 2
