"""One line of the run log a try: what was asked, what came back, how long it took, and nothing secret."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from audiencesync.http.request import Options, Request

if TYPE_CHECKING:
    import requests

    from audiencesync import errors


class Record:
    """One line of the run log in the making."""

    def __init__(self, options: Options, request: Request, attempt: int, waited: float) -> None:
        self._options, self._request = options, request
        self._attempt, self._waited = attempt, waited
        self._began, self._time = options.clock(), options.now()
        self._status: int | None = None
        self._id = ""

    def seconds(self) -> float:
        """Give the time that the try has taken so far."""
        return self._options.clock() - self._began

    def answered(self, response: requests.Response) -> None:
        """Note the answer's status and id."""
        self._status = response.status_code
        names = ("x-goog-request-id", "x-request-id", "x-guploader-uploadid", "x-cloud-trace-context")
        self._id = next((response.headers[name] for name in names if name in response.headers), "")[:200]

    def entry(self, error: errors.RequestError | None) -> dict[str, object]:
        """Give the line: no headers, no query, no body."""
        when = datetime.fromtimestamp(self._time, UTC).isoformat(timespec="milliseconds")
        return {
            "time": when.replace("+00:00", "Z"),
            "method": self._request.method,
            "path": self._request.place,
            "status": self._status,
            "requestId": self._id,
            "durationMs": round(self.seconds() * 1000),
            "attempt": self._attempt,
            "waited": round(self._waited, 3),
            "error": error.code if error is not None else None,
        }
