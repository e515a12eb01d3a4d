"""The embedded property over HTTP: plain, on loopback unless told otherwise, for Google's own clients."""

from __future__ import annotations

import contextlib
import errno
import http.server
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from audiencesync.errors import AudiencesyncError, UsageError
from audiencesync.local.api import Api
from audiencesync.local.context import Answer
from audiencesync.local.refusals import RefusedError

MAX_BODY = 10 * 1024 * 1024
"""The longest request body that is read, in bytes."""

_DRAIN_SECONDS = 5.0
_IDLE_SECONDS = 120.0

Log = Callable[[str], None]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "audiencesync", ""
    # Headers and body leave in one packet; without both lines each call waits 40 ms for an acknowledgement.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    timeout = _IDLE_SECONDS

    def _serve(self) -> None:
        with self.server.counted():
            try:
                answer = self._answer()
            except ConnectionError:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._send(answer)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 - the names http.server calls

    def _answer(self) -> Answer:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            return _refusal("A body needs a Content-Length.", 411)
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True
            return _refusal("Content-Length is no number.", 400)
        if len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            self.close_connection = True
            return _refusal(f"Request payload size exceeds the limit: {MAX_BODY} bytes.", 413)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError
        path, _, query = self.path.partition("?")
        try:
            return self.server.api.answer(self.command, path, query, body, dict(self.headers))
        except AudiencesyncError as error:
            self.server.log(str(error))
            return RefusedError("INTERNAL", str(error)).answer()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()
        self.server.log(f"{self.command} {self.path.partition('?')[0]!r} {answer.status}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - http.server's signature
        """Keeps http.server from writing to stderr."""


def _refusal(message: str, code: int) -> Answer:
    return RefusedError("INVALID_ARGUMENT", message, code=code).answer()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    # A port that another program listens on is refused, one that was just left is not.
    allow_reuse_address = True

    def __init__(self, api: Api, host: str, port: int, log: Log | None) -> None:
        self.api = api
        self.log = log or (lambda _line: None)
        self._running, self._idle = 0, threading.Condition()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Binds without looking the host's name up, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's signature
        """Keeps quiet about clients that went away; anything else is a mistake of ours and shown as such."""
        import sys

        error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)

    @property
    def base(self) -> str:
        """The address to give a client."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}"

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def drain(self) -> None:
        """Waits until the calls that run have been answered, for a few seconds at most."""
        with self._idle:
            self._idle.wait_for(lambda: not self._running, _DRAIN_SECONDS)


def _open(api: Api, host: str, port: int, log: Log | None) -> _Server:
    try:
        return _Server(api, host, port, log)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            why = "another program listens there: stop it, or name another --port"
        elif number == errno.EACCES:
            why = "ports below 1024 need more rights: name another --port"
        else:
            why = f"{error}: name another --host or --port"
        raise UsageError(f"cannot listen on {host} port {port}: {why}") from error


def serve(
    api: Api,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    ready: Callable[[str], None] | None = None,
    log: Log | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM, then answers what is under way and returns; for the main thread.

    ready is called with the base URL once connections are taken; port 0 takes any free one. log gets a line
    a call.

    Errors: UsageError where host and port cannot be listened on.
    """
    server = _open(api, host, port, log)

    def stop(_number: int, _frame: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if ready:
            ready(server.base)
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
        server.drain()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def running(api: Api, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serves in a thread as long as the block runs, and gives the base URL."""
    server = _open(api, host, port, None)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.base
    finally:
        server.shutdown()
        server.server_close()
        server.drain()
        thread.join()
