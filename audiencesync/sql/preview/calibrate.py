"""Estimates beside what GA4 itself listed: the rows of audience exports that exist already."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from audiencesync.ga4 import AudienceExport, ExportState
from audiencesync.sql.preview.records import Estimate

DIFFERS = "the live definition differs from the file"


@dataclass(frozen=True, slots=True)
class Calibration:
    """One audience: our estimate, the rows of GA4's latest export of it, and estimate / rows.

    A number is None where it does not exist, the ratio also where GA4 listed nobody. `note` says what keeps
    the two from being of one definition.
    """

    key: str
    estimate: int | None
    exported: int | None
    ratio: float | None
    created: str = ""
    note: str = ""


def calibrate(
    estimates: Iterable[Estimate],
    names: Mapping[str, str],
    exports: Iterable[AudienceExport],
    *,
    differing: Collection[str] = (),
) -> tuple[Calibration, ...]:
    """Compares each estimate with the newest ACTIVE export of its audience; no export is created for it.

    `names` maps our keys to live audiences (properties/1000/audiences/7); `differing` are the keys whose
    live definition is not the file's.
    """
    newest: dict[str, AudienceExport] = {}
    for each in exports:
        if each.state is not ExportState.ACTIVE or each.rows is None:
            continue
        if each.audience not in newest or each.begun > newest[each.audience].begun:
            newest[each.audience] = each
    return tuple(
        _one(estimate, newest.get(names.get(estimate.key, "")), differs=estimate.key in differing)
        for estimate in estimates
    )


def _one(estimate: Estimate, export: AudienceExport | None, *, differs: bool) -> Calibration:
    exported = export.rows if export else None
    ratio = estimate.after / exported if exported and estimate.after is not None else None
    note = DIFFERS if export and differs else ""
    return Calibration(estimate.key, estimate.after, exported, ratio, export.begun if export else "", note)
