"""A platform for pull requests on loopback, in the shape of GitHub's REST API, with its refusals.

Source: docs.github.com, REST API 2022-11-28: "Issue comments" (list, create, update, delete), "Users" (the
authenticated user), "Commits" (pull requests of a commit), "Using pagination", "Rate limits". An app's token
may not ask /user and learns its name from the GraphQL `viewer`, as the token of a workflow does.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LIMIT = 65_536
DOCS = "https://docs.github.com/rest"
REPOSITORY = "acme/web"


@dataclass(frozen=True)
class Account:
    """Who a token belongs to; an app's account is a Bot."""

    login: str
    number: int
    kind: str = "User"
    may_write: bool = True


@dataclass(frozen=True)
class Reply:
    """One answer; `cut` closes the connection without it."""

    status: int
    data: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


BOT = Account("github-actions[bot]", 41898282, "Bot")
MALLORY = Account("mallory", 666)
ANN = Account("ann", 7)

Fault = Callable[[str, str, "Platform"], Reply | None]
"""(method, path, platform) -> the answer in place of ours; None lets the request be."""


@dataclass
class Platform:
    """Comments by pull request, accounts by token, merged pull requests by commit."""

    accounts: dict[str, Account] = field(default_factory=lambda: {"bot": BOT, "ann": ANN, "mallory": MALLORY})
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: {1: []})
    pulls: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tells_viewer: bool = True
    before: list[Fault] = field(default_factory=list)
    after: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    root: str = ""
    page_size: int = 100
    _next: int = 1000
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def post(self, author: Account, body: str, pull: int = 1) -> dict[str, Any]:
        """Puts a comment there, as from the page."""
        with self._lock:
            self._next += 1
            made = {
                "id": self._next,
                "body": body,
                "user": {"login": author.login, "id": author.number, "type": author.kind},
                "html_url": f"https://example.com/{REPOSITORY}/pull/{pull}#issuecomment-{self._next}",
            }
            self.comments[pull].append(made)
            return made

    def bodies(self, pull: int = 1) -> list[str]:
        """What the comments say."""
        return [str(each["body"]) for each in self.comments[pull]]

    def writes(self) -> list[str]:
        """The methods of all requests that write comments."""
        return [method for method, path in self.seen if method != "GET" and "/comments" in path]

    # ------------------------------------------------------------ answering

    def answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        parts = urlsplit(target)
        path = parts.path.removeprefix(self.root)
        with self._lock:
            self.seen.append((method, path))
            for fault in list(self.before):
                if reply := fault(method, path, self):
                    return reply
            reply = self._answered(method, path, parse_qs(parts.query), headers, raw)
            for fault in list(self.after):
                if other := fault(method, path, self):
                    return other
            return reply

    def _answered(
        self, method: str, path: str, query: dict[str, list[str]], headers: Mapping[str, str], raw: bytes
    ) -> Reply:
        account = self.accounts.get(headers.get("Authorization", "").removeprefix("Bearer "))
        if account is None:
            return refusal(401, "Bad credentials")
        body = json.loads(raw) if raw else {}
        if path.endswith("/graphql"):
            return self._viewer(account)
        if headers.get("Accept") != "application/vnd.github+json":
            return refusal(415, "Unsupported 'Accept' header")
        if path == "/user":
            if account.kind == "Bot":
                return refusal(403, "Resource not accessible by integration")
            return Reply(200, {"login": account.login, "id": account.number, "type": account.kind})
        prefix = f"/repos/{REPOSITORY}"
        if found := re.fullmatch(rf"{prefix}/issues/(\d+)/comments", path):
            return self._comments(method, int(found[1]), path, query, account, body)
        if found := re.fullmatch(rf"{prefix}/issues/comments/(\d+)", path):
            return self._comment(method, int(found[1]), account, body)
        if found := re.fullmatch(rf"{prefix}/commits/([0-9a-f]+)/pulls", path):
            return Reply(200, self.pulls.get(found[1], []))
        return refusal(404, "Not Found")

    def _viewer(self, account: Account) -> Reply:
        if not self.tells_viewer:
            return refusal(403, "Resource not accessible by integration")
        return Reply(200, {"data": {"viewer": {"login": account.login}}})

    def _comments(
        self, method: str, pull: int, path: str, query: dict[str, list[str]], account: Account, body: Any
    ) -> Reply:
        if pull not in self.comments:
            return refusal(404, "Not Found")
        if method == "POST":
            return self._refused(account, body) or Reply(201, self.post(account, body["body"], pull))
        size = min(int(query.get("per_page", ["30"])[0]), self.page_size)
        page = int(query.get("page", ["1"])[0])
        found = self.comments[pull]
        shown = found[(page - 1) * size : page * size]
        headers = {}
        if page * size < len(found):
            # The real one leads to another path of the same thing, by the repository's number.
            more = f"{self.url}{path.replace(f'repos/{REPOSITORY}', 'repositories/99')}?per_page={size}"
            headers["Link"] = f'<{more}&page=1>; rel="first", <{more}&page={page + 1}>; rel="next"'
        return Reply(200, shown, headers)

    def _comment(self, method: str, number: int, account: Account, body: Any) -> Reply:
        for found in self.comments.values():
            for each in found:
                if each["id"] == number:
                    if each["user"]["id"] != account.number:
                        return refusal(403, "Must have admin rights to Repository.")
                    if method == "DELETE":
                        found.remove(each)
                        return Reply(204)
                    if refused := self._refused(account, body):
                        return refused
                    each["body"] = body["body"]
                    return Reply(200, each)
        return refusal(404, "Not Found")

    @staticmethod
    def _refused(account: Account, body: Any) -> Reply | None:
        if not account.may_write:
            return refusal(403, "Resource not accessible by integration")
        if len(body["body"]) > LIMIT:
            fault = {"resource": "IssueComment", "code": "unprocessable", "field": "data",
                     "message": f"Body is too long (maximum is {LIMIT} characters)"}  # fmt: skip
            return refusal(422, "Validation Failed", errors=[fault])
        return None


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None, **more: object) -> Reply:
    """A refusal as the platform words it."""
    data = {"message": message, **more, "documentation_url": DOCS, "status": str(status)}
    return Reply(status, data, headers or {})


def once(method: str, ending: str, reply: Reply) -> Fault:
    """Answers the first such request with `reply`."""
    left = [reply]

    def fault(asked: str, path: str, _platform: Platform) -> Reply | None:
        return left.pop() if left and asked == method and path.endswith(ending) else None

    return fault


@contextmanager
def serving(platform: Platform) -> Iterator[Platform]:
    """Serves the platform over HTTP; `platform.url` is the API's address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = platform.answer(self.command, self.path, dict(self.headers.items()), raw)
            if reply.cut:
                self.close_connection = True
                return
            body = b"" if reply.data is None else json.dumps(reply.data).encode()
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        platform.url = f"http://127.0.0.1:{server.server_port}{platform.root}"
        try:
            yield platform
        finally:
            server.shutdown()
            thread.join()
