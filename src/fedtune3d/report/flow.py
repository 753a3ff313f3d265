"""Flow of participants: found, excluded (with reasons) and included, per class and split; one column per site."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.cohorts.flow import NOBODY, WHOLE_SITE, Counts, Flow
from fedtune3d.cohorts.records import BOTH_LABELS, OTHER_LABEL
from fedtune3d.evaluation.outcome import BINARY, in_shown_order
from fedtune3d.report.site_name import SiteName

HELD_BACK = "held back"
_SPLITS = {"train": "Training", "validation": "Validation", "test": "Test"}


@dataclass(frozen=True)
class FlowRow:
    """A line of the flow: title, whether it details the line above, and one cell per site plus one for all sites."""

    title: str
    part: bool
    cells: list[str]


def flow_rows(flows: Sequence[Flow | None], classes: Sequence[str] = BINARY.strata) -> list[FlowRow]:
    """Return the flow as rows of ``participants (scans)``.

    A cell is ``–`` if the site's flow is missing, and ``held back`` if its policy does not let the count leave.

    Args:
        flows: The flow of each site; None if it is missing.
        classes: The names of the classes, in the order of labels; one where a number is predicted.
    """
    known = [flow for flow in flows if flow is not None]
    rows = [
        _row("Found", False, flows, lambda flow: flow.found),
        _row("Excluded", False, flows, lambda flow: sum((step.counts for step in flow.left_out), NOBODY)),
    ]
    for reason, detail in _reasons(known):
        title = f"{_named(reason, classes)}: {detail}" if detail else _named(reason, classes)
        rows.append(_row(title, True, flows, partial(_step, reason=reason, detail=detail)))
    rows += [_row("Included", False, flows, lambda flow: flow.included), *_class_rows(flows, WHOLE_SITE, classes)]
    if any(flow.several_classes.participants != 0 for flow in known):
        several = "both" if len(classes) == 2 else "several"
        rows.append(_row(f"of these, with scans of {several} classes", True, flows, lambda flow: flow.several_classes))
    for split, title in _SPLITS.items():
        if any(split in flow.splits for flow in known):
            rows += [_row(title, False, flows, partial(_of_split, split=split)), *_class_rows(flows, split, classes)]
    return rows


def flow_table(flows: Mapping[str, Flow], classes: Sequence[str] = BINARY.strata) -> Table:
    """Tabulate the flow for the terminal."""
    table = Table(title="Participants (scans)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("")
    for column in flow_columns(list(flows)):
        table.add_column(SiteName(column), justify="right")
    for row in flow_rows(list(flows.values()), classes):
        table.add_row(Text(("  " if row.part else "") + row.title), *row.cells)
    return table


def flow_columns(sites: Sequence[str]) -> list[str]:
    """Return the column heads: the sites, and ``All`` if there are several."""
    return [*sites, *(["All"] if len(sites) > 1 else [])]


def _named(reason: str, classes: Sequence[str]) -> str:
    """Call two classes by their names in a reason for exclusion."""
    if len(classes) != 2:
        return reason
    negative, positive = classes
    words = {OTHER_LABEL: f"neither {positive} nor {negative}", BOTH_LABELS: f"both {positive} and {negative}"}
    return words.get(reason, reason)


def _reasons(flows: Sequence[Flow]) -> list[tuple[str, str]]:
    """Return all reasons for leaving people out, keeping the order within each site."""
    places: dict[tuple[str, str], int] = {}
    for flow in flows:
        for place, step in enumerate(flow.left_out):
            key = (step.reason, step.detail)
            places[key] = max(place, places.get(key, 0))
    return sorted(places, key=lambda key: places[key])


def _class_rows(flows: Sequence[Flow | None], split: str, classes: Sequence[str]) -> list[FlowRow]:
    """Return a row per class, in shown order; none where a number is predicted."""
    labels = in_shown_order(range(len(classes))) if len(classes) > 1 else ()
    return [_row(classes[label], True, flows, partial(_of_class, split=split, label=label)) for label in labels]


def _row(title: str, part: bool, flows: Sequence[Flow | None], counts_of: Callable[[Flow], Counts]) -> FlowRow:
    by_site = [None if flow is None else counts_of(flow) for flow in flows]
    if len(flows) > 1:
        known = [counts for counts in by_site if counts is not None]
        by_site.append(sum(known, NOBODY) if len(known) == len(flows) else None)
    return FlowRow(title, part, ["–" if counts is None else _cell(counts) for counts in by_site])


def _of_class(flow: Flow, split: str, label: int) -> Counts:
    return flow.splits[split].of(label)


def _of_split(flow: Flow, split: str) -> Counts:
    return flow.splits[split].total


def _step(flow: Flow, reason: str, detail: str) -> Counts:
    return next((step.counts for step in flow.left_out if (step.reason, step.detail) == (reason, detail)), NOBODY)


def _cell(counts: Counts) -> str:
    participants, scans = (HELD_BACK if count is None else str(count) for count in (counts.participants, counts.scans))
    return participants if participants == scans == HELD_BACK else f"{participants} ({scans})"
