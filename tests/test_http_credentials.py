"""Google's credentials: found, narrowed, renewed under one lock, and failing in one clear sentence."""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from audiencesync import errors
from audiencesync.http import Options, Request, connect_google, transport
from audiencesync.http.credentials import CLOUD_PLATFORM, GoogleHeaders, google_headers, is_loopback
from audiencesync.settings import Target
from tests.test_http import Reply, Seen, Serve, Server, closed_port, serve

__all__ = ["serve"]  # a fixture

SCOPES = ("https://www.googleapis.com/auth/analytics.readonly",)
READ = Request("GET", "/v1alpha/properties/1")
ROBOT = "robot@project.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def write_key(path: Path, key: str, token_uri: str, **more: str) -> str:
    data = {"type": "service_account", "client_email": ROBOT, "private_key": key, "token_uri": token_uri}
    path.write_text(json.dumps(data | {"private_key_id": "k1", "project_id": "p"} | more))
    return str(path)


class Tokens:
    """A token endpoint that numbers what it gives."""

    def __init__(self, expires: int = 3600, delay: float = 0.0) -> None:
        self.given, self.expires, self.delay = 0, expires, delay

    def __call__(self, _: Seen) -> Reply:
        time.sleep(self.delay)
        self.given += 1
        body = {"access_token": f"token-{self.given}", "expires_in": self.expires, "token_type": "Bearer"}
        return Reply(body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def service(tmp_path: Path, key: str, tokens: Server, api: Server, **more: Any) -> Target:
    path = write_key(tmp_path / "key.json", key, tokens.base + "/token")
    return Target("t", "1", endpoint=api.base, credentials=path, **more)


def quiet(**more: Any) -> Options:
    return Options(sleep=lambda _: None, **more)


def test_a_service_account_signs_in_with_the_scopes_alone(serve: Serve, tmp_path: Path, key: str) -> None:
    import base64

    tokens, api = serve(Tokens()), serve(Reply())
    target = service(tmp_path, key, tokens, api, quota_project="billing")
    with connect_google(target, "unused.example", SCOPES, quiet()) as there:
        there.send(READ)
        there.send(READ)
        assert there.principal == ROBOT
    (asked,) = tokens.seen
    claim = parse_qs(asked.body.decode())["assertion"][0].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claim + "=="))
    assert claims["scope"] == SCOPES[0]
    assert [seen.headers["Authorization"] for seen in api.seen] == ["Bearer token-1"] * 2
    assert api.seen[0].headers["x-goog-user-project"] == "billing"


def test_a_401_fetches_a_new_token_once_for_all_workers(serve: Serve, tmp_path: Path, key: str) -> None:
    tokens = serve(Tokens(delay=0.05))

    def answer(seen: Seen) -> Reply:
        return Reply(401) if seen.headers["Authorization"] == "Bearer token-1" else Reply()

    api = serve(answer)
    with connect_google(service(tmp_path, key, tokens, api), "", SCOPES, quiet()) as there:
        barrier = threading.Barrier(8)
        failed: list[BaseException] = []

        def work() -> None:
            barrier.wait()
            try:
                there.send(READ)
            except errors.AudiencesyncError as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
    assert len(tokens.seen) == 2


def test_an_expired_token_is_renewed_before_it_is_refused(serve: Serve, tmp_path: Path, key: str) -> None:
    tokens, api = serve(Tokens(expires=1)), serve(Reply())
    with connect_google(service(tmp_path, key, tokens, api), "", SCOPES, quiet()) as there:
        there.send(READ)
        there.send(READ)
    assert [seen.headers["Authorization"] for seen in api.seen] == ["Bearer token-1", "Bearer token-2"]


def test_refused_credentials_say_what_to_do(serve: Serve, tmp_path: Path, key: str) -> None:
    body = b'{"error":"invalid_grant","error_description":"account not found"}'
    tokens, api = serve(Reply(400, body, {"Content-Type": "application/json"})), serve(Reply())
    target = service(tmp_path, key, tokens, api)
    with (
        connect_google(target, "", SCOPES, quiet()) as there,
        pytest.raises(errors.UnauthenticatedError) as caught,
    ):
        there.send(READ)
    text = str(caught.value)
    assert text.startswith("Google refused the credentials (invalid_grant: account not found): check the")
    assert "\n" not in text
    assert api.seen == []


def test_a_token_service_that_is_away_was_asked_again_and_sent_nothing(
    serve: Serve, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)  # google-auth waits between its own tries
    api = serve(Reply())
    path = write_key(tmp_path / "key.json", key, f"http://127.0.0.1:{closed_port()}/token")
    target = Target("t", "1", endpoint=api.base, credentials=path)
    log: list[Mapping[str, object]] = []
    with (
        connect_google(target, "", SCOPES, quiet(log=log.append)) as there,
        pytest.raises(errors.NoAnswerError, match="token service") as caught,
    ):
        there.send(Request("POST", "/x", body={}))
    assert not caught.value.sent
    assert len(log) == 5
    assert api.seen == []


def test_a_redirect_of_the_token_service_is_not_followed(serve: Serve, tmp_path: Path, key: str) -> None:
    thief, api = serve(Tokens()), serve(Reply())
    tokens = serve(Reply(307, b"", {"Location": thief.base}))
    with (
        connect_google(service(tmp_path, key, tokens, api), "", SCOPES, quiet()) as there,
        pytest.raises(errors.UnauthenticatedError),
    ):
        there.send(READ)
    assert thief.seen == []


@pytest.mark.parametrize(
    "endpoint", ["http://api.example", "http://10.0.0.1:8080", "http://127.0.0.1.example"]
)
def test_credentials_are_not_sent_in_the_open(endpoint: str) -> None:
    target = Target("live", "1", endpoint=endpoint)
    with pytest.raises(
        errors.UsageError, match=r"target live: credentials are not sent over plain http to .*https"
    ):
        connect_google(target, "", SCOPES, quiet())
    connect_google(Target("t", "1", endpoint=endpoint, credentials="anonymous"), "", SCOPES, quiet()).close()


def test_nor_to_a_token_service_in_the_open(tmp_path: Path, key: str) -> None:
    path = write_key(tmp_path / "key.json", key, "http://tokens.example/token")
    target = Target("t", "1", credentials=path)
    with (
        connect_google(target, "analyticsadmin.googleapis.com", SCOPES, quiet()) as there,
        pytest.raises(errors.UnauthenticatedError, match=r"tokens\.example is plain http"),
    ):
        there.send(READ)


def test_without_any_credentials_the_fix_is_one_command() -> None:
    with pytest.raises(errors.UsageError) as caught:
        connect_google(Target("t", "1"), "analyticsadmin.googleapis.com", SCOPES, quiet())
    text = str(caught.value)
    assert f"gcloud auth application-default login --scopes={CLOUD_PLATFORM},{SCOPES[0]}" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{nope", "is not JSON"),
        ('{"type": "authorized_user"}', "set GOOGLE_APPLICATION_CREDENTIALS="),
        ("[]", "is not a service account's"),
        ('{"type": "service_account", "private_key": "hidden"}', "is damaged"),
        (
            '{"type":"service_account","client_email":"a@b","token_uri":"https://x","private_key":"-----hidden"}',
            "is damaged",
        ),
    ],
)
def test_a_bad_key_file_is_named_and_not_quoted(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.UsageError, match=message) as caught:
        connect_google(Target("t", "1", credentials=str(path)), "x.example", SCOPES, quiet())
    assert str(path) in str(caught.value)
    assert "hidden" not in str(caught.value)


def play(session: requests.Session, origin: str, body: Mapping[str, Any], status: int = 200) -> list[Seen]:
    """Answer for a Google service that this test must not reach."""
    seen: list[Seen] = []

    def answer(method: str, path: str, query: str, sent: bytes, headers: Mapping[str, str]) -> Reply:
        del query
        seen.append(Seen(method, path, dict(headers), sent))
        return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    session.mount(origin, transport.local_adapter(answer))
    return seen


def test_impersonation_asks_broadly_and_acts_narrowly(serve: Serve, tmp_path: Path, key: str) -> None:
    path = write_key(tmp_path / "key.json", key, serve(Tokens()).base + "/token")
    session = transport.session(1)
    answer = {"accessToken": "narrow", "expireTime": "2099-01-01T00:00:00Z"}
    seen = play(session, "https://iamcredentials.googleapis.com", answer)
    target = Target(
        "t", "1", credentials=path, impersonate="other@p.iam.gserviceaccount.com", quota_project="q"
    )
    headers = google_headers(target, SCOPES, session)
    assert headers(False) == {"authorization": "Bearer narrow", "x-goog-user-project": "q"}
    assert headers.principal == "other@p.iam.gserviceaccount.com"
    (asked,) = seen
    assert "other@p.iam.gserviceaccount.com" in asked.path
    assert json.loads(asked.body)["scope"] == list(SCOPES)
    session.close()


def test_a_refused_impersonation_names_the_role(serve: Serve, tmp_path: Path, key: str) -> None:
    source = write_key(tmp_path / "key.json", key, serve(Tokens()).base + "/token")
    session = transport.session(1)
    play(session, "https://iamcredentials.googleapis.com", {"error": {"message": "no"}}, 403)
    target = Target("t", "1", credentials=source, impersonate="other@p.iam.gserviceaccount.com")
    headers = google_headers(target, SCOPES, session)
    with pytest.raises(
        errors.UnauthenticatedError, match=r"impersonated credentials.*check the service account"
    ):
        headers(False)
    session.close()


def user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: Mapping[str, Any]
) -> GoogleHeaders:
    path = tmp_path / "adc.json"
    path.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "c",
                "client_secret": "hidden",
                "refresh_token": "hidden2",
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    session = transport.session(1)
    play(session, "https://oauth2.googleapis.com", body, status)
    return google_headers(Target("t", "1"), SCOPES, session)


def test_a_users_login_is_found_and_its_end_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = user(tmp_path, monkeypatch, 200, {"access_token": "u", "expires_in": 3600})
    assert headers(False)["authorization"] == "Bearer u"
    assert headers.principal == ""
    headers = user(tmp_path, monkeypatch, 400, {"error": "invalid_grant", "error_description": "expired"})
    with pytest.raises(errors.UnauthenticatedError, match=r"gcloud auth application-default login") as caught:
        headers(False)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("0.0.0.0", False),  # noqa: S104 - a value under test
        ("::2", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
