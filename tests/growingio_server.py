"""A GrowingIO platform on loopback: graphql-core executes a schema written from what the vendor publishes.

Nothing here was ever compared with a running platform. Each switch says where its behaviour comes from:
"documented" is the vendor's export guide (OP 13.6) or another program of the vendor, "assumed" is nobody.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from graphql import GraphQLResolveInfo, GraphQLSchema, build_schema, graphql_sync

SCHEMA = """
scalar HashId

enum AnalysisType { CHARTS FUNNELS RETENTIONS FREQUENCIES }
enum Stage { NONE READY RUNNING DATA_READY FINISH ERROR TENCENT_PORTRAIT_RUNNING ARCHIVING ERROR_RETRYING }

type Project { id: HashId! name: String! }
type Tag { id: HashId! key: String name: String! }
type Segment { id: HashId! name: String! }
type Analysis { id: HashId! name: String! }
type TagUserExportJob { id: String name: String stage: Stage }
type SegmentUserExportJob { id: String name: String stage: Stage }
type AnalysisExportJob { id: String stage: Stage }
type JobResult { id: String stage: Stage uris: [String] }

input TagUserExportJobInput {
  tagKey: String!
  exportFileName: String
  properties: [String]
  charset: String
  detailExport: Boolean
}
input AnalysisExportJobInput { analysisType: AnalysisType! }

type Query {
  projects: [Project]
  dataCenterTags: [Tag]
  tags(projectId: HashId!): [Tag]
  segments(projectId: HashId!): [Segment]
  funnelAnalyses(projectId: HashId!): [Analysis]
  eventAnalyses(projectId: HashId!): [Analysis]
  retentionAnalyses(projectId: HashId!): [Analysis]
  frequencyAnalyses(projectId: HashId!): [Analysis]
  jobResult(id: String!): JobResult
}
type Mutation {
  submitTagUserExportJobByKey(parameter: TagUserExportJobInput!): TagUserExportJob
  submitSegmentUserExportJob(
    projectId: HashId!, segmentId: HashId!, tags: [HashId], properties: [String], charset: String
  ): SegmentUserExportJob
  submitAnalysisExportJob(
    projectId: HashId!, id: HashId!, param: AnalysisExportJobInput!, charset: String
  ): AnalysisExportJob
}
"""

Rows = Sequence[Sequence[str]]
USERS: Rows = (
    ("用户ID", "订单交易笔数"),
    ("0017", "3"),
    ("9007199254740993", "1"),
    ('张三, "老"', "12"),
)


def _dictionary(answer: object) -> dict[str, Any]:
    assert isinstance(answer, dict)
    return answer


@dataclass
class Switches:
    """What a test may turn; the defaults are the guide's."""

    path: str = "/graphql"  # documented: the guide's; /v3/graphql by the OP 4.x tools
    headers: dict[str, str] = field(default_factory=dict)  # documented: demanded by the OP 4.x tools
    scheme: str = "bare"  # documented three ways that contradict each other: bare, Token, Bearer
    array: bool = False  # documented: a one-element array around the answer, in the Java SDK
    stages: list[str] = field(default_factory=lambda: ["RUNNING"])  # documented names; their order is assumed
    final: str = "FINISH"  # documented: FINISH or ERROR
    null_uris: int = 0  # documented by the SDK: polls that find FINISH without uris
    null_results: int = 0  # assumed: polls that find no job yet; jobResult is nullable
    placeholder: bool = True  # documented: analyses answer the id J1GlEDjl to every poll
    error: dict[str, str] | None = None  # documented: {code: "", message: ""} on a job that succeeded
    refusal: str = ""  # assumed: a GraphQL error for every mutation
    partial: bool = False  # documented: errors beside data
    uris: list[str] | None = None  # documented as a list; more than one is assumed
    header_once: bool = False  # assumed: only the first of several files has a header
    charset: str = ""  # assumed: what is written, whatever was asked for
    mark: bool = False  # assumed: whether a byte order mark comes first
    delimiter: str = ","  # assumed
    line_end: str = "\r\n"  # assumed
    etag: str = ""  # assumed: none, 'W/"1"' or '"1"'
    ranges: bool = False  # assumed: whether Range is honoured
    content_type: str = "application/octet-stream"  # assumed
    length: bool = True  # assumed: Content-Length; else chunks
    token_uses: int = 0  # assumed: requests after which a token is refused; 0 is never
    tokens: bool = True  # documented: whether accounts/oauth/access_token gives a token


@dataclass
class Faults:
    """What goes wrong, and how many times; none of it is documented."""

    submit: list[str] = field(default_factory=list)  # cut, cut-accepted, 502, 502-accepted, 429, 401, html
    poll: list[str] = field(default_factory=list)  # cut, 502, html, garbage
    download: list[str] = field(default_factory=list)  # cut:N, html, json, 404, 502, redirect:URL
    hold: threading.Event | None = None  # a submit is accepted and answered only when this is set


@dataclass
class Job:
    """One accepted submit."""

    id: str
    kind: str
    ident: str
    name: str
    arguments: Mapping[str, Any]
    polls: int = 0
    uris: list[str] = field(default_factory=list)


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return _dictionary(json.loads(self.body))


def encoded(rows: Rows, switches: Switches, asked: str) -> bytes:
    """Write rows as the switches say; without them in the character set asked for, else UTF-8."""
    text = io.StringIO()
    csv.writer(text, delimiter=switches.delimiter, lineterminator=switches.line_end).writerows(rows)
    charset = switches.charset or asked or "UTF-8"
    mark = "\ufeff" if switches.mark else ""
    return (mark + text.getvalue()).encode(charset)


class Platform:
    """The platform's state: what it lists, the jobs it took, the requests it saw."""

    def __init__(self) -> None:
        self.switches, self.faults = Switches(), Faults()
        self.secret, self.token = "s3cret", "given-token"
        self.issued: list[str] = []
        self.uses: dict[str, int] = {}
        self.seen: list[Seen] = []
        self.jobs: dict[str, Job] = {}
        self.rows: Rows = USERS
        self.files: dict[str, bytes] = {}
        self.lock = threading.RLock()
        self.address = ""
        self.projects: list[dict[str, str] | None] = [{"id": "WlGk4Daj", "name": "默认项目"}, None]
        self.tags: list[dict[str, str] | None] = [
            {"id": "rRGoVRpm", "key": "tag_payment_times", "name": "订单交易笔数"},
            None,
            {"id": "kqQewGry", "key": "tag_city", "name": "城市"},
        ]
        self.center_tags = [*self.tags, {"id": "aBcDeFgH", "key": "tag_center", "name": "平台标签"}]
        self.segments = [{"id": "AVpZBzpK", "name": "分群1"}, {"id": "qgQMXnD3", "name": "分群4"}]
        self.analyses = {
            "FUNNELS": [{"id": "zqQR3po3", "name": "漏斗1"}, {"id": "klGvyp7E", "name": "漏斗3"}],
            "CHARTS": [{"id": "y9pm1pme", "name": "事件分析"}],
            "RETENTIONS": [{"id": "wWDrwQML", "name": "留存"}],
            "FREQUENCIES": [{"id": "V0G5yvGA", "name": "分布"}],
        }
        self.graphql_schema = _schema(self)

    def paths(self, start: str) -> list[Seen]:
        """Give the requests whose path starts so."""
        return [each for each in self.seen if each.path.startswith(start)]

    def queries(self, word: str) -> list[Seen]:
        """Give the GraphQL requests that speak of a word."""
        return [each for each in self.paths(self.switches.path) if word.encode() in each.body]

    def submit(self, kind: str, prefix: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Take a job, and give it as the guide's samples look."""
        ident = f"AbQ3X{len(self.jobs):03d}"
        name = f"{prefix}-202104131140-{42035184000000 + len(self.jobs)}"
        id_ = base64.b64encode(f"{kind}:{ident}".encode()).decode().rstrip("=")
        job = Job(id_, kind, ident, name, arguments)
        charset = arguments.get("charset") or arguments.get("parameter", {}).get("charset") or ""
        uris = self.switches.uris or [self.usual_uri(kind, name)]
        share = max(len(self.rows) - 1, 1) // len(uris) + 1
        for number, uri in enumerate(uris):
            body = self.rows[1:][number * share : (number + 1) * share]
            head = [] if self.switches.header_once and number else [self.rows[0]]
            self.files.setdefault(unquote(uri) if uri.startswith("%2F") else uri, b"")
            self.files[unquote(uri) if uri.startswith("%2F") else uri] = encoded(
                [*head, *body], self.switches, charset
            )
        job.uris = list(uris)
        self.jobs[id_] = job
        stage = "FINISH" if kind == "CHARTS" and not self.switches.stages else "NONE"
        return {"id": id_, "name": name, "stage": stage}

    @staticmethod
    def usual_uri(kind: str, name: str) -> str:
        """Give a uri as the guide's samples look."""
        if kind == "TagUserExportJobDto":
            return f"/jobs/results/{name}/c6be148a-4697-43f2-ae83-afe83cea93ab.csv"
        if kind == "SegmentUserExportJobDto":
            return f"/jobs/results/{name}/下载用户列表.csv"
        return "/jobs-results/downloads/下载漏斗.csv"

    def result(self, id_: str) -> dict[str, Any] | None:
        """Answer a poll."""
        job = self.jobs.get(id_)
        if job is None:
            return None
        job.polls += 1
        polls, switches = job.polls - 1, self.switches
        if polls < switches.null_results:
            return None
        polls -= switches.null_results
        shown = "J1GlEDjl" if job.kind == "CHARTS" and switches.placeholder else job.ident
        if polls < len(switches.stages):
            return {"id": shown, "stage": switches.stages[polls], "uris": None}
        late = polls - len(switches.stages) < switches.null_uris
        return {
            "id": shown,
            "stage": switches.final,
            "uris": None if late or switches.final == "ERROR" else job.uris,
        }

    def authorized(self, given: str) -> bool:
        """Tell whether an Authorization header opens the platform, and count its use."""
        prefix = {"bare": "", "Token": "Token ", "Bearer": "Bearer "}[self.switches.scheme]
        token = given.removeprefix(prefix)
        if not given.startswith(prefix) or token not in {self.token, *self.issued}:
            return False
        self.uses[token] = self.uses.get(token, 0) + 1
        return not self.switches.token_uses or self.uses[token] <= self.switches.token_uses

    def issue(self) -> str:
        """Give out a new token."""
        self.issued.append(f"issued-{len(self.issued) + 1}")
        return self.issued[-1]


def _schema(platform: Platform) -> GraphQLSchema:
    schema = build_schema(SCHEMA)

    def known(found: list[dict[str, str]]) -> Callable[..., object]:
        def resolve(_root: object, _info: GraphQLResolveInfo[Any], projectId: str) -> object:  # noqa: N803
            if projectId not in {each["id"] for each in platform.projects if each}:
                raise ValueError(f"project {projectId} not found")
            return found

        return resolve

    def tags(_root: object, _info: GraphQLResolveInfo[Any], projectId: str) -> object:  # noqa: N803
        assert projectId
        return platform.tags

    def submit(kind: str, prefix: str) -> Callable[..., object]:
        def resolve(_root: object, _info: GraphQLResolveInfo[Any], **arguments: object) -> object:
            if platform.switches.refusal:
                raise ValueError(platform.switches.refusal)
            return platform.submit(kind, prefix, arguments)

        return resolve

    queries = {
        "projects": lambda *_: platform.projects,
        "dataCenterTags": lambda *_: platform.center_tags,
        "tags": tags,
        "segments": known(platform.segments),
        "funnelAnalyses": known(platform.analyses["FUNNELS"]),
        "eventAnalyses": known(platform.analyses["CHARTS"]),
        "retentionAnalyses": known(platform.analyses["RETENTIONS"]),
        "frequencyAnalyses": known(platform.analyses["FREQUENCIES"]),
        "jobResult": lambda _root, _info, id: platform.result(id),  # noqa: A006 - the schema's name
    }
    mutations = {
        "submitTagUserExportJobByKey": submit("TagUserExportJobDto", "DET"),
        "submitSegmentUserExportJob": submit("SegmentUserExportJobDto", "DES"),
        "submitAnalysisExportJob": submit("CHARTS", "DEA"),
    }
    for kind, resolvers in ((schema.query_type, queries), (schema.mutation_type, mutations)):
        assert kind is not None
        for name, resolve in resolvers.items():
            kind.fields[name].resolve = resolve
    return schema


class _Cut(Exception):  # noqa: N818 - it is no error of ours
    """Closes the connection without another byte."""


class _Answered(Exception):  # noqa: N818 - it is no error at all
    """Ends the work on a request that has got its answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    platform: Platform

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except _Answered:
            pass
        except (_Cut, ConnectionError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._keep(b"")
        if not self.path.startswith("/download?file="):
            self._answer(404, b"not found", "text/plain")
        elif not self._open():
            self._answer(401, b'{"error":"unauthorized"}', "application/json")
        else:
            self._download(unquote(urlsplit(self.path).query.removeprefix("file=")))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:
            raise _Cut
        self._keep(body)
        platform = self.platform
        if self.path == "/accounts/oauth/access_token":
            self._token(body)
        elif self.path != platform.switches.path:
            self._answer(404, b"not found", "text/plain")
        elif not self._open():
            self._answer(401, b'{"error":"unauthorized"}', "application/json")
        elif any(self.headers.get(name) != value for name, value in platform.switches.headers.items()):
            self._answer(403, b'{"error":"forbidden"}', "application/json")
        else:
            self._graphql(json.loads(body))

    def _keep(self, body: bytes) -> None:
        self.platform.seen.append(Seen(self.command, self.path, dict(self.headers.items()), body))

    def _open(self) -> bool:
        with self.platform.lock:
            return self.platform.authorized(self.headers.get("Authorization", ""))

    def _token(self, body: bytes) -> None:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        wanted = {
            "grant_type": "client_credentials",
            "client_id": "api",
            "client_secret": self.platform.secret,
            "scope": "system",
        }
        if form != wanted or not self.platform.switches.tokens:
            self._answer(401, b'{"error":"invalid_client"}', "application/json")
            return
        token = self.platform.issue()
        self._json({"access_token": token, "token_type": "bearer", "expires_in": 7200})

    def _graphql(self, request: dict[str, Any]) -> None:
        query, platform = request["query"], self.platform
        submits = "submit" in query
        faults = platform.faults.submit if submits else platform.faults.poll if "jobResult" in query else []
        fault = faults.pop(0) if faults else ""
        if not fault.endswith("-accepted"):
            self._fail(fault)
        with platform.lock:
            result = graphql_sync(platform.graphql_schema, query, variable_values=request.get("variables"))
        self._fail(fault.removesuffix("-accepted"))
        if submits and platform.faults.hold is not None:
            platform.faults.hold.wait(30)
        answer: dict[str, Any] = dict(result.formatted)
        for job in filter(None, (answer.get("data") or {}).values()):
            if platform.switches.error is not None and isinstance(job, dict):
                job["error"] = platform.switches.error
        if platform.switches.partial:
            answer["errors"] = [{"message": "partly failed"}]
        self._json([answer] if platform.switches.array else answer)

    def _fail(self, fault: str) -> None:
        if fault == "cut":
            raise _Cut
        if fault == "html":
            self._answer(200, b"<html><body>Sign in</body></html>", "text/html")
        elif fault == "garbage":
            self._answer(200, b'{"data":', "application/json")
        elif fault:
            self._answer(int(fault), b"failed", "text/plain")
        if fault:
            raise _Answered

    def _download(self, uri: str) -> None:
        platform, switches = self.platform, self.platform.switches
        fault = platform.faults.download.pop(0) if platform.faults.download else ""
        if fault.startswith("redirect:"):
            self.send_response(302)
            self.send_header("Location", fault.removeprefix("redirect:"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "json":
            self._answer(200, b'{"error":{"message":"no permission"}}', "application/json")
            return
        if not fault.startswith("cut"):
            self._fail(fault)
        if uri not in platform.files:
            self._answer(404, b"no such file", "text/plain")
            return
        self._file(platform.files[uri], switches, fault)

    def _file(self, body: bytes, switches: Switches, fault: str) -> None:
        start = 0
        asked = self.headers.get("Range", "")
        if asked and switches.ranges and self.headers.get("If-Range") in {None, switches.etag}:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", switches.content_type)
        if switches.etag:
            self.send_header("ETag", switches.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        rest = body[start:]
        if switches.length:
            self.send_header("Content-Length", str(len(rest)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        cut = int(fault.removeprefix("cut:")) if fault else len(rest)
        for place in range(0, min(cut, len(rest)), 1 << 16):
            piece = rest[place : min(place + (1 << 16), cut)]
            self.wfile.write(piece if switches.length else b"%x\r\n%b\r\n" % (len(piece), piece))
        if fault:
            self.wfile.flush()
            raise _Cut
        if not switches.length:
            self.wfile.write(b"0\r\n\r\n")

    def _json(self, answer: object) -> None:
        self._answer(200, json.dumps(answer).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def serving(platform: Platform | None = None) -> Iterator[Platform]:
    """Serve a platform on a free loopback port until the block ends; its address is `platform.address`."""
    platform = platform or Platform()
    handler = type("Handler", (_Handler,), {"platform": platform})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    platform.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
