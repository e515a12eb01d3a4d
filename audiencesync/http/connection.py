"""Sends requests to one origin, paced, with credentials, tried again where that is safe.

What may be sent again, and when, is the heart of it:

    answer                              reads, patches, archives (SAFE)   creates (ONCE)
    could not connect (DNS, TLS, ...)   again                             again: it surely did not run
    429, 403 rateLimitExceeded          again, when the quota allows      the same: it was surely refused
    401                                 once again, with a new token      the same
    5xx, no answer, no JSON             again                             final: nobody can know if it ran
    anything else                       final                             final

"Again" is at most 5 tries and 20 seconds; for quota refusals as long as the server asks, within 15 minutes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlencode, urljoin

from audiencesync import errors
from audiencesync.http import answers, transport
from audiencesync.http.credentials import Authorize, is_loopback
from audiencesync.http.pacing import Lane, Pace, Ticket, backoff
from audiencesync.http.request import Options, Request, Resend
from audiencesync.http.runlog import Record

if TYPE_CHECKING:
    import requests

MAX_TRIES = 5
RETRY_BUDGET = 20.0
QUOTA_BUDGET = 900.0
MAX_JSON = 64 * 1024 * 1024
MAX_REFUSAL = 1024 * 1024
MAX_REDIRECTS = 5

# An answer that drips in byte by byte is given up after this many read timeouts.
_SLOWEST = 10
# Tokens are renewed, and an answer to the last one may come after that.
_SECRETS_KEPT = 4
_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _FailedError(Exception):
    """One try that failed; `after` is what the server asked to wait, `final` that no further try helps."""

    error: errors.RequestError
    after: float | None = None
    final: bool = False
    seconds: float = 0.0
    closed: float = 0.0


@dataclass(slots=True)
class _Effort:
    """What has been tried for one request; `renewal` goes from "" over "due" to "done"."""

    tries: int = 0
    failures: int = 0
    spent: float = 0.0
    pause: float = 0.0
    renewal: str = ""
    uncertain: bool = False


class Stream:
    """An answer whose body is read piece by piece."""

    def __init__(self, response: requests.Response, method: str, url: str) -> None:
        self._response, self._method, self._url = response, method, url
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def chunks(self) -> Iterator[bytes]:
        """Yield the body; raise NoAnswerError where it is cut short."""
        with transport.reading(self._method, self._url):
            yield from self._response.iter_content(transport.CHUNK)

    def close(self) -> None:
        """Give the connection back."""
        self._response.close()


class Connection:
    """Sends requests to one origin; safe between threads."""

    def __init__(
        self, base: str, session: requests.Session, authorize: Authorize | None, options: Options
    ) -> None:
        self.base, self.principal = base, str(getattr(authorize, "principal", ""))
        self._advice = str(getattr(authorize, "advice", ""))
        self._session, self._authorize, self._options = session, authorize, options
        self._pace = Pace(options.clock, options.sleep, options.random, options.on_wait)
        limits = options.limits
        self._requests = Lane(limits.requests_per_minute if limits else None, self._pace, "requests")
        self._writes = Lane(limits.writes_per_minute if limits else None, self._pace, "writes")
        self._log_lock = threading.Lock()
        self._sent_secrets: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the session's sockets."""
        self._session.close()

    def masked(self, text: str) -> str:
        """Give what a server says without the credentials that it was sent: some echo them."""
        return _without(self._sent_secrets, text.encode("utf-8", "replace")).decode()

    def send(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Send a request and give the JSON object of its answer, None for an empty body.

        A one-element list around an object counts as the object: some gateways wrap answers so. Raises
        RequestError and its kin (the table at the top of this module).
        """
        effort = _Effort()
        try:
            return self._exchange(request, effort, self._read_json, abroad=False)
        except errors.NotFoundError:
            if request.vanishes and effort.uncertain:
                return None
            raise

    def stream(self, request: Request) -> AbstractContextManager[Stream]:
        """Send a request and give its answer to be read in pieces.

        A redirect to another origin is followed without credentials, from https to https only.
        """
        return self._stream(request)

    @contextmanager
    def _stream(self, request: Request) -> Iterator[Stream]:
        def finish(_: Request, response: requests.Response) -> Stream:
            return Stream(response, request.method, request.place)

        stream = self._exchange(request, _Effort(), finish, abroad=True)
        try:
            yield stream
        finally:
            stream.close()

    def _exchange(
        self,
        request: Request,
        effort: _Effort,
        finish: Callable[[Request, requests.Response], _T],
        *,
        abroad: bool,
    ) -> _T:
        while True:
            try:
                return self._try(request, effort, finish, abroad=abroad)
            except _FailedError as failed:
                error, again = failed.error, self._again(request, effort, failed)
            if not again:
                raise error from None

    def _again(self, request: Request, effort: _Effort, failed: _FailedError) -> bool:
        """Decide whether to try again, and note in the effort what to do before."""
        match failed.error:
            case errors.RateLimitedError():
                return failed.closed <= QUOTA_BUDGET
            case errors.UnauthenticatedError() if self._authorize and not effort.renewal:
                effort.renewal = "due"
                return True
            case errors.NoAnswerError(sent=False):
                pass
            case errors.NoAnswerError() | errors.ServerError():
                effort.uncertain = True
                if request.resend is Resend.ONCE:
                    return False
            case _:
                return False
        effort.failures += 1
        effort.spent += failed.seconds
        pause = backoff(effort.failures - 1, self._options.random)
        effort.pause = pause if failed.after is None else max(pause, failed.after)
        effort.spent += effort.pause
        return not failed.final and effort.failures < MAX_TRIES and effort.spent <= RETRY_BUDGET

    def _try(
        self,
        request: Request,
        effort: _Effort,
        finish: Callable[[Request, requests.Response], _T],
        *,
        abroad: bool,
    ) -> _T:
        waited = self._pace.wait(effort.pause, "the last try failed")
        effort.pause, effort.tries = 0.0, effort.tries + 1
        lanes = (self._writes, self._requests) if request.write else (self._requests,)
        tickets = [lane.enter() for lane in lanes]
        waited += sum(ticket.waited for ticket in tickets)
        record = Record(self._options, request, effort.tries, waited)
        failed: _FailedError | None = None
        answered = False
        try:
            result = self._carry(request, effort, finish, record, abroad=abroad)
            answered = True
            return result
        except _FailedError as caught:
            failed = caught
            answered = isinstance(caught.error, errors.ApiError)
            raise
        finally:
            closed = _settle(lanes, tickets, failed, answered=answered)
            if failed is not None:
                failed.seconds, failed.closed = record.seconds(), closed
            self._log(record, failed)

    def _log(self, record: Record, failed: _FailedError | None) -> None:
        if self._options.log is not None:
            with self._log_lock:
                self._options.log(record.entry(failed.error if failed else None))

    def _carry(
        self,
        request: Request,
        effort: _Effort,
        finish: Callable[[Request, requests.Response], _T],
        record: Record,
        *,
        abroad: bool,
    ) -> _T:
        headers = {"Accept": "application/json", **request.headers}
        if abroad:
            # What is read in pieces may be resumed by Range, which counts bytes as stored.
            headers = {"Accept": "*/*", "Accept-Encoding": "identity", **request.headers}
        secrets: list[str] = []
        if self._authorize is not None:
            try:
                given = self._authorize(effort.renewal == "due")
                headers |= given
                secrets = [value for name, value in given.items() if name.lower() == "authorization"]
                self._sent_secrets = tuple(dict.fromkeys((*secrets, *self._sent_secrets)))[:_SECRETS_KEPT]
            except errors.NoAnswerError as error:
                raise _FailedError(error) from None
            if effort.renewal:
                effort.renewal = "done"
        response = self._follow(request, headers, abroad=abroad)
        record.answered(response)
        try:
            self._check(request, response, secrets)
            return finish(request, response)
        except BaseException:
            response.close()
            raise

    def _check(self, request: Request, response: requests.Response, secrets: Sequence[str]) -> None:
        if 200 <= response.status_code < 300:  # noqa: PLR2004 - as HTTP says
            return
        body = _without(secrets, transport.read_some(response, MAX_REFUSAL))
        refusal = answers.read(
            request.method, request.place, response.status_code, response.headers, body, self._options.now()
        )
        if isinstance(refusal.error, errors.UnauthenticatedError) and self._advice:
            refusal.error.args = (f"{refusal.error}: {self._advice}",)
        raise _FailedError(refusal.error, refusal.after)

    def _follow(self, request: Request, headers: dict[str, str], *, abroad: bool) -> requests.Response:
        """Send once, following redirects of reads; credentials stay at home."""
        url = self.base + request.path
        if request.query:
            url += ("&" if "?" in url else "?") + urlencode(request.query)
        for _ in range(MAX_REDIRECTS):
            response = self._fetch(request, url, headers)
            location = response.headers.get("Location", "")
            if response.status_code not in {301, 302, 303, 307, 308} or not location:
                return response
            response.close()
            before, url = url, _join(url, location)
            headers = _headers_onward(request, before, url, headers, abroad=abroad)
        raise _FailedError(_api_error(request, 302, f"it was redirected more than {MAX_REDIRECTS} times"))

    def _fetch(self, request: Request, url: str, headers: Mapping[str, str]) -> requests.Response:
        data: bytes | Mapping[str, str] | None = request.form
        if request.form is None and request.body is not None:
            data = json.dumps(request.body, allow_nan=False, separators=(",", ":")).encode()
            headers = {"Content-Type": "application/json", **headers}
        host = (transport.origin(url) or ("", "", 0))[1]
        # A proxy can do nothing with a request for this machine.
        proxies = {"no_proxy": host} if is_loopback(host) else None
        sent = {"data": data, "headers": headers, "timeout": request.timeout, "proxies": proxies}
        try:
            return transport.fetch(self._session, request.method, url, **sent)
        except errors.NoAnswerError as error:
            raise _FailedError(error) from None
        except transport.AnswerlessError as error:
            why = transport.explain(error.cause, request.timeout)
            no_answer = errors.NoAnswerError(
                f"{request.method} {request.place} got no answer from {host}: {why}",
                method=request.method,
                url=request.place,
                sent=not transport.never_left(error.cause),
            )
            raise _FailedError(no_answer, final=transport.is_untrusted(error.cause)) from None

    def _read_json(self, request: Request, response: requests.Response) -> Any:  # noqa: ANN401 - JSON
        body = bytearray()
        deadline = self._options.clock() + _SLOWEST * request.timeout[1]
        try:
            with transport.reading(request.method, request.place):
                for chunk in response.iter_content(transport.CHUNK):
                    body += chunk
                    if len(body) > MAX_JSON:
                        message = f"the answer is larger than {MAX_JSON // 2**20} MiB"
                        raise _FailedError(_unclear(request, response, message), final=True)
                    if self._options.clock() > deadline:
                        raise _FailedError(_unclear(request, response, "the answer does not end"))
        except errors.NoAnswerError as error:
            raise _FailedError(error) from None
        response.close()
        if not body.strip():
            return None
        try:
            data = json.loads(bytes(body))
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, list) and len(data) == 1:
            data = data[0]
        if not isinstance(data, dict):
            page = answers.is_html(response.headers.get("Content-Type", ""), bytes(body))
            what = "an HTML page" if page else "something that is not a JSON object"
            raise _FailedError(_unclear(request, response, f"the answer is {what}"))
        return data


def _settle(
    lanes: Sequence[Lane], tickets: Sequence[Ticket], failed: _FailedError | None, *, answered: bool
) -> float:
    """Give the tickets back, and the seconds for which the first lane, which a refusal is about, closes."""
    closed = 0.0
    for number, (lane, ticket) in enumerate(zip(lanes, tickets, strict=True)):
        if failed is not None and isinstance(failed.error, errors.RateLimitedError):
            if number == 0:
                closed = lane.refused(ticket, failed.after)
            else:
                lane.dropped(ticket)
        elif answered:
            lane.granted(ticket)
        else:
            lane.dropped(ticket)
    return closed


def _without(secrets: Sequence[str], body: bytes) -> bytes:
    """The body of a refusal without the credentials, which some gateways echo; as JSON writes them, too."""
    for secret in secrets:
        # The scheme, as in "Bearer token", is no secret; a token may contain no space.
        for plain in (secret, secret.rpartition(" ")[2]):
            quoted = json.dumps(plain)[1:-1]
            for form in (plain, quoted, quoted.replace("/", "\\/")):
                body = body.replace(form.encode(), b"(credentials)") if form else body
    return body


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _headers_onward(
    request: Request, before: str, after: str, headers: dict[str, str], *, abroad: bool
) -> dict[str, str]:
    """Give the headers that may go along with a redirect, or refuse to follow it."""
    home, there = transport.origin(before), transport.origin(after)
    if there is None or home is None:
        raise _FailedError(_api_error(request, 302, "it was redirected to an address that is none"))
    where = f"{there[0]}://{there[1]}"
    if request.method not in {"GET", "HEAD"}:
        message = f"it was redirected to {where}: if the service has moved, set its new address"
        raise _FailedError(_api_error(request, 302, message))
    if home == there:
        return headers
    if not abroad or (home[0], there[0]) == ("https", "http"):
        message = f"it was redirected to {where}, where nothing was sent: check the address and the sign-in"
        raise _FailedError(_api_error(request, 302, message))
    kept = {"accept", "accept-encoding", "range", "if-range"}
    return {name: value for name, value in headers.items() if name.lower() in kept}


def _api_error(request: Request, status: int, message: str) -> errors.ApiError:
    return errors.ApiError(
        f"{request.method} {request.place} failed: {message}",
        method=request.method,
        url=request.place,
        status=status,
    )


def _unclear(request: Request, response: requests.Response, message: str) -> errors.RequestError:
    """Say that the answer cannot be read: a read may be repeated, after a create nobody can know."""
    text = f"{request.method} {request.place} failed: {message} (status {response.status_code})"
    if request.resend is Resend.ONCE:
        return errors.NoAnswerError(text, method=request.method, url=request.place, sent=True)
    return errors.ServerError(text, method=request.method, url=request.place, status=response.status_code)
