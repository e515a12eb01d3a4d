"""The platform that holds the pull requests: their comments, who writes them, and what was merged.

Source: GitHub's REST API, version 2022-11-28: "Issue comments", "Users", "Commits", "Using pagination in the
REST API".
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from audiencesync.errors import (
    ApiError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    RequestError,
    UnauthenticatedError,
    UsageError,
)
from audiencesync.http import Connection, Options, Request, Resend, connect
from audiencesync.http.credentials import is_loopback

ACTIONS_BOT = "github-actions[bot]"
"""Who the token of a workflow writes as."""

_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_MOST_PAGES = 300
_MOST_BYTES = 64 * 1024 * 1024
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes: the account's number where it is known, else its name."""

    login: str
    number: int = 0

    def wrote(self, comment: Comment) -> bool:
        """Whether a comment is by this account."""
        if self.number:
            return comment.author.number == self.number
        mine, other = self.login.casefold(), comment.author.login.casefold()
        # An app is called "name[bot]" in one place and "name" in another; no person has brackets in a name.
        return other in (mine, f"{mine}[bot]") if comment.is_bot else other == mine


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment as the platform gives it."""

    number: int
    body: str
    author: Author
    is_bot: bool
    url: str


def _comment(data: Mapping[str, Any]) -> Comment:
    """Reads liberally: an account that was deleted has no user."""
    raw = data.get("user")
    user: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
    return Comment(
        number=_number(data.get("id")),
        body=str(data.get("body") or "").replace("\r\n", "\n"),
        author=Author(str(user.get("login") or ""), _number(user.get("id"))),
        is_bot=user.get("type") == "Bot",
        url=str(data.get("html_url") or ""),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


@dataclass(slots=True)
class Forge:
    """The comments of one repository's pull requests; `root` is the API's path in front of all others."""

    connection: Connection
    root: str
    repository: str
    author: Author | None = None
    sleep: Callable[[float], None] = time.sleep
    _asked: bool = field(default=False, init=False)

    # ------------------------------------------------------------ reading

    def comments(self, pull: int) -> Iterator[Comment]:
        """All comments of a pull request, oldest first."""
        yield from map(_comment, self._pages(f"/repos/{self.repository}/issues/{pull}/comments"))

    def ours(self, pull: int, mark: str) -> list[Comment]:
        """The comments that begin with the marker and that this account wrote, oldest first.

        Errors: UsageError where the account does not learn its own name and several bots wrote such comments.
        """
        found = [each for each in self.comments(pull) if each.body.partition("\n")[0].rstrip() == mark]
        if not found:
            return []
        author = self._author()
        if author is None:
            author = _only_bot([each for each in found if each.is_bot])
        return sorted((each for each in found if author and author.wrote(each)), key=lambda each: each.number)

    def _author(self) -> Author | None:
        """Who the token writes as; None where the platform does not say, as it may for an app's token."""
        if self.author is None and not self._asked:
            self._asked = True
            self.author = self._user() or self._viewer()
        return self.author

    def _user(self) -> Author | None:
        """The account of a person's token; an app's token may not ask."""
        try:
            data = self._send("GET", "/user")
        except (PermissionDeniedError, NotFoundError):
            return None
        return Author(str(data.get("login") or ""), _number(data.get("id"))) if data else None

    def _viewer(self) -> Author | None:
        """The same for an app's token, which only the other API tells."""
        path = (self.root.removesuffix("/v3") if self.root else "") + "/graphql"
        try:
            data = self.connection.send(Request("POST", path, body={"query": "{ viewer { login } }"}))
            login = data["data"]["viewer"]["login"]
        except (ApiError, KeyError, TypeError):
            return None
        return Author(login) if isinstance(login, str) and login else None

    def merged(self, commit: str) -> list[int]:
        """The merged pull requests that a commit came from; one that ends in it stands alone."""
        found = [
            each
            for each in self._pages(f"/repos/{self.repository}/commits/{commit}/pulls")
            if each.get("merged_at") and _number(each.get("number"))
        ]
        exact = [each for each in found if each.get("merge_commit_sha") == commit]
        return [_number(each["number"]) for each in exact or found]

    def _pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Every entry of a list; the query for more comes from the Link header, the path stays ours."""
        query = {"per_page": "100"}
        for _ in range(_MOST_PAGES):
            entries, after = self._page(path, query)
            yield from (each for each in entries if isinstance(each, dict))
            if not after or after == query:
                return
            query = after
        raise RequestError(f"GET {path}: the list does not end", method="GET", url=path)

    def _page(self, path: str, query: Mapping[str, str]) -> tuple[list[Any], dict[str, str]]:
        request = Request("GET", self.root + path, query=query, headers=_HEADERS)
        body, link = b"", ""
        with _advised(self.repository):
            for left in reversed(range(_TRIES)):
                try:
                    with self.connection.stream(request) as stream:
                        body, link = _whole(stream.chunks()), stream.headers.get("Link", "")
                    break
                except NoAnswerError:
                    if not left:
                        raise
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, list):
            raise RequestError(f"GET {path} failed: the answer is no list", method="GET", url=path)
        return data, _next(link)

    # ------------------------------------------------------------ writing

    def create(self, pull: int, body: str) -> Comment:
        """Posts a comment, once; a lost reply is the caller's to resolve."""
        path = f"/repos/{self.repository}/issues/{pull}/comments"
        made = _comment(self._send("POST", path, {"body": body}, Resend.ONCE) or {})
        if self.author is None and made.author.login:
            self.author = made.author
        return made

    def update(self, number: int, body: str) -> None:
        """Gives a comment another text."""
        self._send("PATCH", f"/repos/{self.repository}/issues/comments/{number}", {"body": body})

    def delete(self, number: int) -> None:
        """Deletes a comment; one that is gone already is gone."""
        try:
            self._send("DELETE", f"/repos/{self.repository}/issues/comments/{number}")
        except NotFoundError:
            return

    def _send(
        self, method: str, path: str, body: object = None, resend: Resend = Resend.SAFE
    ) -> dict[str, Any] | None:
        write = method != "GET"
        request = Request(method, self.root + path, body=body, headers=_HEADERS, write=write, resend=resend)
        with _advised(self.repository):
            answer: dict[str, Any] | None = self.connection.send(request)
        return answer


def _whole(chunks: Iterator[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > _MOST_BYTES:
            raise RequestError(f"the list of comments is larger than {_MOST_BYTES // 2**20} MiB")
    return bytes(body)


def _next(link: str) -> dict[str, str]:
    """The query of the next page; empty on the last one. Source: RFC 8288."""
    for address, parameters in re.findall(r"<([^<>]*)>([^<]*)", link):
        if re.search(r';\s*rel="?next\b', parameters):
            return dict(parse_qsl(urlsplit(address).query))
    return {}


def _only_bot(found: Sequence[Comment]) -> Author | None:
    names = {each.author.login for each in found}
    if len(names) > 1 and ACTIONS_BOT not in names:
        raise UsageError(
            f"{', '.join(sorted(names))} wrote comments with our marker, and the token does not say whose it "
            "is: name the one with --author"
        )
    name = ACTIONS_BOT if ACTIONS_BOT in names else next(iter(names), "")
    return Author(name) if name else None


@contextmanager
def _advised(repository: str) -> Iterator[None]:
    """Adds the way out to what the platform refuses."""
    ways: dict[type[ApiError], str] = {
        UnauthenticatedError: "the token is wrong or expired",
        PermissionDeniedError: "the job needs `permissions: {pull-requests: write}`, and pull requests from "
        "forks never get it",
        NotFoundError: f"check the number, and that the token may see {repository}",
    }
    try:
        yield
    except ApiError as error:
        if way := ways.get(type(error)):
            error.args = (f"{error}: {way}",)
        raise


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)

    def __call__(self, renew: bool) -> Mapping[str, str]:  # noqa: FBT001 - as connections call it
        del renew
        return {"Authorization": f"Bearer {self.text}"}


@contextmanager
def connected(
    api: str, repository: str, token: str, options: Options, *, author: str = ""
) -> Iterator[Forge]:
    """Opens the platform's REST API for one repository, "owner/name".

    `api` is its address, as https://api.github.com; `author` says who the token writes as where the platform
    does not. Errors: UsageError for an address or repository that is none, and for plain http elsewhere than
    on this machine.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", repository) or ".." in repository:
        raise UsageError(f"{repository!r} is no repository: write owner/name")
    try:
        parts = urlsplit(api)
        host = parts.hostname or ""
    except ValueError:
        raise UsageError("the API's address cannot be read: write one as https://api.github.com") from None
    if parts.scheme != "https" and not is_loopback(host):
        raise UsageError(f"the token is not sent over plain http to {host or 'nowhere'}: use https")
    known = Author(author) if author else None
    with connect(f"{parts.scheme}://{parts.netloc}", authorize=_Token(token), options=options) as connection:
        yield Forge(connection, parts.path.rstrip("/"), repository, known, options.sleep)
