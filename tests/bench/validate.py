"""Validating many audience files: this program against yamllint and check-jsonschema on the same files.

    python tests/bench/validate.py [2000 10000] [--peers 400]

Every program runs alone on one core and is charged its processor time, start included. A peer that takes too
long gets a sample of the files, and its figure is a file's share of that sample (said in the table).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LINES = 50
_STREAM = """
import sys
from pathlib import Path
from audiencesync import validate
from audiencesync.source import parse
checker = validate.Checker()
count = 0
for path in sorted(Path(sys.argv[1]).glob("a[0-9]*.yaml")):
    document = parse(str(path), path.read_bytes())
    count += len(document.problems) + len(checker.add(document))
sys.exit(bool(count + len(checker.finish())))
"""


def audience(number: int, chance: random.Random) -> str:
    """One valid audience of 50 lines without a warning, unlike every other."""
    scope = "AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS"
    head = [
        f"displayName: Audience {number}",
        f"description: Number {number} of the benchmark, bought {chance.randrange(99)} times.",
        f"membershipDurationDays: {chance.randrange(1, 541)}",
        "filterClauses:",
        "  - clauseType: INCLUDE",
        "    simpleFilter:",
        f"      scope: {scope}",
        "      filterExpression:",
        "        andGroup:",
        "          filterExpressions:",
    ]
    body: list[str] = []
    index = 0
    while len(head) + len(body) < LINES - 4:
        index += 1
        body += [
            "            - orGroup:",
            "                filterExpressions:",
            "                  - eventFilter:",
            f"                      eventName: event_{number}_{index}",
            "                  - dimensionOrMetricFilter:",
            "                      fieldName: eventCount",
            f"                      inAnyNDayPeriod: {chance.randrange(1, 61)}",
            "                      numericFilter:",
            "                        operation: GREATER_THAN",
            f'                        value: {{int64Value: "{index}"}}',
        ]
    tail = [f"manage: {{key: audience-{number}, contact: growth-team, labels: [remarketing, group-{index}]}}"]
    comments = [f"# line {line}" for line in range(LINES - len(head) - len(body) - len(tail))]
    return "\n".join([*comments, *head, *body, *tail]) + "\n"


@dataclass(frozen=True, slots=True)
class Run:
    """What one program took."""

    name: str
    files: int
    seconds: float
    peak_mib: float
    status: int

    @property
    def each(self) -> float:
        """Milliseconds of processor time a file, start included."""
        return self.seconds / self.files * 1000


def measure(name: str, files: int, command: list[str]) -> Run:
    """Runs a command on one core and reads its processor time and largest memory from the kernel."""
    core = min(os.sched_getaffinity(0))
    with tempfile.TemporaryFile() as sink:
        pid = os.fork()
        if pid == 0:  # pragma: no cover - the child
            os.sched_setaffinity(0, {core})
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            os.chdir(ROOT)
            os.execv(command[0], command)  # noqa: S606 - programs of this environment
        _, status, usage = os.wait4(pid, 0)
        if os.waitstatus_to_exitcode(status) not in {0, 1}:
            sink.seek(0)
            sys.exit(f"{name} failed: {sink.read()[-500:]!r}")
    return Run(
        name,
        files,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        os.waitstatus_to_exitcode(status),
    )


def run(count: int, sample: int) -> list[Run]:
    """All programs over the same generated files."""
    chance = random.Random(count)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        paths = [place / f"a{number:06}.yaml" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_text(audience(number, chance))
        limits = {"audiences": count}
        targets = {"demo": {"property": "1000", "endpoint": "local"}}
        (place / "audiencesync.yaml").write_text(
            json.dumps({"owner": "bench", "limits": limits, "targets": targets})
        )
        some = [str(path) for path in paths[:sample]]
        python = sys.executable
        schema = str(ROOT / "schemas" / "audience.schema.json")
        rules = "{extends: relaxed, rules: {line-length: disable}}"
        return [
            measure("audiencesync validate", count, [python, "-m", "audiencesync", "-w", folder, "validate"]),
            measure("the checks alone, streamed", count, [python, "-c", _STREAM, folder]),
            measure("yamllint", len(some), [str(BIN / "yamllint"), "-d", rules, *some]),
            measure(
                "check-jsonschema",
                len(some),
                [str(BIN / "check-jsonschema"), "--schemafile", schema, *some],
            ),
        ]


def main() -> None:
    """Prints a table for each number of files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[2000, 10000])
    parser.add_argument("--peers", type=int, default=400, help="the most files a peer is given")
    options = parser.parse_args()
    for count in options.counts:
        started = time.perf_counter()
        runs = run(count, min(count, options.peers))
        print(f"{count} files of {LINES} lines ({time.perf_counter() - started:.0f} s in all)")
        for one in runs:
            ratio = one.each / runs[0].each
            note = "" if one.files == count else f", of {one.files} files"
            print(
                f"  {one.name:28} {one.each:7.3f} ms/file  {ratio:6.1f}x  "
                f"peak {one.peak_mib:6.1f} MiB  exit {one.status}{note}"
            )


if __name__ == "__main__":
    main()
