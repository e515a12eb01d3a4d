"""`audiencesync --help` against a bare interpreter, as a ratio, and the heavy modules it must not import.

python tests/bench/startup.py [rounds]
"""

from __future__ import annotations

import subprocess
import sys
import time

HEAVY = (
    *("requests", "urllib3", "google.auth", "google.cloud", "deepdiff", "jsonschema", "rich", "duckdb"),
    *("sqlglot", "jinja2", "re2", "yaml"),
)
COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import click": [sys.executable, "-c", "import click"],
    "audiencesync --help": [sys.executable, "-m", "audiencesync", "--help"],
    "audiencesync schema": [sys.executable, "-m", "audiencesync", "schema"],
}
LIST = """
import sys
from audiencesync.cli.frame import run
run(["--help"])
print(*sys.modules, file=sys.stderr)
"""


def seconds(command: list[str], rounds: int) -> float:
    """The quickest of some runs."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> None:
    """Prints the table, then what must not be there."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    bare = seconds(COMMANDS["bare interpreter"], rounds)
    for name, command in COMMANDS.items():
        taken = seconds(command, rounds)
        print(f"{name:<22} {taken * 1000:7.1f} ms  {taken / bare:5.1f}x")
    done = subprocess.run([sys.executable, "-c", LIST], check=True, capture_output=True, text=True)
    loaded = set(done.stderr.split())
    found = [name for name in HEAVY if name in loaded]
    print("heavy modules imported by --help:", ", ".join(found) or "none")


if __name__ == "__main__":
    main()
