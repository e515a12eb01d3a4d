"""Estimates beside the exports that GA4 made."""

from audiencesync.ga4 import AudienceExport, ExportState
from audiencesync.sql.preview import Calibration, Estimate, calibrate


def estimate(key: str, after: int | None) -> Estimate:
    return Estimate(key, before=None, after=after, gained=None, lost=None)


def export(
    audience: int, rows: int | None, state: str = "ACTIVE", begun: str = "2026-11-01"
) -> AudienceExport:
    return AudienceExport(
        name="properties/1000/audienceExports/1",
        audience=f"properties/1000/audiences/{audience}",
        dimensions=("deviceId",),
        state=ExportState[state],
        rows=rows,
        begun=begun,
    )


def test_the_newest_active_export_is_compared() -> None:
    names = {key: f"properties/1000/audiences/{number}" for number, key in enumerate("abcde")}
    exports = [
        export(0, 100, begun="2026-11-02"),
        export(0, 400, begun="2026-11-01"),
        export(0, 7, "CREATING", "2026-11-03"),
        export(1, 0),
        export(2, None, "FAILED"),
        export(3, 50),
    ]
    estimates = [
        estimate("a", 110),
        estimate("b", 5),
        estimate("c", 5),
        estimate("d", None),
        estimate("new", 1),
    ]
    assert calibrate(estimates, names, exports) == (
        Calibration("a", 110, 100, 1.1, "2026-11-02"),
        Calibration("b", 5, 0, None, "2026-11-01"),
        Calibration("c", 5, None, None),
        Calibration("d", None, 50, None, "2026-11-01"),
        Calibration("new", 1, None, None),
    )


def test_an_export_of_another_definition_is_told_apart() -> None:
    names = {"a": "properties/1000/audiences/0", "b": "properties/1000/audiences/1"}
    found = calibrate([estimate("a", 5), estimate("b", 5)], names, [export(0, 5)], differing={"a", "b"})
    assert [each.note for each in found] == ["the live definition differs from the file", ""]
