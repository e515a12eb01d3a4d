"""What an answer that refuses means: status, body and headers -> exception. Pure.

Status and reason decide, message text only where nothing else is documented.
Source: AIP-193, google/rpc/error_details.proto; for GitHub's REST API "Troubleshooting the REST API" and
"Rate limits for the REST API".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audiencesync import errors
from audiencesync.http import pacing

MAX_MESSAGE = 2000

_RATE_REASONS = {"ratelimitexceeded", "userratelimitexceeded", "quotaexceeded", "resourceexhausted"}
_DAILY_REASONS = {"dailylimitexceeded", "dailylimitexceededunreg"}
_RATE_WORDS = re.compile(
    r"\b(per|a|each) (second|minute|hour)\b|\brate\b|\bquota metric\b|\brequests?\b|\bquer(y|ies)\b"
    r"|\btokens?\b|\bconcurrent\b|\btry again\b|\bretry\b|\bslow down\b|\btoo fast\b",
    re.IGNORECASE,
)
_FULL_WORDS = re.compile(r"\b(limit|maximum|max|at most|too many|full|exceed\w*|reached)\b", re.IGNORECASE)
_FULL_THINGS = re.compile(r"\b(audiences?|event ?triggers?|property is full)\b", re.IGNORECASE)
_FORGE_LIMIT = re.compile(r"\b(secondary )?rate limit\b", re.IGNORECASE)
_DAILY_WORDS = re.compile(r"\b(per|a|each) day\b|\bdaily\b|\b24 hours\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The exception to raise, and the seconds that the server asked to wait (None: it did not say)."""

    error: errors.ApiError
    after: float | None


@dataclass(frozen=True, slots=True)
class _Said:
    """What a body says: all fields may be empty."""

    message: str = ""
    word: str = ""
    reasons: tuple[str, ...] = ()
    violations: tuple[errors.Violation, ...] = ()
    metadata: Mapping[str, str] | None = None
    delay: str = ""
    quota_violations: tuple[str, ...] = ()


def read(method: str, url: str, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Refusal:
    """Turn an answer that refuses into the exception that says so; now is seconds since the epoch."""
    said = _read_body(headers.get("Content-Type", ""), body)
    kind = _kind(status, said)
    word = f" {said.word}" if said.word else ""
    message = said.message or "the answer says no more"
    verb = "failed" if kind is errors.ServerError else "was refused"
    error = kind(
        f"{method} {url} {verb}: {message} ({status}{word}){_hint(status, said)}",
        method=method,
        url=url,
        status=status,
        reason=said.reasons[0] if said.reasons else said.word,
        violations=said.violations,
    )
    clock = _server_time(headers, now)
    after = pacing.retry_after(headers.get("Retry-After", ""), clock)
    if after is None and isinstance(error, errors.RateLimitedError):
        after = _until_reset(headers, clock)
    return Refusal(error, _delay(said.delay) if after is None else after)


def shorten(text: str) -> str:
    """Cut an absurdly long text; printers take care of what is in it."""
    text = text.strip()
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}... ({len(text)} characters)"


def is_html(content_type: str, body: bytes) -> bool:
    """Tell whether an answer is a page for people, as proxies and sign-in walls send."""
    return "html" in content_type.lower() or body[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))


def _kind(status: int, said: _Said) -> type[errors.ApiError]:
    if status in {403, 429} and _is_quota(status, said):
        return errors.QuotaExhaustedError if _is_lasting(said) else errors.RateLimitedError
    kinds: dict[int, type[errors.ApiError]] = {
        400: errors.InvalidArgumentError,
        401: errors.UnauthenticatedError,
        403: errors.PermissionDeniedError,
        404: errors.NotFoundError,
        409: errors.ConflictError,
    }
    return errors.ServerError if status >= 500 else kinds.get(status, errors.ApiError)  # noqa: PLR2004 - as HTTP says


def _is_quota(status: int, said: _Said) -> bool:
    """Tell a quota's refusal from any other: Google sends 403 as well as 429 for it."""
    if status == 429:  # noqa: PLR2004 - as HTTP says
        return True
    known = _RATE_REASONS | _DAILY_REASONS
    return said.word == "RESOURCE_EXHAUSTED" or any(_plain(reason) in known for reason in said.reasons)


def _is_lasting(said: _Said) -> bool:
    """Tell whether waiting a few minutes is no cure: the property is full, or a day's quota is spent.

    Nothing documents how Google says that a property has no room for another audience. So structured details
    decide first (a rate limit names itself, with a unit a minute), and only without them the words: they have
    to name audiences or triggers and a limit, and nothing that a rate limit would name.
    """
    unit = " ".join((said.metadata or {}).get(key, "") for key in ("quota_unit", "quota_limit"))
    reasons = {_plain(reason) for reason in said.reasons}
    if reasons & _DAILY_REASONS or "/d/" in unit or "perday" in unit.lower():
        return True
    if (
        reasons & {"ratelimitexceeded", "userratelimitexceeded"}
        or "/min" in unit
        or "perminute" in unit.lower()
    ):
        return False
    named = [reason.replace("_", " ") for reason in said.reasons]
    if any(_FULL_WORDS.search(reason) and _FULL_THINGS.search(reason) for reason in named):
        return True
    words = " ".join((said.message, *said.quota_violations))
    if _DAILY_WORDS.search(words):
        return True
    return bool(_FULL_WORDS.search(words) and _FULL_THINGS.search(words)) and not _RATE_WORDS.search(words)


def _hint(status: int, said: _Said) -> str:
    """Say the way out where the reason names one. Source: google/api/error_reason.proto."""
    reasons = {_plain(reason) for reason in said.reasons}
    metadata = said.metadata or {}
    if reasons & {"servicedisabled", "accessnotconfigured"}:
        service = metadata.get("service", "") or "analyticsadmin.googleapis.com"
        return f": enable the API with `gcloud services enable {shorten(service)}`"
    if "accesstokenscopeinsufficient" in reasons:
        return (
            ": the credentials lack a scope: run `gcloud auth application-default login"
            " --scopes=https://www.googleapis.com/auth/cloud-platform,https://www.googleapis.com/auth/analytics.edit`"
        )
    if reasons & {"userprojectdenied", "consumerinvalid"}:
        return ": the quota project does not accept these credentials: set or correct `quotaProject`"
    if status == 403 and said.word == "PERMISSION_DENIED" and not reasons:  # noqa: PLR2004 - as HTTP says
        return ": reading needs the Viewer role on the property, writing the Marketer role"
    return ""


def _plain(reason: str) -> str:
    return reason.replace("_", "").lower()


def _read_body(content_type: str, body: bytes) -> _Said:
    if is_html(content_type, body):
        return _Said("the answer is an HTML page")
    text = body.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return _Said(shorten(text))
    if isinstance(data, list) and data:
        data = data[0]
    if isinstance(data, dict) and "documentation_url" in data:
        return _read_github(data)
    error = data.get("error") if isinstance(data, dict) else None
    if isinstance(error, str):  # OAuth 2.0 (RFC 6749, 5.2)
        return _Said(shorten(_text(data.get("error_description")) or error), reasons=(error,))
    if not isinstance(error, dict):
        return _Said(shorten(text))
    return _read_google(error)


def _read_github(data: dict[str, Any]) -> _Said:
    """GitHub's shape: a message, and what is wrong with single fields; a rate limit is told by its words."""
    faults = [_text(each.get("message")) or _text(each.get("code")) for each in _objects(data.get("errors"))]
    parts = (_text(data.get("message")), ", ".join(filter(None, faults)))
    message = ": ".join(filter(None, parts))
    limit = _FORGE_LIMIT.search(message)
    # "Wait at least one minute" where the answer to a secondary limit names no time of its own.
    delay = "60s" if limit and limit[1] else ""
    return _Said(shorten(message), reasons=("rateLimitExceeded",) if limit else (), delay=delay)


def _read_google(error: dict[str, Any]) -> _Said:
    details = list(_objects(error.get("details")))
    infos = [detail for detail in details if _is_type(detail, "ErrorInfo")]
    metadata: dict[str, Any] = next(
        (info["metadata"] for info in infos if isinstance(info.get("metadata"), dict)), {}
    )
    reasons = [
        *(info.get("reason") for info in infos),
        *(e.get("reason") for e in _objects(error.get("errors"))),
    ]
    delays = [_text(detail.get("retryDelay")) for detail in details if _is_type(detail, "RetryInfo")]
    return _Said(
        message=shorten(_text(error.get("message"))),
        word=shorten(_text(error.get("status"))),
        reasons=tuple(shorten(reason) for reason in reasons if isinstance(reason, str) and reason),
        violations=tuple(_violations(details)),
        metadata={str(key): _text(value) for key, value in metadata.items()},
        delay=next(iter(delays), ""),
        quota_violations=tuple(
            shorten(_text(each.get("description")))
            for detail in details
            if _is_type(detail, "QuotaFailure")
            for each in _objects(detail.get("violations"))
        ),
    )


def _violations(details: Sequence[dict[str, Any]]) -> Iterator[errors.Violation]:
    for detail in details:
        if _is_type(detail, "BadRequest"):
            for each in _objects(detail.get("fieldViolations")):
                yield errors.Violation(
                    shorten(_text(each.get("field"))), shorten(_text(each.get("description")))
                )


def _is_type(detail: dict[str, Any], name: str) -> bool:
    return _text(detail.get("@type")).endswith("google.rpc." + name)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _delay(text: str) -> float | None:
    return float(text[:-1]) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?s", text) else None


def _until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds until GitHub's hour begins anew, where nothing of this one is left."""
    reset = headers.get("X-RateLimit-Reset", "")
    spent = headers.get("X-RateLimit-Remaining", "") == "0" and re.fullmatch("[0-9]{1,12}", reset)
    return max(0.0, float(reset) - now) if spent else None


def _server_time(headers: Mapping[str, str], now: float) -> float:
    """The server's own clock, where it tells: a Retry-After date is by it, and ours may be wrong."""
    ahead = pacing.retry_after(headers.get("Date", ""), 0.0)
    return ahead or now
