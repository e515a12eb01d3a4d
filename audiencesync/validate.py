"""All checks of a workspace in their order: the schema, the rules of each file, the rules over all files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audiencesync import rules, schema, short
from audiencesync import settings as settings_
from audiencesync.rules import File, RuleDoc
from audiencesync.settings import Settings
from audiencesync.source import Document, Problem, Severity

_FOREIGN: tuple[tuple[str, str], ...] = (
    ("unreadable-file", "A file of the workspace can be read."),
    ("outside-link", "A symbolic link in the workspace stays in the workspace."),
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found beside the problems of reading, and the settings where they are sound."""

    problems: tuple[Problem, ...]
    settings: Settings | None = None


def check_settings(document: Document) -> Checked:
    """Checks the settings file; the settings are None where an error stands in it."""
    if document.data is None:
        return Checked(())
    findings = schema.find(document, "Settings")
    problems = [finding.problem(document) for finding in findings]
    problems += rules.check_settings(document, rules.sound_part(document.data, findings))
    sound = not document.problems and not any(one.severity is Severity.ERROR for one in problems)
    return Checked(tuple(problems), settings_.from_data(document.data) if sound else None)


def check_audience(document: Document, settings: Settings | None = None) -> list[Problem]:
    """Checks one audience file alone."""
    return _check_one(document, settings)[0]


def _check_one(document: Document, settings: Settings | None) -> tuple[list[Problem], File]:
    findings = schema.find(document)
    problems = [finding.problem(document) for finding in findings]
    view = rules.look(document, findings, settings)
    if isinstance(document.data, dict):
        problems += rules.check_view(document, view)
    key = view.manage.get("key")
    return problems, File(document, view, key if isinstance(key, str) else stem(document.path))


def stem(path: str) -> str:
    """The key of a file that does not say one: its name without folder and suffix."""
    return path.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


def check(settings_document: Document | None, audiences: Sequence[Document]) -> Checked:
    """Checks the settings and all audience files, each alone and all together.

    The problems of reading are not repeated. Where the settings have errors, the rules that need them rest.
    """
    settings = Checked(())
    if settings_document is not None:
        settings = check_settings(settings_document)
    problems = list(settings.problems)
    files = []
    for document in audiences:
        found, file = _check_one(document, settings.settings)
        problems += found
        if isinstance(document.data, dict):
            files.append(file)
    problems += rules.check_files(files)
    return Checked(tuple(sorted(problems, key=lambda one: (one.location, one.rule))), settings.settings)


def all_rules() -> tuple[RuleDoc, ...]:
    """Every rule by id, with its weight, what it asks for, and examples where it has them."""
    foreign = (*short.SHORT_RULES, *_FOREIGN)
    others = tuple(RuleDoc(name, Severity.ERROR, summary) for name, summary in foreign)
    return tuple(sorted((*rules.own_docs(), *others), key=lambda doc: doc.id))
