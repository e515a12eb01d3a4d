"""The only room that sends requests: one session to one origin, with credentials, quotas, retries and errors.

connection sends and decides what is sent again; open makes connections; request is what is sent; transport
stands below requests; credentials finds Google's; pacing knows how fast; answers turns refusals into
exceptions; runlog tells what happened.
"""

from audiencesync.http.connection import Connection, Stream
from audiencesync.http.open import connect, connect_google, connect_local
from audiencesync.http.request import Options, Request, Resend
from audiencesync.http.transport import Answer, LocalAnswer

__all__ = [
    "Answer",
    "Connection",
    "LocalAnswer",
    "Options",
    "Request",
    "Resend",
    "Stream",
    "connect",
    "connect_google",
    "connect_local",
]
