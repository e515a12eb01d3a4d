"""Estimates beside what GA4 itself listed: the rows of audience exports that exist already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audiencesync.sql.preview.records import Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """One audience: our estimate, the rows of GA4's latest export of it, and estimate / rows.

    A number is None where it does not exist, the ratio also where GA4 listed nobody.
    """

    key: str
    estimate: int | None
    exported: int | None
    ratio: float | None
    created: str = ""


def calibrate(
    estimates: Iterable[Estimate], names: Mapping[str, str], exports: Sequence[Mapping[str, Any]]
) -> tuple[Calibration, ...]:
    """Compares each estimate with the newest ACTIVE export of its audience; no export is created for it.

    `names` maps our keys to live audiences (properties/1000/audiences/7); `exports` are resources as the Data
    API's audienceExports.list gives them, int64 values as text or number.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for each in exports:
        audience = str(each.get("audience", ""))
        if each.get("state") != "ACTIVE" or each.get("rowCount") is None:
            continue
        if audience not in newest or _created(each) > _created(newest[audience]):
            newest[audience] = each
    return tuple(_one(estimate, newest.get(names.get(estimate.key, ""))) for estimate in estimates)


def _created(export: Mapping[str, Any]) -> str:
    return str(export.get("beginCreatingTime", ""))


def _one(estimate: Estimate, export: Mapping[str, Any] | None) -> Calibration:
    exported = int(export["rowCount"]) if export else None
    ratio = estimate.after / exported if exported and estimate.after is not None else None
    return Calibration(estimate.key, estimate.after, exported, ratio, _created(export) if export else "")
