"""The parts of a model card that depend on what the model predicts."""

from fedtune3d._utils.foreign_text import markdown
from fedtune3d.config.class_names import ClassNames, class_titles
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome, in_shown_order
from fedtune3d.report.export_info import ExportInfo
from fedtune3d.report.outcome_tables import OutcomeTable


def described(outcome: Outcome) -> str:
    """Say what the model is: `A two-class classifier of brain MRI scans`."""
    if isinstance(outcome, NumberOutcome):
        return f"A model that predicts {markdown(outcome.column)} from brain MRI scans"
    return f"A {'two' if outcome.is_binary else outcome.width}-class classifier of brain MRI scans"


def output(outcome: Outcome, names: ClassNames) -> str:
    """Say what the model gives, and how it becomes a prediction."""
    if isinstance(outcome, NumberOutcome):
        middle, half = (outcome.minimum + outcome.maximum) / 2, outcome.span / 2
        return f"one number y; {markdown(outcome.column)} is {outcome.shown(middle, 1)} + {half:g} · y"
    if outcome.is_binary:
        return f"two logits; the probability of {markdown(names.positive)} is the second value of their softmax"
    named = ", ".join(map(markdown, class_titles(outcome.names)))
    return f"{outcome.width} logits; their softmax gives the probabilities of {named}"


def limit(outcome: Outcome) -> str:
    """Say what the model cannot tell."""
    if isinstance(outcome, NumberOutcome):
        limits = f"{outcome.minimum:g} to {outcome.shown(outcome.maximum, 0)}"
        return f"It predicts {markdown(outcome.column)} from {limits} and says nothing about any disease"
    classes = "two classes" if outcome.is_binary else f"{outcome.width} classes"
    return f"It tells the {classes} above apart and says nothing about any other disease"


def class_table(info: ExportInfo) -> OutcomeTable | None:
    """Tabulate the diagnoses of each class by site, once if all sites share them; None for a number."""
    if isinstance(info.outcome, NumberOutcome):
        return None
    names = in_shown_order(info.outcome.names)
    rows = [tuple(", ".join(labels[name]) for name in names) for labels in info.labels.values()]
    titles = class_titles(names)
    header = ("Site", *(title.capitalize() if info.outcome.is_binary else title for title in titles))
    if len(set(rows)) == 1:
        return OutcomeTable("Classes", header, [("all", *rows[0])])
    return OutcomeTable("Classes", header, [(site, *row) for site, row in zip(info.labels, rows, strict=True)])
