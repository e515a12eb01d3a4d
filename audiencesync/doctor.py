"""What stands between this machine and a property: one line each, and for what fails its exact fix.

examine() reads, lines() judges. Nothing is written to GA4: the role is seen by reading the property, the
scope of writing by asking for a token that has it and reading with that. Whether GA4 lets the account write
is known only when something is applied.

Sources: google/api/error_reason.proto (SERVICE_DISABLED, ACCESS_TOKEN_SCOPE_INSUFFICIENT); the Admin API's
authorization scopes; Analytics Help, "Add, edit, and delete Analytics users and user groups".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from audiencesync import ga4, http
from audiencesync.errors import (
    ApiError,
    AudiencesyncError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UsageError,
)
from audiencesync.ga4 import ADMIN_HOST, DATA_HOST, EDIT_SCOPE, READ_SCOPE

if TYPE_CHECKING:
    from audiencesync.settings import Limits, Target

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True)
class Line:
    """One finding: `good` is None where it could not be looked at; `fix` says what to do."""

    subject: str
    good: bool | None
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen. An error is what a request met, None where it went well.

    `edit` and `view` are the reading of the property with the scope of writing and of reading, `data` the
    Data API's answer; what comes behind a failure that stops all else stays None with `asked` False.
    """

    target: Target
    principal: str = ""
    asked: bool = False
    edit: AudiencesyncError | None = None
    view: AudiencesyncError | None = None
    data: AudiencesyncError | None = None
    listing: AudiencesyncError | None = None
    service_level: str = ""
    audiences: int | None = None
    triggers: int | None = None


# ---------------------------------------------------------------- reading


def examine(target: Target, options: http.Options, embedded: ga4.Property | None = None) -> Facts:
    """Looks at a target's property with reads alone; `embedded` is the property inside this program."""
    # Who asks for a diagnosis does not want to wait for retries.
    brisk = replace(options, random=lambda: 0.0)
    if embedded is not None:
        return _read_all(Facts(target, asked=True), embedded)
    try:
        with _opened(target, EDIT_SCOPE, brisk) as (remote, principal):
            edit = _met(remote.service_level)
            if not _is_scope(edit):
                return _read_all(Facts(target, principal, asked=True, edit=edit, view=edit), remote)
        with _opened(target, READ_SCOPE, brisk) as (remote, principal):
            facts = Facts(target, principal, asked=True, edit=edit, view=_met(remote.service_level))
            return _read_all(facts, remote)
    except AudiencesyncError as error:
        return Facts(target, edit=error, view=error)


@contextmanager
def _opened(target: Target, scope: str, options: http.Options) -> Iterator[tuple[ga4.Property, str]]:
    with ExitStack() as stack:
        admin = stack.enter_context(http.connect_google(target, ADMIN_HOST, (scope,), options))
        data = stack.enter_context(http.connect_google(target, DATA_HOST, (READ_SCOPE,), options))
        yield ga4.Property(admin, data, target.property), admin.principal


def _met(read: Callable[[], object]) -> AudiencesyncError | None:
    """What a read raises."""
    try:
        read()
    except AudiencesyncError as error:
        return error
    return None


def _read_all(facts: Facts, remote: ga4.Property) -> Facts:
    if facts.view is not None:
        return facts
    try:
        level = remote.service_level()
        lives = remote.audiences()
    except AudiencesyncError as error:
        return replace(facts, listing=error)
    return replace(
        facts,
        service_level=level,
        audiences=len(lives),
        triggers=sum(bool(raw.get("eventTrigger")) for raw in lives),
        data=_met(remote.exports),
    )


# ---------------------------------------------------------------- judging


def lines(facts: Facts) -> tuple[Line, ...]:
    """The findings about a target: credentials, scopes, API enabled, role, limits. Pure."""
    return (
        _credentials(facts),
        _scopes(facts),
        _api(facts, "Admin API", ADMIN_HOST, facts.view or facts.listing),
        _api(facts, "Data API", DATA_HOST, facts.data) if _seen(facts) else _unknown("Data API"),
        _role(facts),
        _limits(facts, facts.target.limits),
    )


def settings_line(folder: str, files: int, target: Target, warnings: int) -> Line:
    """The finding about a workspace without errors."""
    more = f", {warnings} warning{'s' if warnings != 1 else ''}" if warnings else ""
    text = f"{folder}: {files} files without errors{more}; target {target.name} is property {target.property}"
    return Line("settings", good=True, text=f"{text} at {_endpoint(target)}")


def _endpoint(target: Target) -> str:
    known = {"google": "Google", "local": "the embedded property"}
    return known.get(target.endpoint, target.endpoint)


def _unknown(subject: str) -> Line:
    return Line(subject, good=None, text="not looked at, because of what failed above")


def _seen(facts: Facts) -> bool:
    return facts.asked and facts.view is None and facts.listing is None


def _reason(error: AudiencesyncError | None) -> str:
    return error.reason.replace("_", "").lower() if isinstance(error, ApiError) else ""


def _is_scope(error: AudiencesyncError | None) -> bool:
    """Whether the credentials lack a scope: Google's API says so, or its token service does."""
    # The advice behind a refusal names scopes too.
    said = str(error).lower().partition("gcloud")[0]
    words = "scope" in said and isinstance(error, UnauthenticatedError)
    return _reason(error) == "accesstokenscopeinsufficient" or words


def _is_disabled(error: AudiencesyncError | None) -> bool:
    return _reason(error) in {"servicedisabled", "accessnotconfigured"}


def _login(target: Target) -> str:
    if target.credentials not in {"default", "anonymous"}:
        return f"check the service account of {target.credentials} and its key"
    command = f"gcloud auth application-default login --scopes={CLOUD_PLATFORM},{EDIT_SCOPE}"
    if target.impersonate:
        return f"{command}, with the role Service Account Token Creator on {target.impersonate}"
    return command


def _credentials(facts: Facts) -> Line:
    subject, target = "credentials", facts.target
    if target.endpoint == "local":
        return Line(subject, good=True, text="none are needed for the embedded property")
    error = facts.view
    if isinstance(error, NoAnswerError):
        return Line(subject, good=False, text=str(error), fix=_reach(target))
    if isinstance(error, UsageError) or (isinstance(error, UnauthenticatedError) and not _is_scope(error)):
        text = str(error).partition(": run `gcloud")[0]
        return Line(subject, good=False, text=text, fix=_login(target))
    if target.credentials == "anonymous":
        return Line(subject, good=True, text="anonymous")
    who = facts.principal or "an account whose name the credentials do not tell"
    how = "Application Default Credentials" if target.credentials == "default" else target.credentials
    return Line(subject, good=True, text=f"{who} ({how})")


def _reach(target: Target) -> str:
    if target.endpoint == "google":
        return "check the network, the proxy settings and the firewall: HTTPS to *.googleapis.com has to pass"
    return f"start it: `audiencesync emulator`, or correct the target's endpoint {target.endpoint}"


def _scopes(facts: Facts) -> Line:
    subject = "scopes"
    if facts.target.endpoint == "local" or facts.target.credentials == "anonymous":
        return Line(subject, good=True, text="none are needed")
    if _is_scope(facts.view):
        text = "the token may not read Analytics"
        return Line(subject, good=False, text=text, fix=_login(facts.target))
    if not facts.asked or isinstance(facts.view, UnauthenticatedError | NoAnswerError | UsageError):
        return _unknown(subject)
    if _is_scope(facts.edit):
        text = "the token may read and not write: plan works, apply does not"
        return Line(subject, good=False, text=text, fix=_login(facts.target))
    return Line(subject, good=True, text="analytics.edit and analytics.readonly")


def _api(facts: Facts, subject: str, service: str, error: AudiencesyncError | None) -> Line:
    if facts.target.endpoint != "google" and not _is_disabled(error):
        known = error is None or isinstance(error, ApiError)
        return (
            Line(subject, good=True, text=f"answered by {_endpoint(facts.target)}")
            if known
            else _unknown(subject)
        )
    if _is_disabled(error):
        project = re.search(r"\bproject[ =]([a-z0-9:.-]{1,80}[a-z0-9])", str(error))
        flag = f" --project={project[1]}" if project else ""
        text = f"{service} is not enabled in the project of these credentials"
        return Line(subject, good=False, text=text, fix=f"gcloud services enable {service}{flag}")
    if error is None:
        return Line(subject, good=True, text=f"{service} is enabled")
    if isinstance(error, PermissionDeniedError | NotFoundError) and not _is_scope(error):
        return Line(subject, good=True, text=f"{service} answers")
    if isinstance(error, ApiError) and not isinstance(error, UnauthenticatedError | PermissionDeniedError):
        return Line(subject, good=False, text=str(error), fix="try again later; -v shows the requests")
    return _unknown(subject)


def _role(facts: Facts) -> Line:
    subject, target = "role", facts.target
    error = facts.view or facts.listing
    if target.endpoint == "local":
        return Line(subject, good=True, text="the embedded property lets everybody write")
    if _seen(facts):
        text = f"this account can read property {target.property}; whether it may write shows when applying"
        return Line(subject, good=True, text=f"{text} (that takes the Marketer or Editor role)")
    if _is_scope(error) or _is_disabled(error) or not isinstance(error, ApiError):
        return _unknown(subject)
    who = facts.principal or "the account of these credentials"
    if isinstance(error, PermissionDeniedError):
        text = f"{who} may not read property {target.property}"
        fix = (
            f"in Google Analytics, Admin > Property access management of property {target.property}: "
            f"add {who} with the Marketer role"
        )
        return Line(subject, good=False, text=text, fix=fix)
    if isinstance(error, NotFoundError):
        text = f"there is no property {target.property} at {_endpoint(target)}"
        fix = f"correct targets.{target.name}.property: the number is in Admin > Property details"
        return Line(subject, good=False, text=text, fix=fix)
    if target.endpoint != "google":
        # Google's own refusals stand at the API already; another server has no such line.
        return Line(subject, good=False, text=str(error), fix=_reach(target))
    return _unknown(subject)


def _limits(facts: Facts, limits: Limits) -> Line:
    subject = "limits"
    if facts.audiences is None or facts.triggers is None:
        return _unknown(subject)
    counts = ((facts.audiences, limits.audiences, "audiences"), (facts.triggers, limits.triggers, "triggers"))
    text = ", ".join(f"{used} of {most} {what}" for used, most, what in counts)
    if facts.service_level:
        text += f" ({facts.service_level.removeprefix('GOOGLE_ANALYTICS_').replace('_', ' ').lower()})"
    full = [what for used, most, what in counts if used >= most]
    if not full:
        return Line(subject, good=True, text=text)
    fix = (
        f"archive {' and '.join(full)} that nobody needs, or correct limits.{full[0]} in the settings "
        "where Google grants the property more"
    )
    return Line(subject, good=False, text=f"{text}: no room for another", fix=fix)


def all_good(found: Sequence[Line]) -> bool:
    """Whether nothing failed."""
    return all(line.good is not False for line in found)
