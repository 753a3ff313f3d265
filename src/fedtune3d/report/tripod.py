"""The TRIPOD+AI checklist of a run, filled as far as its folder allows; the rest is for the authors."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.foreign_text import markdown
from fedtune3d.config.experiment import Experiment
from fedtune3d.report.run_contents import FinishedRun
from fedtune3d.report.tripod_items import ITEMS, Answer, Item
from fedtune3d.report.tripod_methods import METHODS_ANSWERS
from fedtune3d.report.tripod_results import RESULTS_ANSWERS

SOURCE = "Collins et al., BMJ 2024;385:e078378; items in our words"
FOR_THE_AUTHORS = Answer("for the authors", "")


@dataclass(frozen=True)
class TripodRow:
    """An item, and its answer, whose text is empty where the item is for the authors alone."""

    item: Item
    answer: Answer


def tripod_rows(run: FinishedRun, experiment: Experiment) -> list[TripodRow]:
    """Fill the checklist."""
    answers = METHODS_ANSWERS | RESULTS_ANSWERS
    return [
        TripodRow(item, answers[item.number](run, experiment) if item.number in answers else FOR_THE_AUTHORS)
        for item in ITEMS
    ]


def tripod_markdown(rows: Sequence[TripodRow]) -> str:
    """Write the checklist as a Markdown table."""
    lines = [
        f"TRIPOD+AI checklist ({SOURCE}). Filled by a program as far as it can: check every entry, and complete what "
        "is partly filled or for the authors.",
        "",
        "| Item | Topic | Asks for | Status | Text |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        text = markdown(row.answer.text) if row.answer.text else ""
        lines.append(f"| {' | '.join((row.item.number, row.item.topic, row.item.asks, row.answer.status, text))} |")
    return "\n".join(lines) + "\n"
