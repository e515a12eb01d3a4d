"""Every exception that audiencesync raises on purpose.

AudiencesyncError                 code, exit_code; its text is one sentence for the user
├── UsageError                    arguments or settings that cannot be followed
├── StoppedError                  the user stopped the run
├── InvalidFilesError             carries the problems that were found in the user's files
├── UnrepresentableError          a value of GA4 that our records cannot say (a reason and a route)
├── PlanFileError                 a plan file that is damaged or of an unknown version
├── StalePlanError                the world moved since the plan was made (exit 4)
├── StoreError                    the embedded property's database is damaged or newer than we are
├── PreviewError                  an estimate that cannot be computed
├── ExportError                   an export that failed
│   ├── AmbiguousSubmitError      nobody can know whether a job was started
│   └── UnfinishedError           the job goes on; a later run picks it up (exit 5)
└── RequestError                  method and url of the request that failed
    ├── NoAnswerError             no answer; `sent` says whether the request may have run
    └── ApiError                  an answer that refuses: status, reason, field violations
        ├── InvalidArgumentError  400
        ├── UnauthenticatedError  401
        ├── PermissionDeniedError 403, final
        ├── NotFoundError         404
        ├── ConflictError         409
        ├── QuotaExhaustedError   429 that waiting does not cure (the property is full)
        ├── RateLimitedError      403 rateLimitExceeded or 429, after the waiting budget is spent
        └── ServerError           5xx
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audiencesync.source import Problem, Route


class AudiencesyncError(Exception):
    """Stops a command; `str()` is what the user reads, `code` what a script reads."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1


class UsageError(AudiencesyncError):
    """Says that arguments or settings cannot be followed, and what to write instead."""

    code = "usage"


class StoppedError(AudiencesyncError):
    """Says that the user stopped the run; what was not finished was not begun either."""

    code = "interrupted"


class InvalidFilesError(AudiencesyncError):
    """Carries the problems that were found in the user's files."""

    code = "invalid-files"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        places = {problem.location.path for problem in self.problems}
        super().__init__(
            f"{len(self.problems)} problem(s) in {len(places)} file(s): `audiencesync validate` shows them"
        )


class UnrepresentableError(AudiencesyncError):
    """Says why a value of GA4 has no place in our records; `route` leads to it."""

    code = "unrepresentable"

    def __init__(self, reason: str, route: Route = ()) -> None:
        self.reason, self.route = reason, route
        super().__init__(reason)


class PlanFileError(AudiencesyncError):
    """Says that a plan file cannot be read: damaged, edited, or of an unknown version."""

    code = "plan-file"


class StalePlanError(AudiencesyncError):
    """Says what moved since the plan was made; nothing was written."""

    code = "stale-plan"
    exit_code = 4


class StoreError(AudiencesyncError):
    """Says that the embedded property's database is damaged or newer; the file is kept as it is."""

    code = "embedded-store"


class PreviewError(AudiencesyncError):
    """Says why an estimate cannot be computed."""

    code = "preview"


class ExportError(AudiencesyncError):
    """Says why an export failed; no file was written."""

    code = "export"


class AmbiguousSubmitError(ExportError):
    """Says that a job may or may not have been started; it is not sent again without `--restart`."""

    code = "ambiguous-submit"


class UnfinishedError(ExportError):
    """Says that a job is still running; the next run picks it up."""

    code = "unfinished"
    exit_code = 5


class RequestError(AudiencesyncError):
    """Names the request that failed."""

    code = "request"

    def __init__(self, message: str, *, method: str = "", url: str = "") -> None:
        self.method, self.url = method, url
        super().__init__(message)


class NoAnswerError(RequestError):
    """Says that no answer came; `sent` is False only where the request surely did not run."""

    code = "connection"

    def __init__(self, message: str, *, method: str = "", url: str = "", sent: bool = True) -> None:
        self.sent = sent
        super().__init__(message, method=method, url=url)


@dataclass(frozen=True, slots=True)
class Violation:
    """One refused field: `field` is the server's path to it, as it was sent."""

    field: str
    description: str


class ApiError(RequestError):
    """An answer that refuses: HTTP status, Google's status word, reason and field violations."""

    code = "api"

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        url: str = "",
        status: int = 0,
        reason: str = "",
        violations: Sequence[Violation] = (),
    ) -> None:
        self.status, self.reason, self.violations = status, reason, tuple(violations)
        super().__init__(message, method=method, url=url)


class InvalidArgumentError(ApiError):
    """400: the server refuses the request's content."""

    code = "invalid-argument"


class UnauthenticatedError(ApiError):
    """401: the credentials are missing, expired or wrong."""

    code = "unauthenticated"


class PermissionDeniedError(ApiError):
    """403: the principal may not do this; waiting does not help."""

    code = "permission-denied"


class NotFoundError(ApiError):
    """404: no such resource, or it was archived."""

    code = "not-found"


class ConflictError(ApiError):
    """409: the resource changed meanwhile or exists already."""

    code = "conflict"


class QuotaExhaustedError(ApiError):
    """429 that waiting does not cure, as when the property is full."""

    code = "quota-exhausted"


class RateLimitedError(ApiError):
    """403 rateLimitExceeded or 429 that outlasted the waiting budget."""

    code = "rate-limited"


class ServerError(ApiError):
    """5xx: the server failed; the request may or may not have run."""

    code = "server-error"
