"""Measures previews against a scan of the same columns: `python tests/bench/preview.py [MILLIONS_OF_EVENTS]`.

Every figure is a ratio to two scans of the same run: "flat" reads and hashes five flat columns, "params"
reads and hashes them and event_params. Each measurement runs in a process of its own, so that its peak memory
is its own; times leave out the start of Python. polars and a plain Python loop count the same users.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from audiencesync.settings import Events
from audiencesync.sql.preview import Comparison, preview
from audiencesync.wire import from_api

ALL, SESSION, EVENT = (
    f"AUDIENCE_FILTER_SCOPE_{scope}"
    for scope in ("ACROSS_ALL_SESSIONS", "WITHIN_SAME_SESSION", "WITHIN_SAME_EVENT")
)
EVENTS_OF_A_USER = 36
TODAY = date(2026, 12, 1)
FIRST, LAST = "20261029", "20261128"
"""The membership of 30 days: after the first day, up to the last."""
BATCH = ("batch_page_id", "batch_ordering_id", "batch_event_index")
FLAT = "user_pseudo_id, event_timestamp, event_name, event_date, device.category"
Json = dict[str, Any]


# data
def _param(key: str, filled: str, sql: str) -> str:
    types = {
        "string_value": "VARCHAR",
        "int_value": "BIGINT",
        "float_value": "DOUBLE",
        "double_value": "DOUBLE",
    }
    values = ", ".join(
        f"{name}: ({sql if name == filled else 'NULL'})::{kind}" for name, kind in types.items()
    )
    return f"{{key: '{key}', value: {{{values}}}}}"


def write_events(path: Path, count: int) -> None:
    """Whole histories over 90 days, in the order of their days as the export has them.

    An event has ten parameters on average, which is what Google's public sample of an export has.
    """
    users = count // EVENTS_OF_A_USER
    names = "['page_view', 'user_engagement', 'scroll', 'view_item', 'session_start', 'view_promotion', "
    names += "'add_to_cart', 'begin_checkout', 'purchase', 'view_search_results']"
    shares = "[31, 55, 66, 75, 83, 88, 92, 95, 97, 100]"
    params = ", ".join(
        (
            _param(
                "page_location", "string_value", "'https://shop.example/' || page || '/item-' || (h2 % 500)"
            ),
            _param("page_title", "string_value", "'Item ' || (h2 % 500)"),
            _param("ga_session_id", "int_value", "1790000000 + user_no * 7 + hour_no // 8"),
            _param("ga_session_number", "int_value", "hour_no // 8 % 5 + 1"),
            _param("session_engaged", "string_value", "h2 % 2"),
            _param("engagement_time_msec", "int_value", "h2 % 60000"),
            _param("value", "int_value", "h2 % 300"),
            _param("engaged_session_event", "int_value", "1"),
            _param("page_referrer", "string_value", "'https://www.search.example/results/' || page"),
        )
    )
    campaign = ", ".join(_param(key, "string_value", "page") for key in ("source", "medium", "campaign"))
    duckdb.execute("SET enable_progress_bar = false")
    duckdb.execute(
        f"""
        COPY (
          SELECT strftime(make_timestamp(ts), '%Y%m%d') AS event_date, ts AS event_timestamp,
            ({names})[list_position(list_transform({shares}, lambda s: s > h % 100), true)] AS event_name,
            [{params}] || CASE WHEN h % 3 = 0 THEN [{campaign}] ELSE [] END AS event_params,
            (10000000 + user_no * 37) || '.' || (1600000000 + user_no * 11) AS user_pseudo_id,
            {{category: ['desktop', 'mobile', 'tablet'][user_no % 3 + 1]}} AS device,
            {{country: ['United States', 'Germany', 'India', 'Canada'][user_no % 4 + 1]}} AS geo,
            (h2 % 4)::BIGINT AS batch_page_id, 1::BIGINT AS batch_ordering_id,
            (h % 8)::BIGINT AS batch_event_index
          FROM (
            SELECT *, ['shoes', 'bags', 'sale', 'home'][h2 % 4 + 1] AS page,
              (1788220800 + hour_no * 3600 + h % 3600)::BIGINT * 1000000 + (h2 % 1000000)::BIGINT AS ts
            FROM (
              SELECT (hash(i) >> 2)::BIGINT AS h, (hash(i + 1000000007) >> 2)::BIGINT AS h2,
                (hash(i * 3 + 1) % {users})::BIGINT AS user_no,
                (i * 2160 // {count})::BIGINT AS hour_no
              FROM range({count}) AS numbers(i)
            )
          )
        ) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
        """
    )


# audiences
def _expression(*groups: list[Json]) -> Json:
    return {
        "andGroup": {"filterExpressions": [{"orGroup": {"filterExpressions": group}} for group in groups]}
    }


def _simple(scope: str, *groups: list[Json], kind: str = "INCLUDE") -> Json:
    return {"clauseType": kind, "simpleFilter": {"scope": scope, "filterExpression": _expression(*groups)}}


def _named(name: str, *leaves: Json) -> Json:
    inside = {"eventParameterFilterExpression": {"andGroup": {"filterExpressions": list(leaves)}}}
    return {"eventFilter": {"eventName": name, **(inside if leaves else {})}}


def _number(field: str, operation: str, value: int, **more: Any) -> Json:
    wanted = {"operation": operation, "value": {"int64Value": str(value)}}
    return {"dimensionOrMetricFilter": {"fieldName": field, "numericFilter": wanted, **more}}


def _text(field: str, value: str, match: str = "EXACT") -> Json:
    return {
        "dimensionOrMetricFilter": {"fieldName": field, "stringFilter": {"matchType": match, "value": value}}
    }


def _sequence(*names: str, within: int) -> Json:
    steps: list[Json] = [{"scope": ALL, "filterExpression": _expression([_named(name)])} for name in names]
    for step in steps[1:]:
        step["constraintDuration"] = f"{within}s"
    return {"clauseType": "INCLUDE", "sequenceFilter": {"scope": ALL, "sequenceSteps": steps}}


def _body(*clauses: Json, days: int = 30) -> Json:
    return {
        "displayName": "measured",
        "description": "",
        "membershipDurationDays": days,
        "exclusionDurationMode": "EXCLUDE_TEMPORARILY",
        "filterClauses": list(clauses),
    }


def _some_days(days: int, more_than: int) -> Json:
    return _number("eventCount", "GREATER_THAN", more_than, inAnyNDayPeriod=days, atAnyPointInTime=True)


def kinds(number: int = 0) -> dict[str, Json]:
    """One audience of each kind; another number gives another of each."""
    day, value = 3600 * (24 + number), 50 + number
    return {
        "simple": _body(_simple(EVENT, [_named("purchase")]), days=30 + number),
        "session": _body(
            _simple(
                SESSION,
                [_named("view_item", _number("value", "GREATER_THAN", value))],
                [_named("add_to_cart")],
            )
        ),
        "sequence": _body(_sequence("view_item", "add_to_cart", "purchase", within=7 * day)),
        "exclude": _body(
            _simple(EVENT, [_named("add_to_cart")]),
            _simple(EVENT, [_named("purchase")], kind="EXCLUDE"),
            days=20 + number,
        ),
        "counts": _body(_simple(ALL, [_named("page_view", _some_days(7, 3 + number))])),
        "dynamic": _body(
            _simple(
                ALL,
                [_text("country", "Germany")],
                [_text("pagePath", f"/shoes/item-{number}", "BEGINS_WITH")],
            )
        ),
    }


def many(count: int) -> list[Json]:
    """Audiences of all kinds in turn."""
    found: list[Json] = []
    number = 0
    while len(found) < count:
        found += kinds(number).values()
        number += 1
    return found[:count]


# what is measured
def _count(path: Path, bodies: list[Json], cache: Path | None = None) -> list[int | None]:
    requests = [Comparison(str(n), None, from_api(body), before_known=False) for n, body in enumerate(bodies)]
    report = preview(requests, Events(parquet=path.name), today=TODAY, base_dir=path.parent, cache_dir=cache)
    assert not [each.not_previewable for each in report.estimates if each.not_previewable]
    return [each.after for each in report.estimates]


def _scan(path: Path, columns: str) -> int:
    hashed = " + ".join(f"(hash({column.strip()}) % 1000)" for column in columns.split(","))
    return int(duckdb.execute(f"SELECT sum({hashed}) FROM '{path}'").fetchall()[0][0])


def _polars_simple(path: Path) -> int:
    import polars as pl

    rows = pl.scan_parquet(path).filter(pl.col("event_name") == "purchase", pl.col("event_date") > FIRST)
    rows = rows.filter(pl.col("event_date") <= LAST)
    return int(rows.select(pl.col("user_pseudo_id").n_unique()).collect().item())


def _polars_session(path: Path) -> int:
    import polars as pl

    def parameter(key: str) -> pl.Expr:
        found = pl.element().filter(pl.element().struct.field("key") == key)
        value = found.struct.field("value").struct.field("int_value").first()
        return pl.col("event_params").list.eval(value).list.first()

    rows = pl.scan_parquet(path).filter(
        pl.col("event_name").is_in(["view_item", "add_to_cart"]), pl.col("event_date") <= LAST
    )
    rows = rows.select("user_pseudo_id", "event_name", "event_date", s=parameter("ga_session_id"),
                       value=parameter("value"))  # fmt: skip
    cart = pl.col("event_name") == "add_to_cart"
    rows = rows.filter(pl.col("s").is_not_null(), cart | (pl.col("value") > 50))
    sessions = rows.group_by("user_pseudo_id", "s").agg(
        carts=cart.any(), views=(~cart).any(), late=(pl.col("event_date") > FIRST).any()
    )
    members = sessions.filter(pl.col("carts"), pl.col("views"), pl.col("late"))
    return int(members.select(pl.col("user_pseudo_id").n_unique()).collect().item())


def _polars_sequence(path: Path) -> int:
    import polars as pl

    names, within = ("view_item", "add_to_cart", "purchase"), 7 * 24 * 3600 * 1_000_000
    rows = pl.scan_parquet(path).filter(
        pl.col("event_name").is_in(names), pl.col("event_date") <= LAST
    ).select("user_pseudo_id", "event_timestamp", "event_name", "event_date", *BATCH)  # fmt: skip
    rows = rows.sort("user_pseudo_id", "event_timestamp", *BATCH, "event_name")
    moment, ended = pl.col("event_timestamp"), pl.lit(value=True)
    for index, name in enumerate(names):
        found = pl.when(pl.col("event_name") == name, ended).then(moment)
        rows = rows.with_columns(found.alias(f"x{index}"))
        before = pl.col(f"x{index}").forward_fill().shift(1).over("user_pseudo_id")
        rows = rows.with_columns(before.alias(f"b{index}"))
        ended = moment - pl.col(f"b{index}") <= within
    members = rows.filter(pl.col("x2").is_not_null(), pl.col("event_date") > FIRST)
    return int(members.select(pl.col("user_pseudo_id").n_unique()).collect().item())


def _python_sequence(path: Path) -> int:
    """The same sequence by a loop over each user's events: the fewest lines that are right."""
    names, within = ("view_item", "add_to_cart", "purchase"), 7 * 24 * 3600 * 1_000_000
    wanted = (
        "SELECT user_pseudo_id, event_timestamp, event_name, event_date FROM '{}' "
        "WHERE event_name IN {} AND event_date <= '{}' ORDER BY ALL"
    )
    latest: dict[str, list[int]] = {}
    users = set()
    for user, moment, name, day in duckdb.execute(wanted.format(path, names, LAST)).fetchall():
        reached = latest.setdefault(user, [-1, -1])
        step = names.index(name)
        if step and (reached[step - 1] < 0 or moment - reached[step - 1] > within):
            continue
        if step == 2:
            if day > FIRST:
                users.add(user)
        else:
            reached[step] = moment
    return len(users)


MEASURED: dict[str, Callable[[Path, Path], Any]] = {
    "scan flat": lambda path, _: _scan(path, FLAT),
    "scan params": lambda path, _: _scan(path, FLAT + ", event_params"),
    **{name: (lambda path, _, name=name: _count(path, [kinds()[name]])) for name in kinds()},  # type: ignore[misc]
    "10 audiences": lambda path, _: sum(filter(None, _count(path, many(10)))),
    "100 audiences": lambda path, _: sum(filter(None, _count(path, many(100)))),
    "staging": lambda path, cache: sum(filter(None, _count(path, many(100), cache))),
    "session, staged": lambda path, cache: _count(path, [kinds()["session"]], cache),
    "sequence, staged": lambda path, cache: _count(path, [kinds()["sequence"]], cache),
    "10 audiences, staged": lambda path, cache: sum(filter(None, _count(path, many(10), cache))),
    "100 audiences, staged": lambda path, cache: sum(filter(None, _count(path, many(100), cache))),
    "polars, simple": lambda path, _: _polars_simple(path),
    "polars, session": lambda path, _: _polars_session(path),
    "polars, sequence": lambda path, _: _polars_sequence(path),
    "Python, sequence": lambda path, _: _python_sequence(path),
}


RUNS = {"staging": 1, "scan flat": 4, "scan params": 4}
"""Of how many runs the fastest counts, where it is not two: all ratios stand on the scans."""


def _worker(name: str, path: Path, cache: Path) -> None:
    start = time.perf_counter()
    answer = MEASURED[name](path, cache)
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text("utf-8")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "answer": answer}))


def _measure(name: str, path: Path, cache: Path) -> Json:
    command = [sys.executable, __file__, "--worker", name, str(path), str(cache)]
    best: Json = {}
    for _ in range(RUNS.get(name, 2)):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        best = found if not best or found["seconds"] < best["seconds"] else best
    return best


def main() -> None:
    """Prints a table for each size."""
    for millions in [float(each) for each in sys.argv[1:]] or [1.0]:
        with tempfile.TemporaryDirectory() as folder:
            path, cache = Path(folder) / "events.parquet", Path(folder) / "cache"
            write_events(path, int(millions * 1_000_000))
            print(f"{millions:g} M events, {path.stat().st_size / 2**20:,.0f} MiB of Parquet")
            print(f"{'':24}{'seconds':>9}{'/ flat':>9}{'/ params':>9}{'peak MiB':>10}  users")
            scans: dict[str, float] = {}
            for name in MEASURED:
                found = _measure(name, path, cache)
                if name.startswith("scan"):
                    scans[name] = found["seconds"]
                flat, params = (
                    found["seconds"] / scans.get(scan, found["seconds"])
                    for scan in ("scan flat", "scan params")
                )
                users = "" if name.startswith("scan") else found["answer"]
                print(
                    f"{name:24}{found['seconds']:9.2f}{flat:9.2f}{params:9.2f}"
                    f"{found['peak']:10,.0f}  {users}",
                    flush=True,
                )
            staged = sum(each.stat().st_size for each in cache.rglob("*.parquet"))
            print(f"staged columns: {staged / 2**20:,.0f} MiB\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _worker(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
