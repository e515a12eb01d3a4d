"""BigQuery on this machine: crucible-emulator in an environment of its own, and rows as BigQuery SQL.

The emulator pins its own DuckDB and sqlglot, so it cannot live among our packages. Its environment is made
once, in .venv-bigquery at the repository's root, and used again.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audiencesync.sql.columns import Schema
from tests.conftest import ROOT
from tests.sql.cases import COLUMNS

if TYPE_CHECKING:
    from google.cloud import bigquery

PACKAGE = "crucible-emulator[server]==0.1.0a2"
ENVIRONMENT = ROOT / ".venv-bigquery"
DATASET = "local-project.analytics_1"


def program() -> Path:
    """The emulator's program; skips with the reason where it cannot be installed."""
    found = ENVIRONMENT / "bin" / "crucible"
    if found.is_file():
        return found
    python = ENVIRONMENT / "bin" / "python"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    steps = (
        [[uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(ENVIRONMENT)],
         [uv, "pip", "install", "--quiet", "--python", str(python), PACKAGE]]
        if uv
        else [[sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
              [str(python), "-m", "pip", "install", "--quiet", PACKAGE]]
    )  # fmt: skip
    for step in steps:
        try:
            subprocess.run(step, check=True, capture_output=True, timeout=240, text=True)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"crucible-emulator cannot be installed: {error.stderr.strip()[-300:]}")
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"crucible-emulator cannot be installed: {error}")
    return found


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A running emulator; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "crucible.log"
    with log.open("w") as out:
        command = [str(program()), "serve", "--dialect", "bigquery", "--port", str(port)]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{address}/_crucible/health", process, log)
        yield address
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"the emulator did not start: {log.read_text('utf-8')[-500:]}")


def client(address: str) -> "bigquery.Client":
    """Google's own client against the emulator."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    return bigquery.Client(
        project="local-project",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": address},
    )


def kind_of(text: str) -> str:
    """A DuckDB type as BigQuery writes it."""
    text = text.replace("VARCHAR", "STRING").replace("BIGINT", "INT64").replace("DOUBLE", "FLOAT64")
    while "STRUCT(" in text:
        text = re.sub(r"STRUCT\(([^()]*)\)(\[\])?", _struct, text)
    return text


def _struct(found: "re.Match[str]") -> str:
    struct = f"STRUCT<{found[1]}>"
    return f"ARRAY<{struct}>" if found[2] else struct


def literal(text: str) -> str:
    """A text as BigQuery SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def create_table(name: str, rows: list[dict[str, Any]]) -> str:
    """The statement that makes a table of the rows: each is one JSON text, taken apart by column.

    Typed literals of nested rows would say the same, but the emulator takes half a second to read one.
    """
    columns = ",\n  ".join(
        f"{_read('j', f'$.{column}', kind_of(kind))} AS `{column}`" for column, kind in COLUMNS.items()
    )
    texts = ",\n  ".join(literal(json.dumps(_set(row))) for row in rows)
    return f"CREATE TABLE `{name}` AS\nSELECT {columns}\nFROM UNNEST([\n  {texts}\n]) AS j"


def _set(value: Any) -> Any:
    """The value without what is NULL: a JSON null is not a missing one."""
    if isinstance(value, dict):
        return {key: _set(each) for key, each in value.items() if each is not None}
    return [_set(each) for each in value] if isinstance(value, list) else value


def _read(source: str, path: str, kind: str) -> str:
    """A value of a JSON text at a path as a value of that kind."""
    if kind.startswith("ARRAY<"):
        inner = _read("x", "$", kind[6:-1])
        array = f"ARRAY(SELECT {inner} FROM UNNEST(JSON_QUERY_ARRAY({source}, '{path}')) AS x)"
        return f"IF(JSON_QUERY({source}, '{path}') IS NULL, NULL, {array})"
    if kind.startswith("STRUCT<"):
        fields = ", ".join(
            f"{_read(source, f'{path}.{name}', of)} AS {name}" for name, of in _fields(kind[7:-1])
        )
        return f"IF(JSON_QUERY({source}, '{path}') IS NULL, NULL, STRUCT({fields}))"
    text = f"JSON_VALUE({source}, '{path}')"
    return text if kind == "STRING" else f"CAST({text} AS {kind})"


def _fields(text: str) -> list[tuple[str, str]]:
    depth, start, found = 0, 0, []
    for index, letter in enumerate(text + ","):
        depth += (letter == "<") - (letter == ">")
        if letter == "," and not depth:
            name, _, kind = text[start:index].strip().partition(" ")
            found.append((name, kind))
            start = index + 1
    return found


def empty(schema: Schema) -> str:
    """A source without rows that has the columns of a schema."""
    kinds = {"text": "STRING", "int": "INT64", "float": "FLOAT64", "bool": "BOOL"}

    def kind_at(path: str) -> str:
        kind = schema.kind(path)
        if kind not in {"record", "records"}:
            return kinds[kind]
        inside = [each for each in schema.columns if each.startswith(f"{path}.")]
        own = [each for each in inside if "." not in each[len(path) + 1 :]]
        struct = "STRUCT<" + ", ".join(f"{each[len(path) + 1 :]} {kind_at(each)}" for each in own) + ">"
        return f"ARRAY<{struct}>" if kind == "records" else struct

    top = [path for path in schema.columns if "." not in path]
    columns = ", ".join(f"CAST(NULL AS {kind_at(path)}) AS {path}" for path in top)
    return f"(SELECT {columns})"
