"""Estimates beside what GA4 itself listed: the rows of audience exports that exist already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audiencesync.ga4 import AudienceExport, ExportState
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
    estimates: Iterable[Estimate], names: Mapping[str, str], exports: Iterable[AudienceExport]
) -> tuple[Calibration, ...]:
    """Compares each estimate with the newest ACTIVE export of its audience; no export is created for it.

    `names` maps our keys to live audiences (properties/1000/audiences/7).
    """
    newest: dict[str, AudienceExport] = {}
    for each in exports:
        if each.state is not ExportState.ACTIVE or each.rows is None:
            continue
        if each.audience not in newest or each.begun > newest[each.audience].begun:
            newest[each.audience] = each
    return tuple(_one(estimate, newest.get(names.get(estimate.key, ""))) for estimate in estimates)


def _one(estimate: Estimate, export: AudienceExport | None) -> Calibration:
    exported = export.rows if export else None
    ratio = estimate.after / exported if exported and estimate.after is not None else None
    return Calibration(estimate.key, estimate.after, exported, ratio, export.begun if export else "")
