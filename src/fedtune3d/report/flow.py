"""The flow of participants: who was found, left out and why, and included, per class and split, a column a site."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

HELD_BACK = "held back"
_SPLITS = {"train": "Training", "validation": "Validation", "test": "Test"}
_UNITS = ("participants", "scans")

Flow = Mapping[str, Any]
Counts = Mapping[str, int | None]


@dataclass(frozen=True)
class FlowRow:
    """A line of the flow: its title, whether it is a part of the line above, and a cell a site and one for all."""

    title: str
    part: bool
    cells: list[str]


def flow_rows(flows: Sequence[Flow | None]) -> list[FlowRow]:
    """The flow as rows of ``participants (scans)``; ``–`` where a site's is not here, ``held back`` what may not leave.

    Args:
        flows: Of each site, as `cohorts.flow` gives it, or None.
    """
    known = [flow for flow in flows if flow is not None]
    rows = [_row("Found", False, flows, itemgetter("found")), _row("Left out", False, flows, _all_left_out)]
    for reason, detail in _reasons(known):
        title = f"{reason}: {detail}" if detail else reason
        rows.append(_row(title, True, flows, partial(_step, reason=reason, detail=detail)))
    rows += [_row("Included", False, flows, itemgetter("included")), *_class_rows(flows, "all")]
    if any(flow["both_classes"]["participants"] != 0 for flow in known):
        rows.append(_row("of these, with scans of both classes", True, flows, itemgetter("both_classes")))
    for split, title in _SPLITS.items():
        if any(split in flow["scans"] for flow in known):
            rows += [_row(title, False, flows, partial(_sum, split=split)), *_class_rows(flows, split)]
    return rows


def flow_table(flows: Mapping[str, Flow]) -> Table:
    """The flow for the terminal."""
    table = Table(title="Participants (scans)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("")
    for column in flow_columns(list(flows)):
        table.add_column(Text(column), justify="right", no_wrap=True)
    for row in flow_rows(list(flows.values())):
        table.add_row(Text(("  " if row.part else "") + row.title), *row.cells)
    return table


def flow_columns(sites: Sequence[str]) -> list[str]:
    """The sites, and ``All`` where there are several."""
    return [*sites, *(["All"] if len(sites) > 1 else [])]


def _reasons(flows: Sequence[Flow]) -> list[tuple[str, str]]:
    """Every reason that a site has, each site's in its order."""
    found: dict[tuple[str, str], int] = {}
    for flow in flows:
        for place, step in enumerate(flow["left_out"]):
            key = (step["reason"], step["detail"])
            found[key] = max(place, found.get(key, 0))
    return sorted(found, key=lambda key: found[key])


def _class_rows(flows: Sequence[Flow | None], split: str) -> list[FlowRow]:
    return [
        _row(title, True, flows, partial(_of_class, split=split, label=label))
        for title, label in (("positive", 1), ("negative", 0))
    ]


def _row(title: str, part: bool, flows: Sequence[Flow | None], counts: Callable[[Flow], Counts]) -> FlowRow:
    found = [None if flow is None else counts(flow) for flow in flows]
    if len(flows) > 1:
        known = [one for one in found if one is not None]
        found.append(
            {unit: _total([one[unit] for one in known]) for unit in _UNITS} if len(known) == len(flows) else None
        )
    return FlowRow(title, part, ["–" if one is None else _cell(one) for one in found])


def _all_left_out(flow: Flow) -> Counts:
    return {unit: _total([step[unit] for step in flow["left_out"]]) for unit in _UNITS}


def _of_class(flow: Flow, split: str, label: int) -> Counts:
    return {unit: flow[unit][split][label] for unit in _UNITS}


def _step(flow: Flow, reason: str, detail: str) -> Counts:
    for step in flow["left_out"]:
        if (step["reason"], step["detail"]) == (reason, detail):
            return {unit: step[unit] for unit in _UNITS}
    return dict.fromkeys(_UNITS, 0)


def _sum(flow: Flow, split: str) -> Counts:
    return {unit: _total(flow[unit][split]) for unit in _UNITS}


def _total(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(count for count in counts if count is not None)


def _cell(counts: Counts) -> str:
    participants, scans = (HELD_BACK if counts[unit] is None else str(counts[unit]) for unit in _UNITS)
    return participants if participants == scans == HELD_BACK else f"{participants} ({scans})"
