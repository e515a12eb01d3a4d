"""GrowingIO's client over real HTTP on loopback, against the platform of growingio_server."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync import errors, growingio
from audiencesync.growingio import GrowingIO, Item, JobResult
from audiencesync.http import Options
from audiencesync.settings import GrowingIO as Settings
from tests.growingio_server import Platform, encoded, serving

PROJECT = "WlGk4Daj"


@pytest.fixture
def platform() -> Iterator[Platform]:
    with serving() as found:
        yield found


def ignore(_: object) -> None:
    """Listen to nothing."""


def quick() -> Options:
    return Options(limits=None, sleep=lambda _: None, random=lambda: 0.0)


def client_of(platform: Platform, warnings: list[str] | None = None, **settings: object) -> GrowingIO:
    given = {"token_env": "TOKEN", "project": PROJECT, "url": platform.address, **settings}
    if "secret_env" in settings:
        given["token_env"] = ""
    return growingio.connect(
        Settings(name="p", **given),  # type: ignore[arg-type]
        environ={"TOKEN": platform.token + "\n", "SECRET": platform.secret},
        options=quick(),
        warn=(warnings if warnings is not None else []).append,
    )


@pytest.fixture
def client(platform: Platform) -> GrowingIO:
    return client_of(platform)


def test_everything_that_the_guide_lists_is_listed(client: GrowingIO) -> None:
    assert client.projects() == [Item("WlGk4Daj", "默认项目")]
    assert client.data_center_tags()[0] == Item("", "订单交易笔数", "tag_payment_times")
    assert client.tags(PROJECT)[0] == Item("rRGoVRpm", "订单交易笔数", "tag_payment_times")
    assert client.segments(PROJECT)[1] == Item("qgQMXnD3", "分群4")
    assert client.analyses(PROJECT, "FUNNELS")[1] == Item("klGvyp7E", "漏斗3")
    assert client.analyses(PROJECT, "CHARTS") == [Item("y9pm1pme", "事件分析")]
    assert client.analyses(PROJECT, "RETENTIONS") == [Item("wWDrwQML", "留存")]
    assert client.analyses(PROJECT, "FREQUENCIES") == [Item("V0G5yvGA", "分布")]


def test_the_platforms_tags_are_asked_for_under_the_name_that_the_guides_answer_has(
    client: GrowingIO, platform: Platform
) -> None:
    client.data_center_tags()
    assert "tags: dataCenterTags" in platform.seen[-1].json()["query"]


def test_a_tag_is_exported_as_the_guide_does(client: GrowingIO, platform: Platform, tmp_path: Path) -> None:
    platform.switches.stages = ["RUNNING"]
    job = client.submit_tag("tag_payment_times")
    assert platform.seen[-1].json()["query"] == (
        "mutation submitTagUserExportJobByKey { "
        'submitTagUserExportJobByKey(parameter: {tagKey: "tag_payment_times"}) { id name } }'
    )
    assert client.job_result(job) == JobResult("RUNNING")
    result = client.job_result(job)
    assert result is not None
    assert result.stage == "FINISH"
    (uri,) = result.uris
    client.fetch(uri, tmp_path / "raw", sleep=ignore, on_bytes=ignore)
    assert (tmp_path / "raw").read_bytes() == platform.files[uri]
    assert stat.S_IMODE((tmp_path / "raw").stat().st_mode) == 0o600


def test_a_segment_is_exported_in_the_charset_asked_for_under_a_chinese_name(
    client: GrowingIO, platform: Platform, tmp_path: Path
) -> None:
    platform.switches.stages = []
    job = client.submit_segment(
        PROJECT, "qgQMXnD3", charset="UTF-16LE", tags=["rRGoVRpm"], properties=["usr_age"]
    )
    assert platform.jobs[job].arguments == {
        "projectId": PROJECT,
        "segmentId": "qgQMXnD3",
        "tags": ["rRGoVRpm"],
        "properties": ["usr_age"],
        "charset": "UTF-16LE",
    }
    result = client.job_result(job)
    assert result is not None
    client.fetch(result.uris[0], tmp_path / "raw", sleep=ignore, on_bytes=ignore)
    assert (tmp_path / "raw").read_bytes() == encoded(platform.rows, platform.switches, "UTF-16LE")
    (seen,) = platform.paths("/download")
    assert seen.path.endswith("/%E4%B8%8B%E8%BD%BD%E7%94%A8%E6%88%B7%E5%88%97%E8%A1%A8.csv")
    assert seen.path.startswith("/download?file=/jobs/results/DES-")


@pytest.mark.parametrize("kind", ["FUNNELS", "CHARTS", "RETENTIONS", "FREQUENCIES"])
def test_each_kind_of_analysis_is_exported_and_its_own_id_is_polled(
    client: GrowingIO, platform: Platform, kind: str
) -> None:
    platform.switches.stages = []
    job = client.submit_analysis(PROJECT, "klGvyp7E", kind, charset="UTF-16LE")
    assert platform.jobs[job].arguments["param"] == {"analysisType": kind}
    assert client.job_result(job) == JobResult("FINISH", ("/jobs-results/downloads/下载漏斗.csv",))


def test_an_unknown_kind_of_analysis_is_refused_before_anything_is_sent(
    client: GrowingIO, platform: Platform
) -> None:
    with pytest.raises(errors.UsageError, match="FUNNELS, CHARTS"):
        client.submit_analysis(PROJECT, "klGvyp7E", "PIES")
    assert not platform.seen


@pytest.mark.parametrize("key", ['a"b', "a\\", "a\nb", "a}){x}", "订单", "\x7f\u2028", "é" * 300])
def test_no_text_breaks_out_of_a_query(client: GrowingIO, platform: Platform, key: str) -> None:
    job = client.submit_tag(key, detail=True)
    assert platform.jobs[job].arguments == {"parameter": {"tagKey": key, "detailExport": True}}


def test_an_answer_in_a_list_of_one_is_taken_out_of_it(client: GrowingIO, platform: Platform) -> None:
    platform.switches.array = True
    assert client.projects() == [Item("WlGk4Daj", "默认项目")]


def test_errors_beside_data_are_a_failure(client: GrowingIO, platform: Platform) -> None:
    platform.switches.partial = True
    with pytest.raises(errors.ApiError, match="partly failed"):
        client.projects()
    with pytest.raises(errors.AmbiguousSubmitError, match="partly failed"):
        client.submit_tag("tag_payment_times")


def test_a_refused_submit_says_why(client: GrowingIO, platform: Platform) -> None:
    platform.switches.refusal = "标签不存在"
    with pytest.raises(errors.ApiError, match="标签不存在"):
        client.submit_tag("nope")


def test_an_empty_error_on_a_job_is_a_success(client: GrowingIO, platform: Platform) -> None:
    platform.switches.error = {"code": "", "message": ""}
    job = client.submit_tag("tag_payment_times")
    assert client.job_result(job) == JobResult("RUNNING")


def test_an_error_on_a_job_is_a_failure(client: GrowingIO, platform: Platform) -> None:
    job = client.submit_tag("tag_payment_times")
    platform.switches.error = {"code": "E7", "message": "标签已删除"}
    assert client.job_result(job) == JobResult("RUNNING", trouble="E7 标签已删除")
    with pytest.raises(errors.ApiError, match="E7 标签已删除"):
        client.submit_tag("tag_payment_times")


def test_an_unknown_job_is_none(client: GrowingIO) -> None:
    assert client.job_result("bm9uZQ") is None


def test_path_and_further_headers_are_settings(platform: Platform, tmp_path: Path) -> None:
    platform.switches.path = "/v3/graphql"
    platform.switches.headers = {"X-Project-Id": PROJECT, "X-Product-Unique-Id": "DC"}
    headers = tuple(platform.switches.headers.items())
    client = client_of(platform, graphql_path="/v3/graphql", headers=headers)
    platform.switches.stages = []
    job = client.submit_tag("tag_payment_times")
    result = client.job_result(job)
    assert result is not None
    client.fetch(result.uris[0], tmp_path / "raw", sleep=ignore, on_bytes=ignore)
    assert all(seen.headers["X-Product-Unique-Id"] == "DC" for seen in platform.seen)


# Sign-in


@pytest.mark.parametrize("scheme", ["bare", "Token", "Bearer"])
def test_a_given_token_is_sent_in_the_form_of_the_settings(platform: Platform, scheme: str) -> None:
    platform.switches.scheme = scheme
    assert client_of(platform, auth_scheme=scheme).projects()
    expected = {"bare": "given-token", "Token": "Token given-token", "Bearer": "Bearer given-token"}
    assert platform.seen[-1].headers["Authorization"] == expected[scheme]


def test_a_secret_is_exchanged_for_a_token_once(platform: Platform) -> None:
    client = client_of(platform, secret_env="SECRET")
    client.projects()
    client.projects()
    sign_in, *rest = platform.seen
    assert sign_in.path == "/accounts/oauth/access_token"
    assert b"client_secret=s3cret" in sign_in.body
    assert [seen.headers["Authorization"] for seen in rest] == ["issued-1", "issued-1"]


def test_an_expired_token_is_renewed_once_and_the_submit_goes_out_once(platform: Platform) -> None:
    platform.switches.token_uses = 1
    client = client_of(platform, secret_env="SECRET")
    client.projects()
    client.submit_tag("tag_payment_times")
    assert platform.issued == ["issued-1", "issued-2"]
    assert len(platform.jobs) == 1


@pytest.mark.parametrize("secret_env", ["", "SECRET"])
def test_a_token_that_is_refused_for_good_names_the_setting(platform: Platform, secret_env: str) -> None:
    platform.switches.scheme = "Bearer"
    client = client_of(platform, secret_env=secret_env) if secret_env else client_of(platform)
    with pytest.raises(
        errors.UnauthenticatedError, match=r"authScheme: bare.*bare, Token or Bearer"
    ) as caught:
        client.projects()
    assert len(platform.paths("/graphql")) == 2
    assert "given-token" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_refused_secret_is_no_submit(platform: Platform) -> None:
    platform.secret = "other"
    client = growingio.connect(
        Settings(name="p", url=platform.address, secret_env="SECRET"),
        environ={"SECRET": "s3cret"},
        options=quick(),
        warn=ignore,
    )
    with pytest.raises(errors.ApiError, match=r"sign-in failed \(401\): check \$SECRET"):
        client.submit_tag("tag_payment_times")
    assert not platform.paths("/graphql")


@pytest.mark.parametrize("token", ["", None, 7])
def test_a_sign_in_without_a_token_is_no_submit(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, token: object
) -> None:
    monkeypatch.setattr(platform, "issue", lambda: token)
    with pytest.raises(errors.ApiError, match="no access_token"):
        client_of(platform, secret_env="SECRET").submit_tag("tag_payment_times")
    assert not platform.paths("/graphql")


def test_a_missing_variable_is_named(platform: Platform) -> None:
    settings = Settings(name="p", url=platform.address, token_env="NOT_SET")
    with pytest.raises(errors.UsageError, match="NOT_SET"):
        growingio.connect(settings, environ={"NOT_SET": "  "}, options=quick(), warn=ignore)


def test_plain_http_is_taken_with_a_warning(platform: Platform) -> None:
    warnings: list[str] = []
    assert client_of(platform, warnings).projects()
    assert ["plain http" in warning for warning in warnings] == [True]
    client_of(platform, warnings, url="https://op.example.com")
    assert len(warnings) == 1


# Faults


@pytest.mark.parametrize("fault", ["cut", "502", "html", "garbage"])
def test_a_failed_poll_is_asked_again(client: GrowingIO, platform: Platform, fault: str) -> None:
    job = client.submit_tag("tag_payment_times")
    platform.faults.poll = [fault]
    assert client.job_result(job) == JobResult("RUNNING")


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [("cut-accepted", 1), ("502-accepted", 1), ("cut", 0), ("502", 0), ("html", 0)],
)
def test_a_submit_whose_fate_is_unknown_is_not_sent_again(
    client: GrowingIO, platform: Platform, fault: str, accepted: int
) -> None:
    platform.faults.submit = [fault]
    with pytest.raises(errors.RequestError) as caught:
        client.submit_tag("tag_payment_times")
    match caught.value:
        case errors.NoAnswerError(sent=sent):
            assert sent
        case other:
            assert isinstance(other, errors.ServerError)
    assert len(platform.queries("submit")) == 1
    assert len(platform.jobs) == accepted


@pytest.mark.parametrize("fault", ["429", "401"])
def test_a_submit_that_was_surely_refused_is_sent_again(
    client: GrowingIO, platform: Platform, fault: str
) -> None:
    platform.faults.submit = [fault]
    client.submit_tag("tag_payment_times")
    assert len(platform.jobs) == 1


def test_a_platform_that_is_not_there_got_no_submit() -> None:
    with serving() as gone:
        client = client_of(gone)
    with pytest.raises(errors.NoAnswerError) as caught:
        client.submit_tag("tag_payment_times")
    assert not caught.value.sent


# Download


def fetched(client: GrowingIO, uri: str, tmp_path: Path) -> bytes:
    path = tmp_path / "raw"
    client.fetch(uri, path, sleep=ignore, on_bytes=ignore)
    return path.read_bytes()


BODY = bytes(range(256)) * 1024


def test_a_cut_download_goes_on_where_it_stopped_with_a_strong_etag(
    client: GrowingIO, platform: Platform, tmp_path: Path
) -> None:
    platform.files["/a"] = BODY
    platform.switches.etag, platform.switches.ranges = '"1"', True
    platform.faults.download = ["cut:100000", "cut:70000"]
    assert fetched(client, "/a", tmp_path) == BODY
    first, second, third = platform.seen
    assert "Range" not in first.headers
    assert int(second.headers["Range"].removeprefix("bytes=").removesuffix("-")) > 0
    assert second.headers["If-Range"] == third.headers["If-Range"] == '"1"'


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_a_cut_download_starts_again_without_a_strong_etag(
    client: GrowingIO, platform: Platform, tmp_path: Path, etag: str
) -> None:
    platform.files["/a"] = BODY
    platform.switches.etag, platform.switches.ranges = etag, True
    platform.faults.download = ["cut:100000"]
    assert fetched(client, "/a", tmp_path) == BODY
    assert all("Range" not in seen.headers for seen in platform.seen)


def test_a_file_that_changed_meanwhile_is_fetched_whole(
    client: GrowingIO, platform: Platform, tmp_path: Path
) -> None:
    platform.files["/a"] = BODY
    platform.switches.etag, platform.switches.ranges = '"1"', True
    platform.faults.download = ["cut:100000"]

    def change(_: float) -> None:
        platform.files["/a"], platform.switches.etag = BODY[::-1], '"2"'

    client.fetch("/a", tmp_path / "raw", sleep=change, on_bytes=ignore)
    assert (tmp_path / "raw").read_bytes() == BODY[::-1]


@pytest.mark.parametrize("length", [True, False])
def test_a_download_that_is_always_cut_is_given_up(
    client: GrowingIO, platform: Platform, tmp_path: Path, length: bool
) -> None:
    platform.files["/a"] = BODY
    platform.switches.length = length
    platform.faults.download = ["cut:100000"] * 20
    with pytest.raises(errors.NoAnswerError):
        fetched(client, "/a", tmp_path)
    assert len(platform.seen) == 5


@pytest.mark.parametrize(("fault", "said"), [("html", "web page"), ("json", "JSON answer")])
def test_a_sign_in_page_is_no_file(
    client: GrowingIO, platform: Platform, tmp_path: Path, fault: str, said: str
) -> None:
    platform.files["/a"] = BODY
    platform.faults.download = [fault]
    with pytest.raises(errors.ExportError, match=said):
        fetched(client, "/a", tmp_path)


def test_the_token_does_not_go_along_to_another_host(
    client: GrowingIO, platform: Platform, tmp_path: Path
) -> None:
    platform.files["/a"] = BODY
    with serving() as other:
        other.files["/a"] = BODY
        elsewhere = other.address.replace("127.0.0.1", "localhost")
        platform.faults.download = [f"redirect:{elsewhere}/download?file=/a"] * 2
        with pytest.raises(errors.RequestError):
            fetched(client, "/a", tmp_path)
        assert other.seen
        assert all("Authorization" not in seen.headers for seen in other.seen)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a/b.csv", "/a/b.csv"),
        ("%2Fa%2Fb c.csv", "/a/b%20c.csv"),
        ("/a/下载.csv", "/a/%E4%B8%8B%E8%BD%BD.csv"),
        ("/a/50% & more#1+2?.csv", "/a/50%25%20%26%20more%231%2B2%3F.csv"),
        ("/a/%E4%B8%8B.csv", "/a/%25E4%25B8%258B.csv"),
    ],
)
def test_a_uri_is_escaped_once(
    client: GrowingIO, platform: Platform, tmp_path: Path, uri: str, path: str
) -> None:
    platform.files[growingio.download_uri(uri)] = BODY
    assert fetched(client, uri, tmp_path) == BODY
    assert platform.seen[-1].path == "/download?file=" + path


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "a",
        "//host/a",
        "/../a",
        "/a/../../b",
        "%2F..%2Fa",
        "%2f%2Fhost",
        "/a/%2e%2E/b",
        "https://x/a",
        "/a\\b",
    ],
)
def test_a_uri_that_leads_elsewhere_is_refused(
    client: GrowingIO, platform: Platform, tmp_path: Path, uri: str
) -> None:
    with pytest.raises(errors.ExportError, match="names a file that is not fetched"):
        fetched(client, uri, tmp_path)
    assert not platform.seen


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/x/下载用户列表.csv", "下载用户列表.csv"),
        ('/x/a<b>:"|?*\x07c.csv', "abc.csv"),
        ("/x/e\u0301.csv", "\u00e9.csv"),
        ("/x/", "file"),
        ("/.", "file"),
    ],
)
def test_a_local_name_is_a_name(uri: str, name: str) -> None:
    assert growingio.local_name(uri) == name


@given(st.text())
def test_a_local_name_never_leaves_its_folder(text: str) -> None:
    try:
        name = growingio.local_name("/" + text)
    except errors.ExportError:
        return
    assert name not in {"", ".", ".."}
    assert not set(name) & set('/\\<>:"|?*\0')
    assert len(name.encode()) <= 200
