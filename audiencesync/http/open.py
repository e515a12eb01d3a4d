"""The ways to a connection: to Google, to any origin, to an answer function in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from audiencesync import errors
from audiencesync.http import transport
from audiencesync.http.connection import Connection
from audiencesync.http.credentials import google_headers, is_loopback
from audiencesync.http.request import Options

if TYPE_CHECKING:
    from audiencesync.settings import Target

EMBEDDED = "http://embedded"


def connect(
    base: str, *, authorize: Callable[[bool], Mapping[str, str]] | None, options: Options
) -> Connection:
    """Connect to an origin; where `base` has a path, it stands in front of all others.

    authorize(renew) gives the headers that authorize; renew is True after a 401. Raises UsageError for an
    address that is none. Whether plain http is acceptable is the caller's decision.
    """
    return Connection(_base(base), transport.session(options.workers), authorize, options)


def connect_google(target: Target, host: str, scopes: Sequence[str], options: Options) -> Connection:
    """Connect to one of Google's services at `host`, or to the target's own endpoint in its place.

    Raises UsageError where the credentials cannot be used, or would go over plain http to another machine.
    """
    base = _base(f"https://{host}" if target.endpoint == "google" else target.endpoint)
    if target.credentials == "anonymous":
        return connect(base, authorize=None, options=options)
    scheme, name, _ = transport.origin(base) or ("http", "", 0)
    if scheme == "http" and not is_loopback(name):
        raise errors.UsageError(
            f"target {target.name}: credentials are not sent over plain http to {name}:"
            " use https, or `credentials: anonymous`"
        )
    authorize = google_headers(target, scopes, transport.session(1))
    return connect(base, authorize=authorize, options=options)


def connect_local(answer: transport.LocalAnswer, options: Options) -> Connection:
    """Connect to an answer function in this process, below everything else that a connection does."""
    session = transport.session(options.workers)
    session.mount(EMBEDDED, transport.local_adapter(answer))
    return Connection(EMBEDDED, session, None, options)


def _base(text: str) -> str:
    if transport.origin(text) is None or "?" in text or "#" in text:
        # The address is not quoted: what is wrong with it may be a password in it.
        message = "an address has the form https://host or http://host:port, without user, query or fragment"
        raise errors.UsageError(message)
    return text.rstrip("/")
