"""Arguments in, one verb called, text out, exit code; nothing else prints.

frame      what all commands share: global options, errors as text or JSON, exit codes, escaping
files      init, validate, fmt, schema, explain: the workspace alone
remote     plan, apply, import, forget, drift, doctor, emulator: a property
data       preview, export: members and counts
pages      catalog: a site of all audiences, to look at
"""

from __future__ import annotations

from audiencesync.cli.frame import cli, main

__all__ = ["cli", "main"]
