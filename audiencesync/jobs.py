"""The two kinds of export jobs, GA4's and GrowingIO's, behind one face for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from audiencesync import encoding, errors, growingio
from audiencesync.ga4 import MAX_MEMBERS, AudienceExport, ExportState, Property
from audiencesync.growingio import GrowingIO
from audiencesync.members import Page
from audiencesync.rows import Batch
from audiencesync.settings import Export

FRESH = timedelta(hours=24)
"""GA4 renews memberships once a day: an export younger than that is as good as a new one."""

_SKEW = timedelta(minutes=5)
_PATIENCE = 10
"""Polls that may find a finished job without files, or no job at all, before that counts as a failure."""

_GA4_PATIENCE = 2
"""The same for an export of GA4 that answers 404: it may not be everywhere yet, or has expired after 72 h."""

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Waiting:
    """The job goes on; `fraction` (0..1) is set where the server tells."""

    text: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """The job has failed for good, or is gone with its result: only a new one can help."""

    reason: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The job has something to fetch: files of GrowingIO, or the export resource of GA4."""

    uris: tuple[str, ...] = ()
    export: AudienceExport | None = None


Poll = Waiting | Dead | Ready


@dataclass(slots=True)
class Table:
    """Rows as they come; `expected` and `source` are complete when the batches are exhausted."""

    columns: tuple[str, ...]
    batches: Iterator[Batch]
    source: dict[str, Any]
    expected: int | None = None
    encoding: str | None = None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """What a job needs of the run while it reads: how to wait, whom to tell, where to put downloads."""

    sleep: Callable[[float], None]
    tell: Callable[[str, float | None], None]
    scratch: Callable[[int], Path]


class Job(Protocol):
    """What the engine does with a job of either kind."""

    def asked(self) -> dict[str, Any]:
        """What is asked for, as plain data: equal for equal questions."""

    def existing(self, now: datetime) -> str:
        """A job that is there already and answers the question, or ""."""

    def submit(self) -> str:
        """Starts a job and gives its id."""

    def recover(self, since: datetime) -> str:
        """The job of a submit whose answer was lost, or "" where nobody can know."""

    def poll(self, job: str) -> Poll:
        """How the job stands."""

    def read(self, job: str, ready: Ready, tools: Tools) -> Table:
        """The job's rows."""


@dataclass(slots=True)
class MembersJob:
    """An audience export of GA4 (a Job); `resolve` gives the audience's resource name."""

    export: Export
    remote: Property
    resolve: Callable[[], str]
    audience: str = ""
    absences: int = 0

    def asked(self) -> dict[str, Any]:
        """The members of one audience, by the name that the settings have for it."""
        return {
            "kind": "ga4",
            "endpoint": self.remote.endpoint,
            "property": self.remote.name,
            "audience": self.export.audience,
            "dimensions": sorted(self.export.dimensions),
        }

    def existing(self, now: datetime) -> str:
        """The youngest ACTIVE export of the same audience and dimensions, if it is younger than a day."""
        found = [each for each in self._same() if each.state is ExportState.ACTIVE]
        young = [each for each in found if now - _moment(each.begun) < FRESH]
        return max(young, key=lambda each: _moment(each.begun)).name if young else ""

    def submit(self) -> str:
        """Starts an export, which costs quota tokens."""
        return self.remote.create_export(self._name(), self.export.dimensions)

    def recover(self, since: datetime) -> str:
        """An export of the same members that was begun since, whoever began it."""
        found = [
            each
            for each in self._same()
            if each.state is not ExportState.FAILED and _moment(each.begun) >= since - _SKEW
        ]
        return min(found, key=lambda each: _moment(each.begun)).name if found else ""

    def poll(self, job: str) -> Poll:
        """CREATING tells how far it is, FAILED why it failed; after 72 hours an export is gone."""
        try:
            found = self.remote.export(job)
        except errors.NotFoundError:
            self.absences += 1
            if self.absences > _GA4_PATIENCE:
                return Dead(f"GA4 has no {job}: exports expire after 72 hours", gone=True)
            return Waiting("not known yet")
        match found.state:
            case ExportState.ACTIVE:
                return Ready(export=found)
            case ExportState.FAILED:
                return Dead(f"GA4 could not create the export: {found.message or 'it does not say why'}")
            case _:
                return Waiting(f"{found.percent:.0f} %", found.percent / 100)

    def read(self, job: str, ready: Ready, tools: Tools) -> Table:
        """Columns come as the settings name them, whatever order the export has."""
        made = ready.export or self.remote.export(job)
        if made.tokens is not None:
            tools.tell(f"the export cost {made.tokens:,} quota tokens", None)
        there, wanted = made.dimensions or self.export.dimensions, self.export.dimensions
        if set(there) != set(wanted):
            raise errors.ExportError(f"the export {job} has the dimensions {', '.join(there)}")
        source = {
            "kind": "ga4",
            "property": self.remote.name,
            "audience": made.audience,
            "dimensions": list(wanted),
            "tokensCharged": made.tokens,
        }
        table = Table(tuple(wanted), iter(()), source, expected=made.rows)
        order = [there.index(name) for name in wanted]
        pages = self._pages(job, len(there), table, tools)
        if order != sorted(order):
            pages = ([[row[place] for place in order] for row in batch] for batch in pages)
        table.batches = pages
        return table

    def _pages(self, job: str, width: int, table: Table, tools: Tools) -> Iterator[Batch]:
        """All rows, page after page. A page that is cut short goes on at the row where it stopped."""
        done, failures = 0, 0
        while True:
            before = done
            try:
                with self.remote.open_export(job, done, MAX_MEMBERS) as answer:
                    page = Page(answer.chunks(), width)
                    for batch in page.batches():
                        yield batch
                        done += len(batch)
                        share = done / table.expected if table.expected else None
                        tools.tell(f"{done:,} rows", share)
            except (errors.NoAnswerError, errors.ServerError):
                failures = failures + 1 if done == before else 1
                if failures >= _TRIES:
                    raise
                tools.sleep(min(2.0**failures, 10.0))
                continue
            failures = 0
            # A zero vanishes from JSON, so an export without rows has no count either.
            counts = [count for count in (table.expected, page.total) if count is not None]
            table.expected = max(counts, default=None if done else 0)
            if done == before or (table.expected is not None and done >= table.expected):
                return

    def _same(self) -> list[AudienceExport]:
        name, wanted = self._name(), set(self.export.dimensions)
        return [
            each
            for each in self.remote.exports()
            if each.audience == name and set(each.dimensions) == wanted and each.begun
        ]

    def _name(self) -> str:
        if not self.audience:
            self.audience = self.resolve()
        return self.audience


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(slots=True)
class PlatformJob:
    """An export job of GrowingIO: of a tag's users, a segment's users, or an analysis' result."""

    export: Export
    client: GrowingIO
    absences: int = 0

    def asked(self) -> dict[str, Any]:
        """What the settings say of the tag, segment or analysis."""
        export = self.export
        asked = {
            "kind": "growingio",
            "platform": self.client.platform.url,
            "project": self._project,
            "tag": export.tag,
            "segment": export.segment,
            "analysis": export.analysis,
            "type": export.type,
            "charset": export.charset,
            "properties": list(export.properties),
            "tags": list(export.tags),
            "detail": export.detail,
        }
        return {name: value for name, value in asked.items() if value}

    @property
    def _project(self) -> str:
        return self.export.project or self.client.platform.project

    def existing(self, now: datetime) -> str:  # noqa: ARG002 - as the protocol has it
        """None: no query lists jobs."""
        return ""

    def recover(self, since: datetime) -> str:  # noqa: ARG002 - as the protocol has it
        """None: no query lists jobs."""
        return ""

    def submit(self) -> str:
        """Starts the job, once."""
        export = self.export
        if export.tag:
            return self.client.submit_tag(
                export.tag, properties=export.properties, charset=export.charset, detail=export.detail
            )
        if export.segment:
            return self.client.submit_segment(
                self._project,
                export.segment,
                tags=export.tags,
                properties=export.properties,
                charset=export.charset,
            )
        return self.client.submit_analysis(
            self._project, export.analysis, export.type, charset=export.charset
        )

    def poll(self, job: str) -> Poll:
        """FINISH and ERROR are final, an unknown stage is not; files may come some polls after FINISH."""
        result = self.client.job_result(job)
        if result is not None and (result.stage == "ERROR" or result.trouble):
            return Dead(
                f"GrowingIO's job failed: {result.trouble or 'it ended in ERROR and does not say why'}"
            )
        if result is not None and result.stage == "FINISH" and result.uris:
            return Ready(result.uris)
        if result is not None and result.stage != "FINISH":
            return Waiting(result.stage)
        self.absences += 1
        if self.absences > _PATIENCE:
            what = "knows no such job" if result is None else "finished the job and names no file"
            raise errors.ExportError(f"the platform {what}: look there, or ask for a new one with --restart")
        return Waiting("FINISH, without files yet" if result else "not known yet")

    def read(self, job: str, ready: Ready, tools: Tools) -> Table:
        """All files of the job as one table, fetched first: only a whole one tells its encoding."""
        paths = []
        for number, uri in enumerate(ready.uris):
            name, path = growingio.local_name(uri), tools.scratch(number)
            tools.tell(_progress(name, 0), None)
            self.client.fetch(
                uri,
                path,
                sleep=tools.sleep,
                on_bytes=lambda count, name=name: tools.tell(_progress(name, count), None),  # type: ignore[misc]
            )
            paths.append(path)
        names = [growingio.local_name(uri) for uri in ready.uris]
        return table_of(paths, self.export.charset, {**self.asked(), "job": job, "files": names})


def _progress(name: str, count: int) -> str:
    return f"downloading {name}" + (f": {count >> 20} MiB" if count >> 20 else "")


def table_of(paths: Sequence[Path], asked: str, source: Mapping[str, Any]) -> Table:
    """Downloaded files as one table, read and removed one after the other.

    Each is taken to have the same header. A further file may also go on without one: its first record is a
    row then, if no cell of it stands in the header. Files of zero bytes count for nothing beside others.
    """
    filled = [path for path in paths if path.stat().st_size] or list(paths[:1])
    writings = [encoding.sniff(path, asked) for path in filled]
    first = encoding.records(filled[0], writings[0])
    header = next(first, None)
    if header is None:
        raise errors.ExportError("the file is empty: it has not even a header")

    def found() -> Iterator[encoding.Record]:
        yield from first
        filled[0].unlink(missing_ok=True)
        for path, writing in zip(filled[1:], writings[1:], strict=True):
            further = encoding.records(path, writing)
            start = next(further, header)
            if start != header:
                if len(start) != len(header) or set(start) & set(header):
                    raise errors.ExportError("the job's files have different columns: they do not fit in one")
                yield start
            yield from further
            path.unlink(missing_ok=True)

    return Table(
        columns=encoding.column_names(header),
        batches=encoding.batches(found()),
        source=dict(source),
        encoding=writings[0].encoding,
        delimiter=writings[0].delimiter,
    )
