"""All checks of a workspace in their order: the schema, the rules of each file, the rules over all files."""

from __future__ import annotations

from dataclasses import dataclass, field

from audiencesync import rules, schema, short
from audiencesync import settings as settings_
from audiencesync.rules import File, Files, RuleDoc
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


@dataclass(slots=True)
class Checker:
    """Checks audience files one after the other, then all together; it keeps little of each.

    The problems of reading are not repeated. Without settings the rules that need them rest.
    """

    settings: Settings | None = None
    files: list[File] = field(default_factory=list)

    def add(self, document: Document) -> list[Problem]:
        """What is wrong with one file alone."""
        findings = schema.find(document)
        problems = [finding.problem(document) for finding in findings]
        if isinstance(document.data, dict):
            view = rules.look(document, findings, self.settings)
            problems += rules.check_view(document, view)
            self.files.append(rules.file_of(document, view))
        if isinstance(document, short.Expanded):
            return [short.in_short_words(problem) for problem in problems]
        return problems

    def finish(self) -> list[Problem]:
        """What is wrong between the files."""
        return list(rules.check_files(Files(self.files, self.settings)))


def all_rules() -> tuple[RuleDoc, ...]:
    """Every rule by id, with its weight, what it asks for, and examples where it has them."""
    foreign = (*short.SHORT_RULES, *_FOREIGN)
    others = tuple(RuleDoc(name, Severity.ERROR, summary) for name, summary in foreign)
    return tuple(sorted((*rules.own_docs(), *others), key=lambda doc: doc.id))
