"""What can be exported -> Page and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from audiencesync.action import Reason
from audiencesync.listing import Listed
from audiencesync.report.documents import Document, head
from audiencesync.report.page import Page, Span, Table, Text, Tone, code, line


def page(found: Sequence[Listed]) -> Page:
    """The list for people: a table, then what could not be listed."""
    rows = tuple(
        tuple(
            line(part)
            for part in (
                each.kind,
                code(each.where),
                code(each.id),
                code(each.key),
                code(each.name),
                each.detail,
            )
        )
        for each in found
        if not each.error
    )
    failed = tuple(
        line(Span(f"{_several(each)} of {each.where}: {each.error}", Tone.ERROR))
        for each in found
        if each.error
    )
    table = Table(("kind", "where", "id", "key", "name", ""), rows)
    return (*((table,) if rows else ()), *((Text(failed),) if failed else ()))


def _several(each: Listed) -> str:
    """What could not be listed, as in "tags" or "analyses (FUNNELS)"."""
    name = "analyses" if each.kind == "analysis" else f"{each.kind}s"
    return f"{name} ({each.detail})" if each.detail else name


def document(found: Sequence[Listed], error: Reason | None = None) -> Document:
    """The list as JSON data: one object a thing, with all its fields."""
    names = ("kind", "where", "id", "key", "name", "detail", "error")
    return {**head(error), "items": [{name: getattr(each, name) for name in names} for each in found]}
