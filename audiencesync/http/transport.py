"""What stands below requests: sessions without side doors, the adapters, and what their exceptions mean."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from audiencesync import errors

if TYPE_CHECKING:
    import requests
    from requests.adapters import HTTPAdapter

CHUNK = 64 * 1024


class Answer(Protocol):
    """What a local answer function gives back."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in any case."""

    @property
    def body(self) -> bytes:
        """The whole body."""


LocalAnswer = Callable[[str, str, str, bytes, Mapping[str, str]], Answer]
"""(method, path, query string, body, headers) -> Answer; path and query are percent-encoded, as on the wire.

It may raise NoAnswerError to say that no answer came.
"""


def origin(url: str) -> tuple[str, str, int] | None:
    """Give the scheme, host and port that requests would connect to; None for what is no plain web address.

    This is the parser that requests uses: two parsers that differ on a backslash or an @ would let a redirect
    lead a token away.
    """
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        parts = parse_url(url)
    except (LocationParseError, ValueError):
        return None
    ports = {"http": 80, "https": 443}
    if parts.scheme not in ports or not parts.host or parts.auth or "\\" in url or parts.port == 0:
        return None
    return parts.scheme, parts.host.strip("[]").lower(), parts.port or ports[parts.scheme]


def session(workers: int) -> requests.Session:
    """Make a session for so many threads, without cookies, netrc or retries; proxies from the environment."""
    from http.cookiejar import DefaultCookiePolicy

    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            """Find none: even without following them, requests reads them whole, and trips over some."""
            del resp

    made = Session()
    # Any auth at all keeps requests from looking for a password in netrc.
    made.auth = _no_auth
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    made.headers["User-Agent"] = "audiencesync"
    adapter = _network_adapter(workers)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _network_adapter(workers: int) -> HTTPAdapter:
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """Tells failures to connect, TLS handshake included, from failures after the request was sent."""

        def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above it
            pool: Any = super().get_connection_with_tls_context(*args, **options)
            pool.ConnectionCls = _telling(pool.ConnectionCls)
            return pool

    return Adapter(pool_connections=4, pool_maxsize=workers)


_TELLING: dict[type, type] = {}


def _telling(kind: type[Any]) -> type[Any]:
    """Give a kind of connection that turns whatever goes wrong in connect() into NewConnectionError.

    Otherwise a connection that is cut within the handshake looks like one that is cut after the request.
    """
    from http.client import HTTPException

    from urllib3 import exceptions

    if kind in _TELLING.values():
        return kind

    class Telling(kind):  # type: ignore[misc]
        def connect(self) -> None:
            try:
                super().connect()
            except exceptions.ConnectTimeoutError:
                raise
            except (OSError, ValueError, HTTPException, exceptions.HTTPError) as error:
                raise exceptions.NewConnectionError(self, "the connection failed") from error

    return _TELLING.setdefault(kind, Telling)


def local_adapter(answer: LocalAnswer) -> HTTPAdapter:
    """Make the adapter that asks an answer function instead of the network."""
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse

    class Adapter(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:  # noqa: ANN401 - not used
            body = request.body or b""
            parts = urlsplit(request.url or "")
            given = answer(
                request.method or "",
                parts.path,
                parts.query,
                body.encode() if isinstance(body, str) else bytes(body),
                request.headers,
            )
            raw = HTTPResponse(
                body=io.BytesIO(given.body),
                headers=dict(given.headers),
                status=given.status,
                preload_content=False,
                request_method=request.method,
            )
            return self.build_response(request, raw)

    return Adapter()


def never_left(error: BaseException) -> bool:
    """Tell whether the request surely was not sent."""
    from urllib3 import exceptions

    return any(isinstance(each, exceptions.ConnectTimeoutError) for each in _chain(error))


def is_untrusted(error: BaseException) -> bool:
    """Tell whether the server's certificate was refused, which trying again does not cure."""
    import ssl

    return any(isinstance(each, ssl.SSLCertVerificationError) for each in _chain(error))


def explain(error: BaseException, timeout: tuple[float, float]) -> str:
    """Say in our words why no answer came: the libraries' own may quote addresses with secrets."""
    import ssl

    import requests
    from urllib3 import exceptions

    chain = list(_chain(error))
    connect, read = timeout
    sayings: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
        (
            (ssl.SSLCertVerificationError,),
            "its certificate is not trusted: if it is yours, set REQUESTS_CA_BUNDLE",
        ),
        ((exceptions.NameResolutionError,), "its name is not known: check the address and the network"),
        ((exceptions.ProxyError,), "the proxy did not let it through: check HTTPS_PROXY and HTTP_PROXY"),
        (
            (ConnectionRefusedError,),
            "the connection was refused: check the address, and that the service runs",
        ),
        ((exceptions.ReadTimeoutError, requests.ReadTimeout), f"nothing came within {read:g} s"),
    )
    for kinds, words in sayings:
        if any(isinstance(each, kinds) for each in chain):
            return words
    if not never_left(error):
        return "the connection was cut before the answer"
    if any(isinstance(each, ssl.SSLError) for each in chain):
        return "no secure connection could be made: check that the address is to begin with https"
    return f"no connection could be made within {connect:g} s: check the address and the network"


def _chain(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    """Yield an error and those that it wraps, in requests' and urllib3's several ways."""
    yield error
    inner = (
        getattr(error, "reason", None),
        getattr(error, "original_error", None),
        error.__cause__,
        *error.args,
    )
    for each in inner:
        if isinstance(each, BaseException) and depth > 0:
            yield from _chain(each, depth - 1)


@contextmanager
def reading(method: str, path: str) -> Iterator[None]:
    """Turn what goes wrong while a body is read into NoAnswerError: the request did run."""
    import requests
    import urllib3

    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        message = f"{method} {path} failed: the answer was cut short"
        raise errors.NoAnswerError(message, method=method, url=path, sent=True) from None


def read_some(response: requests.Response, limit: int) -> bytes:
    """Read the start of a body and close it; a part is better than nothing."""
    body = bytearray()
    try:
        with reading("", ""):
            for chunk in response.iter_content(CHUNK):
                body += chunk
                if len(body) >= limit:
                    break
    except errors.NoAnswerError:
        pass
    response.close()
    return bytes(body[:limit])


def fetch(made: requests.Session, method: str, url: str, **options: Any) -> requests.Response:  # noqa: ANN401 - requests' own
    """Send once and give the answer with its body unread; `options` are those of requests.

    Raises AnswerlessError for what went wrong before an answer, UsageError for a header that cannot be sent.
    """
    import requests
    import urllib3

    try:
        return made.request(method, url, allow_redirects=False, stream=True, **options)
    except (requests.exceptions.InvalidHeader, UnicodeEncodeError):
        # The text of these errors quotes the header, which may be a secret.
        message = "a header holds a character that HTTP does not allow: check the token for line ends"
        raise errors.UsageError(message) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise AnswerlessError(error) from None


class AnswerlessError(Exception):
    """Carries what the libraries raised instead of an answer."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause
        super().__init__()
