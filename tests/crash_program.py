"""What the tests of crashes run in processes of their own; a fork server has imported it all beforehand."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import deepdiff  # noqa: F401 - imported here, it need not be in each process
import requests  # noqa: F401 - the same

import audiencesync
import audiencesync.cli.remote
import audiencesync.report.outcomes
from audiencesync.cli.frame import run
from audiencesync.local.api import Answer, Api, Call
from audiencesync.local.store import Store
from tests.conftest import ROOT
from tests.property import Moment

audiencesync.load(ROOT / "audiences")  # compiles the schemas for all processes

APPLY = ("apply", "--yes", "--allow-replace", "--allow-archive", "--format", "json")


def apply(folder: str, out: str) -> None:
    """One run of the command line; its answer goes to a file, and its exit code is the process's."""
    with Path(out).open("w", encoding="utf-8") as file, Path(os.devnull).open("w", encoding="utf-8") as null:
        sys.stdout, sys.stderr = file, null
        code = run(["-w", folder, *APPLY])
    os._exit(code)


def apply_embedded(folder: str, at: int, moment: Moment) -> None:
    """The same on the embedded property; the process is killed at a request, before or after it ran."""
    count = 0

    def strike(_call: Call, when: Moment) -> Answer | None:
        nonlocal count
        count += when == "before"
        if count >= at and when == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    def embedded(store: Store, properties: tuple[str, ...], *_: Any, **__: Any) -> Api:
        return Api(store=store, properties=properties, faults=strike)

    audiencesync.embedded = embedded  # type: ignore[assignment]
    with suppress(SystemExit):
        apply(folder, os.devnull)
