"""GrowingIO: sign-in, what can be exported, export jobs, and the download of their files.

The platform is run on premises. The vendor's guide (OP 13.6) shows the operations; the rest comes from the
vendor's other programs, which contradict each other in places: those are settings. Arguments are written into
the queries as the guide does, since the names of the input types are published nowhere.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from audiencesync import errors, http, rows
from audiencesync.http import Connection, Options, Request, Resend, Stream
from audiencesync.settings import GrowingIO as Platform

POLL_TIMEOUT = (10.0, 60.0)
SUBMIT_TIMEOUT = (10.0, 300.0)
"""Connect and read, in seconds: a submit may run the whole job before it answers."""

TOKEN_PATH = "/accounts/oauth/access_token"  # noqa: S105 - a path
_TRIES = 5
_LISTS = {
    "FUNNELS": "funnelAnalyses",
    "CHARTS": "eventAnalyses",
    "RETENTIONS": "retentionAnalyses",
    "FREQUENCIES": "frequencyAnalyses",
}
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*]')
_LONGEST_NAME = 200

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be exported; `key` is set for tags alone."""

    id: str
    name: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a poll answers; `uris` is empty until the files are there, `trouble` where all is well.

    The id is left out: for analyses it is a placeholder, and the submit's own id is what is sent back.
    """

    stage: str
    uris: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Authorization:
    """Gives the Authorization header; a token fetched with a secret lives in memory alone.

    Source of the token request: the vendor's gio-importer 1.2.6.
    """

    platform: Platform
    token: str = ""
    secret: str = ""
    sign_in: Connection | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    fetched: list[str] = field(default_factory=list)

    def __call__(self, renew: bool) -> Mapping[str, str]:  # noqa: FBT001 - the connection's contract
        """The header; `renew` follows a 401."""
        with self.lock:
            if self.sign_in is not None and (renew or not self.fetched):
                self.fetched[:] = [self._fetch(self.sign_in)]
            token = self.fetched[0] if self.fetched else self.token
        scheme = self.platform.auth_scheme
        return {"Authorization": token if scheme == "bare" else f"{scheme} {token}"}

    def _fetch(self, connection: Connection) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": "api",
            "client_secret": self.secret,
            "scope": "system",
        }
        request = Request("POST", TOKEN_PATH, form=form, headers=dict(self.platform.headers))
        name = self.platform.name
        try:
            answer = connection.send(request)
        except errors.ApiError as error:
            raise errors.ApiError(
                f"GrowingIO {name}: the sign-in failed ({error.status}): check ${self.platform.secret_env}",
                method="POST",
                url=TOKEN_PATH,
                status=error.status,
            ) from error
        except errors.NoAnswerError as error:
            raise errors.ApiError(f"GrowingIO {name}: the sign-in got no answer: {error}") from error
        token = answer.get("access_token") if isinstance(answer, Mapping) else None
        if not isinstance(token, str) or not token:
            raise errors.ApiError(f"GrowingIO {name}: the sign-in answered no access_token")
        return token


def connect(
    platform: Platform, *, environ: Mapping[str, str], options: Options, warn: Callable[[str], None]
) -> GrowingIO:
    """A client of one platform; nothing is sent yet.

    Raises UsageError where the token's or the secret's variable is not set. Plain http is taken, with a
    warning: every example of the vendor has it.
    """
    variable = platform.token_env or platform.secret_env
    secret = environ.get(variable, "").strip()
    if not secret:
        raise errors.UsageError(f"growingio.{platform.name}: the environment variable {variable} is not set")
    if urlsplit(platform.url).scheme == "http":
        warn(f"growingio.{platform.name}: plain http, so the token and all users can be read on the way")
    base = platform.url.rstrip("/")
    if platform.token_env:
        authorize = Authorization(platform, token=secret)
    else:
        sign_in = http.connect(base, authorize=None, options=options)
        authorize = Authorization(platform, secret=secret, sign_in=sign_in)
    return GrowingIO(platform, http.connect(base, authorize=authorize, options=options))


def _literal(value: object) -> str:
    """A GraphQL literal: texts and lists of texts are written as in JSON."""
    return json.dumps(value, ensure_ascii=False)


def _arguments(given: Mapping[str, object]) -> str:
    """Arguments of a field; those that are empty are left out."""
    return ", ".join(f"{name}: {_literal(value)}" for name, value in given.items() if value)


class GrowingIO:
    """One platform; every method raises RequestError where the platform refuses or does not answer."""

    def __init__(self, platform: Platform, connection: Connection) -> None:
        self.platform = platform
        self._connection = connection

    def close(self) -> None:
        """Closes the connections."""
        self._connection.close()

    # What there is

    def projects(self) -> list[Item]:
        """All projects that the token sees."""
        return _items(self._ask("Projects", "query Projects { projects { id name } }"), "projects")

    def data_center_tags(self) -> list[Item]:
        """All user tags of the platform; the id is not asked for."""
        query = "query dataCenterTags { tags: dataCenterTags { key name } }"
        # The guide asks for dataCenterTags and its sample answers tags: the alias is right both ways.
        return _items(self._ask("dataCenterTags", query), "tags")

    def tags(self, project: str) -> list[Item]:
        """A project's user tags."""
        return self._list("tags", project, "id key name")

    def segments(self, project: str) -> list[Item]:
        """A project's segments."""
        return self._list("segments", project, "id name")

    def analyses(self, project: str, kind: str) -> list[Item]:
        """A project's analyses of one kind: FUNNELS, CHARTS (event analyses), RETENTIONS or FREQUENCIES."""
        return self._list(_LISTS[kind], project, "id name")

    def _list(self, name: str, project: str, chosen: str) -> list[Item]:
        operation = name[0].upper() + name[1:]
        query = f"query {operation} {{ {name}({_arguments({'projectId': project})}) {{ {chosen} }} }}"
        return _items(self._ask(operation, query), name)

    # Jobs

    def submit_tag(
        self, key: str, *, properties: Sequence[str] = (), charset: str = "", detail: bool = False
    ) -> str:
        """Starts the export of a tag's users (OP 13.4 and later) and gives the job's id."""
        parameter = _arguments(
            {"tagKey": key, "properties": list(properties), "charset": charset, "detailExport": detail}
        )
        return self._submit("submitTagUserExportJobByKey", f"parameter: {{{parameter}}}", "id name")

    def submit_segment(
        self,
        project: str,
        segment: str,
        *,
        tags: Sequence[str] = (),
        properties: Sequence[str] = (),
        charset: str = "",
    ) -> str:
        """Starts the export of a segment's users; `tags` are ids of tags to add as columns."""
        arguments = {
            "projectId": project,
            "segmentId": segment,
            "tags": list(tags),
            "properties": list(properties),
            "charset": charset,
        }
        return self._submit("submitSegmentUserExportJob", _arguments(arguments), "id name")

    def submit_analysis(self, project: str, analysis: str, kind: str, *, charset: str = "") -> str:
        """Starts the export of an analysis' result."""
        if kind not in _LISTS:
            raise errors.UsageError(f"{kind} is no kind of analysis: {', '.join(_LISTS)}")
        arguments = (
            f"{_arguments({'projectId': project, 'id': analysis})}, param: {{analysisType: {kind}}}"
            + (f", charset: {_literal(charset)}" if charset else "")
        )
        return self._submit("submitAnalysisExportJob", arguments, "id stage")

    def _submit(self, name: str, arguments: str, chosen: str) -> str:
        """Sends a submit once: no query lists jobs, so one whose answer is lost cannot be found again."""
        query = f"mutation {name} {{ {name}({arguments}) {{ {chosen} }} }}"
        data, refusals = self._answer(name, query, submit=True)
        job = data.get(name)
        id_ = job.get("id") if isinstance(job, Mapping) else None
        if refusals and id_:
            raise errors.AmbiguousSubmitError(f"GrowingIO answered the job {id_} and errors: {refusals}")
        if refusals:
            raise errors.ApiError(f"GrowingIO refused {name}: {refusals}", method="POST", url=name)
        if isinstance(job, Mapping) and (trouble := self._trouble(job.get("error"))):
            raise errors.ApiError(f"GrowingIO refused {name}: {trouble}", method="POST", url=name)
        if not isinstance(id_, str) or not id_:
            raise errors.AmbiguousSubmitError(f"GrowingIO took {name} and answered no job")
        return id_

    def job_result(self, job: str) -> JobResult | None:
        """How a job stands; None where the platform knows no such job, or not yet."""
        query = f"query JobResult {{ jobResult({_arguments({'id': job})}) {{ id stage uris }} }}"
        found = self._ask("JobResult", query).get("jobResult")
        if not isinstance(found, Mapping):
            return None
        uris = found.get("uris")
        kept = tuple(uri for uri in uris if isinstance(uri, str) and uri) if isinstance(uris, list) else ()
        return JobResult(str(found.get("stage") or "NONE"), kept, self._trouble(found.get("error")))

    def _trouble(self, error: object) -> str:
        """The text of a job's `error`; one whose code and message are empty is a success.

        It is not asked for, since the guide does not show it; some platforms answer it all the same.
        """
        if not isinstance(error, Mapping):
            return ""
        said = " ".join(str(error[name]) for name in ("code", "message") if error.get(name))
        return self._connection.masked(said)[:500]

    # GraphQL

    def _ask(self, name: str, query: str) -> Mapping[str, Any]:
        data, refusals = self._answer(name, query, submit=False)
        if refusals:
            raise errors.ApiError(f"GrowingIO refused {name}: {refusals}", method="POST", url=name)
        return data

    def _answer(self, name: str, query: str, *, submit: bool) -> tuple[Mapping[str, Any], str]:
        """The answer's data and the text of its errors; errors beside data are errors."""
        request = Request(
            "POST",
            quote(self.platform.graphql_path, safe="/%~:@!$&'()*+,;="),
            body={"query": query, "variables": {}},
            headers=dict(self.platform.headers),
            resend=Resend.ONCE if submit else Resend.SAFE,
            timeout=SUBMIT_TIMEOUT if submit else POLL_TIMEOUT,
        )
        try:
            answer = self._connection.send(request)
        except errors.UnauthenticatedError as error:
            raise self._unauthenticated(error) from error
        if not isinstance(answer, Mapping):
            raise errors.NoAnswerError(f"GrowingIO answered {name} with nothing that can be read")
        data, refused = answer.get("data"), answer.get("errors")
        said = refused if isinstance(refused, list) else [refused] if refused else []
        text = "; ".join(self._connection.masked(_message(each))[:500] for each in said)
        return (data if isinstance(data, Mapping) else {}), text

    def _unauthenticated(self, error: errors.ApiError) -> errors.UnauthenticatedError:
        platform = self.platform
        variable = platform.token_env or platform.secret_env
        return errors.UnauthenticatedError(
            f"GrowingIO {platform.name} refused the token (401). It was sent with `authScheme: "
            f"{platform.auth_scheme}`; platforms differ in whether they want bare, Token or Bearer. "
            f"Try another authScheme in the settings, or check ${variable}",
            method=error.method,
            url=error.url,
            status=error.status,
        )

    # Files

    def fetch(self, uri: str, path: Path, *, sleep: Sleep, on_bytes: Callable[[int], None]) -> None:
        """Downloads a job's file to `path` (mode 0600).

        What was cut off goes on where it stopped if the server gives a strong ETag, and else starts again.
        Raises ExportError where the platform sends something else than the file; `path` may exist then.
        """
        with rows.private(path) as file:
            download = _Download(file, on_bytes)
            for attempt in range(1, _TRIES + 1):  # the last one returns or raises
                try:
                    with self._open(uri, download.headers()) as answer:
                        download.take(answer)
                    return
                except errors.UnauthenticatedError as error:
                    raise self._unauthenticated(error) from error
                except errors.NoAnswerError:
                    if attempt == _TRIES or not download.begun:
                        raise
                except errors.ApiError as error:
                    if error.status != 416 or not download.etag:  # noqa: PLR2004 - Range Not Satisfiable
                        raise
                    download.etag = ""
                sleep(min(2.0 ** (attempt - 1), 10.0))

    def _open(self, uri: str, headers: Mapping[str, str]) -> AbstractContextManager[Stream]:
        request = Request(
            "GET",
            "/download?file=" + quote(download_uri(uri), safe="/"),
            headers={**dict(self.platform.headers), **headers},
        )
        return self._connection.stream(request)


@dataclass(slots=True)
class _Download:
    """One file on its way; `etag` is a strong one or "", `begun` tells whether any answer came."""

    file: IO[bytes]
    on_bytes: Callable[[int], None]
    etag: str = ""
    begun: bool = False

    def headers(self) -> dict[str, str]:
        done = self.file.tell()
        return {"Range": f"bytes={done}-", "If-Range": self.etag} if done and self.etag else {}

    def take(self, answer: Stream) -> None:
        """Writes one answer's body: after what is there, or from the beginning."""
        self.begun = True
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in {"text/html", "application/xhtml+xml", "application/json"}:
            what = "a JSON answer" if kind == "application/json" else "a web page"
            raise errors.ExportError(
                f"the server sent {what} in place of the file: is the sign-in still valid?"
            )
        done = self.file.tell()
        place = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if not (answer.status == 206 and place and int(place[1]) == done):  # noqa: PLR2004 - Partial Content
            if answer.status == 206:  # noqa: PLR2004
                self.etag = ""
                raise errors.NoAnswerError("the server sent another part of the file than was asked for")
            done = 0
            self.file.seek(0)
            self.file.truncate()
        etag = answer.headers.get("ETag", "")
        self.etag = etag if etag.startswith('"') else ""
        promised = answer.headers.get("Content-Length", "")
        for chunk in answer.chunks():
            self.file.write(chunk)
            self.on_bytes(self.file.tell())
        if promised.isdecimal() and self.file.tell() - done < int(promised):
            raise errors.NoAnswerError("the file was cut short")


def download_uri(uri: str) -> str:
    """A job's uri as a path on the platform: not percent-encoded.

    Raises ExportError for a uri that does not start with exactly one slash, or that holds `..`.
    """
    plain = unquote(uri) if uri[:3].upper() == "%2F" else uri
    climbs = ".." in plain or ".." in unquote(plain)
    if not plain.startswith("/") or plain.startswith("//") or climbs or "\\" in plain:
        raise errors.ExportError(f"the platform names a file that is not fetched: {uri[:200]!r}")
    return plain


def local_name(uri: str) -> str:
    """The file name in a uri, safe on every system: a name alone, NFC, at most 200 bytes of UTF-8."""
    name = unicodedata.normalize("NFC", download_uri(uri).rpartition("/")[2])
    name = _NOT_IN_NAMES.sub("", name).strip(" .")
    return name.encode("utf-8", "ignore")[:_LONGEST_NAME].decode("utf-8", "ignore") or "file"


def _items(data: Mapping[str, Any], name: str) -> list[Item]:
    """Lists and their items may be null."""
    found = data.get(name)
    return [
        Item(str(each.get("id") or ""), str(each.get("name") or ""), str(each.get("key") or ""))
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, Mapping)
    ]


def _message(refusal: object) -> str:
    said = refusal.get("message") if isinstance(refusal, Mapping) else refusal
    return str(said or "an error without a message")
