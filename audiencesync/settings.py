"""The settings file as frozen records, and the table of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audiencesync.fields import Field, Kind

NAME = "audiencesync.yaml"
"""The settings file; its folder is the workspace."""

EXPORT_DIMENSIONS = ("deviceId", "userId", "isAdsPersonalizationAllowed", "isLimitedAdTracking")
ANALYSES = ("FUNNELS", "CHARTS", "RETENTIONS", "FREQUENCIES")
AUTH_SCHEMES = ("bare", "Token", "Bearer")


SETTINGS: tuple[Field, ...] = (
    # Settings
    Field("Settings", "owner", Kind.TEXT, "Who manages the audiences; written into each managed audience's mark.", required=True, pattern=r"[a-z0-9-]{1,40}", examples=("acme-web",)),
    Field("Settings", "defaultTarget", Kind.TEXT, "The target that commands use where none is named.", nonempty=True, examples=("demo",)),
    Field("Settings", "targets", Kind.MESSAGE, "The properties this workspace is applied to, by name.", of="Target", named=True, required=True, nonempty=True),
    Field("Settings", "limits", Kind.MESSAGE, "What a plan may reach.", of="Limits"),
    Field("Settings", "events", Kind.MESSAGE, "Where the event export is, for previews.", of="Events"),
    Field("Settings", "growingio", Kind.MESSAGE, "GrowingIO platforms, by name.", of="GrowingIO", named=True),
    Field("Settings", "exports", Kind.MESSAGE, "Exports, by name.", of="Export", named=True),
    Field("Settings", "policy", Kind.MESSAGE, "House rules that every audience has to keep.", of="Policy"),
    # Target
    Field("Target", "property", Kind.TEXT, "The GA4 property's number.", required=True, pattern=r"[0-9]{1,20}", examples=("312222000",)),
    Field("Target", "endpoint", Kind.TEXT, 'Where the property answers: "google", "local" (embedded), or the address of an emulator.', default="google", pattern=r"google|local|https?://.+", examples=("local", "http://127.0.0.1:8080")),
    Field("Target", "credentials", Kind.TEXT, '"default" (Application Default Credentials), "anonymous", or the path of a service account\'s file.', default="default", nonempty=True, examples=("default", "anonymous", "secrets/ci.json")),
    Field("Target", "impersonate", Kind.TEXT, "The service account to act as.", nonempty=True, examples=("audiences@project.iam.gserviceaccount.com",)),
    Field("Target", "quotaProject", Kind.TEXT, "The Google Cloud project that quota is counted against.", nonempty=True),
    Field("Target", "account", Kind.TEXT, "The Analytics account's number, where change history is to be read.", pattern=r"[0-9]{1,20}"),
    Field("Target", "limits", Kind.MESSAGE, "Overrides the limits for this target.", of="Limits"),
    Field("Target", "events", Kind.MESSAGE, "Overrides the event export for this target.", of="Events"),
    # Limits
    Field("Limits", "audiences", Kind.INT32, "The most active audiences the property takes.", minimum=1, default=100),
    Field("Limits", "triggers", Kind.INT32, "The most audiences with an eventTrigger the property takes.", minimum=0, default=20),
    Field("Limits", "destructive", Kind.INT32, "The most archives and replacements in one run.", minimum=0, default=3),
    Field("Limits", "description", Kind.INT32, "The longest description, mark included, in characters.", minimum=100),
    Field("Limits", "requestsPerMinute", Kind.INT32, "Google's quota of requests.", minimum=1, default=600),
    Field("Limits", "writesPerMinute", Kind.INT32, "Google's quota of writes.", minimum=1, default=180),
    # Events
    Field("Events", "parquet", Kind.TEXT, "A path or glob of Parquet files.", union="source", nonempty=True, examples=("events/*.parquet",)),
    Field("Events", "duckdb", Kind.TEXT, "A DuckDB database file; `table` names the table in it.", union="source", nonempty=True),
    Field("Events", "bigquery", Kind.TEXT, "The BigQuery dataset of the export.", union="source", nonempty=True, pattern=r"[A-Za-z0-9:._-]+\.[A-Za-z0-9_]+", examples=("project.analytics_312222000",)),
    Field("Events", "table", Kind.TEXT, "The table in the DuckDB file.", nonempty=True, default="events"),
    Field("Events", "timeZone", Kind.TEXT, "The property's time zone, for fields that need a clock time.", nonempty=True, default="UTC", examples=("Europe/Berlin",)),
    Field("Events", "maximumBytesBilled", Kind.INT64, "The most bytes that a BigQuery preview may bill.", minimum=1),
    Field("Events", "location", Kind.TEXT, "The BigQuery dataset's location.", nonempty=True, examples=("EU",)),
    # GrowingIO
    Field("GrowingIO", "url", Kind.TEXT, "The platform's own address.", required=True, pattern=r"https?://[^/?#\s]+(/[^?#\s]*)?", examples=("https://op.example.com",)),
    Field("GrowingIO", "project", Kind.TEXT, "The project's id.", nonempty=True, examples=("WlGk4Daj",)),
    Field("GrowingIO", "tokenEnv", Kind.TEXT, "The environment variable that holds the token.", union="secret", nonempty=True, examples=("GROWINGIO_TOKEN",)),
    Field("GrowingIO", "secretEnv", Kind.TEXT, "The environment variable that holds the client secret.", union="secret", nonempty=True, examples=("GROWINGIO_SECRET",)),
    Field("GrowingIO", "graphqlPath", Kind.TEXT, "The path of the GraphQL service.", default="/graphql", pattern=r"/[^?#\s]*"),
    Field("GrowingIO", "authScheme", Kind.TEXT, "What stands before the token in the Authorization header: bare, Token or Bearer.", default="bare", pattern="|".join(AUTH_SCHEMES)),
    Field("GrowingIO", "headers", Kind.TEXT_MAP, "Further headers of every request."),
    # Export
    Field("Export", "audience", Kind.TEXT, "An audience: our key, else its id or its only displayName.", union="what", nonempty=True, examples=("cart-abandoners",)),
    Field("Export", "tag", Kind.TEXT, "The key of a GrowingIO user tag.", union="what", nonempty=True),
    Field("Export", "segment", Kind.TEXT, "The id of a GrowingIO segment.", union="what", nonempty=True),
    Field("Export", "analysis", Kind.TEXT, "The id of a GrowingIO analysis.", union="what", nonempty=True),
    Field("Export", "to", Kind.TEXT, "The file to write: .csv, .jsonl (each also .gz) or .parquet.", required=True, pattern=r".+\.(csv|jsonl)(\.gz)?|.+\.parquet", examples=("out/cart.csv",)),
    Field("Export", "target", Kind.TEXT, "The target whose property is asked; the command's own where it is left out.", nonempty=True),
    Field("Export", "dimensions", Kind.TEXT, "What to export of each member: " + ", ".join(EXPORT_DIMENSIONS) + ".", repeated=True, nonempty=True, pattern="|".join(EXPORT_DIMENSIONS), examples=(["deviceId"],)),
    Field("Export", "growingio", Kind.TEXT, "The GrowingIO platform's name in these settings.", nonempty=True),
    Field("Export", "project", Kind.TEXT, "Overrides the platform's project.", nonempty=True),
    Field("Export", "type", Kind.TEXT, "The kind of the analysis: " + ", ".join(ANALYSES) + ".", pattern="|".join(ANALYSES)),
    Field("Export", "charset", Kind.TEXT, "The character set asked of GrowingIO.", nonempty=True, examples=("UTF-16LE",)),
    Field("Export", "properties", Kind.TEXT, "User properties to export with a tag or segment.", repeated=True, nonempty=True),
    Field("Export", "tags", Kind.TEXT, "Ids of tags to export with a segment.", repeated=True, nonempty=True),
    Field("Export", "detail", Kind.BOOL, "Whether a tag's detail is exported.", default=False),
    Field("Export", "hash", Kind.TEXT, "Replaces id columns by a salted hash: sha256.", pattern="sha256"),
    Field("Export", "saltEnv", Kind.TEXT, "The environment variable that holds the salt of the hash.", nonempty=True),
    Field("Export", "idColumns", Kind.TEXT, "The columns that `hash` replaces; deviceId and userId for GA4.", repeated=True, nonempty=True),
    Field("Export", "csv", Kind.MESSAGE, "How CSV is written.", of="CsvOptions"),
    Field("CsvOptions", "formulaSafe", Kind.BOOL, "Whether cells that a spreadsheet would run as a formula are written as text.", default=False),
    # Policy
    Field("Policy", "require", Kind.TEXT, "What every manage block has to say.", repeated=True, nonempty=True, pattern="contact|labels|reviewBy", examples=(["contact", "reviewBy"],)),
    Field("Policy", "bannedFields", Kind.TEXT, "Field names that may not be used; * stands for any text.", repeated=True, nonempty=True, examples=(["userAgeBracket", "customUser:email*"],)),
    Field("Policy", "bannedValues", Kind.TEXT, "Regular expressions that no compared text may contain.", repeated=True, nonempty=True, examples=([r"[^@\s]+@[^@\s]+"],)),
    Field("Policy", "membershipDays", Kind.MESSAGE, "Allowed membershipDurationDays by label; * stands for every audience.", of="DayRange", named=True),
    Field("Policy", "displayName", Kind.TEXT, "A regular expression that every displayName has to match as a whole.", nonempty=True),
    Field("DayRange", "minimum", Kind.INT32, "The fewest days.", minimum=1),
    Field("DayRange", "maximum", Kind.INT32, "The most days.", minimum=1, maximum=540),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan may reach, and Google's quotas a minute."""

    audiences: int = 100
    triggers: int = 20
    destructive: int = 3
    description: int | None = None
    requests_per_minute: int = 600
    writes_per_minute: int = 180


@dataclass(frozen=True, slots=True)
class Events:
    """Where the event export is: one of parquet, duckdb (with table) and bigquery."""

    parquet: str = ""
    duckdb: str = ""
    table: str = "events"
    bigquery: str = ""
    time_zone: str = "UTC"
    maximum_bytes_billed: int | None = None
    location: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One property to plan against; `endpoint` is "google", "local" or an address."""

    name: str
    property: str
    endpoint: str = "google"
    credentials: str = "default"
    impersonate: str = ""
    quota_project: str = ""
    account: str = ""
    limits: Limits = field(default_factory=Limits)
    events: Events | None = None


@dataclass(frozen=True, slots=True)
class GrowingIO:
    """One GrowingIO platform; exactly one of `token_env` and `secret_env` is set."""

    name: str
    url: str
    project: str = ""
    token_env: str = ""
    secret_env: str = ""
    graphql_path: str = "/graphql"
    auth_scheme: str = "bare"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Export:
    """One declared export; exactly one of audience, tag, segment and analysis is set."""

    name: str
    to: str
    audience: str = ""
    target: str = ""
    dimensions: tuple[str, ...] = ("deviceId",)
    growingio: str = ""
    project: str = ""
    tag: str = ""
    segment: str = ""
    analysis: str = ""
    type: str = ""
    charset: str = ""
    properties: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    detail: bool = False
    hash: str = ""
    salt_env: str = ""
    id_columns: tuple[str, ...] = ()
    formula_safe: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """House rules; `membership_days` maps a label to (fewest, most) days."""

    require: tuple[str, ...] = ()
    banned_fields: tuple[str, ...] = ()
    banned_values: tuple[str, ...] = ()
    membership_days: tuple[tuple[str, int | None, int | None], ...] = ()
    display_name: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole settings file."""

    owner: str
    targets: tuple[Target, ...]
    default_target: str = ""
    growingio: tuple[GrowingIO, ...] = ()
    exports: tuple[Export, ...] = ()
    policy: Policy = field(default_factory=Policy)

    def target(self, name: str = "") -> Target | None:
        """The target of that name; without a name the default one, or the only one there is."""
        wanted = name or self.default_target
        if not wanted and len(self.targets) == 1:
            return self.targets[0]
        return next((target for target in self.targets if target.name == wanted), None)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _record(data: Mapping[str, Any], message: str, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """The plain fields of one message as keyword arguments; lists become tuples, unset ones are left out."""
    found: dict[str, Any] = {}
    for each in SETTINGS:
        value = data.get(each.name)
        if each.message != message or each.name in skip or value is None:
            continue
        if each.kind is Kind.TEXT_MAP:
            value = tuple(value.items())
        elif each.kind is Kind.INT64:
            value = int(value)
        found[_snake(each.name)] = tuple(value) if isinstance(value, list) else value
    return found


def _export(name: str, data: Mapping[str, Any]) -> Export:
    options = data.get("csv") or {}
    return Export(
        name=name, formula_safe=bool(options.get("formulaSafe")), **_record(data, "Export", skip=("csv",))
    )


def _policy(data: Mapping[str, Any]) -> Policy:
    days = (data.get("membershipDays") or {}).items()
    return Policy(
        membership_days=tuple(
            (label, (bounds or {}).get("minimum"), (bounds or {}).get("maximum")) for label, bounds in days
        ),
        **_record(data, "Policy", skip=("membershipDays",)),
    )


def from_data(data: Mapping[str, Any]) -> Settings:
    """Builds the settings from a document that the workspace schema has accepted."""
    limits, events = data.get("limits") or {}, data.get("events")
    targets = []
    for name, entry in data["targets"].items():
        own = entry.get("events") or events
        targets.append(
            Target(
                name=name,
                limits=Limits(**_record({**limits, **(entry.get("limits") or {})}, "Limits")),
                events=Events(**_record(own, "Events")) if own else None,
                **_record(entry, "Target", skip=("limits", "events")),
            )
        )
    platforms = (data.get("growingio") or {}).items()
    exports = (data.get("exports") or {}).items()
    return Settings(
        owner=data["owner"],
        targets=tuple(targets),
        default_target=data.get("defaultTarget") or "",
        growingio=tuple(GrowingIO(name=name, **_record(entry, "GrowingIO")) for name, entry in platforms),
        exports=tuple(_export(name, entry) for name, entry in exports),
        policy=_policy(data.get("policy") or {}),
    )
