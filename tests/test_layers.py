"""The house keeps its layers: who may import whom, what stays pure, what loads late, and who prints.

Every import statement of every module is read from the syntax tree, those inside functions included.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = "audiencesync"

# A module imports only from rows above its own. A room that is a folder stands for all modules in it.
LAYERS = (
    {"errors"},
    {"syntax", "known_fields", "regexps", "unseen"},
    {"source", "fields"},
    {"settings", "model"},
    {"wire"},
    {"canonical"},
    {"mark", "alignment", "grammar", "commented", "scalars"},
    {"sql.events", "sql.channels", "sql.readings", "sql.columns", "sql.dialect", "sql.masks"},
    {"schema", "words", "expansion", "sql.values"},
    {"rules", "short", "drawing", "sql.facts"},
    {"validate", "live", "changes", "sql.scopes"},
    {"action", "sql.sequence"},
    {"guards", "planfile", "sql.compile"},
    {"plan", "workspace"},
    {"layout", "git", "writing", "runlog", "site", "encoding", "rows"},
    {"http", "jobfile", "members", "revision"},
    {"ga4", "growingio", "forge", "local"},
    {"importing", "starting", "doctor", "apply", "drift", "jobs", "listing", "sql.preview"},
    {"export", "sql.demo"},
    {"report"},
    {"comment"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)

# Names for the type checker alone may come from below: an exception carries what others found.
TYPES_FROM_BELOW = {"errors": {"source"}}

# The folder's own module: whoever imports sql.events runs it too, so it imports nothing.
EMPTY = {"sql"}

PURE = {
    *(
        "errors",
        "syntax",
        "regexps",
        "unseen",
        "source",
        "fields",
        "model",
        "wire",
        "canonical",
        "schema",
        "rules",
        "mark",
        "alignment",
        "words",
        "drawing",
        "grammar",
        "expansion",
        "short",
    ),
    *(
        "changes",
        "live",
        "action",
        "guards",
        "plan",
        "planfile",
        "sql.events",
        "sql.channels",
        "sql.columns",
        "sql.dialect",
        "sql.masks",
        "sql.readings",
        "sql.values",
        "sql.facts",
        "sql.scopes",
        "sql.sequence",
        "sql.compile",
        "report",
    ),
}

# Who alone may import what; everything else may be imported by any module that is not pure.
OWNERS = {
    "requests": {"http"},
    # BigQuery's client raises the errors of Google's credentials.
    "google.auth": {"http", "sql.preview"},
    "google.oauth2": {"http"},
    "http.client": {"http"},
    "urllib.request": {"http"},
    "urllib3": {"http"},
    "duckdb": {"rows", "sql.preview"},
    "google.cloud": {"sql.preview"},
    "sqlite3": {"local"},
    "http.server": {"local"},
    "socketserver": {"local"},
    "subprocess": {"git"},
    "click": {"cli"},
}

# Imported inside functions only, so that --help does not pay for them.
HEAVY = {
    *(
        "requests",
        "urllib3",
        "google",
        "deepdiff",
        "jsonschema",
        "rich",
        "duckdb",
        "sqlglot",
        "ruamel",
        "jinja2",
    ),
    *("re2", "polars", "numpy", "pandas"),
}

# Clock, files, environment, network and chance.
IMPURE_MODULES = {
    *("os", "time", "socket", "ssl", "select", "selectors", "asyncio", "http.client", "http.server"),
    *(
        "urllib.request",
        "requests",
        "urllib3",
        "google",
        "duckdb",
        "sqlite3",
        "subprocess",
        "multiprocessing",
    ),
    *("shutil", "tempfile", "glob", "fileinput", "mmap", "fcntl", "signal", "platform", "locale", "getpass"),
    *("random", "secrets", "uuid", "importlib.resources", "pathlib.Path", "io.open", "sys.environ"),
}
IMPURE_BUILTINS = {"open", "input", "breakpoint"}
IMPURE_METHODS = {
    *("now", "utcnow", "today", "read_text", "read_bytes", "write_text", "write_bytes", "is_file", "is_dir"),
    *("iterdir", "rglob", "unlink", "mkdir", "touch", "expanduser"),
}
PRINTER = "cli"
STREAMS = {"stdin", "stdout", "stderr", "__stdout__", "__stderr__"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: dotted, absolute, with the place it stands at."""

    name: str
    line: int
    late: bool
    types_only: bool


def room_of(module: str) -> str | None:
    """Give the room that a module (its dotted name inside the package) belongs to, or None."""
    rooms = set().union(*LAYERS) | EMPTY
    if module in rooms:
        return module
    parents = [module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)]
    return next((parent for parent in parents if parent in rooms - EMPTY), None)


def row_of(room: str) -> int:
    """Give the number of a room's row."""
    return next(number for number, row in enumerate(LAYERS) if room in row)


def module_name(path: Path, folder: Path) -> str:
    """Give a file's dotted name inside the package: sql/compile.py is sql.compile, sql/__init__.py is sql."""
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def is_under(name: str, parent: str) -> bool:
    """Tell whether a dotted name is the parent or lies inside it."""
    return name == parent or name.startswith(parent + ".")


def imports_of(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[Import]:
    """Yield each name that a module imports, wherever the statement stands."""

    def walk(node: ast.AST, *, late: bool, types_only: bool) -> Iterator[Import]:
        for name in _names(node, module, is_package=is_package):
            yield Import(name, getattr(node, "lineno", 0), late, types_only)
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        guarded = node.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) else []
        for child in ast.iter_child_nodes(node):
            yield from walk(child, late=inside, types_only=types_only or child in guarded)

    yield from walk(tree, late=False, types_only=False)


def _names(node: ast.AST, module: str, *, is_package: bool) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(level=0):
            return [f"{node.module}.{alias.name}" for alias in node.names]
        case ast.ImportFrom():
            own = [PACKAGE, *([] if module == "__init__" else module.split("."))]
            up = node.level - (is_package or module == "__init__")
            base = [*own[: len(own) - up], *([node.module] if node.module else [])]
            return [".".join([*base, alias.name]) for alias in node.names]
        case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__")):
            return [named(node.args[0] if node.args else None)]
    return []


def named(argument: ast.expr | None) -> str:
    """Give the module that an import_module names: of a computed name its fixed start, else "?"."""
    if isinstance(argument, ast.JoinedStr) and argument.values:
        argument = argument.values[0]
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value.rstrip(".")
    return "?"


def own_target(name: str, rooms: set[str]) -> str | None:
    """Give the room that a name leads to, "__init__" for the package's face, None for a stranger."""
    if not is_under(name, PACKAGE):
        return None
    inner = name.removeprefix(PACKAGE).lstrip(".")
    candidates = [inner.rsplit(".", n)[0] for n in range(inner.count(".") + 1)]
    return next((candidate for candidate in candidates if candidate in rooms), "__init__")


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """Give each broken rule of one module as a line of text.

    module is dotted and inside the package ("sql.compile"); "__init__" is the package's own face.
    """
    room = room_of(module)
    if room is None:
        return [f"{module}: no room of this name: place it in LAYERS"]
    tree = ast.parse(source)
    imports = list(imports_of(tree, module, is_package=is_package))
    found = [(each.line, text) for each in imports for text in _import_faults(room, each)]
    found += [fault for node in ast.walk(tree) for fault in _node_faults(room, node)]
    return [f"{module}:{line}: {text}" for line, text in sorted(set(found))]


def _import_faults(room: str, each: Import) -> Iterator[str]:
    if each.name == "?":
        yield "imports a name that is computed"
    if room in EMPTY:
        yield f"imports {each.name}, and should import nothing"
        return
    target = own_target(each.name, set().union(*LAYERS) | EMPTY)
    if target is None:
        yield from _stranger_faults(room, each)
    elif not _may_stand_on(room, target, types_only=each.types_only):
        yield f"imports {target}, which is not above it"


def _stranger_faults(room: str, each: Import) -> Iterator[str]:
    for name, owners in OWNERS.items():
        if is_under(each.name, name) and room not in owners:
            yield f"imports {name}, which only {' and '.join(sorted(owners))} may"
    if room != PRINTER and each.name in {f"sys.{stream}" for stream in STREAMS} | {"rich.print"}:
        yield f"imports {each.name}, which only {PRINTER} may"
    if each.types_only:
        return
    if each.name.partition(".")[0] in HEAVY and not each.late:
        yield f"imports {each.name} at module level: import it in the function that needs it"
    if room in PURE:
        if any(is_under(each.name, name) for name in IMPURE_MODULES):
            yield f"is pure and imports {each.name}"
        if each.name == "pathlib":
            yield "is pure and imports pathlib: take PurePath from it"


def _may_stand_on(room: str, target: str, *, types_only: bool) -> bool:
    if target == room:
        return True
    if types_only and target in TYPES_FROM_BELOW.get(room, ()):
        return True
    return target not in EMPTY and row_of(target) < row_of(room)


def _node_faults(room: str, node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Call(func=ast.Name(id="print")) if room != PRINTER:
            yield node.lineno, f"prints, which only {PRINTER} may"
        case ast.Attribute(value=ast.Name(id="sys"), attr=attr) if attr in STREAMS and room != PRINTER:
            yield node.lineno, f"uses sys.{attr}, which only {PRINTER} may"
        case ast.Call(func=ast.Name(id=name)) if room in PURE and name in IMPURE_BUILTINS:
            yield node.lineno, f"is pure and calls {name}()"
        case ast.Call(func=ast.Attribute(attr=name)) if room in PURE and name in IMPURE_METHODS:
            yield node.lineno, f"is pure and calls .{name}()"


FOLDER = ROOT / PACKAGE
FILES = sorted(FOLDER.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_each_module_keeps_its_place(path: Path) -> None:
    name = module_name(path, FOLDER)
    assert not violations(name, path.read_text("utf-8"), is_package=path.name == "__init__.py")


def test_the_package_was_found() -> None:
    assert FOLDER / "__init__.py" in FILES


def test_every_room_stands_in_one_row() -> None:
    rooms = [room for row in LAYERS for room in row]
    assert len(rooms) == len(set(rooms))
    assert set(rooms) >= PURE
    assert set(rooms) >= set().union(*OWNERS.values())


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("plan", "from audiencesync.ga4 import list_audiences", "imports ga4, which is not above it"),
        ("plan", "from audiencesync import ga4", "imports ga4, which is not above it"),
        ("plan", "import audiencesync.ga4 as g", "imports ga4, which is not above it"),
        ("plan", "from . import ga4", "imports ga4, which is not above it"),
        ("plan", "def f():\n    from .ga4 import x", "plan:2: imports ga4, which is not above it"),
        ("plan", "from audiencesync import workspace", "imports workspace, which is not above it"),
        ("http", "from audiencesync import __version__", "imports __init__, which is not above it"),
        ("sql.compile", "from .preview import run", "imports sql.preview, which is not above it"),
        ("sql.compile", "from ..report.page import Page", "imports report, which is not above it"),
        ("ga4", "from audiencesync.local.store import Store", "imports local, which is not above it"),
        ("fields", "from audiencesync.model import Audience", "imports model, which is not above it"),
        ("errors", "from audiencesync.source import Problem", "imports source, which is not above it"),
        ("plan", "if TYPE_CHECKING:\n    from .ga4 import x", "imports ga4, which is not above it"),
        ("plan", "import importlib\nimportlib.import_module('audiencesync.ga4')", "imports ga4"),
        ("ga4", "import importlib\nimportlib.import_module(name)", "a name that is computed"),
        ("utils", "", "no room of this name"),
        ("sql.other", "", "no room of this name"),
        ("sql", "from .events import fields", "should import nothing"),
        ("ga4", "def f():\n    import requests", "imports requests, which only http may"),
        ("ga4", "def f():\n    from requests.adapters import X", "imports requests, which only http"),
        (
            "ga4",
            "def f():\n    from google.auth import default",
            "imports google.auth, which only http and sql.preview may",
        ),
        ("export", "def f():\n    import duckdb", "imports duckdb, which only rows and sql.preview may"),
        ("export", "def f():\n    from google.cloud import bigquery", "google.cloud, which only sql.preview"),
        ("report.text", "import click", "imports click, which only cli may"),
        ("http", "import requests", "imports requests at module level"),
        ("http", "try:\n    import requests\nexcept ImportError:\n    pass", "at module level"),
        ("http", "class A:\n    import requests", "imports requests at module level"),
        ("workspace", "from ruamel.yaml import YAML", "imports ruamel.yaml.YAML at module level"),
        ("report.html", "import jinja2", "imports jinja2 at module level"),
        ("cli", "from rich.console import Console", "imports rich.console.Console at module level"),
        ("plan", "import os", "is pure and imports os"),
        ("plan", "def f():\n    from os import environ", "is pure and imports os.environ"),
        ("source", "import pathlib", "is pure and imports pathlib"),
        ("source", "from pathlib import Path", "is pure and imports pathlib.Path"),
        ("report.page", "import time", "is pure and imports time"),
        ("mark", "from datetime import datetime\nx = datetime.now()", "is pure and calls .now()"),
        ("mark", "import datetime\nx = datetime.date.today()", "is pure and calls .today()"),
        ("schema", "x = open('a')", "is pure and calls open()"),
        ("source", "def f(path):\n    return path.read_text()", "is pure and calls .read_text()"),
        ("words", "import random", "is pure and imports random"),
        ("apply", "print('done')", "prints, which only cli may"),
        ("apply", "import sys\nsys.stderr.write('done')", "uses sys.stderr, which only cli may"),
        ("apply", "from sys import stdout", "imports sys.stdout, which only cli may"),
    ],
)
def test_an_offence_is_found(module: str, source: str, fault: str) -> None:
    (line,) = violations(module, source, is_package=module == "sql")
    assert fault in line


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("plan", "from audiencesync.model import Audience\nfrom . import mark, errors"),
        (
            "sql.preview",
            "def f():\n    import duckdb\n    from google.cloud import bigquery\nfrom . import compile",
        ),
        (
            "report.html",
            "from .page import Page\nfrom audiencesync.report import text\nfrom ..plan import Plan",
        ),
        ("local.api", "import sqlite3\nfrom audiencesync.local.store import Store"),
        ("local.server", "from http.server import ThreadingHTTPServer\nimport socket\nimport time"),
        ("http", "def f():\n    import requests\n    from google.auth.transport.requests import Request"),
        ("http", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import requests"),
        ("errors", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .source import Problem"),
        ("source", "from pathlib import PurePath\nif TYPE_CHECKING:\n    from pathlib import Path"),
        ("mark", "from datetime import date\nx = date.fromisoformat('2026-01-01')"),
        ("cli", "import sys\nimport audiencesync\nprint(sys.stdout)\nfrom audiencesync import apply, load"),
        ("__init__", "from audiencesync.plan import plan\nfrom .report import text\n__version__ = '1'"),
        ("__main__", "from audiencesync.cli import main"),
        ("workspace", "import os\nfrom pathlib import Path\nPath('a').read_text()"),
        ("sql", ""),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert violations(module, source, is_package=module == "sql") == []
