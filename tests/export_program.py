"""Runs one export again and again, and dies where it is told to: what tests of kills drive.

    python -m tests.export_program CONFIG

CONFIG is JSON. Each line on stdin is a number and the time: a child runs the export and is killed (SIGKILL)
right before that step, counted from 1; 0 lets it end, and -1 does with --restart. A step is whatever the
system would see: a file opened to be written, renamed or removed, or bytes sent. Each answer is a line of
JSON: the result, or null for a child that died.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from audiencesync import export, ga4, growingio, http
from audiencesync.report import exports as report
from audiencesync.settings import Export, GrowingIO

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def world_of(config: dict[str, Any], now: float) -> export.World:
    """Wire an export's world to loopback addresses; pauses are short, and time stands still."""
    options = http.Options(limits=None, sleep=pause)

    def open_ga4(_target: str) -> ga4.Property:
        connection = http.connect(config["ga4"], authorize=None, options=options)
        return ga4.Property(connection, connection, "1000")

    def open_growingio(name: str) -> growingio.GrowingIO:
        settings = GrowingIO(name=name, url=config["growingio"], project="WlGk4Daj", token_env="TOKEN")
        return growingio.connect(settings, environ=config["environ"], options=options, warn=lambda _: None)

    return export.World(
        open_ga4=open_ga4,
        open_growingio=open_growingio,
        resolve=lambda _target, text: text,
        base_dir=Path(config["folder"]),
        state_dir=Path(config["folder"]) / ".audiencesync",
        environ=config["environ"],
        clock=lambda: now,
        sleep=pause,
    )


def pause(seconds: float) -> None:
    """Wait a hundredth of what is asked for."""
    time.sleep(seconds / 100)


def count_steps(folder: str, last: int) -> None:
    """Die right before the last step."""
    left = last

    def step(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in {"open", "os.rename", "os.remove"}:
            path = arguments[0]
            if isinstance(path, int) or not os.fsdecode(path).startswith(folder):
                return
            if event == "open" and not arguments[2] & WRITING:
                return
        elif event != "http.client.send":
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(step)


def main() -> None:
    """Answer each line."""
    config = json.loads(sys.argv[1])
    fields = {**config["export"], "dimensions": tuple(config["export"]["dimensions"])}
    wanted = Export(name="members", **fields)
    # Loaded once, before the children.
    import duckdb  # noqa: F401
    import requests  # noqa: F401

    for line in sys.stdin:
        number, now = line.split()
        last = int(number)
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            if last > 0:
                count_steps(config["folder"], last)
            (result,) = export.run([wanted], world_of(config, float(now)), restart=last < 0)
            os.write(writer, json.dumps(report.document([result])["exports"][0]).encode())
            os._exit(0)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reader) as answer:
            text = answer.read()
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        sys.stdout.write((text or ("null" if killed else f'"died: {status}"')) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
