"""The catalog: a static site of a workspace, an index and a page for each audience.

Every page stands alone: its style and script are inside it, named by digest in a content security policy that
allows nothing else, so that it works from a disk, offline. Equal inputs give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from audiencesync.drawing import draw
from audiencesync.report import previews
from audiencesync.report.catalog.entries import INDEX, Entry, Inputs, entries, page_name, rooms, terms
from audiencesync.report.catalog.numbers import Numbers, read
from audiencesync.report.escape import inert
from audiencesync.report.page import counted

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["INDEX", "Entry", "Inputs", "Numbers", "page_name", "read", "site"]

_WHOLE = 2 * 1024 * 1024
"""No text of a file is longer than this, so none is cut."""


def site(inputs: Inputs) -> dict[str, str]:
    """The catalog's pages by file name, index.html first; names have no folder and are safe on any disk."""
    found = entries(inputs)
    pages = {INDEX: _index(inputs, found)}
    known = {entry.key: entry for entry in found}
    for index, entry in enumerate(found):
        before = found[index - 1] if index else None
        after = found[index + 1] if index + 1 < len(found) else None
        pages[entry.page] = _render(
            "audience.html.j2",
            ("base.css", "audience.css"),
            "audience.js",
            entry=entry,
            inputs=inputs,
            diagram=_trusted(draw(entry.audience, _shown)),
            yaml=list(_yaml(entry.text)),
            related=[(known[key], True) for key in entry.same] + [(known[key], False) for key in entry.near],
            properties={target.name: target.property for target in inputs.settings.targets},
            adopt=[(target, number) for target, number in entry.desired.manage.adopt],
            before=before,
            after=after,
            says=_says(inputs, entry),
            **_grounds(inputs),
        )
    return pages


def _says(inputs: Inputs, entry: Entry) -> Mapping[str, str]:
    """The preview's numbers of one audience in words; empty where there are none."""
    if inputs.numbers is None or entry.users is None:
        return {}
    return {"users": previews.users(entry.users), "flag": previews.flag(entry.users)}


def _grounds(inputs: Inputs) -> dict[str, str]:
    """What the preview's numbers rest on; empty texts where there are none."""
    numbers = inputs.numbers
    return {
        "basis": previews.basis(numbers) if numbers else "",
        "disclaimer": previews.DISCLAIMER if numbers else "",
    }


# ---------------------------------------------------------------- the index


def _index(inputs: Inputs, found: Sequence[Entry]) -> str:
    contacts, labels, targets = _choices(found)
    rows = [
        {
            "entry": entry,
            "tokens": " ".join(_tokens(entry, contacts, labels, targets)),
            "terms": terms(entry),
            "users": entry.users.after if entry.users else None,
        }
        for entry in found
    ]
    paths = {entry.desired.document.path for entry in found}
    return _render(
        "index.html.j2",
        ("base.css", "index.css"),
        "index.js",
        inputs=inputs,
        rows=rows,
        rooms=rooms(inputs),
        contacts=contacts,
        labels=labels,
        targets=targets,
        counts=_counts(found),
        warnings=[problem for problem in inputs.problems if problem.location.path not in paths],
        **_grounds(inputs),
    )


def _choices(found: Sequence[Entry]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Contacts, labels and targets, each with the token that its rows carry."""

    def numbered(letter: str, texts: Iterable[str]) -> dict[str, str]:
        unique = sorted(set(texts), key=lambda text: (text.casefold(), text))
        return {text: f"{letter}{number}" for number, text in enumerate(unique)}

    return (
        numbered("c", (entry.desired.manage.contact for entry in found if entry.desired.manage.contact)),
        numbered("l", (label for entry in found for label in entry.desired.manage.labels)),
        numbered("t", (target for entry in found for target in entry.targets)),
    )


def _tokens(
    entry: Entry, contacts: Mapping[str, str], labels: Mapping[str, str], targets: Mapping[str, str]
) -> Iterator[str]:
    """What the filters ask of a row: a token for each thing that it has."""
    manage = entry.desired.manage
    if manage.contact:
        yield contacts[manage.contact]
    yield from dict.fromkeys(labels[label] for label in manage.labels)
    yield from (targets[target] for target in entry.targets)
    flags = {
        "trigger": entry.audience.trigger is not None,
        "exclusion": entry.has_exclusion,
        "sequence": entry.has_sequence,
        "warning": bool(entry.warnings),
        "twin": bool(entry.same or entry.near),
        "protected": manage.prevent_archive,
    }
    yield from (name for name, holds in flags.items() if holds)


def _counts(found: Sequence[Entry]) -> Mapping[str, int]:
    return {
        "overdue": sum(entry.overdue for entry in found),
        "warnings": sum(bool(entry.warnings) for entry in found),
        "twins": sum(bool(entry.same or entry.near) for entry in found),
    }


# ---------------------------------------------------------------- YAML


_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_KEY = re.compile(r"(\s*(?:- )*)([A-Za-z_][A-Za-z0-9_]*:)(?=\s|$)(.*)")


def _yaml(text: str) -> Iterator[tuple[str, str, str]]:
    """Each line as (plain, key, plain) or (comment, "", ""); what cannot be seen is written out."""
    lines = _LINE_ENDS.split(text)
    for line in lines[:-1] if lines and not lines[-1] else lines:
        # A tab is no control character to worry about: it stands for itself in a file, and in its copy.
        seen = "\t".join(inert(part, _WHOLE) for part in line.split("\t"))
        if match := _KEY.fullmatch(seen):
            yield match[1], match[2], match[3]
        else:
            yield seen, "", ""


# ---------------------------------------------------------------- pages


def _shown(text: str) -> str:
    return inert(text, _WHOLE)


def _trusted(markup: str) -> Markup:
    from markupsafe import Markup

    return Markup(markup)  # noqa: S704 - drawing escapes what it says; styles and scripts are ours


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("audiencesync.report.catalog", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inert"] = _shown
    environment.filters["counted"] = counted
    return environment


@cache
def _source(name: str) -> str:
    """A style sheet or script of the package, as it is."""
    environment = _environment()
    assert environment.loader is not None  # noqa: S101 - set just above
    return environment.loader.get_source(environment, name)[0]


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def policy_for(style: str, script: str) -> str:
    """The content security policy of a page with that one style sheet and that one script."""
    return (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _render(template: str, styles: Iterable[str], script: str, **values: object) -> str:
    style, program = "".join(map(_source, styles)), _source(script)
    page = _environment().get_template(template)
    return page.render(
        style=_trusted(style), script=_trusted(program), policy=_trusted(policy_for(style, program)), **values
    )
