"""The model card of an export: the model, its training data, its measured performance and its limits."""

from collections.abc import Sequence

from fedtune3d._utils.folders.export import ADAPTER, ENCODER, HEAD, MODEL
from fedtune3d._utils.foreign_text import markdown
from fedtune3d.config.class_names import ClassNames, of_class
from fedtune3d.evaluation.confusion import Fraction
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import SetSize, TestMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.card_outcome import class_table, described, limit, output
from fedtune3d.report.experiment_lines import inclusion_sentences
from fedtune3d.report.export_info import ExportInfo
from fedtune3d.report.methods import experiment_of
from fedtune3d.report.number_formatting import (
    METHODS,
    caveat,
    encoder_title,
    head_title,
    interval,
    plural,
    pretraining_title,
    rule_title,
    tuning_title,
    weights_title,
)
from fedtune3d.report.number_formatting import threshold as shown_threshold
from fedtune3d.report.outcome_tables import OutcomeTable, main_table, measured_tables
from fedtune3d.report.result_warnings import result_warnings
from fedtune3d.report.run_contents import FinishedRun
from fedtune3d.report.sample_sizes import people_by_class, percentage
from fedtune3d.report.table import shown_methods

MEASURES = ("People", "AUC", "Balanced accuracy", "Sensitivity", "Specificity")

INTENDED_USE = """\
Research only: to compare methods of federated fine-tuning, and to reproduce or continue this experiment. The input is
a T1-weighted scan of an adult, similar to those of the sites below and prepared in the same way.
**This is not a medical device. It must not inform the diagnosis or the treatment of anyone.**"""

LIMITS = """\
- {outcome}.
- It was measured on test scans of the sites above only. With another scanner, sequence, age range or prevalence it
  may perform worse, by an amount that the numbers above do not show.
- {calibration}
- The round was chosen by validation scores, which are therefore optimistic; the test numbers above are not affected.
- Weights can reveal information about the scans on which they were trained. {protection}"""

HOW_TO_USE = """\
```python
from fedtune3d.workflows.export import load_exported

exported = load_exported("model.safetensors")
print(exported.predict("scan.nii.gz"))   # prepares the scan, with or without skull
model, info = exported                   # prepared scans (B, 1, s, s, s) → outputs (B, k)
```"""

HOW_TO_RECALIBRATE = """

```python
probability = float(model(scan).softmax(dim=1)[0, 1])
recalibrated = info.recalibration.probability_beside(probability, info.threshold)   # agrees with the predicted class
```"""


def model_card(contents: FinishedRun, info: ExportInfo, files: Sequence[str]) -> str:
    """Write the card as Markdown, from the half of the run folder that may leave its sites.

    Args:
        contents: A finished run.
        info: The header of the exported files.
        files: Names of the files and folders next to the card.
    """
    metrics = contents.metrics
    warning = caveat(metrics)
    sections = [
        f"# {markdown(info.experiment)}",
        f"{described(info.outcome)}, fine-tuned by federated learning across {plural(len(contents.sites), 'site')}.",
        f"> **{warning}**" if warning else "",
        *(f"> **Warning:** {text}" for text in result_warnings(metrics, contents.names, contents.ledger)),
        _own_layers(info),
        "## Intended use\n\n" + INTENDED_USE,
        "## Files\n\n" + "\n".join(f"- `{name}`: {_FILES[name]}" for name in files),
        HOW_TO_USE + (HOW_TO_RECALIBRATE if _is_recalibrated(info) else "") if MODEL in files else "",
        "## The model\n\n" + _table(("", ""), _facts(contents, info)),
        "" if (classes := class_table(info)) is None else "## Classes\n\n" + _outcome_table(classes),
        "## Data\n\n" + _included(contents) + _data(contents),
        "## Measured on the test scans\n\n" + _measured(contents, info),
        "## Limits\n\n"
        + LIMITS.format(
            outcome=limit(info.outcome), calibration=_calibration_limit(info), protection=_protection(contents)
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


_FILES = {
    MODEL: "the whole model; its header says how to rebuild it",
    HEAD: "the head",
    ENCODER: "the encoder, all of which was trained; can be the `weights` of another experiment",
    ADAPTER: "the LoRA adapters in PEFT's format, for the encoder with the weights named below",
}


def _own_layers(info: ExportInfo) -> str:
    if info.layers_of is None:
        return ""
    site, rule = markdown(info.layers_of), markdown(rule_title(info.rule))
    return (
        f"**The normalisation layers are those of site {site}.** Under {rule} "
        "each site keeps its own, so this is that site's model, and only that site's test numbers are about it."
    )


def _facts(contents: FinishedRun, info: ExportInfo) -> list[tuple[str, str]]:
    weights, preparation, cost = info.weights, info.preparation, contents.metrics.cost
    source = "random, drawn from the seed" if weights.source == "random" else markdown(weights_title(weights))
    digest = f", SHA-256 `{weights.sha256}`" if weights.sha256 else ""
    origin = weights.hub
    came_from = markdown(f", from {origin.repository} at {origin.revision} on the Hugging Face hub") if origin else ""
    seen = [] if weights.source == "random" else [("Pre-trained on", markdown(pretraining_title(info.encoder)))]
    return [
        ("Encoder", markdown(encoder_title(info.encoder))),
        ("Its weights before training", source + digest + came_from),
        *seen,
        ("Head", markdown(head_title(info.head))),
        (
            "Tuning",
            f"{markdown(tuning_title(info.tuning))}, {cost.trainable_parameters:,} of {cost.parameters:,} parameters",
        ),
        ("Aggregation", markdown(rule_title(info.rule))),
        ("Round", f"{info.best_round} of {contents.config['training']['rounds']}, chosen by validation"),
        ("Seed", str(contents.config["seed"])),
        (
            "Input",
            f"a T1-weighted scan as `fedtune3d prepare` makes it (steps: {_written(preparation.steps)}; intensity: "
            f"{preparation.intensity}): RAS, {preparation.size} voxels of "
            f"{preparation.spacing_mm} mm along each axis, centred on the brain, "
            f"{preparation.background:g} outside it",
        ),
        ("Output", output(info.outcome, contents.names)),
        *(_decision(info, contents.names) if info.outcome.is_binary else []),
        ("Written by", f"fedtune3d {info.fedtune3d}"),
    ]


def _decision(info: ExportInfo, names: ClassNames) -> list[tuple[str, str]]:
    return [("Threshold", _threshold(info, names)), ("Recalibration", _recalibration(info, names))]


def _threshold(info: ExportInfo, names: ClassNames) -> str:
    if info.threshold is None:
        return "none: there were no validation scans"
    text = f"{markdown(names.positive)} at {shown_threshold(info.threshold)} or above"
    if info.recalibration is None or not info.recalibration.keeps_order:
        return text
    return f"{text} (recalibrated: {shown_threshold(info.recalibration.probability(info.threshold))} or above)"


def _is_recalibrated(info: ExportInfo) -> bool:
    return info.threshold is not None and info.recalibration is not None and info.recalibration.keeps_order


def _recalibration(info: ExportInfo, names: ClassNames) -> str:
    scaling = info.recalibration
    if scaling is None:
        return "none"
    negatives, positives = scaling.scans
    formula = f"recalibrated logit = {scaling.slope:.4g} · logit {scaling.intercept:+.4g}".replace("-", "−")
    by_class = f"{of_class(positives, names.positive)}, {of_class(negatives, names.negative)}"
    fitted = f"Platt scaling on validation scans ({markdown(by_class)}): {formula}"
    return fitted if scaling.keeps_order else f"{fitted}; not to be used, as it would reverse the classes"


def _calibration_limit(info: ExportInfo) -> str:
    chosen = "the threshold was chosen on the sites' validation scans for balanced accuracy."
    if isinstance(info.outcome, NumberOutcome):
        return (
            "Predictions are drawn towards the mean of the training people: the gap to the true number depends on it."
        )
    if not info.outcome.is_binary:
        return "Probabilities were not calibrated, and classes were weighted alike: they do not follow the prevalence."
    if not _is_recalibrated(info):
        return f"The probability was not calibrated; {chosen}"
    return (
        "The recalibration was fitted on few validation scans, at their prevalence; another prevalence "
        f"needs another intercept; {chosen}"
    )


def _protection(contents: FinishedRun) -> str:
    """Say what protects the people behind the weights."""
    epsilon = contents.config.get("privacy", {}).get("epsilon")
    if epsilon is None:
        return "They were trained without differential privacy, so nothing limits what can be inferred."
    return f"Training was differentially private per person, with ε = {epsilon:g} at each site."


def _included(contents: FinishedRun) -> str:
    """Say whose scans the model was trained and tested on, if an experiment includes only some."""
    experiment = experiment_of(contents)
    sentences = [] if experiment is None else list(inclusion_sentences(experiment))
    return markdown(" ".join(sentences)) + "\n\n" if sentences else ""


def _data(contents: FinishedRun) -> str:
    """Tabulate the scans of each split per site, with people and, of two classes, test scans of the positive one."""
    tested = dict[str, SetSize](contents.metrics.evaluated["federated"].sites)
    rows = []
    for site in contents.sites:
        entries = [line.sites[site] for line in contents.ledger if site in line.sites]
        training = max((entry.examples or 0 for entry in entries), default=0)
        validation = max((entry.received.examples for entry in entries if entry.received), default=0)
        test = tested[site]
        positives = (test.positives,) if isinstance(test, TestMetrics) else ()
        rows.append((markdown(site), training, validation, test.scans, test.participants, *positives))
    header = ["Site", "Training scans", "Validation scans", "Test scans", "Test people"]
    header += [f"Test scans of {markdown(contents.names.positive)}"] if contents.metrics.outcome.is_binary else []
    what = "simulated, not of patients" if contents.metrics.simulated else "of real people, as provided by the sites"
    return f"The scans are {what}. All scans of a person are in one split.\n\n" + _table(header, rows)


def _measured(contents: FinishedRun, info: ExportInfo) -> str:
    """Tabulate the federated model's metrics per site and pooled, then the mean AUC of every method."""
    metrics = contents.metrics
    if not metrics.outcome.is_binary:
        tables = measured_tables(metrics, info.layers_of) + ([] if info.layers_of else [main_table(metrics)])
        parts = [(markdown(table.title), _outcome_table(table), *map(markdown, table.notes)) for table in tables]
        return "\n\n".join(["Square brackets are 95% CIs.", *(text for part in parts for text in part)])
    rows = [
        (
            markdown(name),
            people_by_class(test),
            *map(_cell, (test.auc, test.balanced_accuracy)),
            _counted(test.sensitivity, None if test.confusion is None else test.confusion.sensitivity),
            _counted(test.specificity, None if test.confusion is None else test.confusion.specificity),
        )
        for name, test in metrics.federated.parts.items()
        if info.layers_of in (None, name)
    ]
    text = (
        f"People are those with test scans, {markdown(contents.names.both)}; square brackets are 95% CIs, round ones "
        "scans classified correctly / all; `few` marks fewer than ten people in a class.\n\n"
        + _table(("Site", *MEASURES), rows)
    )
    if info.layers_of is not None:
        return text
    means = [(METHODS[name], _cell(metrics.methods[name].mean_auc)) for name in shown_methods(metrics)]
    pooled = metrics.federated.pooled
    predictive = [
        (f"{percentage(at.prevalence)}{' (test sets)' * at.of_test_set}", _cell(at.positive), _cell(at.negative))
        for at in (pooled.predictive_values if pooled else ())
    ]
    return "\n\n".join(
        (
            text,
            _table(("Prevalence", "Positive predictive value", "Negative predictive value"), predictive),
            _table(("Method", "Mean AUC over sites"), means),
        )
    )


def _counted(estimate: Estimate, fraction: Fraction | None) -> str:
    return _cell(estimate) if estimate.value is None else f"{_cell(estimate)} ({fraction})"


def _cell(estimate: Estimate) -> str:
    return interval(estimate) + (f" {estimate.mark}" if estimate.mark else "")


def _outcome_table(table: OutcomeTable) -> str:
    return _table([*map(markdown, table.header)], [[*map(markdown, row)] for row in table.rows])


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out cells that are Markdown already: whoever fills them in escapes what is foreign."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _written(steps: str | Sequence[str]) -> str:
    return steps if isinstance(steps, str) else ", ".join(steps) or "none"
