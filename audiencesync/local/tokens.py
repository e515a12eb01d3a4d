"""Page tokens: opaque, bound to the request that they go on from, and worthless when tampered with."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from audiencesync.local.refusals import invalid_field

_CHECK = 12


def _check(seed: str, bound: Sequence[str], position: bytes) -> bytes:
    text = "\0".join(bound).encode() + b"\0" + position
    return hmac.digest(seed.encode(), text, hashlib.sha256)[:_CHECK]


def write(seed: str, bound: Sequence[str], position: int) -> str:
    """The token that goes on after `position` in the request that `bound` tells apart."""
    plain = position.to_bytes(8, "big")
    return base64.urlsafe_b64encode(_check(seed, bound, plain) + plain).decode()


def read(seed: str, bound: Sequence[str], token: str) -> int | None:
    """The position in a token; None for no token.

    Errors: RefusedError 400 where the token is not ours or of another request.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if not hmac.compare_digest(raw[:_CHECK], _check(seed, bound, raw[_CHECK:])):
        raise invalid_field("page_token", "The page token is invalid or belongs to another request.")
    return int.from_bytes(raw[_CHECK:], "big")
