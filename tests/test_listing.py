"""What can be exported is listed, and a text means one audience or none."""

from pathlib import Path

import pytest

from audiencesync import errors, ga4, growingio, http
from audiencesync.listing import Listed, find_audience, listing
from audiencesync.local.api import Api
from audiencesync.local.store import Store
from audiencesync.settings import GrowingIO
from audiencesync.wire import to_api
from tests import shop
from tests.growingio_server import Platform, serving

LIVES = [
    shop.ours(7, "buyers", shop.audience("Buyers")),
    *(shop.stranger(number, shop.audience(name)) for number, name in ((8, "Twins"), (9, "Twins"), (10, "7"))),
    shop.stranger(11, shop.audience("buyers")),
]


@pytest.mark.parametrize(
    ("text", "number"),
    [("buyers", 7), ("Buyers", 7), ("7", 7), ("10", 10), ("properties/1000/audiences/9", 9)],
)
def test_an_audience_is_meant_by_key_then_id_then_name(text: str, number: int) -> None:
    assert find_audience(LIVES, shop.OWNER, text) == f"properties/1000/audiences/{number}"


@pytest.mark.parametrize(("text", "said"), [("Twins", r"2 audiences.*8, 9"), ("none", "export list")])
def test_a_text_that_means_none_or_two_is_refused(text: str, said: str) -> None:
    with pytest.raises(errors.UsageError, match=said):
        find_audience(LIVES, shop.OWNER, text)


def test_the_newest_generation_of_a_key_is_meant() -> None:
    lives = [shop.ours(19, "k", generation=1), shop.ours(20, "k", generation=2)]
    assert find_audience(lives, shop.OWNER, "k").endswith("/20")


def client(platform: Platform, project: str = "") -> growingio.GrowingIO:
    return growingio.connect(
        GrowingIO(name="p", url=platform.address, token_env="TOKEN", project=project),
        environ={"TOKEN": platform.token},
        options=http.Options(limits=None, sleep=lambda _: None),
        warn=lambda _: None,
    )


def test_audiences_and_exports_of_a_property_are_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with http.connect_local(Api(store=store).answer, http.Options(limits=None)) as connection:
        remote = ga4.Property(connection, connection, "1000")
        made = remote.create(to_api(shop.audience("Buyers")))["name"]
        job = remote.create_export(made, ["deviceId"])
        later = remote.create_export(made, ["userId"])
        found = list(listing({"demo": remote}, [], owner=shop.OWNER))
    store.close()
    kinds = [(each.kind, each.where, each.id, each.name) for each in found]
    assert ("audience", "demo", made.rpartition("/")[2], "Buyers") in kinds
    assert [each for each in kinds if each[0] == "export"] == [
        ("export", "demo", name.rpartition("/")[2], made) for name in (later, job)
    ]
    assert not any(each.error for each in found)


@pytest.mark.parametrize("project", ["", "WlGk4Daj"])
def test_everything_of_a_platform_is_listed(project: str) -> None:
    with serving() as platform:
        platform.switches.array = True
        found = list(listing({}, [client(platform, project)], owner=shop.OWNER))
    where = "p/WlGk4Daj"
    assert Listed("project", "p", id="WlGk4Daj", name="默认项目") in found
    assert Listed("tag", where, id="kqQewGry", key="tag_city", name="城市") in found
    assert Listed("tag", "p", key="tag_center", name="平台标签") in found
    assert [each.key for each in found if each.kind == "tag"].count("tag_city") == 1
    assert Listed("segment", where, id="qgQMXnD3", name="分群4") in found
    assert Listed("analysis", where, id="klGvyp7E", name="漏斗3", detail="FUNNELS") in found
    assert {each.detail for each in found} - {""} == {"FUNNELS", "CHARTS", "RETENTIONS", "FREQUENCIES"}
    assert len(found) == len(set(found)) == 11


def test_a_list_that_fails_does_not_stop_the_others() -> None:
    with serving() as platform:
        for name in ("segments", "dataCenterTags"):
            del platform.graphql_schema.query_type.fields[name]  # type: ignore[union-attr]
        found = list(listing({}, [client(platform)], owner=shop.OWNER))
    assert [each.kind for each in found if each.error] == ["segment", "tag"]
    assert any(each.kind == "analysis" for each in found)
