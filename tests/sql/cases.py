"""Random populations and audiences, seeded; and the populations as a DuckDB table."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiencesync.sql.columns import Schema

if TYPE_CHECKING:
    import duckdb

Json = dict[str, Any]
AS_OF = date(2024, 3, 10)
SCOPE = "AUDIENCE_FILTER_SCOPE_"
EVENT, SESSION, ALL = (SCOPE + s for s in ("WITHIN_SAME_EVENT", "WITHIN_SAME_SESSION", "ACROSS_ALL_SESSIONS"))
SECOND = 1_000_000

_VALUE = "STRUCT(string_value VARCHAR, int_value BIGINT, float_value DOUBLE, double_value DOUBLE)"
_PARAMS = f"STRUCT(key VARCHAR, value {_VALUE})[]"
COLUMNS = {
    "event_date": "VARCHAR",
    "event_timestamp": "BIGINT",
    "event_name": "VARCHAR",
    "event_params": _PARAMS,
    "user_id": "VARCHAR",
    "user_pseudo_id": "VARCHAR",
    "user_properties": _PARAMS,
    "user_first_touch_timestamp": "BIGINT",
    "device": "STRUCT(category VARCHAR)",
    "geo": "STRUCT(country VARCHAR)",
    "items": f"STRUCT(item_name VARCHAR, item_category VARCHAR, item_params {_PARAMS})[]",
    "collected_traffic_source": "STRUCT(manual_source VARCHAR, manual_medium VARCHAR)",
    "session_traffic_source_last_click": "STRUCT(manual_campaign STRUCT(source VARCHAR), "
    "cross_channel_campaign STRUCT(source VARCHAR))",
    "batch_page_id": "BIGINT",
    "batch_ordering_id": "BIGINT",
    "batch_event_index": "BIGINT",
}
"""The part of the export's schema that the cases use."""

NAMES = ("page_view", "add_to_cart", "purchase", "scroll", "login", "d")
"""The last one, and some values below, are also names of columns in our statements."""
COUNTRIES = ("Germany", "FRANCE", "Österreich", "x'y")
PAGES = (
    "https://shop.example/a",
    "https://shop.example/a/B?x=1",
    "https://shop.example/",
    "no url",
    "https://s.example/d",
)


def load(
    connection: "duckdb.DuckDBPyConnection", rows: list[Json], folder: Path, table: str = "events"
) -> None:
    """Make a table of the rows."""
    path = folder / f"{table}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
    connection.execute(
        f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM read_json('{path}', columns = {{{columns}}}, "
        "format = 'newline_delimited')"
    )


def value(data: Any) -> Json:
    """A parameter's value in the column of its type."""
    kinds = {"string_value": str, "int_value": int, "double_value": float}
    return {name: data if type(data) is kind else None for name, kind in kinds.items()} | {
        "float_value": None
    }


def params(data: Json) -> list[Json]:
    """Parameters as the export writes them; a None is a parameter without a value."""
    return [{"key": key, "value": value(each)} for key, each in data.items()]


class Chance:
    """One seeded source of populations and audiences."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, values: Any) -> Any:
        return self.random.choice(values)

    # populations
    def population(self, users: int, label: str = "") -> list[Json]:
        rows: list[Json] = []
        for number in range(users):
            name = f"{label}u{number}" if self.some(0.97) else None
            used: set[tuple[Any, ...]] = set()
            span = self.pick((1, 2, 5, 12))
            for _ in range(self.random.randrange(15)):
                row = self.row(name, span)
                batch = tuple(
                    row[each] for each in ("batch_page_id", "batch_ordering_id", "batch_event_index")
                )
                key = (row["event_timestamp"], *batch, row["event_name"])
                if key not in used:
                    used.add(key)
                    rows.append(row)
        self.random.shuffle(rows)
        return rows

    def row(self, user: str | None, span: int) -> Json:
        day = AS_OF - timedelta(days=self.random.randrange(-1, span))
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND
        time = start + self.random.randrange(5) * 10 * SECOND + self.pick((0, 0, 0, 0, 1))
        record = None
        if self.some(0.3):
            record = {
                "manual_campaign": {"source": self.pick(("mail", None))} if self.some(0.7) else None,
                "cross_channel_campaign": {"source": self.pick(("google", None))} if self.some(0.7) else None,
            }
        collected = {"manual_source": self.pick(("google", "mail", None)), "manual_medium": None}
        return {
            "event_date": day.strftime("%Y%m%d"),
            "event_timestamp": time,
            "event_name": self.pick(NAMES),
            "event_params": self.parameters() if self.some(0.97) else None,
            "user_id": "id" if self.some(0.3) else None,
            "user_pseudo_id": user,
            "user_properties": params({"plan": self.pick(("gold", "free", 3, None))})
            if self.some(0.6)
            else None,
            "user_first_touch_timestamp": time,
            "device": {"category": self.pick(("mobile", "desktop", None))} if self.some(0.9) else None,
            "geo": {"country": self.pick((*COUNTRIES, None))} if self.some(0.9) else None,
            "items": [self.item() for _ in range(self.random.randrange(3))] if self.some(0.6) else None,
            "collected_traffic_source": collected if self.some(0.4) else None,
            "session_traffic_source_last_click": record,
            "batch_page_id": self.pick((1, 2, None)),
            "batch_ordering_id": self.pick((1, None)),
            "batch_event_index": self.random.randrange(4),
        }

    def parameters(self) -> list[Json]:
        found: Json = {}
        if self.some(0.85):
            session = self.random.randrange(1, 4)
            found["ga_session_id"] = self.pick((session, session, str(session), "broken"))
        if self.some(0.7):
            found["page_location"] = self.pick(PAGES)
        if self.some(0.7):
            found["score"] = self.pick((1, 2, 5, 1.5, 2.0, "2", "high", None))
        if self.some(0.5):
            found["method"] = self.pick(("Card", "card", "cash", 7, "d"))
        return params(found)

    def item(self) -> Json:
        return {
            "item_name": self.pick(("Mug", "Shirt", None)),
            "item_category": self.pick(("home", "wear")),
            "item_params": params({"size": self.pick(("L", "XL", 4))}) if self.some(0.5) else None,
        }

    # audiences
    def audience(self) -> Json:
        count = self.pick((1, 1, 1, 2, 2, 3))
        clauses = [{"clauseType": "INCLUDE", **self.clause()}]
        clauses += [
            {"clauseType": self.pick(("INCLUDE", "EXCLUDE", "EXCLUDE")), **self.clause()}
            for _ in range(count - 1)
        ]
        if self.some(0.03):
            clauses[0]["clauseType"] = "EXCLUDE"
        return {
            "displayName": "random",
            "description": "",
            "membershipDurationDays": self.pick((1, 2, 4, 30, 540)),
            "exclusionDurationMode": self.pick(
                ("EXCLUDE_TEMPORARILY", "EXCLUDE_TEMPORARILY", "EXCLUDE_PERMANENTLY")
            ),
            "filterClauses": clauses,
        }

    def clause(self) -> Json:
        if self.some(0.4):
            return {"sequenceFilter": self.sequence()}
        scope = self.pick((EVENT, SESSION, SESSION, ALL, ALL, ALL))
        return {"simpleFilter": {"scope": scope, "filterExpression": self.expression(across=scope == ALL)}}

    def expression(self, *, across: bool = False, most: int = 3) -> Json:
        groups = [
            {
                "orGroup": {
                    "filterExpressions": [self.leaf(across=across) for _ in range(self.pick((1, 1, 2)))]
                }
            }
            for _ in range(self.pick(range(1, most + 1)))
        ]
        return {"andGroup": {"filterExpressions": groups}}

    def leaf(self, *, across: bool) -> Json:
        if across and self.some(0.3):
            return self.count()
        if self.some(0.45):
            return {"eventFilter": self.event()}
        plain: Json = {"dimensionOrMetricFilter": self.plain(across=across)}
        return {"notExpression": plain} if self.some(0.3) else plain

    def event(self) -> Json:
        found: Json = {"eventName": self.pick(NAMES)}
        if self.some(0.35):
            leaves = [{"dimensionOrMetricFilter": self.parameter()} for _ in range(self.pick((1, 1, 2)))]
            parts = [{"notExpression": each} if self.some(0.3) else each for each in leaves]
            found["eventParameterFilterExpression"] = {"andGroup": {"filterExpressions": parts}}
        return found

    def count(self) -> Json:
        plain: Json = {"fieldName": "eventCount", **self.number((0, 1, 2, 3, 1.5, -1))}
        if self.some(0.5):
            plain["atAnyPointInTime"] = True
        if self.some(0.6):
            plain["inAnyNDayPeriod"] = self.pick((1, 2, 3, 7, 60))
        leaf: Json = {"dimensionOrMetricFilter": plain}
        if self.some(0.2):
            leaf = {"notExpression": leaf}
        if self.some(0.2):
            return leaf
        inside = {"andGroup": {"filterExpressions": [leaf]}}
        return {"eventFilter": {"eventName": self.pick(NAMES), "eventParameterFilterExpression": inside}}

    def number(self, values: tuple[float, ...]) -> Json:
        def written(number: float) -> Json:
            return {"doubleValue": number} if type(number) is float else {"int64Value": str(number)}

        if self.some(0.25):
            return {
                "betweenFilter": {
                    "fromValue": written(self.pick(values)),
                    "toValue": written(self.pick(values)),
                }
            }
        operation = self.pick(("EQUAL", "LESS_THAN", "GREATER_THAN"))
        return {"numericFilter": {"operation": operation, "value": written(self.pick(values))}}

    def text(self, values: tuple[str, ...], patterns: tuple[str, ...]) -> Json:
        sensitive = {"caseSensitive": True} if self.some(0.4) else {}
        if self.some(0.2):
            return {
                "inListFilter": {"values": [self.pick(values) for _ in range(self.pick((1, 3)))], **sensitive}
            }
        if self.some(0.2):
            return {"stringFilter": {"matchType": "FULL_REGEXP", "value": self.pick(patterns), **sensitive}}
        kind = self.pick(("EXACT", "EXACT", "BEGINS_WITH", "ENDS_WITH", "CONTAINS"))
        found = self.pick(values)
        if kind != "EXACT":
            found = found[: self.random.randrange(len(found) + 1)] if kind != "ENDS_WITH" else found[-2:]
        return {"stringFilter": {"matchType": kind, "value": found, **sensitive}}

    def parameter(self) -> Json:
        name = self.pick(("score", "score", "method", "customEvent:score", "itemName", "pagePath"))
        if name.endswith("score") and self.some(0.6):
            return {"fieldName": name, **self.number((1, 2, 5, 1.5))}
        if name == "itemName":
            return {"fieldName": name, **self.text(("Mug", "shirt"), ("M.g", "s.*"))}
        if name == "pagePath":
            return {"fieldName": name, **self.text(("/a", "/A/b", "/", "/d"), ("/a.*", "/", r"/\D"))}
        return {
            "fieldName": name,
            **self.text(("card", "Cash", "2", "high", "1.5", "d", "o2"), ("c.*", "[0-9.]+", "a", r"\d+")),
        }

    def plain(self, *, across: bool) -> Json:
        texts: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
            ("country", ("germany", "France", "Österreich", "x'y"), ("g.*y", "fr|FRANCE", "er|an", ".*")),
            ("eventName", ("page_view", "PURCHASE"), ("p.*", "login|scroll", "age")),
            ("deviceCategory", ("mobile", "Desktop"), ("m.*", "o")),
            ("landingPage", ("/a", "/"), ("/a/?.*",)),
            ("sessionSource", ("google", "mail"), ("goo.*", "goo")),
            ("customUser:plan", ("gold", "free", "3"), ("[a-z]+", "[a-z]")),
            ("customEvent:score", ("2", "high", "1.5"), ("[0-9]",)),
            ("signedInWithUserId", ("yes",), (".*set.",)),
            ("itemName", ("mug", "Shirt"), ("M.*",)),
            ("itemCategory", ("home", "wear"), ("h.*",)),
            ("customItem:size", ("L", "4"), ("X?L",)),
        )
        if self.some(0.15):
            name = self.pick(("customEvent:score", "customUser:plan", "date", "customItem:size"))
            values = (20240309, 20240310, 20240305) if name == "date" else (1, 2, 3, 1.5)
            found = {"fieldName": name, **self.number(values)}
        else:
            name, words, patterns = self.pick(texts)
            found = {"fieldName": name, **self.text(words, patterns)}
        if across:
            if self.some(0.5):
                found["atAnyPointInTime"] = True
            if self.some(0.15):
                found["inAnyNDayPeriod"] = self.pick((1, 2, 5))
        return found

    def sequence(self) -> Json:
        scope = self.pick((ALL, ALL, SESSION))
        count = self.pick((1, 2, 2, 3, 3, 4))
        steps = [self.step(number, scope) for number in range(count)]
        found: Json = {"scope": scope if count > 1 or self.some(0.8) else EVENT, "sequenceSteps": steps}
        if self.some(0.4):
            found["sequenceMaximumDuration"] = self.duration()
        return found

    def step(self, number: int, scope: str) -> Json:
        own = self.pick((EVENT, SESSION, scope, scope))
        found: Json = {"scope": own, "filterExpression": self.expression(most=self.pick((1, 1, 2, 3)))}
        if number and self.some(0.4):
            found["constraintDuration"] = self.duration()
        if number and self.some(0.2):
            found["immediatelyFollows"] = True
        return found

    def duration(self) -> str:
        return str(
            self.pick(
                (
                    "0s",
                    "10s",
                    "20s",
                    "30s",
                    "10.000001s",
                    "9.9999995s",
                    "86400s",
                    "86410s",
                    "172800s",
                    "1209600s",
                )
            )
        )


def schema() -> Schema:
    """The cases' columns as the compiler wants them."""
    text = ("text", "string")
    found: dict[str, str] = {}

    def add(path: str, kind: str) -> None:
        if kind.endswith("[]"):
            found[path] = "records"
            add_fields(path, kind[7:-3])
        elif kind.startswith("STRUCT("):
            found[path] = "record"
            add_fields(path, kind[7:-1])
        else:
            found[path] = {"VARCHAR": text[0], "BIGINT": "int", "DOUBLE": "float"}[kind]

    def add_fields(path: str, inner: str) -> None:
        depth, start = 0, 0
        for index, letter in enumerate(inner + ","):
            depth += (letter == "(") - (letter == ")")
            if letter == "," and not depth:
                name, _, kind = inner[start:index].strip().partition(" ")
                add(f"{path}.{name}", kind)
                start = index + 1

    for name, kind in COLUMNS.items():
        add(name, kind)
    return Schema(found)
