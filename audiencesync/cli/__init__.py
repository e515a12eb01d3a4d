"""Arguments in, one verb called, text out, exit code; nothing else prints.

frame      what all commands share: global options, errors as text or JSON, exit codes, escaping
files      init, validate, fmt, schema, explain: the workspace alone
remote     plan, apply, import, forget, drift, doctor, emulator: a property
data       preview, export, catalog: members, counts and pages
"""

from __future__ import annotations

from audiencesync.cli.frame import cli, main

__all__ = ["cli", "main"]
