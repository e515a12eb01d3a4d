"""The one comment of a pull request: found again, updated, never doubled; and what it says."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync import comment, forge, planfile
from audiencesync.action import Plan
from audiencesync.cli.frame import run
from audiencesync.comment import Result, compose, marker, publish, read_digest, shortened
from audiencesync.errors import (
    ApiError,
    PermissionDeniedError,
    RequestError,
    UnauthenticatedError,
    UsageError,
)
from audiencesync.http import Options
from audiencesync.report import markdown, plans
from tests.forge import ANN, BOT, MALLORY, REPOSITORY, Account, Platform, Reply, once, refusal, serving
from tests.report.plans import mixed, of
from tests.shop import desired, ours
from tests.test_cli import SETTINGS

MARK = marker("acme-web", "demo")
BODY = f"{MARK}\n\nThe plan.\n"
COMMIT = "ab" * 20
TOKEN = "bot"


class Desk:
    """A platform, and ways to reach it whose waits cost no time."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.waits = platform, list[float]()

    def open(self, token: str = TOKEN, author: str = "") -> AbstractContextManager[forge.Forge]:
        now = [0.0]

        def sleep(seconds: float) -> None:
            self.waits.append(seconds)
            now[0] += seconds

        options = Options(limits=None, clock=lambda: now[0], sleep=sleep)
        return forge.connected(self.platform.url, REPOSITORY, token, options, author=author)

    def publish(self, body: str = BODY, token: str = TOKEN, author: str = "") -> Result:
        with self.open(token, author) as opened:
            return publish(opened, 1, body).result


@pytest.fixture
def desk() -> Iterator[Desk]:
    with serving(Platform()) as platform:
        yield Desk(platform)


# ---------------------------------------------------------------- one comment, updated in place


@pytest.mark.parametrize("token", ["bot", "ann"])
def test_a_comment_is_posted_once_then_left_alone_then_updated(desk: Desk, token: str) -> None:
    assert desk.publish(token=token) is Result.POSTED
    assert desk.publish(token=token) is Result.UNCHANGED
    assert desk.platform.writes() == ["POST"]
    assert desk.publish(BODY + "more", token=token) is Result.UPDATED
    assert desk.platform.writes() == ["POST", "PATCH"]
    assert desk.platform.bodies() == [BODY + "more"]


def test_other_comments_are_read_to_the_last_page_and_left_alone(desk: Desk) -> None:
    desk.platform.page_size = 3
    for number in range(10):
        desk.platform.post(MALLORY, f"Hello {number}")
    assert desk.publish() is Result.POSTED
    desk.platform.post(MALLORY, "Bye")
    assert desk.publish(BODY + "more") is Result.UPDATED
    assert len(desk.platform.bodies()) == 12
    assert sum(each.startswith(MARK) for each in desk.platform.bodies()) == 1


@pytest.mark.parametrize(
    "body", [f"> {BODY}", f"See\n{BODY}", BODY.replace("demo", "other"), BODY.replace("acme-web", "acme")]
)
def test_only_the_marker_at_the_very_start_counts(desk: Desk, body: str) -> None:
    desk.platform.post(BOT, body)
    assert desk.publish() is Result.POSTED
    assert desk.platform.bodies() == [body, BODY]


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("token", ["bot", "ann"])
def test_a_strangers_comment_with_our_marker_is_not_ours(desk: Desk, token: str, *, tells: bool) -> None:
    desk.platform.tells_viewer = tells
    desk.platform.post(MALLORY, BODY)
    assert desk.publish(token=token) is Result.POSTED
    assert desk.publish(BODY + "more", token=token) is Result.UPDATED
    assert desk.platform.bodies() == [BODY, BODY + "more"]


def test_where_nobody_says_who_we_are_the_workflows_own_bot_is_meant(desk: Desk) -> None:
    desk.platform.tells_viewer = False
    other = Account("other[bot]", 5, "Bot")
    desk.platform.post(other, BODY)
    desk.platform.post(BOT, BODY)
    assert desk.publish(BODY + "more") is Result.UPDATED
    assert desk.platform.bodies() == [BODY, BODY + "more"]


def test_several_strange_bots_are_not_guessed_among(desk: Desk) -> None:
    desk.platform.tells_viewer = False
    app = Account("ours[bot]", 5, "Bot")
    desk.platform.accounts["app"] = app
    desk.platform.post(Account("theirs[bot]", 6, "Bot"), BODY)
    desk.platform.post(app, BODY)
    with pytest.raises(UsageError, match=r"ours\[bot\], theirs\[bot\] .* --author"):
        desk.publish(token="app")
    assert desk.publish(BODY + "more", token="app", author="ours[bot]") is Result.UPDATED
    assert desk.platform.bodies() == [BODY, BODY + "more"]


def test_an_enterprise_servers_api_has_a_path_of_its_own() -> None:
    with serving(Platform(root="/api/v3")) as platform:
        desk = Desk(platform)
        assert desk.publish() is Result.POSTED
        assert desk.publish(BODY + "more") is Result.UPDATED
        assert ("POST", "/api/graphql") in platform.seen


# ---------------------------------------------------------------- races, lost replies, refusals


def test_two_that_posted_at_once_leave_one_comment(desk: Desk) -> None:
    def rival(method: str, path: str, platform: Platform) -> Reply | None:
        if method == "POST" and path.endswith("/comments"):
            platform.before.clear()
            platform.post(BOT, BODY + "rival")
        return None

    desk.platform.before.append(rival)
    assert desk.publish() is Result.UPDATED
    assert desk.platform.bodies() == [BODY]


def test_many_at_once_leave_one_comment(desk: Desk) -> None:
    threads = [threading.Thread(target=desk.publish) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert desk.publish() is Result.UNCHANGED
    assert desk.platform.bodies() == [BODY]


@pytest.mark.parametrize("reply", [Reply(0, cut=True), refusal(502, "Bad gateway")])
def test_a_lost_reply_is_resolved_by_listing_again(desk: Desk, reply: Reply) -> None:
    desk.platform.after.append(once("POST", "/comments", reply))
    assert desk.publish() is Result.POSTED
    assert desk.platform.writes() == ["POST"]
    assert desk.platform.bodies() == [BODY]


def test_a_post_that_did_not_run_is_tried_again(desk: Desk) -> None:
    desk.platform.before.append(once("POST", "/comments", refusal(500, "Oops")))
    assert desk.publish() is Result.POSTED
    assert desk.platform.bodies() == [BODY]


def test_a_post_that_never_runs_fails(desk: Desk) -> None:
    desk.platform.before.append(
        lambda method, path, _: refusal(500, "Oops") if (method, path[-9:]) == ("POST", "/comments") else None
    )
    with pytest.raises(RequestError, match="Oops"):
        desk.publish()
    assert len(desk.platform.writes()) == 3


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (refusal(403, "You have exceeded a secondary rate limit.", {"Retry-After": "7"}), 7),
        (refusal(403, "You have exceeded a secondary rate limit. Please wait."), 60),
        (refusal(429, "API rate limit exceeded", {"Retry-After": "9"}), 9),
    ],
)
def test_a_rate_limit_is_waited_out(desk: Desk, reply: Reply, wait: float) -> None:
    desk.platform.before.append(once("POST", "/comments", reply))
    assert desk.publish() is Result.POSTED
    assert desk.waits == [wait]
    assert desk.platform.bodies() == [BODY]


def test_a_spent_hour_is_waited_for_by_the_servers_clock(desk: Desk) -> None:
    headers = {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "946684830",
        "Date": "Sat, 01 Jan 2000 00:00:00 GMT",
    }
    desk.platform.before.append(once("GET", "/comments", refusal(403, "API rate limit exceeded", headers)))
    assert desk.publish() is Result.POSTED
    assert desk.waits == [30]
    assert desk.platform.bodies() == [BODY]


@pytest.mark.parametrize(
    ("token", "error", "words"),
    [
        ("nobody", UnauthenticatedError, "Bad credentials.*wrong or expired"),
        ("fork", PermissionDeniedError, "not accessible by integration.*pull-requests: write"),
    ],
)
def test_refusals_name_the_way_out(desk: Desk, token: str, error: type[ApiError], words: str) -> None:
    desk.platform.accounts["fork"] = Account("github-actions[bot]", 41898282, "Bot", may_write=False)
    with pytest.raises(error, match=words):
        desk.publish(token=token)
    assert desk.platform.bodies() == []


def test_a_pull_request_that_is_not_there_is_said(desk: Desk) -> None:
    with desk.open() as opened, pytest.raises(ApiError, match=r"Not Found.*check the number"):
        publish(opened, 404, BODY)


def test_what_is_too_long_is_refused_in_the_platforms_words(desk: Desk) -> None:
    with pytest.raises(ApiError, match="Body is too long"):
        desk.publish(BODY + "x" * 65_536)


@pytest.mark.parametrize(
    "api", ["http://example.com", "nonsense", "https://", "ftp://127.0.0.1", "http://[::1"]
)
def test_no_token_goes_over_plain_http(api: str) -> None:
    with pytest.raises(UsageError), forge.connected(api, REPOSITORY, "t", Options(limits=None)):
        pass


@pytest.mark.parametrize("repository", ["", "acme", "acme/web/x", "acme/../x", "a b/c", "../.."])
def test_a_repository_is_owner_and_name(repository: str) -> None:
    with pytest.raises(UsageError, match="owner/name"):
        forge.connected("https://api.example.com", repository, "t", Options(limits=None)).__enter__()


def test_a_token_shows_in_no_error(desk: Desk) -> None:
    with desk.open("sec-ret") as opened, pytest.raises(UnauthenticatedError) as caught:
        publish(opened, 1, BODY)
    assert "sec-ret" not in str(caught.value) + repr(opened)


@pytest.mark.parametrize("data", [{"message": "?"}, "text", [{"id": "x", "user": None, "body": None}, 3]])
def test_odd_lists_are_an_error_or_nothing(desk: Desk, data: object) -> None:
    desk.platform.before.append(once("GET", "/comments", Reply(200, data)))
    if isinstance(data, list):
        assert desk.publish() is Result.POSTED
    else:
        with pytest.raises(RequestError, match="no list"):
            desk.publish()


# ---------------------------------------------------------------- what it says


def reviewed(plan: Plan) -> planfile.PlanFile:
    return planfile.read_text(planfile.write_text(plan))


def page(plan: Plan) -> str:
    return markdown.render(plans.page(plan, words=True))


def test_the_comment_has_marker_danger_words_digest_and_command() -> None:
    plan = mixed()
    body = compose(reviewed(plan), page(plan), "my audiences")
    lines = body.splitlines()
    assert lines[0] == MARK
    assert body.index("[!CAUTION]") < body.index("<details>")
    assert "Swiss" in body
    assert "after\\\n" in body
    command = (
        f"audiencesync -w 'my audiences' -t demo apply --expect {plan.digest} --allow-replace --allow-archive"
    )
    assert command in lines
    assert compose(reviewed(plan), page(plan), "my audiences") == body


def test_nothing_to_do_needs_no_command_and_keeps_its_digest(desk: Desk) -> None:
    plan = of([desired("kept")], [ours(1, "kept")])
    body = compose(reviewed(plan), page(plan))
    assert "apply" not in body
    desk.publish(body)
    with desk.open() as opened:
        assert read_digest(opened, 1, MARK) == plan.digest


def test_the_command_names_the_keys_that_were_asked_for() -> None:
    plan = of([desired("b"), desired("a")], [], selection=("a", "b"))
    assert "--only a --only b --expect" in compose(reviewed(plan), page(plan))


def test_a_long_report_is_cut_between_blocks(desk: Desk) -> None:
    fold = "<details>\n<summary>x</summary>\n\n```diff\n+ x\n\n+ y\n```\n\n</details>"
    report = "## Plan\n\n" + "\n\n".join([fold] * 2_000)
    body = compose(reviewed(mixed()), report)
    assert 60_000 < len(body) <= 65_536
    assert body.count("<details>") == body.count("</details>")
    assert body.count("```") % 2 == 0
    assert "too long for a comment" in body
    assert f"apply --expect {mixed().digest}" in body
    assert desk.publish(body) is Result.POSTED


@given(
    st.lists(
        st.sampled_from(
            [
                "",
                "text",
                "<details>",
                "</details>",
                "```",
                "````sh",
                "~~~",
                "> [!NOTE]",
                "<summary>a</summary>",
            ]
        ),
        max_size=40,
    ),
    st.integers(200, 400),
)
def test_a_cut_leaves_nothing_open_that_was_closed(lines: list[str], limit: int) -> None:
    report = "\n".join(lines)
    found = shortened(report, limit)
    assert len(found) <= max(limit, 200)
    if len(report) <= limit:
        assert found == report
        return
    kept = found.split("\n\n> [!NOTE]\n> The report is too long")[0]
    assert report.startswith(kept)
    outside, fence = 0, ""
    for line in kept.split("\n"):
        if line.startswith(("```", "~~~")):
            run_ = line[: len(line) - len(line.lstrip(line[0]))]
            fence = run_ if not fence else "" if run_.startswith(fence) and line == run_ else fence
        elif not fence:
            outside += (line == "<details>") - (line == "</details>")
    assert not kept or (not fence and not outside)


@given(st.text(min_size=1, max_size=30))
def test_a_marker_is_one_inert_line_and_tells_targets_apart(name: str) -> None:
    mark = marker("acme-web", name)
    assert mark.isprintable()
    assert mark.isascii()
    assert mark.count("-->") == 1
    assert mark.endswith("-->")
    assert mark != marker("acme-web", name + "x")


# ---------------------------------------------------------------- the reviewed digest


def test_the_digest_comes_back_from_our_own_comment_alone(desk: Desk) -> None:
    plan = mixed()
    body = compose(reviewed(plan), page(plan))
    desk.platform.post(MALLORY, body.replace(plan.digest, "0" * 64))
    with desk.open() as opened:
        with pytest.raises(UsageError, match="nothing was reviewed"):
            read_digest(opened, 1, MARK)
        publish(opened, 1, body)
        assert read_digest(opened, 1, MARK) == plan.digest


@pytest.mark.parametrize(
    "body", [MARK, f"{MARK}\nx\n<!-- digest:{'0' * 64} -->", f"{MARK}\n<!-- digest:00 -->"]
)
def test_a_digest_stands_on_the_second_line(desk: Desk, body: str) -> None:
    desk.platform.post(BOT, body)
    with desk.open() as opened, pytest.raises(UsageError, match="--expect"):
        read_digest(opened, 1, MARK)


def pull(
    number: int, commit: str = "cd" * 20, merged: str | None = "2026-11-01T00:00:00Z"
) -> dict[str, object]:
    return {"number": number, "merged_at": merged, "merge_commit_sha": commit, "state": "closed"}


@pytest.mark.parametrize(
    ("pulls", "number"),
    [
        ([pull(3)], 3),
        ([pull(3), pull(4, COMMIT)], 4),
        ([pull(3, merged=None), pull(4)], 4),
        ([pull(3), pull(4)], None),
        ([pull(3, merged=None)], None),
        ([], None),
    ],
)
def test_the_merged_pull_request_of_a_commit(
    desk: Desk, pulls: list[dict[str, object]], number: int | None
) -> None:
    desk.platform.pulls[COMMIT] = pulls
    with desk.open() as opened:
        if number:
            assert comment.pull_of(opened, COMMIT) == number
        else:
            with pytest.raises(UsageError, match="--pull"):
                comment.pull_of(opened, COMMIT)


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    plan = mixed()
    (tmp_path / "audiencesync.yaml").write_text(SETTINGS)
    (tmp_path / "plan.json").write_text(planfile.write_text(plan))
    (tmp_path / "plan.md").write_text(page(plan))
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 1}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_TOKEN", "bot")
    monkeypatch.setenv("GITHUB_API_URL", desk.platform.url)
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    monkeypatch.setenv("GITHUB_SHA", COMMIT)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["comment", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


Command = Callable[..., tuple[int, str, str]]


def test_the_command_posts_and_reads_back(command: Command, desk: Desk) -> None:
    code, out, err = command("plan.json", "--plan-markdown", "plan.md")
    assert (code, err) == (0, "")
    assert out.startswith("posted https://")
    assert command("plan.json", "--plan-markdown", "plan.md")[1].startswith("unchanged https://")
    assert command("--read-digest", "--pull", "1")[1] == mixed().digest + "\n"
    desk.platform.pulls[COMMIT] = [pull(1, COMMIT)]
    assert command("--read-digest")[1] == mixed().digest + "\n"


def test_stdin_is_read_for_a_dash(command: Command, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("From a pipe."))
    assert command("plan.json", "--plan-markdown", "-")[0] == 0
    assert "From a pipe." in desk.platform.bodies()[0]


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ((), {}, "say what to do"),
        (("plan.json", "--plan-markdown", "plan.md", "--read-digest"), {}, "say what to do"),
        (("--plan-markdown", "plan.md"), {}, "name the PLANFILE"),
        (("plan.md", "--plan-markdown", "plan.md"), {}, "no plan file"),
        (("plan.json", "--plan-markdown", "none.md"), {}, "cannot be read"),
        (("plan.json", "--plan-markdown", "plan.md"), {"GITHUB_TOKEN": ""}, "holds no token"),
        (("plan.json", "--plan-markdown", "plan.md"), {"GITHUB_REPOSITORY": ""}, "owner/name"),
        (("plan.json", "--plan-markdown", "plan.md"), {"GITHUB_EVENT_PATH": ""}, "--pull"),
        (("plan.json", "--plan-markdown", "plan.md"), {"GITHUB_EVENT_PATH": "plan.md"}, "--pull"),
        (("--read-digest",), {}, "no merged pull request"),
        (("--read-digest",), {"GITHUB_SHA": "main"}, "no commit"),
    ],
)
def test_what_is_missing_is_said(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    words: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, out, err = command(*arguments)
    assert (code, out) == (1, "")
    assert words in err
    assert "Traceback" not in err


def test_another_tokens_variable_may_be_named(
    command: Command, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "ann")
    assert command("plan.json", "--plan-markdown", "plan.md", "--token-env", "MINE")[0] == 0
    assert desk.platform.comments[1][0]["user"]["login"] == ANN.login
