"""The tables of calibration, of the operating point at a given specificity, and of the gaps between groups."""

from collections.abc import Mapping
from typing import Any

from fedtune3d.evaluation.sample import FROM_COUNTS
from fedtune3d.report.table import AucRow, auc_rows, shown_methods

AXES = {"sex": "Sex", "age": "Age", "scanner": "Scanner", "site": "Site"}
"""What groups are of, in the order in which it is shown."""
SEEN_ERROR = 0.005
"""An error of an AUC from here up shows in two digits."""


def delong_rows(metrics: Mapping[str, Any]) -> list[AucRow]:
    """The rows of the AUC table, without the mean, with DeLong's (or Obuchowski's) interval."""
    methods = [metrics["methods"][name] for name in shown_methods(metrics)]
    rows = []
    for row in auc_rows(metrics):
        if row.kind == "site":
            estimates = [method["sites"].get(row.name, {}).get("auc_delong") for method in methods]
            rows.append(row._replace(estimates=estimates))
        elif row.kind == "pooled":
            parts = [method["pooled"] for method in methods]
            rows.append(row._replace(estimates=[part["auc_delong"] if part else None for part in parts]))
    return rows


def specificity_rows(metrics: Mapping[str, Any], method: str) -> list[dict[str, Any]]:
    """Threshold, sensitivity and specificity of a method at the specificity aimed at, per site and pooled."""
    return [{"name": name, **part["at_specificity"]} for name, part in _parts(metrics, method).items()]


def calibration_rows(metrics: Mapping[str, Any], method: str) -> list[dict[str, Any]]:
    """Slope, intercept, Brier score and calibration error of a method, per site and pooled."""
    return [
        {"name": name, "scans": part["scans"], **part["calibration"]} for name, part in _parts(metrics, method).items()
    ]


def group_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each group of the federated model's test scans; an axis on which nothing is known or that has one group is left
    out."""
    rows = []
    for axis, found in _axes(metrics).items():
        for name, group in found["groups"].items():
            negatives, positives = group["participants_by_class"]
            people = f"{positives} + {negatives}"
            rows.append({"axis": AXES.get(axis, axis), "name": name, "people": people, **group})
    return rows


def held_back(metrics: Mapping[str, Any]) -> list[str]:
    """`Sex: 2`, … for each axis of which sites held groups back."""
    axes = metrics["methods"]["federated"]["groups"] or {}
    return [f"{AXES.get(axis, axis).lower()}: {part['held_back']}" for axis, part in axes.items() if part["held_back"]]


def grid_note(metrics: Mapping[str, Any]) -> str:
    """What a reader must know where many scans share a bin of the grid; empty where the grid is fine enough."""
    pooled = metrics["methods"]["federated"]["pooled"]
    error = pooled.get("grid_error") if pooled else None
    told = any(axis != "site" for axis in _axes(metrics))
    if error is None or error < SEEN_ERROR or not (told or FROM_COUNTS in pooled["auc"]["method"]):
        return ""
    return (
        "Many probabilities are nearly equal. An AUC that is counted on the grid of probabilities (by sex, age and "
        f"scanner, and wherever predictions stay at their site) takes them as ties and may err by up to {error:.2f}."
    )


def statistic_methods(metrics: Mapping[str, Any]) -> set[str]:
    """Every way in which an interval here was made."""
    found = set()
    for name in shown_methods(metrics):
        for part in _parts(metrics, name).values():
            estimates = [part["auc_delong"], *(part["calibration"][key] for key in ("slope", "intercept", "brier"))]
            estimates += [part["at_specificity"][key] for key in ("sensitivity", "specificity")]
            found |= {estimate["method"] for estimate in estimates}
    for row in group_rows(metrics):
        found |= {estimate["method"] for estimate in (row["auc"], *row["gaps"].values())}
    return found


def _axes(metrics: Mapping[str, Any]) -> dict[str, Any]:
    axes = metrics["methods"]["federated"]["groups"] or {}
    return {axis: axes[axis] for axis in (*AXES, *axes) if axis in axes and len(axes[axis]["groups"]) > 1}


def _parts(metrics: Mapping[str, Any], method: str) -> dict[str, Any]:
    found = metrics["methods"][method]
    return {**found["sites"], **({"Pooled": found["pooled"]} if found["pooled"] else {})}
