"""Carries exports out: submit, wait, stream, check, and a file that is whole or absent.

One engine for both kinds of jobs (jobs.py). Several exports wait side by side: each is a generator that
yields the seconds until it wants to be asked again. What is done when, and what a kill leaves behind:

    state file         then                                  killed after it, the next run
    submitting         the submit is sent                    says that its fate is unknown, and sends nothing
    submitted + job    polls, downloads, writes the part     goes on with the job
    written + manifest the old manifest goes, the part       puts the part in its place, or finds it there,
                       takes the file's place, the new       and writes the manifest
                       manifest is written
    none               done                                  is a new export

The old manifest goes before the new file comes, so a manifest never stands beside a file that it does not
describe; who reads both while they are replaced can tell by the SHA-256.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audiencesync import errors, jobfile, jobs, rows
from audiencesync.ga4 import Property
from audiencesync.growingio import GrowingIO
from audiencesync.jobfile import JobFile, Stage, State
from audiencesync.settings import Export

DEFAULT_TIMEOUT = 3600.0
"""Seconds that a run waits for its jobs where the caller names no time."""

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 1.0, 10.0, 1.5
_FAILED_POLLS = 3
"""Polls in a row that may fail, each after the connection's own retries, before the run gives up."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an export stands; `fraction` (0..1) is set where it is known. Its text is one line."""

    name: str
    text: str
    fraction: float | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


@dataclass(frozen=True, slots=True)
class World:
    """What a run needs from outside.

    `open_ga4` takes a target's name ("" is the command's own), `open_growingio` a platform's; neither sends
    anything. `resolve(target, text)` gives an audience's resource name. `base_dir` is the folder of the
    settings file, `state_dir` is the workspace's .audiencesync/. `clock` is seconds since the epoch.
    """

    open_ga4: Callable[[str], Property]
    open_growingio: Callable[[str], GrowingIO]
    resolve: Callable[[str, str], str]
    base_dir: Path
    state_dir: Path
    environ: Mapping[str, str]
    progress: Callable[[Progress], None] = lambda _: None
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Result:
    """How one export ended: `status` is done, running, failed or ambiguous; paths are set when it is done."""

    name: str
    status: str
    rows: int | None = None
    path: str | None = None
    manifest: str | None = None
    job: str | None = None
    error: errors.AudiencesyncError | None = None

    @property
    def exit_code(self) -> int:
        """0 for done, 5 for running, 1 for failed and ambiguous."""
        return {"done": 0, "running": errors.UnfinishedError.exit_code}.get(self.status, 1)


def exit_code(results: Sequence[Result]) -> int:
    """The exit code of a whole run: 1 beats 5 beats 0."""
    codes = {result.exit_code for result in results}
    return 1 if 1 in codes else max(codes, default=0)


def run(
    exports: Sequence[Export],
    world: World,
    *,
    wait: bool = True,
    timeout: float | None = None,
    restart: bool = False,
) -> Iterator[Result]:
    """Carries exports out and yields each one's result as it ends; never raises for what went wrong in one.

    Without `wait`, a new job is left to the next run at once, and one under way unless it has ended. With it,
    `timeout` is in seconds, an hour if None. `restart` forgets jobs under way and asks for new ones.
    """
    patience = DEFAULT_TIMEOUT if timeout is None else timeout
    terms = _Terms(world.clock() + (patience if wait else 0.0), wait=wait, restart=restart)
    places: dict[Path, str] = {}
    queue: list[tuple[float, int, Generator[float, None, Result]]] = []
    for number, export in enumerate(exports):
        path = Path(world.base_dir, Path(export.to).expanduser())
        twin = places.setdefault(path.resolve(), export.name)
        queue.append((0.0, number, _Errand(export, world, path, terms).steps(twin)))
    try:
        while queue:
            due, number, steps = heapq.heappop(queue)
            if (pause := due - world.clock()) > 0:
                world.sleep(pause)
            try:
                heapq.heappush(queue, (world.clock() + next(steps), number, steps))
            except StopIteration as end:
                yield end.value
    finally:
        for _, _, steps in queue:
            steps.close()


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of a run; `deadline` is by the world's clock."""

    deadline: float
    wait: bool
    restart: bool


class _Errand:
    """One export on its way through a run."""

    def __init__(self, export: Export, world: World, path: Path, terms: _Terms) -> None:
        self._export, self._world, self._path, self._terms = export, world, path, terms
        self._file = JobFile(world.state_dir, export.name)
        self._job_id: str | None = None
        self._told = ("", -1)

    def steps(self, twin: str) -> Generator[float, None, Result]:
        """Does the errand; yields the seconds until it wants to go on. `twin` writes its file first."""
        name = self._export.name
        try:
            self._preflight(twin)
            with self._file.locked():
                manifest = yield from self._carry()
        except errors.UnfinishedError as error:
            return Result(name, "running", job=self._job_id, error=error)
        except errors.AmbiguousSubmitError as error:
            return Result(name, "ambiguous", error=error)
        except errors.AudiencesyncError as error:
            return Result(name, "failed", job=self._job_id, error=error)
        except OSError as error:
            problem = errors.ExportError(f"{error.filename or self._path}: {error.strerror or error}")
            return Result(name, "failed", job=self._job_id, error=problem)
        return Result(
            name,
            "done",
            rows=manifest["rows"],
            path=str(self._path),
            manifest=str(jobfile.manifest_of(self._path)),
            job=manifest["job"],
        )

    def _tell(self, text: str, fraction: float | None = None) -> None:
        """Passes progress on, a line for each change that a reader would see."""
        new = (text, -1 if fraction is None else int(fraction * 100))
        if new != self._told:
            self._told = new
            self._world.progress(Progress(self._export.name, text, fraction))

    # Before anything is sent

    def _preflight(self, twin: str) -> None:
        """Raises for whatever would make the export fail after a job was paid for."""
        export = self._export
        if twin != export.name:
            raise errors.UsageError(f"{export.name} and {twin} write the same file: {self._path}")
        rows.check(self._path)
        if export.analysis and not export.type:
            raise errors.UsageError(f"exports.{export.name}: `analysis` needs a `type`")
        if not export.hash:
            return
        if not export.salt_env:
            raise errors.UsageError(f"exports.{export.name}: `hash` needs a `saltEnv`")
        if not self._world.environ.get(export.salt_env):
            variable = export.salt_env
            raise errors.UsageError(f"exports.{export.name}: the environment variable {variable} is not set")
        if not (export.id_columns or export.audience):
            raise errors.UsageError(f"exports.{export.name}: `hash` needs `idColumns`")

    def _job(self) -> jobs.Job:
        export, world = self._export, self._world
        if export.audience:
            remote = world.open_ga4(export.target)
            return jobs.MembersJob(export, remote, lambda: world.resolve(export.target, export.audience))
        client = world.open_growingio(export.growingio)
        project = export.project or client.platform.project
        if not export.tag and not project:
            raise errors.UsageError(f"exports.{export.name}: `project` is needed, here or for the platform")
        return jobs.PlatformJob(export, client)

    # Submit and wait

    def _carry(self) -> Generator[float, None, Mapping[str, Any]]:
        job = self._job()
        state = self._pick_up(job)
        if state is not None and state.stage is Stage.WRITTEN:
            if manifest := self._finish_written(state):
                return manifest
            state = replace(state, stage=Stage.SUBMITTED, manifest={})
        picked_up = state is not None
        state = state or self._reuse(job) or self._submit(job)
        self._job_id = state.job
        # Whoever submits side by side submits all before any is asked about.
        yield 0.0
        answer = yield from self._wait(job, state)
        if isinstance(answer, jobs.Dead) and answer.gone and picked_up:
            self._tell(f"{answer.reason}; asking for a new one")
            self._file.remove()
            state = self._reuse(job) or self._submit(job)
            self._job_id = state.job
            answer = yield from self._wait(job, state)
        if isinstance(answer, jobs.Dead):
            self._file.remove()
            raise errors.ExportError(f"{answer.reason}; the next run asks for a new one")
        try:
            return self._fetch(job, state, answer)
        except (errors.ExportError, errors.NotFoundError) as error:
            said = str(error)
            raise errors.ExportError(
                f"{said}{'' if said.endswith(('.', '?')) else '.'} The next run goes on with the job "
                f"{state.job}; --restart asks for a new one"
            ) from error

    def _pick_up(self, job: jobs.Job) -> State | None:
        """The state that an earlier run left, if it is about the same question."""
        self._file.sweep()
        state = None if self._terms.restart else self._file.load()
        if state is not None and state.asked != job.asked():
            self._tell("something else is asked for than before: the job under way is forgotten")
            state = None
        if state is None or state.stage is not Stage.WRITTEN:
            rows.discard(rows.part_of(self._path))
        if state is None:
            self._file.remove()
            return None
        if state.stage is not Stage.SUBMITTING:
            self._tell(f"going on with the job {state.job}")
            return state
        if found := job.recover(datetime.fromisoformat(state.started_at)):
            self._tell(f"the submit of {state.started_at} did arrive: going on with {found}")
            return self._saved(replace(state, stage=Stage.SUBMITTED, job=found))
        raise errors.AmbiguousSubmitError(
            f"a submit at {state.started_at} was not answered, so nobody knows whether a job was started: "
            "look on the platform, then use --restart to start a new one"
        )

    def _new_state(self, job: jobs.Job) -> State:
        return State(Stage.SUBMITTING, job.asked(), jobfile.timestamp(self._world.clock()))

    def _reuse(self, job: jobs.Job) -> State | None:
        """A job that is there already, unless a new one is wanted."""
        if self._terms.restart:
            return None
        found = job.existing(datetime.fromtimestamp(self._world.clock(), UTC))
        if not found:
            return None
        self._tell(f"using {found}, which is younger than a day")
        return self._saved(replace(self._new_state(job), stage=Stage.SUBMITTED, job=found))

    def _submit(self, job: jobs.Job) -> State:
        """Starts a job. The intent is on disk before the request is sent."""
        intent = self._saved(self._new_state(job))
        try:
            found = job.submit()
        except errors.AudiencesyncError as error:
            if _surely_not_run(error):
                self._file.remove()
                raise
            raise errors.AmbiguousSubmitError(
                f"nobody knows whether the job was started: {error}. It is not sent again without --restart"
            ) from error
        self._tell(f"started the job {found}")
        state = self._saved(replace(intent, stage=Stage.SUBMITTED, job=found))
        if not self._terms.wait:
            self._job_id = found
            raise self._unfinished(state)
        return state

    def _unfinished(self, state: State) -> errors.UnfinishedError:
        return errors.UnfinishedError(f"the job {state.job} goes on: the next run picks it up")

    def _saved(self, state: State) -> State:
        self._file.save(state)
        return state

    def _wait(self, job: jobs.Job, state: State) -> Generator[float, None, jobs.Ready | jobs.Dead]:
        """Asks until the job has ended; raises UnfinishedError where the time is up before."""
        pause, failures = _FIRST_PAUSE, 0
        while True:
            try:
                answer = job.poll(state.job)
                failures = 0
            except (errors.NoAnswerError, errors.ServerError, errors.RateLimitedError) as error:
                failures += 1
                if failures > _FAILED_POLLS:
                    raise
                answer = jobs.Waiting(f"no news: {error}")
            match answer:
                case jobs.Ready() | jobs.Dead():
                    return answer
                case jobs.Waiting(text, fraction):
                    self._tell(text, fraction)
            left = self._terms.deadline - self._world.clock()
            if left <= 0:
                raise self._unfinished(state)
            yield min(pause, left)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    # Fetch and write

    def _fetch(self, job: jobs.Job, state: State, ready: jobs.Ready) -> Mapping[str, Any]:
        tools = jobs.Tools(self._world.sleep, self._tell, self._file.scratch)
        try:
            table = job.read(state.job, ready, tools)
            written = rows.write(
                self._path, table.columns, self._protected(table), formula_safe=self._export.formula_safe
            )
        finally:
            self._file.sweep()
        if table.expected is not None and written.rows < table.expected:
            rows.discard(rows.part_of(self._path))
            raise errors.ExportError(
                f"only {written.rows} of {table.expected} promised rows came: nothing was written"
            )
        manifest = self._manifest(state, table, written)
        self._file.save(replace(state, stage=Stage.WRITTEN, output=self._output(), manifest=manifest))
        return self._place(manifest)

    def _protected(self, table: jobs.Table) -> Iterator[rows.Batch]:
        """The rows, with ids replaced by their hashes where the settings want it."""
        export = self._export
        if not export.hash:
            return iter(table.batches)
        usual = [name for name in ("deviceId", "userId") if name in table.columns]
        chosen = export.id_columns or usual
        if missing := [name for name in chosen if name not in table.columns]:
            raise errors.ExportError(
                f"`idColumns` names {', '.join(missing)}, and the columns are {', '.join(table.columns)}"
            )
        places = [table.columns.index(name) for name in chosen]
        return rows.hashed(table.batches, places, self._world.environ[export.salt_env])

    def _manifest(self, state: State, table: jobs.Table, written: rows.Written) -> dict[str, Any]:
        return {
            "rows": written.rows,
            "expectedRows": table.expected,
            "bytes": written.bytes,
            "sha256": written.sha256,
            "columns": list(table.columns),
            "source": table.source,
            "job": state.job,
            "startedAt": state.started_at,
            "finishedAt": jobfile.timestamp(self._world.clock()),
            "encoding": table.encoding,
            "delimiter": table.delimiter,
        }

    def _output(self) -> dict[str, Any]:
        """How the file is to be written; a finished part that was written otherwise is of no use."""
        export = self._export
        return {
            "path": str(self._path),
            "formulaSafe": export.formula_safe,
            "hash": export.hash,
            "saltEnv": export.salt_env,
            "idColumns": list(export.id_columns),
        }

    def _finish_written(self, state: State) -> Mapping[str, Any] | None:
        """Ends what a killed run had written; None where its file is not there any more."""
        self._job_id = state.job
        wanted = (state.manifest.get("bytes"), state.manifest.get("sha256"))
        if state.output != self._output():
            return None
        part = rows.part_of(self._path)
        if part.exists() and rows.fingerprint(part) == wanted:
            return self._place(state.manifest)
        if self._path.exists() and rows.fingerprint(self._path) == wanted:
            return self._certify(state.manifest)
        return None

    def _place(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        jobfile.manifest_of(self._path).unlink(missing_ok=True)
        rows.sync_folder(self._path.parent)
        rows.place(rows.part_of(self._path), self._path)
        return self._certify(manifest)

    def _certify(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        jobfile.write_json(jobfile.manifest_of(self._path), manifest)
        self._file.remove()
        self._tell(f"{manifest['rows']:,} rows in {self._path}", 1.0)
        return manifest


def _surely_not_run(error: errors.AudiencesyncError) -> bool:
    """Whether a failed submit left no job behind: it was refused, or never left this machine."""
    match error:
        case errors.NoAnswerError(sent=sent):
            return not sent
        case errors.ServerError():
            return False
        case errors.ApiError() | errors.UsageError():
            return True
        case _:
            return False
