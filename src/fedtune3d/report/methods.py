"""The methods of a run as text for a paper, from its configuration, its flow of participants and its results."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.foreign_text import markdown
from fedtune3d.cohorts.labels import Diagnoses, LabelMapping, Labels, Truth
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.config.class_names import class_title, class_titles
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import NumberOutcome, in_shown_order
from fedtune3d.report.against import budget_note
from fedtune3d.report.experiment_lines import inclusion_sentences
from fedtune3d.report.headline import answer, headline
from fedtune3d.report.methods_preparation import preparation_sentences
from fedtune3d.report.methods_statistics import statistics_sentences
from fedtune3d.report.methods_training import model_sentences, training_sentences
from fedtune3d.report.number_formatting import METHODS, caveat, difference, p_value, plural, sentence_case
from fedtune3d.report.references import Citations
from fedtune3d.report.run_contents import FinishedRun, RunContents
from fedtune3d.report.split_sizes import people_in, people_text


@dataclass(frozen=True)
class Paragraph:
    """A heading and the sentences below it."""

    heading: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Methods:
    """The text, and the references that it cites by number."""

    paragraphs: tuple[Paragraph, ...]
    references: tuple[str, ...]


def finished(contents: RunContents) -> FinishedRun | None:
    """Return a run as a finished one; None while it continues."""
    if contents.metrics is None or contents.environment is None:
        return None
    return FinishedRun(**vars(contents))


def experiment_of(contents: RunContents) -> Experiment | None:
    """Return a run's experiment; None if parts of it, such as an encoder of one's own, are not installed here."""
    try:
        return Experiment.model_validate(contents.config)
    except (ValidationError, InputError):
        return None


def methods_of(run: FinishedRun, experiment: Experiment) -> Methods:
    """Write the methods and the main result of a finished run."""
    cite = Citations()
    parts = (
        ("Data", _data_sentences(run, experiment)),
        ("Preparation", preparation_sentences(run, experiment, cite)),
        ("Model", model_sentences(run, experiment, cite)),
        ("Federated training", training_sentences(run, experiment, cite)),
        ("Comparisons", _baseline_sentences(run)),
        ("Statistics", statistics_sentences(run, experiment, cite)),
        ("Software", _software_sentences(run)),
        ("Result", _result_sentences(run)),
    )
    written = [Paragraph(heading, tuple(sentences)) for heading, sentences in parts]
    return Methods(tuple(paragraph for paragraph in written if paragraph.sentences), cite.cited)


def methods_markdown(methods: Methods) -> str:
    """Write the text as Markdown."""
    lines = []
    for paragraph in methods.paragraphs:
        lines += [f"**{paragraph.heading}.** " + " ".join(map(markdown, paragraph.sentences)), ""]
    lines += ["**References**", ""]
    lines += [f"{number}. {markdown(text)}" for number, text in enumerate(methods.references, start=1)]
    return "\n".join(lines) + "\n"


def label_sentences(experiment: Experiment) -> Iterator[str]:
    """Say who was included, and define the classes: once if all sites share a definition, else per site."""
    yield from inclusion_sentences(experiment)
    definitions = {site.name: _definition(experiment.labels_of(site)) for site in experiment.sites}
    if len(set(definitions.values())) == 1:
        yield f"{sentence_case(next(iter(definitions.values())))}."
        return
    for site, definition in definitions.items():
        yield f"At site {site}, {definition}."


def _definition(truth: Truth) -> str:
    """Write as a clause which scans were used, and as what."""
    if isinstance(truth, NumberColumn):
        outcome = truth.outcome
        limits = f"{outcome.minimum:g} to {outcome.shown(outcome.maximum, 0)}"
        others = "none was missing" if outcome.missing == "error" else "scans without it were excluded"
        return f"a scan was used with the number in column {outcome.column} ({limits}); {others}"
    by_expression = any(isinstance(wanted, str) for wanted in truth.classes.values())
    others = "all other scans" if by_expression else "scans with any other diagnosis"
    return f"{_classes(truth)}; {others} were excluded"


def _classes(labels: Labels) -> str:
    if isinstance(labels, LabelMapping):
        return f"{_members(labels.positive)} formed the positive class and {_members(labels.negative)} the negative"
    named = [
        class_title(name) if wanted == (name,) else f"{class_title(name)} ({_members(wanted)})"
        for name, wanted in in_shown_order(labels.classes.items())
    ]
    return f"the classes were {', '.join(named[:-1])} and {named[-1]}"


def _members(wanted: Diagnoses) -> str:
    """Name the scans of a class: `AD or MCI`, `class 1`, or `scans with cdr >= 1`."""
    if isinstance(wanted, str):
        return f"scans with {wanted}"
    if len(wanted) == 1:
        return class_title(wanted[0])
    listed = " or ".join(wanted)
    return listed if class_titles(wanted) == wanted else f"diagnosis {listed}"


def split_sentence(run: FinishedRun, experiment: Experiment) -> str:
    """Say how people were split, and how many are in each set."""
    shares = [f"{100 * share:g}%" for share in experiment.splits.fractions()]
    names = ("training", "validation", "testing")
    wanted = ", ".join(f"{share} for {name}" for share, name in zip(shares, names, strict=True))
    found = [people_in(run, split) for split in ("train", "validation", "test")]
    sizes = "; ".join(f"{name}: {people_text(size)}" for name, size in zip(names, found, strict=True))
    if any(size.people is None for size in found):
        sizes = "not every site lets its numbers leave"
    if (fold := experiment.fold) is not None:
        train, validation, _ = shares
        return (
            f"Within each site and class people were dealt at random (seed {experiment.seed}) into {fold.folds} folds, "
            f"with all scans of a person (or of a declared group) in one fold. Fold {fold.number} of repeat "
            f"{fold.repeat} was the test set; all other people were divided in the ratio of {train} for training to "
            f"{validation} for validation ({sizes})."
        )
    return (
        f"Within each site and {_stratum(experiment)} people were divided at random (seed {experiment.seed}) in the "
        f"proportions {wanted}, with all scans of a person (or of a declared group) in one set ({sizes})."
    )


def _stratum(experiment: Experiment) -> str:
    return "quartile of the number" if isinstance(experiment.outcome, NumberOutcome) else "class"


def _data_sentences(run: FinishedRun, experiment: Experiment) -> Iterator[str]:
    sites = f"{plural(len(run.sites), 'site')} ({', '.join(run.sites)})"
    if run.metrics.simulated:
        yield "Some or all of the scans were simulated and do not come from patients."
        yield f"Simulated T1-weighted scans came from {sites}."
    else:
        yield f"T1-weighted MRI scans of {people_text(people_in(run, 'all'))} came from {sites}."
    yield from label_sentences(experiment)
    yield split_sentence(run, experiment)


def _baseline_sentences(run: FinishedRun) -> Iterator[str]:
    if len(run.metrics.evaluated) > 1:
        yield budget_note(run)


def _software_sentences(run: FinishedRun) -> Iterator[str]:
    versions, environment = run.environment.versions, run.environment
    yield (
        f"Analyses used fedtune3d {versions['fedtune3d']}, PyTorch {versions['torch']} and Python {environment.python} "
        f"on {'a GPU' if environment.device == 'cuda' else 'CPUs'}."
    )


def _result_sentences(run: FinishedRun) -> Iterator[str]:
    yield answer(run.metrics, run.total_bytes)
    unit = headline(run.metrics).unit
    for name, against in run.metrics.against.items():
        found = against.mean.comparison
        if found.difference.value is None:
            continue
        yield (
            f"Federated minus {METHODS[name].lower()}, mean over sites: {difference(found.difference, unit)} "
            f"(p {_is(found.p_value)}; adjusted by Holm: p {_is(against.mean.p_holm)})."
        )
    if warning := caveat(run.metrics):
        yield warning


def _is(value: float | None) -> str:
    text = p_value(value)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"
