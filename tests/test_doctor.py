"""doctor: one line a subject, an exact fix for each failure, and no request that writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from audiencesync import doctor
from audiencesync.cli import frame
from audiencesync.doctor import Facts, Line
from audiencesync.errors import (
    AudiencesyncError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    UnauthenticatedError,
    UsageError,
)
from audiencesync.ga4 import ADMIN_HOST, DATA_HOST
from audiencesync.settings import Limits, Target
from tests.test_http import Reply, Seen, Serve, Server, closed_port, serve
from tests.test_http_credentials import ROBOT, Tokens, key, quiet, service

__all__ = ["key", "serve"]  # fixtures

GOOGLE = Target("production", "312222000")
LOGIN = (
    "gcloud auth application-default login "
    "--scopes=https://www.googleapis.com/auth/cloud-platform,https://www.googleapis.com/auth/analytics.edit"
)


def facts(target: Target = GOOGLE, **more: Any) -> Facts:
    """What a healthy property shows, but for what is named."""
    seen: dict[str, Any] = {
        "principal": ROBOT,
        "asked": True,
        "service_level": "GOOGLE_ANALYTICS_STANDARD",
        "audiences": 7,
        "triggers": 2,
    }
    return Facts(target, **(seen | more))


def judged(found: Facts) -> dict[str, Line]:
    return {line.subject: line for line in doctor.lines(found)}


def denied(reason: str = "", message: str = "The caller does not have permission") -> PermissionDeniedError:
    return PermissionDeniedError(f"GET /x was refused: {message} (403)", status=403, reason=reason)


def test_a_healthy_property_has_one_good_line_a_subject() -> None:
    found = judged(facts())
    assert list(found) == ["credentials", "scopes", "Admin API", "Data API", "role", "limits"]
    assert all(line.good and not line.fix for line in found.values())
    assert found["credentials"].text == f"{ROBOT} (Application Default Credentials)"
    assert found["limits"].text == "7 of 100 audiences, 2 of 20 triggers (standard)"
    assert "shows when applying" in found["role"].text


@pytest.mark.parametrize(
    ("error", "failing", "fix"),
    [
        (
            denied("SERVICE_DISABLED", "Google Analytics Admin API has not been used in project 4711 before"),
            "Admin API",
            f"gcloud services enable {ADMIN_HOST} --project=4711",
        ),
        (denied("accessNotConfigured", "off"), "Admin API", f"gcloud services enable {ADMIN_HOST}"),
        (denied("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), "scopes", LOGIN),
        (
            UnauthenticatedError("Google refused the credentials (invalid_scope: Bad Request): run `gcloud`"),
            "scopes",
            LOGIN,
        ),
        (
            denied("PERMISSION_DENIED"),
            "role",
            (
                "in Google Analytics, Admin > Property access management of property 312222000: "
                f"add {ROBOT} with the Marketer role"
            ),
        ),
        (
            NotFoundError("GET /x was refused: not found (404)", status=404),
            "role",
            "correct targets.production.property: the number is in Admin > Property details",
        ),
        (
            UnauthenticatedError("Google refused the credentials (expired): run `gcloud --scopes=x`"),
            "credentials",
            LOGIN,
        ),
        (UsageError("no usable Google credentials (none found)"), "credentials", LOGIN),
        (
            NoAnswerError("GET /x failed: the name is not known"),
            "credentials",
            "check the network, the proxy settings and the firewall: HTTPS to *.googleapis.com has to pass",
        ),
        (
            ServerError("GET /x was refused: backend error (500)", status=500),
            "Admin API",
            "try again later; -v shows the requests",
        ),
    ],
)
def test_each_failure_is_one_line_with_its_exact_fix(
    error: AudiencesyncError, failing: str, fix: str
) -> None:
    unasked = isinstance(error, UsageError)
    found = judged(facts(edit=error, view=error, asked=not unasked, audiences=None, triggers=None))
    assert [(line.subject, line.fix) for line in found.values() if line.good is False] == [(failing, fix)]
    assert found["limits"].good is None
    assert not doctor.all_good(tuple(found.values()))


def test_a_token_that_only_reads_is_told_from_one_that_writes() -> None:
    found = judged(facts(edit=denied("ACCESS_TOKEN_SCOPE_INSUFFICIENT")))
    assert found["scopes"] == Line(
        "scopes", good=False, text="the token may read and not write: plan works, apply does not", fix=LOGIN
    )
    assert found["role"].good
    assert found["limits"].good


def test_the_data_api_has_a_switch_of_its_own() -> None:
    found = judged(facts(data=denied("SERVICE_DISABLED", "off in project my-project.")))
    assert found["Data API"].fix == f"gcloud services enable {DATA_HOST} --project=my-project"
    assert found["Admin API"].good


@pytest.mark.parametrize(
    ("audiences", "triggers", "what"),
    [(100, 0, "audiences"), (0, 20, "triggers"), (101, 21, "audiences and triggers")],
)
def test_a_full_property_is_a_failure(audiences: int, triggers: int, what: str) -> None:
    line = judged(facts(audiences=audiences, triggers=triggers))["limits"]
    assert line.good is False
    assert line.fix.startswith(f"archive {what} that nobody needs")


def test_an_impersonated_account_needs_a_role_too() -> None:
    target = Target("t", "1", impersonate="robot@p.iam.gserviceaccount.com")
    found = judged(facts(target, view=UsageError("no usable Google credentials"), asked=False))
    role = "with the role Service Account Token Creator on robot@p.iam.gserviceaccount.com"
    assert found["credentials"].fix == f"{LOGIN}, {role}"


def test_the_limits_are_those_of_the_target() -> None:
    line = judged(facts(Target("t", "1", limits=Limits(audiences=400)), audiences=399))["limits"]
    assert line.good
    assert line.text.startswith("399 of 400 audiences")


# ---------------------------------------------------------------- against a server in Google's shape


def google(status: int, word: str, reason: str, **metadata: str) -> Reply:
    """A refusal as Google's front ends write it (google.rpc.Status with an ErrorInfo)."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": metadata,
    }
    error = {"code": status, "message": f"{reason} in project 4711", "status": word, "details": [info]}
    body = json.dumps({"error": error if reason else error | {"details": []}}).encode()
    return Reply(status, body=body, headers={"Content-Type": "application/json"})


def json_reply(data: Mapping[str, Any]) -> Reply:
    return Reply(body=json.dumps(data).encode(), headers={"Content-Type": "application/json"})


def property_server(*refusals: Callable[[Seen], Reply | None]) -> Callable[[Seen], Reply]:
    """A property with one audience; what a refusal answers comes first."""

    def answer(seen: Seen) -> Reply:
        for refusal in refusals:
            if reply := refusal(seen):
                return reply
        if seen.path.startswith("/v1alpha/properties/1/audiences"):
            return json_reply({"audiences": [{"name": "properties/1/audiences/1", "eventTrigger": {"x": 1}}]})
        return json_reply({} if "audienceExports" in seen.path else {"name": "properties/1"})

    return answer


def examined(serve: Serve, tmp_path: Path, key: str, *refusals: Any) -> tuple[dict[str, Line], Server]:
    tokens = serve(*[Tokens()] * 20)
    api = serve(*[property_server(*refusals)] * 20)
    found = doctor.examine(service(tmp_path, key, tokens, api), quiet())
    return judged(found), api


def test_a_healthy_property_is_read_and_never_written(serve: Serve, tmp_path: Path, key: str) -> None:
    found, api = examined(serve, tmp_path, key)
    assert all(line.good for line in found.values())
    assert ROBOT in found["credentials"].text
    assert found["limits"].text == "1 of 100 audiences, 1 of 20 triggers"
    assert {seen.method for seen in api.seen} == {"GET"}


def test_a_disabled_api_is_found(serve: Serve, tmp_path: Path, key: str) -> None:
    refusal = google(403, "PERMISSION_DENIED", "SERVICE_DISABLED", service=ADMIN_HOST)
    found, _ = examined(serve, tmp_path, key, lambda _: refusal)
    assert found["Admin API"].fix == f"gcloud services enable {ADMIN_HOST} --project=4711"
    assert [line.subject for line in found.values() if line.good is False] == ["Admin API"]


def test_a_missing_role_is_found(serve: Serve, tmp_path: Path, key: str) -> None:
    found, _ = examined(serve, tmp_path, key, lambda _: google(403, "PERMISSION_DENIED", ""))
    assert [line.subject for line in found.values() if line.good is False] == ["role"]
    assert f"add {ROBOT} with the Marketer role" in found["role"].fix


def test_a_missing_scope_is_found(serve: Serve, tmp_path: Path, key: str) -> None:
    refusal = google(403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
    found, _ = examined(serve, tmp_path, key, lambda _: refusal)
    assert [line.subject for line in found.values() if line.good is False] == ["scopes"]


def test_a_scope_for_reading_alone_is_found(serve: Serve, tmp_path: Path, key: str) -> None:
    refused: list[Seen] = []

    def refuse_first(seen: Seen) -> Reply | None:
        if refused:
            return None
        refused.append(seen)
        return google(403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT")

    found, _ = examined(serve, tmp_path, key, refuse_first)
    assert [line.subject for line in found.values() if line.good is False] == ["scopes"]
    assert "may read and not write" in found["scopes"].text
    assert found["limits"].good


def test_no_credentials_at_all_are_found() -> None:
    found = judged(doctor.examine(Target("t", "1"), quiet()))
    assert found["credentials"].good is False
    assert found["credentials"].fix == LOGIN
    assert {line.good for line in found.values()} == {False, None}


def test_an_emulator_that_is_not_running_is_found() -> None:
    target = Target("t", "1", endpoint=f"http://127.0.0.1:{closed_port()}", credentials="anonymous")
    found = judged(doctor.examine(target, quiet()))
    assert found["credentials"].good is False
    assert found["credentials"].fix.startswith("start it: `audiencesync emulator`")


# ---------------------------------------------------------------- the command


def write_settings(folder: Path, target: str) -> None:
    (folder / "audiencesync.yaml").write_text(f"owner: t\ntargets: {{demo: {target}}}\n")


def test_the_command_looks_at_the_embedded_property(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_settings(tmp_path, '{property: "1000", endpoint: local}')
    assert frame.run(["-w", str(tmp_path), "doctor"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"ok +settings", shown)
    assert "2 of 100 audiences" in shown


def test_the_command_fails_with_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_settings(tmp_path, '{property: "1000"}')
    assert frame.run(["-w", str(tmp_path), "doctor"]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"FAIL +credentials", shown)
    assert f"fix: {LOGIN}\n" in shown


@pytest.mark.parametrize("content", ["owner: t\n", None])
def test_the_command_says_what_is_wrong_with_the_settings(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "audiencesync.yaml").write_text(content)
    assert frame.run(["-w", str(tmp_path), "doctor"]) == 1
    assert "FAIL  settings" in capsys.readouterr().out
