"""What is sent again and what is not, over real sockets on loopback; errors, redirects, the run log."""

import contextlib
import dataclasses
import gzip
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from audiencesync import errors, http
from audiencesync.http import Options, Request, Resend, answers, connect, connect_local, connection, transport
from audiencesync.settings import Limits

CREATE = Request("POST", "/v1/things", body={"a": 1}, write=True, resend=Resend.ONCE)
READ = Request("GET", "/v1/things", {"page": "1"})
QUICK = (5.0, 0.8)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answers; `cut` closes the line after so many bytes of the body."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


CUT = Reply(cut=-1)


def refusal(status: int, message: str = "no", word: str = "", **more: Any) -> Reply:
    error = {"code": status, "message": message, "status": word} | more
    return Reply(status, json.dumps({"error": error}).encode(), {"Content-Type": "application/json"})


RATE_403 = refusal(403, "Quota exceeded", errors=[{"reason": "rateLimitExceeded", "domain": "usageLimits"}])
RATE_429 = refusal(429, "Quota exceeded for quota metric 'Requests'", "RESOURCE_EXHAUSTED")


class Server:
    """Answers with the replies it was given, the last one for ever, and remembers requests."""

    def __init__(self, *replies: Reply | Callable[[Seen], Reply]) -> None:
        self.replies, self.seen = list(replies), list[Seen]()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = CaseInsensitiveDict(self.headers.items())
                seen = Seen(self.command, self.path, headers, self.rfile.read(length))
                outer.reply(self, outer.next(seen))

            do_POST = do_PATCH = do_GET  # noqa: N815 - the names are the standard library's

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def next(self, seen: Seen) -> Reply:
        with self._lock:
            self.seen.append(seen)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply(seen) if callable(reply) else reply

    def reply(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        time.sleep(reply.delay)
        handler.close_connection = reply.cut is not None
        if reply.cut == -1:
            return
        with contextlib.suppress(OSError):
            handler.send_response(reply.status)
            headers = {"Content-Length": str(len(reply.body))} | dict(reply.headers)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(reply.body[: reply.cut])

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def make(*replies: Reply | Callable[[Seen], Reply]) -> Server:
        servers.append(Server(*replies))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


class Clock:
    """A clock that moves when somebody waits, and by what the test adds."""

    def __init__(self) -> None:
        self.now, self.waits = 1000.0, list[float]()
        self.log: list[Mapping[str, object]] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def options(self, **more: Any) -> Options:
        given = {"now": lambda: self.now, "random": lambda: 0.5, "log": self.log.append} | more
        return Options(clock=lambda: self.now, sleep=self.sleep, **given)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def local(clock: Clock, *replies: Reply | Exception, **more: Any) -> tuple[http.Connection, list[Seen]]:
    """Give a connection to a list of replies, the last for ever, and what it was asked."""
    rest, seen = list(replies), list[Seen]()

    def answer(method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        seen.append(Seen(method, f"{path}?{query}" if query else path, dict(headers), body))
        reply = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    return connect_local(answer, clock.options(**more)), seen


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# What is sent, and what comes back


def test_a_request_arrives_as_it_was_made(serve: Serve, clock: Clock) -> None:
    server = serve(Reply(body=b'{"ok":true}'))
    with connect(server.base + "/prefix/", authorize=None, options=clock.options()) as there:
        assert there.send(Request("PATCH", "/v1/a%2Fb", {"mask": "x,y z"}, {"n": "\u00fc"})) == {"ok": True}
        there.send(Request("POST", "/sign-in", form={"grant": "a&b"}, headers={"X-Own": "1"}))
    first, second = server.seen
    assert (first.method, first.path) == ("PATCH", "/prefix/v1/a%2Fb?mask=x%2Cy+z")
    assert json.loads(first.body) == {"n": "\u00fc"}
    assert first.headers["Content-Type"] == "application/json"
    assert second.body == b"grant=a%26b"
    assert second.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert second.headers["X-Own"] == "1"


def test_a_local_answer_function_is_asked_the_same(clock: Clock) -> None:
    there, seen = local(clock, Reply(body=b'{"ok":1}'))
    assert there.send(Request("POST", "/v1/a%2Fb:go", {"q": "\u00fc&"}, {"x": 1})) == {"ok": 1}
    (one,) = seen
    assert (one.method, one.path, one.body) == ("POST", "/v1/a%2Fb:go?q=%C3%BC%26", b'{"x":1}')


@pytest.mark.parametrize(
    ("body", "data"),
    [(b"", None), (b" \n", None), (b"{}", {}), (b'[{"a":1}]', {"a": 1}), (b'\xef\xbb\xbf{"a":1}', {"a": 1})],
)
def test_answers_that_are_read(clock: Clock, body: bytes, data: object) -> None:
    there, _ = local(clock, Reply(body=body))
    assert there.send(READ) == data


def test_a_path_cannot_continue_the_host() -> None:
    with pytest.raises(ValueError, match="slash"):
        Request("GET", "@evil.example/")


@pytest.mark.parametrize(
    "base",
    [
        "",
        "host",
        "ftp://host",
        "http://",
        "http://u:p@host",
        "http://host?x",
        "http://h#f",
        "http://h:x",
        "http://h:0",
    ],
)
def test_an_address_that_is_none_is_refused_without_quoting_it(base: str) -> None:
    with pytest.raises(errors.UsageError, match=r"^an address has the form") as caught:
        connect(base, authorize=None, options=Options())
    assert "u:p" not in str(caught.value)


def test_a_compressed_answer_is_read_and_cookies_are_not_kept(serve: Serve, clock: Clock) -> None:
    packed = gzip.compress(b'{"a":1}')
    server = serve(Reply(body=packed, headers={"Content-Encoding": "gzip", "Set-Cookie": "session=1"}))
    with connect(server.base, authorize=None, options=clock.options()) as there:
        assert [there.send(READ), there.send(READ)] == [{"a": 1}] * 2
    assert all("Cookie" not in seen.headers for seen in server.seen)


# Trying again


UNCLEAR = {
    "500": Reply(500),
    "503": Reply(503),
    "cut before the answer": CUT,
    "cut within the body": Reply(body=b'{"a":1}', cut=3),
    "not JSON": Reply(body=b"{nope"),
    "a list": Reply(body=b"[1,2]"),
    "a number": Reply(body=b"7"),
    "a sign-in page": Reply(body=b"<!DOCTYPE html><p>Sign in", headers={"Content-Type": "text/html"}),
    "chunks that are none": Reply(body=b"zz\r\n{}\r\n", headers={"Transfer-Encoding": "chunked"}, cut=8),
    "not gzip": Reply(body=b"{}", headers={"Content-Encoding": "gzip"}),
    "too slow": Reply(delay=2.0),
    "deep": Reply(body=b"[" * 100_000),
}


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_a_read_is_sent_again_where_nobody_knows(serve: Serve, clock: Clock, reply: Reply) -> None:
    server = serve(reply, Reply(body=b'{"ok":1}'))
    with connect(server.base, authorize=None, options=clock.options()) as there:
        assert there.send(Request("GET", "/", timeout=QUICK)) == {"ok": 1}
    assert len(server.seen) == 2


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_a_create_is_not(serve: Serve, clock: Clock, reply: Reply) -> None:
    server = serve(reply, Reply(body=b'{"ok":1}'))
    request = Request("POST", "/", body={}, write=True, resend=Resend.ONCE, timeout=QUICK)
    with (
        connect(server.base, authorize=None, options=clock.options()) as there,
        pytest.raises(errors.RequestError) as caught,
    ):
        there.send(request)
    assert len(server.seen) == 1
    if reply.status == 200:
        assert isinstance(caught.value, errors.NoAnswerError)
        assert caught.value.sent
    else:
        assert isinstance(caught.value, errors.ServerError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reply", [Reply(500), Reply(body=b"7"), CUT], ids=["500", "not an object", "cut"])
def test_trying_ends_after_five_times(serve: Serve, clock: Clock, reply: Reply) -> None:
    server = serve(reply)
    with (
        connect(server.base, authorize=None, options=clock.options()) as there,
        pytest.raises(errors.ServerError if reply.cut is None else errors.NoAnswerError),
    ):
        there.send(READ)
    assert len(server.seen) == 5
    assert clock.waits == pytest.approx([0.25, 0.5, 1.0, 2.0])


def test_trying_ends_after_twenty_seconds(clock: Clock) -> None:
    def answer(*_: object) -> Reply:
        clock.now += 9.0
        return Reply(500)

    with pytest.raises(errors.ServerError):
        connect_local(answer, clock.options()).send(READ)
    assert [entry["attempt"] for entry in clock.log] == [1, 2, 3]


@pytest.mark.parametrize("seconds", ["7", "Thu, 01 Jan 1970 00:16:47 GMT"])
def test_retry_after_is_followed(clock: Clock, seconds: str) -> None:
    there, seen = local(clock, Reply(503, headers={"Retry-After": seconds}), Reply())
    assert there.send(READ) == {}
    assert clock.waits == pytest.approx([7.0])
    assert len(seen) == 2


def test_a_date_is_read_by_the_servers_clock(clock: Clock) -> None:
    headers = {"Retry-After": "Sat, 21 Nov 2026 12:00:04 GMT", "Date": "Sat, 21 Nov 2026 12:00:00 GMT"}
    there, _ = local(clock, Reply(503, headers=headers), Reply())
    there.send(READ)
    assert clock.waits == pytest.approx([4.0])


def test_a_retry_after_beyond_the_budget_is_final(clock: Clock) -> None:
    there, seen = local(clock, Reply(503, headers={"Retry-After": "3600"}))
    with pytest.raises(errors.ServerError):
        there.send(READ)
    assert len(seen) == 1
    assert clock.waits == []


@pytest.mark.parametrize("request_", [READ, CREATE], ids=["read", "create"])
def test_a_refused_connection_is_tried_again(clock: Clock, request_: Request) -> None:
    base = f"http://127.0.0.1:{closed_port()}"
    with (
        connect(base, authorize=None, options=clock.options()) as there,
        pytest.raises(errors.NoAnswerError, match="the connection was refused: check the address") as caught,
    ):
        there.send(request_)
    assert not caught.value.sent
    assert len(clock.log) == 5


def test_a_name_that_is_not_known_was_not_sent(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: unknown(*args))
    with (
        connect("http://nowhere.invalid", authorize=None, options=clock.options()) as there,
        pytest.raises(errors.NoAnswerError, match=r"from nowhere\.invalid: its name is not known") as caught,
    ):
        there.send(CREATE)
    assert not caught.value.sent
    assert len(clock.log) == 5


@pytest.mark.parametrize(
    "goodbye", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None], ids=["plain", "close", "reset"]
)
def test_a_failed_handshake_was_not_sent(clock: Clock, goodbye: bytes | None) -> None:
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    accepted.append(line)
                    with line:
                        if goodbye is None:  # an RST instead of a FIN
                            select.select([line], [], [], 5)
                            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        else:
                            line.recv(4096)
                            line.sendall(goodbye)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        base = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with (
            connect(base, authorize=None, options=clock.options()) as there,
            pytest.raises(errors.NoAnswerError) as caught,
        ):
            there.send(CREATE)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert not caught.value.sent
    assert len(accepted) == 5


def test_a_line_cut_before_the_request_was_read_may_have_been_sent(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            line, _ = listener.accept()
            with line:
                select.select([line], [], [], 5)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=answer)
        thread.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            connect(base, authorize=None, options=clock.options()) as there,
            pytest.raises(errors.NoAnswerError) as caught,
        ):
            there.send(dataclasses.replace(CREATE, timeout=QUICK))  # some kernels lose the reset
        thread.join(5)
    assert caught.value.sent
    assert len(clock.log) == 1


def test_a_local_function_can_play_a_lost_line(clock: Clock) -> None:
    there, seen = local(clock, errors.NoAnswerError("unplugged", sent=False), Reply(body=b'{"ok":1}'))
    assert there.send(CREATE) == {"ok": 1}
    there, seen = local(clock, ConnectionError(), Reply())
    with pytest.raises(errors.NoAnswerError) as caught:
        there.send(CREATE)
    assert caught.value.sent
    assert len(seen) == 1


def test_what_vanished_in_a_lost_try_is_gone(clock: Clock) -> None:
    archive = Request("POST", "/v1/a:archive", body={}, write=True, vanishes=True)
    there, seen = local(clock, Reply(500), refusal(404, "not found", "NOT_FOUND"))
    assert there.send(archive) is None
    assert len(seen) == 2
    for first in (refusal(404), errors.NoAnswerError("unplugged", sent=False), RATE_429):
        there, _ = local(clock, first, refusal(404))
        with pytest.raises(errors.NotFoundError):
            there.send(archive)


# Quotas


@pytest.mark.parametrize("request_", [READ, CREATE], ids=["read", "create"])
@pytest.mark.parametrize("reply", [RATE_403, RATE_429], ids=["403", "429"])
def test_a_quota_refusal_is_waited_out(clock: Clock, reply: Reply, request_: Request) -> None:
    there, seen = local(clock, *[reply] * 9, Reply(body=b'{"ok":1}'))
    assert there.send(request_) == {"ok": 1}
    assert len(seen) == 10
    assert sum(clock.waits) > 9


def test_a_quota_refusal_is_waited_out_as_long_as_it_says(clock: Clock) -> None:
    told: list[tuple[float, str]] = []
    there, _ = local(
        clock, Reply(429, headers={"Retry-After": "42"}), Reply(), on_wait=lambda *wait: told.append(wait)
    )
    there.send(CREATE)
    ((_, why),) = told
    assert why == "the server refused more writes for now"
    assert sum(clock.waits) == pytest.approx(42.0)
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}
    there, _ = local(clock, refusal(429, "wait", "RESOURCE_EXHAUSTED", details=[delay]), Reply())
    there.send(READ)
    assert sum(clock.waits) == pytest.approx(42.0 + 3.5)


def test_waiting_for_a_quota_ends(clock: Clock) -> None:
    there, seen = local(clock, RATE_403)
    with pytest.raises(errors.RateLimitedError):
        there.send(READ)
    assert 600 < sum(clock.waits) <= 920
    before = len(seen)
    with pytest.raises(errors.RateLimitedError):
        there.send(READ)  # after a quarter of an hour without any success nobody waits as long again
    assert len(seen) == before + 1
    there, seen = local(clock, Reply(429, headers={"Retry-After": "86400"}))
    with pytest.raises(errors.RateLimitedError):
        there.send(READ)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (
            refusal(403, "The caller does not have permission", "PERMISSION_DENIED"),
            errors.PermissionDeniedError,
        ),
        (refusal(403, "no", errors=[{"reason": "insufficientPermissions"}]), errors.PermissionDeniedError),
        (Reply(403), errors.PermissionDeniedError),
        (
            refusal(429, "The property is full: properties/1 has reached its limit of 100 audiences."),
            errors.QuotaExhaustedError,
        ),
        (refusal(429, "Too many audiences.", "RESOURCE_EXHAUSTED"), errors.QuotaExhaustedError),
        (refusal(429, "Exhausted property tokens per day."), errors.QuotaExhaustedError),
        (refusal(403, "x", errors=[{"reason": "dailyLimitExceeded"}]), errors.QuotaExhaustedError),
        (refusal(400, "bad", "INVALID_ARGUMENT"), errors.InvalidArgumentError),
        (refusal(404), errors.NotFoundError),
        (refusal(409), errors.ConflictError),
        (refusal(401), errors.UnauthenticatedError),
        (refusal(418), errors.ApiError),
    ],
)
def test_everything_else_is_final(clock: Clock, reply: Reply, kind: type[errors.ApiError]) -> None:
    there, seen = local(clock, reply, Reply())
    with pytest.raises(errors.ApiError) as caught:
        there.send(READ)
    assert type(caught.value) is kind
    assert len(seen) == 1


def info(reason: str, **metadata: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": metadata}


QUOTA_FAILURE = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"subject": "properties/1", "description": "Too many audiences"}],
}


@pytest.mark.parametrize(
    ("message", "details", "lasting"),
    [
        ("Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'.", [], False),
        ("", [], False),
        ("Exhausted concurrent requests quota.", [], False),
        ("Quota exceeded for audience requests: limit is 180 per minute.", [], False),
        ("You have reached the maximum number of audiences.", [info("RATE_LIMIT_EXCEEDED")], False),
        ("You have reached the maximum number of audiences.", [info("X", quota_unit="1/min/{user}")], False),
        ("You have reached the maximum number of audiences.", [], True),
        ("At most 20 event triggers are allowed.", [], True),
        ("try again", [info("AUDIENCE_LIMIT_REACHED")], True),
        ("Quota exceeded", [info("RATE_LIMIT_EXCEEDED", quota_unit="1/d/{project}")], True),
        ("Quota exceeded", [QUOTA_FAILURE], True),
    ],
)  # fmt: skip
def test_a_full_property_is_told_from_a_rate(message: str, details: list[Any], lasting: bool) -> None:
    body = refusal(429, message, "RESOURCE_EXHAUSTED", details=details).body
    error = answers.read("POST", "/x", 429, {}, body, 0.0).error
    assert isinstance(error, errors.QuotaExhaustedError if lasting else errors.RateLimitedError)


def test_the_first_180_writes_go_out_at_once(clock: Clock) -> None:
    there, _ = local(clock, Reply())
    for _ in range(180):
        there.send(CREATE)
    assert clock.waits == []
    there.send(CREATE)
    assert clock.waits == pytest.approx([1 / 3])
    there.send(READ)
    assert len(clock.waits) == 1
    there, _ = local(clock, Reply(), limits=None)
    for _ in range(1000):
        there.send(CREATE)
    assert len(clock.waits) == 1


def test_the_settings_say_how_fast(clock: Clock) -> None:
    there, _ = local(clock, Reply(), limits=Limits(requests_per_minute=3))
    for _ in range(5):
        there.send(READ)
    assert clock.waits == pytest.approx([20.0, 20.0])


# Errors that explain


def test_a_refusal_tells_what_the_server_said(clock: Clock) -> None:
    field_ = {"field": "audience.display_name", "description": "too long"}
    details = [
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [field_]},
        info("TOO_LONG"),
    ]
    there, _ = local(clock, refusal(400, "Bad audience", "INVALID_ARGUMENT", details=details))
    with pytest.raises(errors.InvalidArgumentError) as caught:
        there.send(CREATE)
    error = caught.value
    assert str(error) == "POST /v1/things was refused: Bad audience (400 INVALID_ARGUMENT)"
    assert (error.method, error.url, error.status, error.reason) == ("POST", "/v1/things", 400, "TOO_LONG")
    assert error.violations == (errors.Violation("audience.display_name", "too long"),)


@pytest.mark.parametrize(
    ("body", "content", "message"),
    [
        (b"", "", "the answer says no more"),
        (b"<html><body>nginx", "text/html", "the answer is an HTML page"),
        (b"upstream gone", "text/plain", "upstream gone"),
        (b'[{"error":{"message":"wrapped"}}]', "application/json", "wrapped"),
        (b'{"error":"invalid_client","error_description":"who?"}', "", "who?"),
        (b'{"error":{"message":7,"details":"x","errors":[3]}}', "", "the answer says no more"),
        (b'{"error":{"details":[{"@type":"google.rpc.BadRequest","fieldViolations":[1,{}]}]}}', "", "more"),
        (b"\xff\xfe\x00", "", "was refused: "),
        (b"[" * 100_000, "", "[[["),
    ],
)  # fmt: skip
def test_any_body_of_a_refusal_is_read(clock: Clock, body: bytes, content: str, message: str) -> None:
    there, _ = local(clock, Reply(400, body, {"Content-Type": content}))
    with pytest.raises(errors.InvalidArgumentError) as caught:
        there.send(READ)
    assert message in str(caught.value)


def test_absurdly_long_messages_are_cut(clock: Clock) -> None:
    for body in (json.dumps({"error": {"message": "x" * 10_000_000}}).encode(), b"y" * 10_000_000):
        there, _ = local(clock, Reply(400, body))
        with pytest.raises(errors.InvalidArgumentError) as caught:
            there.send(READ)
        assert len(str(caught.value)) < 2200


@pytest.mark.parametrize(
    ("reason", "metadata", "advice"),
    [
        (
            "SERVICE_DISABLED",
            {"service": "analyticsdata.googleapis.com"},
            "gcloud services enable analyticsdata",
        ),
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", {}, "gcloud auth application-default login --scopes="),
        ("USER_PROJECT_DENIED", {}, "quotaProject"),
    ],
)
def test_a_known_reason_comes_with_its_fix(
    clock: Clock, reason: str, metadata: dict[str, str], advice: str
) -> None:
    reply = refusal(403, "no", "PERMISSION_DENIED", details=[info(reason, **metadata)])
    there, _ = local(clock, reply)
    with pytest.raises(errors.PermissionDeniedError, match=advice):
        there.send(READ)


def test_a_huge_answer_is_given_up(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_JSON", 2**20)
    there, seen = local(clock, Reply(body=b'{"a":"' + b"x" * 2**20 + b'"}'))
    with pytest.raises(errors.ServerError, match="larger than 1 MiB"):
        there.send(READ)
    assert len(seen) == 1


def test_an_answer_that_drips_is_given_up(serve: Serve, clock: Clock) -> None:
    server = serve(Reply(body=b" " * 300_000 + b"{}"))

    def ticking() -> float:
        clock.now += 400
        return clock.now

    options = Options(clock=ticking, sleep=clock.sleep, limits=None)
    with (
        connect(server.base, authorize=None, options=options) as there,
        pytest.raises(errors.ServerError, match="does not end"),
    ):
        there.send(READ)


# Credentials on the wire


@dataclass
class Keys:
    """Authorizes with a numbered token."""

    advice: str = "sign in again"
    principal: str = "robot@example.com"
    number: int = 1

    def __call__(self, renew: bool) -> Mapping[str, str]:
        self.number += renew
        return {"Authorization": f"Bearer secret-{self.number}"}


def test_a_401_renews_once(serve: Serve, clock: Clock) -> None:
    server = serve(refusal(401), Reply(body=b'{"ok":1}'))
    with connect(server.base, authorize=Keys(), options=clock.options()) as there:
        assert there.send(CREATE) == {"ok": 1}
        assert there.principal == "robot@example.com"
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer secret-1", "Bearer secret-2"]
    server = serve(refusal(401))
    with (
        connect(server.base, authorize=Keys(), options=clock.options()) as there,
        pytest.raises(errors.UnauthenticatedError, match=r"sign in again$"),
    ):
        there.send(READ)
    assert len(server.seen) == 2


def redirect(to: str, status: int = 302) -> Reply:
    return Reply(status, b"", {"Location": to})


def test_a_redirect_within_the_origin_is_followed(serve: Serve, clock: Clock) -> None:
    server = serve(redirect("/there?x=1"), Reply(body=b'{"ok":1}'))
    with connect(server.base, authorize=Keys(), options=clock.options()) as there:
        assert there.send(READ) == {"ok": 1}
    assert [seen.path for seen in server.seen] == ["/v1/things?page=1", "/there?x=1"]
    assert "Authorization" in server.seen[1].headers
    server = serve(redirect("/round"))
    with (
        connect(server.base, authorize=Keys(), options=clock.options()) as there,
        pytest.raises(errors.ApiError, match="more than 5 times"),
    ):
        there.send(READ)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_leads_a_token_away(serve: Serve, clock: Clock, status: int) -> None:
    thief = serve(Reply(body=b'{"stolen":1}'))
    server = serve(redirect(thief.base + "/x", status))
    with connect(server.base, authorize=Keys(), options=clock.options()) as there:
        for request in (READ, CREATE):
            with pytest.raises(errors.ApiError, match="it was redirected to http://127"):
                there.send(request)
        assert thief.seen == []
        own = Request("GET", "/file", headers={"X-Secret": "1", "Range": "bytes=5-"})
        with there.stream(own) as stream:
            assert b"".join(stream.chunks()) == b'{"stolen":1}'
    (seen,) = thief.seen
    assert not {"authorization", "x-secret", "cookie"} & {name.lower() for name in seen.headers}
    assert seen.headers["Range"] == "bytes=5-"


@pytest.mark.parametrize(
    "trick", ["{}\\@{}/x", "http://{}@{}/x", "//{}\\.{}/", "http://[", "ftp://{1}/", "http://{1}:0/"]
)
def test_no_spelling_of_an_address_leads_a_token_away(serve: Serve, clock: Clock, trick: str) -> None:
    thief, server = serve(Reply()), serve(Reply())
    host, home = thief.base.removeprefix("http://"), server.base.removeprefix("http://")
    for first, second in ((host, home), (home, host)):
        server.replies = [
            redirect(trick.format(first, second)),
            redirect(trick.format(first, second)),
            Reply(),
        ]
        with connect(server.base, authorize=Keys(), options=clock.options()) as there:
            with contextlib.suppress(errors.ApiError):
                there.send(READ)
            with contextlib.suppress(errors.ApiError), there.stream(READ):
                pass
    assert not any("Authorization" in seen.headers for seen in thief.seen)


def test_a_secure_download_is_not_continued_in_the_open() -> None:
    with pytest.raises(connection._FailedError) as caught:
        connection._headers_onward(READ, "https://a.example/x", "http://b.example/x", {}, abroad=True)
    assert "where nothing was sent" in str(caught.value.error)
    headers = {"Authorization": "x", "Accept": "*/*"}
    onward = connection._headers_onward(
        READ, "https://a.example/x", "https://b.example/", headers, abroad=True
    )
    assert onward == {"Accept": "*/*"}
    assert connection._headers_onward(READ, "https://a/", "https://a:443/y", headers, abroad=False) == headers


def test_netrc_adds_nothing_and_loopback_needs_no_proxy(
    serve: Serve, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server, proxy = serve(Reply()), serve(Reply(body=b'{"by":"proxy"}'))
    monkeypatch.setenv("HTTP_PROXY", proxy.base)
    with connect(server.base, authorize=None, options=clock.options()) as there:
        assert there.send(READ) == {}
    assert "Authorization" not in server.seen[0].headers
    with connect("http://api.example", authorize=None, options=clock.options()) as there:
        assert there.send(READ) == {"by": "proxy"}
    assert proxy.seen[0].path == "http://api.example/v1/things?page=1"
    monkeypatch.setenv("HTTP_PROXY", f"http://user:hidden@127.0.0.1:{closed_port()}")
    with (
        connect("http://api.example", authorize=None, options=clock.options()) as there,
        pytest.raises(errors.NoAnswerError, match="the proxy did not let it through") as caught,
    ):
        there.send(CREATE)
    assert not caught.value.sent
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("token", ["secret\nX: y", "s\u00fc\u20acret"])
def test_a_token_that_cannot_be_sent_is_not_shown(serve: Serve, clock: Clock, token: str) -> None:
    base = serve(Reply()).base
    with (
        connect(base, authorize=lambda _: {"Authorization": token}, options=clock.options()) as there,
        pytest.raises(errors.UsageError, match="does not allow") as caught,
    ):
        there.send(READ)
    assert "ecret" not in str(caught.value)


# Streams


def test_a_stream_is_read_in_pieces(serve: Serve, clock: Clock) -> None:
    big = bytes(range(256)) * 4000
    server = serve(Reply(503), Reply(206, big, {"ETag": '"7"'}))
    request = Request("GET", "/file?name=x", headers={"Range": "bytes=0-"})
    with (
        connect(server.base, authorize=Keys(), options=clock.options()) as there,
        there.stream(request) as stream,
    ):
        pieces = list(stream.chunks())
        assert (stream.status, stream.headers["etag"]) == (206, '"7"')
    assert b"".join(pieces) == big
    assert len(pieces) > 10
    assert server.seen[1].headers["Accept-Encoding"] == "identity"
    assert [entry["path"] for entry in clock.log] == ["/file", "/file"]


def test_a_stream_that_breaks_says_so(serve: Serve, clock: Clock) -> None:
    server = serve(Reply(body=b"x" * 100, cut=50))
    with (
        connect(server.base, authorize=None, options=clock.options()) as there,
        there.stream(READ) as stream,
        pytest.raises(errors.NoAnswerError, match="cut short"),
    ):
        list(stream.chunks())
    server = serve(refusal(404, "no such file"))
    with (
        connect(server.base, authorize=None, options=clock.options()) as there,
        pytest.raises(errors.NotFoundError, match="no such file"),
        there.stream(READ),
    ):
        pytest.fail("the stream was opened")


# The run log


def test_each_try_is_logged_without_secrets(serve: Serve, clock: Clock) -> None:
    server = serve(Reply(500, b"body-secret"), Reply(headers={"X-Goog-Request-Id": "r1"}))
    with connect(server.base, authorize=Keys(), options=clock.options()) as there:
        there.send(Request("GET", "/v1/x", {"token": "query-secret"}, headers={"X-Own": "header-secret"}))
    first, second = clock.log
    assert first == {
        "time": "1970-01-01T00:16:40.000Z",
        "method": "GET",
        "path": "/v1/x",
        "status": 500,
        "requestId": "",
        "durationMs": 0,
        "attempt": 1,
        "waited": 0,
        "error": "server-error",
    }
    assert (second["requestId"], second["attempt"], second["waited"], second["error"]) == (
        "r1",
        2,
        0.25,
        None,
    )
    assert "secret" not in json.dumps(clock.log)


def test_the_log_is_never_written_by_two_at_once(serve: Serve) -> None:
    busy, clashes, entries = threading.Lock(), [], []

    def log(entry: Mapping[str, object]) -> None:
        if not busy.acquire(blocking=False):
            clashes.append(entry)
            return
        time.sleep(0.001)
        entries.append(entry)
        busy.release()

    server = serve(Reply())
    with connect(server.base, authorize=Keys(), options=Options(log=log)) as there:
        threads = [threading.Thread(target=lambda: [there.send(READ) for _ in range(10)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert clashes == []
    assert len(entries) == len(server.seen) == 80


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://A.example/x", ("https", "a.example", 443)),
        ("http://a.example:80", ("http", "a.example", 80)),
        ("http://[::1]:8080/x", ("http", "::1", 8080)),
        ("https://u@a.example/", None),
        ("https://a.example\\@b.example/", None),
        ("file:///etc/passwd", None),
        ("//a.example", None),
    ],
)
def test_an_origin_is_what_requests_connects_to(url: str, origin: object) -> None:
    assert transport.origin(url) == origin
