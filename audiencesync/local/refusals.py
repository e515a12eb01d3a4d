"""Google's error shape: {"error": {"code", "message", "status", "details"}}.

Source: google.rpc.Status and google.rpc.BadRequest as the JSON APIs print them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audiencesync.errors import Violation
from audiencesync.local.context import Answer, Json

CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
}
"""Google's status words and the HTTP status of each (google.rpc.Code)."""

_TYPE = "type.googleapis.com/google.rpc."


class RefusedError(Exception):
    """Ends a call with an error answer; `code` overrides the HTTP status that goes with the word."""

    def __init__(
        self,
        status: str,
        message: str,
        details: Sequence[Json] = (),
        *,
        code: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.code = code or CODES[status]
        self.status, self.details, self.headers = status, list(details), dict(headers or {})
        self.extra = dict(extra or {})
        super().__init__(message)

    def answer(self, *, details: bool = True) -> Answer:
        """The HTTP answer, with or without `details`."""
        error: Json = {"code": self.code, "message": str(self), **self.extra, "status": self.status}
        if details and self.details:
            error["details"] = self.details
        return Answer.of(self.code, {"error": error}, self.headers)


def invalid(violations: Sequence[Violation]) -> RefusedError:
    """400 INVALID_ARGUMENT with one field violation each; fields as Google spells them, in snake case."""
    listed = [{"field": found.field, "description": found.description} for found in violations]
    message = "\n".join(found.description for found in violations)
    return RefusedError(
        "INVALID_ARGUMENT", message, [{"@type": f"{_TYPE}BadRequest", "fieldViolations": listed}]
    )


def invalid_field(field: str, description: str) -> RefusedError:
    """400 INVALID_ARGUMENT with a single field violation."""
    return invalid([Violation(field, description)])


def not_found(message: str = "Requested entity was not found.") -> RefusedError:
    """404, for what never was and for what was archived alike."""
    return RefusedError("NOT_FOUND", message)


def permission_denied() -> RefusedError:
    """403 for a property or account that is not served; assumed: Google says no more to a stranger."""
    return RefusedError("PERMISSION_DENIED", "The caller does not have permission")


def precondition(message: str) -> RefusedError:
    """400 FAILED_PRECONDITION."""
    return RefusedError("FAILED_PRECONDITION", message)


def error_info(reason: str, domain: str, metadata: Mapping[str, str]) -> Json:
    """A google.rpc.ErrorInfo detail."""
    return {"@type": f"{_TYPE}ErrorInfo", "reason": reason, "domain": domain, "metadata": dict(metadata)}


def limit_reached(property: str, what: str, reason: str, limit: int) -> RefusedError:
    """429 RESOURCE_EXHAUSTED that waiting does not cure, as when the property is full.

    The shape is assumed: the documents give the number and no refusal. The message says that the property is
    full; ErrorInfo has `reason` and the domain analyticsadmin.googleapis.com. A rate limit's refusal has the
    domain googleapis.com and the reason RATE_LIMIT_EXCEEDED.
    """
    message = f"The property is full: properties/{property} has reached its limit of {limit} {what}."
    metadata = {"limit": str(limit), "resource": f"properties/{property}"}
    return RefusedError(
        "RESOURCE_EXHAUSTED", message, [error_info(reason, "analyticsadmin.googleapis.com", metadata)]
    )
