"""Facts of the first screen of a run that predicts one of three or more classes, or a number."""

from collections.abc import Iterator

from fedtune3d.config.class_names import ClassNames, class_titles, of_class
from fedtune3d.evaluation.metrics import RunMetrics, SetSize
from fedtune3d.evaluation.multiclass.confusion_matrix import ConfusionMatrix
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.report.experiment_lines import inclusion_sentences
from fedtune3d.report.few_sites import few_sites_text
from fedtune3d.report.methods import experiment_of
from fedtune3d.report.number_formatting import plural, sites_have
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.split_sizes import HELD_BACK, people_in, size_text
from fedtune3d.report.statements import ci
from fedtune3d.report.what_left import what_left_short


def outcome_facts(contents: RunContents, metrics: RunMetrics) -> list[tuple[str, str]]:
    """Return name and text: on whom the model was tested, what it found, what left, what to do with a scan."""
    return [
        ("Trained on", trained_on(contents)),
        ("Tested on", _sample(metrics)),
        *included(contents),
        *_found(metrics),
        ("Left the sites", what_left_short(contents)),
        ("A new scan", new_scan(metrics.outcome)),
    ]


def trained_on(contents: RunContents, names: ClassNames | None = None) -> str:
    """Say how many people are in the training sets, by class with the names of two, and how many chose the round."""
    train, validation = (people_in(contents, split) for split in ("train", "validation"))
    if train.people is None or validation.people is None:
        return HELD_BACK
    classes = train.classes if names is None else names.in_order
    return f"{size_text(train.people, classes)}; {sum(validation.people)} others for model selection"


def included(contents: RunContents) -> list[tuple[str, str]]:
    """Return whose scans were included, if a run included only some; it holds for new scans, too."""
    experiment = experiment_of(contents)
    sentences = [] if experiment is None else list(inclusion_sentences(experiment))
    return [("Included", f"{' '.join(sentences)} Predictions for anybody else were not tested")] if sentences else []


def _sample(metrics: RunMetrics) -> str:
    tested = dict[str, SetSize](metrics.evaluated["federated"].sites)
    with_scans = {site: test for site, test in tested.items() if test.scans}
    people = sum(test.participants for test in with_scans.values())
    people = people if metrics.test_groups is None else metrics.test_groups
    text = f"{people} other {'person' if people == 1 else 'people'}{_by_class(metrics)}"
    if (scans := sum(test.scans for test in with_scans.values())) != people:
        text += f" with {plural(scans, 'scan')}"
    text += f" at {plural(len(with_scans), 'site')}"
    if few := few_sites_text(metrics):
        text += f". {few}, so intervals are wide"
    if unknown := len(tested) - len(with_scans):
        text += f". {sites_have(unknown)} no test scans, or too few to say"
    return text


def _by_class(metrics: RunMetrics) -> str:
    if (classes := metrics.class_methods.get("federated")) is None:
        return ""
    counts = [
        sum(test.of_class[label].people for test in classes.sites.values()) for label in range(len(classes.classes))
    ]
    return f" ({', '.join(of_class(count, name) for count, name in zip(counts, classes.classes, strict=True))})"


def _found(metrics: RunMetrics) -> Iterator[tuple[str, str]]:
    if (classes := metrics.class_methods.get("federated")) is not None:
        yield from _of_classes(classes)
    elif (pooled := metrics.number_methods["federated"].pooled) is not None:
        unit = metrics.outcome.unit if isinstance(metrics.outcome, NumberOutcome) else ""
        measures = pooled.measures
        yield "Bias", f"{ci(measures.bias, '+', unit)}, predicted minus true number, all sites"
        explained = f"R² {ci(measures.r_squared)}, all sites"
        if measures.r_squared.limits is not None and measures.r_squared.limits[1] <= 0:
            explained += "; not shown to be better than predicting the mean number for everybody"
        yield "Variance explained", explained


def _of_classes(classes: ClassMetrics) -> Iterator[tuple[str, str]]:
    if (pooled := classes.pooled) is None:
        return
    titles = class_titles(classes.classes)
    parts = list(zip(titles, pooled.of_class, strict=True))
    yield "Each class against the others", "; ".join(f"{name} AUC {ci(part.auc)}" for name, part in parts)
    accuracy = f"balanced accuracy {ci(pooled.balanced_accuracy)}, all sites; guessing gives {1 / len(parts):.2f}"
    if (only := _only_class(pooled.confusion)) is not None:
        accuracy += f". Every test scan is classified as {titles[only]}, so the predicted class is uninformative"
    yield "Predicted class", accuracy
    limits = pooled.macro_auc.limits
    if limits is not None and limits[1] <= 0.5:
        yield "Better than chance", f"not shown: macro AUC {ci(pooled.macro_auc)}, all sites; chance gives 0.50"


def _only_class(confusion: ConfusionMatrix) -> int | None:
    """The class that all scans are called; None if there are several, or cells are held back."""
    called = {column for row in confusion.cells for column, scans in enumerate(row) if scans != 0}
    return called.pop() if len(called) == 1 else None


def new_scan(outcome: Outcome) -> str:
    """Say what the model gives for a new scan, of three or more classes or of a number."""
    if isinstance(outcome, NumberOutcome):
        return f"the model gives {outcome.column}{f' in {outcome.unit}' if outcome.unit else ''}"
    *others, last = class_titles(outcome.names)
    return f"the model gives the probability of {', '.join(others)} and {last}; the class with the highest is predicted"
