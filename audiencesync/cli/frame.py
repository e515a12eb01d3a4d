"""What all commands share: global options, errors as text or JSON, exit codes, and the only way to print."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from audiencesync import __version__
from audiencesync.errors import AudiencesyncError, InvalidFilesError, StoppedError, UsageError

if TYPE_CHECKING:
    from audiencesync.report.page import Page
    from audiencesync.source import Problem
    from audiencesync.workspace import Workspace

OK, ERROR, CHANGES, BLOCKED, STALE, UNFINISHED = range(6)
"""The exit codes, as cli.md fixes them."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Frame:
    """The global options of one call, and how its answers are printed."""

    workspace: str | None = None
    target: str = ""
    no_color: bool = False
    verbose: int = 0
    json: bool = False
    document: dict[str, Any] = field(default_factory=dict)

    # ------------------------------------------------------------ printing

    def answer(self, text: str) -> None:
        """Prints a command's answer to stdout, byte for byte."""
        _write(sys.stdout, text if text.endswith("\n") or not text else f"{text}\n")

    def note(self, text: str) -> None:
        """Prints a line about the work to stderr, made inert."""
        from audiencesync.report.escape import inert

        with suppress(UsageError):  # a full disk under the log stops no run
            _write(sys.stderr, "\n".join(inert(line) for line in text.split("\n")) + "\n")

    def page(self, page: Page, *, stderr: bool = False) -> None:
        """Prints a page as text, in colour on a terminal that wants it."""
        from audiencesync.report import text

        stream = sys.stderr if stderr else sys.stdout
        _write(stream, text.render(page, width=self.width, colour=self.colour(stderr=stderr)))

    def colour(self, *, stderr: bool = False) -> bool:
        """Whether to colour: a terminal, and nobody said no."""
        if self.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return False
        return (sys.stderr if stderr else sys.stdout).isatty()

    @property
    def width(self) -> int:
        """The terminal's columns, 100 elsewhere."""
        return shutil.get_terminal_size((100, 24)).columns

    def fail(self, error: AudiencesyncError) -> int:
        """Reports what stopped the command, in JSON where that was asked for, and gives its exit code."""
        if self.json:
            from audiencesync.report.documents import dump

            problem = {"code": error.code, "message": str(error)}
            with suppress(UsageError):
                self.answer(dump({"formatVersion": "1.0"} | self.document | {"error": problem}))
        if isinstance(error, InvalidFilesError):
            self.problems(error.problems)
        self.note(f"error: {error}")
        return error.exit_code

    def problems(self, problems: tuple[Problem, ...]) -> None:
        """Prints problems to stderr, with their lines."""
        from audiencesync.report import problems as report

        texts = {path: _text(path) for path in {problem.location.path for problem in problems}}
        _write(sys.stderr, report.text(problems, texts, colour=self.colour(stderr=True)))

    def warnings(self, workspace: Workspace) -> None:
        """Says how many warnings there are; they stop nothing."""
        from audiencesync.source import Severity

        count = sum(problem.severity is Severity.WARNING for problem in workspace.problems)
        if count:
            self.note(f"{count} warning{'s' if count > 1 else ''}: `audiencesync validate` shows them")


def _text(path: str) -> str:
    """A file's text for the lines to show; "" for a link, which may lead out, and for a pipe or device."""
    place = Path(path)
    try:
        if place.is_symlink() or not place.is_file():
            return ""
        return place.read_text("utf-8", "replace")
    except OSError:
        return ""


def elsewhere(workspace: Workspace, target: str, key: str) -> str:
    """Says of an audience that belongs to other targets alone where it belongs; "" of any other key."""
    for each in workspace.desired:
        if each.key == key and not each.manage.belongs_to(target):
            others = ", ".join(each.manage.targets)
            return (
                f"the audience {key!r} does not belong to target {target}, as its manage.targets says "
                f"({others}): name one of those with -t"
            )
    return ""


def _write(stream: Any, text: str) -> None:  # noqa: ANN401 - stdout and stderr are replaced in tests
    try:
        stream.write(text)
        stream.flush()
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"the answer cannot be written: {error.strerror or error}") from error


class FilePath(click.Path):
    """A path; the empty text is refused, since an unset variable would otherwise name the current folder."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - click's own options
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """The path, as a Path."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


class Day(click.ParamType):  # type: ignore[type-arg]  # older clicks take no argument
    """A day, YYYY-MM-DD."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:  # noqa: ANN401 - click's own
        """The day, as a date."""
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = None
        if found is None or found.isoformat() != value:
            self.fail(f"{value!r} is no day of the form YYYY-MM-DD", param, ctx)
        return found


# ---------------------------------------------------------------- commands

_COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("setup", "Makes a workspace with examples, editor schemas and a CI workflow; never overwrites."),
    "validate": ("files", "Checks settings and audiences, offline; all problems of all files."),
    "fmt": ("setup", "Lays files out canonically, comments kept."),
    "schema": ("files", "Prints a JSON Schema, for editors and other validators."),
    "explain": ("files", "Says in plain English what audiences mean."),
    "plan": ("remote", "Compares the files with the property; writes nothing there."),
    "apply": ("remote", "Carries a plan out: the one in PLANFILE, or one that is made now."),
    "import": ("setup", "Writes a file for each live audience that has none yet; the next plan adopts them."),
    "forget": ("remote", "Takes our mark off an audience and leaves it in GA4; its file stays too."),
    "drift": ("outside", "Shows what changed outside git, and by whom where the change history can be read."),
    "preview": ("data", "Counts users before and after a change, from the event export."),
    "comment": (
        "review",
        "Shows a plan as the one comment of a pull request, or reads the reviewed digest back from it.",
    ),
    "export": ("data", "Members of GA4 audiences; GrowingIO tags, segments and analyses."),
    "catalog": ("pages", "Writes a static site of all audiences: a list to search, and a page for each."),
    "doctor": ("setup", "Looks at settings, credentials, scopes, APIs, role and limits; writes nothing."),
    "emulator": (
        "remote",
        "Serves the embedded property over HTTP, for this program and Google's own clients.",
    ),
}
"""The module of each command and the first sentence of its help, so that --help loads none of them."""


class _Lazy(click.Group):
    """A group that loads the module of a command when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        found = import_module(f"audiencesync.cli.{_COMMANDS[cmd_name][0]}")
        return cast("click.Command", getattr(found, f"{cmd_name}_command"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_module, sentence) in _COMMANDS.items()])


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401
        if value:
            setattr(ctx.ensure_object(Frame), name, value)

    return callback


_GLOBAL = (
    click.option(
        "-w", "--workspace", metavar="DIR", expose_value=False, callback=_remember("workspace"),
        help="The folder with audiencesync.yaml; default: . if it has one, else ./audiences.",
    ),
    click.option(
        "-t", "--target", metavar="NAME", expose_value=False, callback=_remember("target"),
        help="The target in the settings; default: defaultTarget.",
    ),
    click.option(
        "--no-color", is_flag=True, expose_value=False, callback=_remember("no_color"), help="No colour."
    ),
    click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_remember("verbose"), help="Say more."
    ),
)  # fmt: skip


def global_options(command: F) -> F:
    """Takes the global options; they may stand before the command's name or after it."""
    for option in reversed(_GLOBAL):
        command = option(command)
    return command


def output_format(*formats: str) -> Callable[[F], F]:
    """The --format option, text by default."""
    choice = click.Choice(["text", *formats])
    return click.option(
        "--format", "format_", type=choice, default="text", show_default=True, help="The form."
    )


class _Command(click.Command):
    """A command whose answer in JSON is whole even where its arguments are wrong."""

    empty: Callable[[], dict[str, Any]] | None = None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.empty is not None and _asks_json(args):
            frame = ctx.ensure_object(Frame)
            frame.json, frame.document = True, self.empty()
        return super().parse_args(ctx, args)


def _asks_json(arguments: list[str]) -> bool:
    """Whether --format says json; where it is said twice, the last one counts."""
    said = "text"
    for index, each in enumerate(arguments):
        if each == "--":
            break
        if each.startswith("--format="):
            said = each.partition("=")[2]
        elif each == "--format":
            said = "".join(arguments[index + 1 : index + 2])
    return said == "json"


def command(
    name: str, empty: Callable[[], dict[str, Any]] | None = None
) -> Callable[[Callable[..., int]], click.Command]:
    """A command whose function takes the Frame and its options and returns the exit code.

    `empty` makes the JSON document that the command answers with where something stopped it.
    """

    def decorate(function: Callable[..., int]) -> click.Command:
        @click.pass_context
        def call(ctx: click.Context, /, *args: Any, **options: Any) -> None:  # noqa: ANN401 - click's parameters
            frame = ctx.ensure_object(Frame)
            with reported(frame) as code:
                code.append(function(frame, *args, **options))
            ctx.exit(code[-1])

        call.__doc__ = function.__doc__
        # click keeps the options that decorate a function in this attribute of it.
        call.__dict__["__click_params__"] = list(getattr(function, "__click_params__", []))
        made = click.command(name, cls=_Command)(global_options(call))
        made.empty = empty
        return made

    return decorate


@contextmanager
def reported(frame: Frame) -> Iterator[list[int]]:
    """Turns what we raise into a report and an exit code, appended to the list."""
    code: list[int] = [OK]
    try:
        yield code
    except AudiencesyncError as error:
        code.append(frame.fail(error))
    except KeyboardInterrupt:
        code.append(frame.fail(StoppedError("interrupted")))
    except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user: this is our own mistake
        if frame.verbose:
            frame.note(traceback.format_exc())
        code.append(frame.fail(_internal(error)))


def _internal(error: Exception) -> AudiencesyncError:
    what = f"{type(error).__name__}: {error}"
    return AudiencesyncError(f"audiencesync itself failed ({what}): please report it with the output of -v")


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@global_options
@click.version_option(__version__, prog_name="audiencesync")
def cli() -> None:
    """Audience-as-code for Google Analytics 4.

    YAML files in git describe audiences; validate checks them offline, plan compares them with the property,
    apply carries the plan out.

    Exit codes: 0 done or nothing to do; 1 error; 2 changes or drift; 3 blocked by a safety rule; 4 stale
    plan; 5 unfinished, resumable.
    """


def main() -> None:
    """The console script."""
    # A run is short and builds trees of small objects without cycles: fewer collections save a fifth of it.
    gc.set_threshold(100_000, 20, 20)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and gives its exit code; click's own 2 for usage is our 1."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The caller closed it, as `>&-` does: no file of ours may come to stand in its place.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - to the end
    frame = Frame()
    try:
        result = cli.main(arguments, prog_name="audiencesync", standalone_mode=False, obj=frame)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as shown:
        frame.answer(shown.format_message())
        return ERROR
    except click.ClickException as error:
        return frame.fail(UsageError(error.format_message()))
    except (click.Abort, KeyboardInterrupt):
        return frame.fail(StoppedError("interrupted"))
    except BrokenPipeError:
        # The reader went away, as `| head` does: nothing more can be said.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until the process ends
        return ERROR
    return result if isinstance(result, int) else OK
