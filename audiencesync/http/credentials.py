"""Google's credentials: found, scoped, impersonated, and turned into the headers of a request.

google-auth's AuthorizedSession is not used: it refreshes without a lock (google-auth-library-python#1780), so
eight workers would fetch eight tokens, and in the background it asks another Google service for regional
boundaries. What it adds to a request, the token and the quota project, is added here under one lock.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from audiencesync import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from google.auth.credentials import Credentials

    from audiencesync.settings import Target

Authorize = Callable[[bool], Mapping[str, str]]
"""Gives the headers that authorize a request; True asks for new ones, since a 401 refused the last."""

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
# (connect, read) in seconds, for the token endpoint.
TIMEOUT = (10.0, 30.0)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: localhost, 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class GoogleHeaders:
    """Gives the headers that authorize a request to Google; an `Authorize`, safe between threads.

    `principal` is the account acted as, "" where the credentials do not tell; `advice` says what to do when
    they are refused.
    """

    def __init__(self, credentials: Credentials, request: Callable[..., Any], login: str) -> None:
        self._credentials, self._request, self.advice = credentials, request, login
        self._lock = threading.Lock()
        self._given = threading.local()
        self.principal = _principal(credentials)

    def __call__(self, renew: bool) -> Mapping[str, str]:  # noqa: FBT001 - the shape of Authorize
        """Give the headers; renew fetches a new token unless another thread has just done so."""
        with self._lock:
            token = self._credentials.token
            refused = renew and token is not None and token == getattr(self._given, "token", None)
            if refused or not self._credentials.valid:
                self._refresh()
            headers: dict[str, str] = {}
            # google-auth ships type hints, but not for all of its functions.
            self._credentials.apply(headers)  # type: ignore[no-untyped-call]
            self._given.token = self._credentials.token
            return headers

    def _refresh(self) -> None:
        from google.auth import exceptions

        try:
            self._credentials.refresh(self._request)  # type: ignore[no-untyped-call]
        except exceptions.TransportError:
            message = "Google's token service did not answer: check the network and the proxy settings"
            raise errors.NoAnswerError(message, sent=False) from None
        except exceptions.GoogleAuthError as error:
            # The API request was not sent, so it may be sent later, also where it creates something.
            if getattr(error, "retryable", False):
                message = "Google's token service failed: try again later"
                raise errors.NoAnswerError(message, sent=False) from None
            message = f"Google refused the credentials ({_reason(error)}): {self.advice}"
            raise errors.UnauthenticatedError(message, status=401) from None


def google_headers(target: Target, scopes: Sequence[str], session: requests.Session) -> GoogleHeaders:
    """Find a target's credentials and narrow them to the scopes.

    session is for the token endpoint alone. Raises UsageError with the way out.
    """
    from google.auth import exceptions
    from google.auth.transport.requests import Request

    login = _login(target, scopes)
    guarded = _Guard(Request(session))
    try:
        with _without_warnings():
            credentials = _find(target, scopes, guarded)
    except exceptions.DefaultCredentialsError as error:
        raise errors.UsageError(f"no usable Google credentials ({_reason(error)}): {login}") from None
    except exceptions.GoogleAuthError as error:
        raise errors.UsageError(
            f"the Google credentials cannot be used ({_reason(error)}): {login}"
        ) from None
    return GoogleHeaders(credentials, guarded, login)


def _find(target: Target, scopes: Sequence[str], request: Callable[..., Any]) -> Credentials:
    import google.auth

    # To ask the IAM service for a token takes the broad scope; the token itself is narrow.
    own = [CLOUD_PLATFORM] if target.impersonate else list(scopes)
    if target.credentials == "default":
        found, _ = google.auth.default(scopes=own, request=cast("Any", request))
    else:
        found = _from_file(target.credentials, own)
    if target.impersonate:
        from google.auth import impersonated_credentials

        found = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
            source_credentials=found, target_principal=target.impersonate, target_scopes=list(scopes)
        )
    if target.quota_project:
        if not hasattr(found, "with_quota_project"):
            raise errors.UsageError("these credentials take no `quotaProject`: leave it out")
        found = found.with_quota_project(target.quota_project)
    return found


def _from_file(path: str, scopes: list[str]) -> Credentials:
    from google.oauth2 import service_account

    file = Path(path).expanduser()
    try:
        data = json.loads(file.read_bytes())
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise errors.UsageError(f"the credentials file {path} cannot be read: {reason}") from None
    except (ValueError, RecursionError):
        raise errors.UsageError(f"the credentials file {path} is not JSON: download the key again") from None
    kind = data.get("type") if isinstance(data, dict) else None
    if kind != "service_account":
        raise errors.UsageError(
            f"the credentials file {path} is not a service account's: for other kinds leave `credentials` out"
            f" and set GOOGLE_APPLICATION_CREDENTIALS={path}"
        )
    try:
        make: Callable[..., Credentials] = service_account.Credentials.from_service_account_info
        return make(data, scopes=scopes)
    except ValueError:
        # The text of this error may quote the key.
        raise errors.UsageError(
            f"the key in the credentials file {path} is damaged: download it again"
        ) from None


class _Guard:
    """google-auth's transport with timeouts, no redirects, no secrets over plain http to other machines."""

    def __init__(self, request: Callable[..., Any]) -> None:
        self._request = request

    def __call__(self, url: str, method: str = "GET", **options: Any) -> Any:  # noqa: ANN401 - google-auth's shape
        from google.auth import exceptions

        parts = urlsplit(url)
        if parts.scheme != "https" and not _is_nearby(parts.hostname or ""):
            raise exceptions.RefreshError(f"its token address {parts.hostname} is plain http")  # type: ignore[no-untyped-call]
        # The metadata server's probe asks for less; nobody may wait for longer.
        options["timeout"] = options.get("timeout") or TIMEOUT
        return self._request(url, method, allow_redirects=False, **options)


def _is_nearby(host: str) -> bool:
    """Tell whether a host is this machine or the cloud's metadata server, which speaks plain http."""
    if is_loopback(host) or host in {"metadata.google.internal", "metadata"}:
        return True
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def _login(target: Target, scopes: Sequence[str]) -> str:
    """Say what to do when these credentials do not work."""
    if target.credentials != "default":
        return f"check the service account of {target.credentials} and its key"
    wanted = ",".join((CLOUD_PLATFORM, *scopes))
    fix = f"run `gcloud auth application-default login --scopes={wanted}`"
    if target.impersonate:
        return f"{fix}, with the role Service Account Token Creator on {target.impersonate}"
    return f"{fix}, or name a service account's file as the target's `credentials`"


def _reason(error: Exception) -> str:
    """Give the first line of an error of google-auth: what follows may be a server's whole answer."""
    first = next(iter(error.args), "")
    lines = str(first).strip().splitlines() or ["no reason given"]
    return lines[0][:300].rstrip(".")


def _principal(credentials: Credentials) -> str:
    for name in ("service_account_email", "signer_email", "account"):
        value = getattr(credentials, name, None)
        # Compute Engine says "default" until it has asked the metadata server.
        if isinstance(value, str) and "@" in value:
            return value
    return ""


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep google-auth's advice on quota projects off stderr: a refusal says it where it matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
