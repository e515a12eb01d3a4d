"""Documented constraints that a schema cannot say, and warnings about what is surely a slip.

One function a rule: its name in kebab-case is the rule's id, its docstring holds what it asks for, an example
that passes and one that fails. RULES at the end is the whole list.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from audiencesync.rules import filters, naming, policy, settings, workspace
from audiencesync.rules.view import View, look
from audiencesync.rules.workspace import File, Files, file_of, stem
from audiencesync.schema import SCHEMA_RULES
from audiencesync.schema.findings import Finding
from audiencesync.source import READING_RULES, Document, Problem, Severity

__all__ = [
    "RULES",
    "SETTINGS_RULES",
    "WORKSPACE_RULES",
    "File",
    "Files",
    "Rule",
    "RuleDoc",
    "View",
    "file_of",
    "look",
    "stem",
]


@dataclass(frozen=True, slots=True)
class RuleDoc:
    """What `validate --rules` and SARIF say of a rule; a reading rule has no examples."""

    id: str
    severity: Severity
    summary: str
    passing: str = ""
    failing: str = ""


_DOC = re.compile(r"(?P<summary>.*?)\n\nPasses:\n(?P<passing>.*?)\n\nFails:\n(?P<failing>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the function that looks, and how much its findings weigh."""

    look: Callable[[Any], Iterator[Any]]
    severity: Severity = Severity.ERROR

    @property
    def id(self) -> str:
        """The function's name in kebab-case."""
        return str(self.look.__name__).replace("_", "-")

    @property
    def doc(self) -> RuleDoc:
        """The function's docstring, taken apart."""
        found = _DOC.fullmatch(inspect.getdoc(self.look) or "")
        if not found:
            return RuleDoc(self.id, self.severity, self.id)
        parts = [inspect.cleandoc("\n" + found[name]) for name in ("summary", "passing", "failing")]
        return RuleDoc(self.id, self.severity, *parts)


def _rules(severity: Severity, *functions: Callable[[Any], Iterator[Any]]) -> tuple[Rule, ...]:
    return tuple(Rule(function, severity) for function in functions)


RULES: tuple[Rule, ...] = (
    *_rules(
        Severity.ERROR,
        filters.at_any_point_in_time_scope,
        filters.in_any_n_day_period_scope,
        filters.full_regexp,
        naming.mark_in_description,
        naming.description_length,
        policy.policy_require,
        policy.policy_banned_field,
        policy.policy_banned_value,
        policy.policy_membership,
        policy.policy_display_name,
    ),
    *_rules(
        Severity.WARNING,
        filters.exclude_without_mode,
        filters.mode_without_exclude,
        filters.no_include,
        filters.first_step,
        filters.constraint_above_maximum,
        filters.event_count_beside_others,
        filters.between_reversed,
        filters.same_leaf_twice,
        filters.and_not_or,
        filters.near_field_name,
        filters.membership_minimum,
        naming.negation_without_exclusion,
        naming.several_sessions_as_one,
        naming.window_only_in_membership,
        naming.automatic_event_name,
        naming.event_name_rules,
    ),
)
"""The rules of one audience file; each takes a View."""

SETTINGS_RULES: tuple[Rule, ...] = _rules(
    Severity.ERROR,
    settings.unknown_default_target,
    settings.same_target,
    settings.plain_http,
    settings.unknown_platform,
    settings.unknown_export_target,
    settings.export_needs,
    settings.export_stranger,
    settings.hash_without_salt,
    settings.same_export_file,
    settings.policy_regexp,
    settings.policy_range,
    settings.unknown_time_zone,
)
"""The rules of the settings file; each takes its data."""

WORKSPACE_RULES: tuple[Rule, ...] = (
    *_rules(
        Severity.ERROR,
        workspace.same_key,
        workspace.key_case,
        workspace.previous_key_in_use,
        workspace.previous_key_twice,
        workspace.unknown_target,
        workspace.same_adoption,
    ),
    *_rules(
        Severity.WARNING,
        workspace.same_display_name,
        workspace.too_many_audiences,
        workspace.too_many_triggers,
    ),
)
"""The rules over all audience files; each takes Files."""


def check_view(document: Document, view: View) -> Iterator[Problem]:
    """What the rules of one audience file find."""
    for rule in RULES:
        for finding in rule.look(view):
            yield finding.problem(document, rule.severity)


def check_settings(document: Document, data: dict[str, Any]) -> Iterator[Problem]:
    """What the rules of the settings file find in its sound parts."""
    for rule in SETTINGS_RULES:
        for finding in rule.look(data):
            yield finding.problem(document, rule.severity)


def check_files(files: Files) -> Iterator[Problem]:
    """What the rules over all files find."""
    for rule in WORKSPACE_RULES:
        for file, finding in rule.look(files):
            yield file.problem(finding, rule.severity)


def sound_part(data: object, findings: Iterable[Finding]) -> dict[str, Any]:
    """A file's data without the places that the schema refused."""
    from audiencesync.rules.view import without

    return without(data, list(findings)) if isinstance(data, dict) else {}


def own_docs() -> tuple[RuleDoc, ...]:
    """Every rule of reading, schema and this package, by id."""
    reading = [RuleDoc(name, Severity.ERROR, summary) for name, summary in READING_RULES]
    schema = [RuleDoc(name, Severity.ERROR, *texts) for name, *texts in SCHEMA_RULES]
    own = [rule.doc for rule in (*RULES, *SETTINGS_RULES, *WORKSPACE_RULES)]
    return tuple(sorted((*reading, *schema, *own), key=lambda doc: doc.id))
