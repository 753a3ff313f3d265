"""Formatting of numbers and names for readers, and the sentences built from them."""

import math
from collections.abc import Iterator, Sequence

from fedtune3d.config.study_results import VariantRecord
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import RunMetrics, WeightsSource
from fedtune3d.evaluation.regression.corrected_gap import FLAT
from fedtune3d.federation.environment import Environment
from fedtune3d.report.ties import tie_cell

METHODS = {
    "federated": "Federated",
    "local": "Local",
    "centralized": "Centralized",
    "leave_one_site_out": "Leave one site out",
}
"""The methods in the order in which they are shown, and their titles."""

NO_WIDTH = "no interval: its estimated width is 0"
"""The text in the place of an interval whose limits are equal."""

FEWEST_DIGITS, MOST_DIGITS = 3, 25
"""Neighbouring floating-point numbers above 1e-8 differ within 25 digits."""

_TUNINGS = {"frozen": "frozen encoder", "full": "full fine-tuning", "lora": "LoRA"}


def head_title(name: str) -> str:
    """Return the title of a head: `conv_s` → `CONV S head`; the name itself if no such head is installed."""
    return f"{_head_label(name)} head"


def _head_label(name: str) -> str:
    from fedtune3d.models import heads

    return heads.head_title(name) if name in heads.head_names() else name


def encoder_title(name: str) -> str:
    """Return the title of an encoder: `vit_b` → `SAM-Med3D ViT-B (vit_b)`; the name itself if it is not installed."""
    label = _encoder_label(name)
    return label if label == name else f"{label} ({name})"


def _encoder_label(name: str) -> str:
    from fedtune3d.models.encoders import encoder_names, encoder_spec

    return encoder_spec(name).title if name in encoder_names() else name


def pretraining_title(name: str) -> str:
    """Describe the cohorts that an encoder was pre-trained on, as far as known; never says that it saw no others."""
    from fedtune3d.models.encoders import encoder_names, encoder_spec

    cohorts = encoder_spec(name).cohorts if name in encoder_names() else None
    if cohorts is None:
        return "cohorts not known here; it may have seen people of public cohorts"
    return f"{', '.join(cohorts)}, according to its authors"


def weights_title(weights: WeightsSource) -> str:
    """Describe the encoder's weights: `random`, or `pre-trained, from sam_med3d_turbo.pth`."""
    return weights.source if weights.source == "random" else f"pre-trained, from {weights.source}"


def encoder_with_weights(name: str, weights: WeightsSource) -> str:
    """Name an encoder and the kind of its weights: `SAM-Med3D ViT-B (random weights)`; "" if it is not installed."""
    label = _encoder_label(name)
    return "" if label == name else f"{label} ({'random weights' if weights.source == 'random' else 'pre-trained'})"


def tuning_title(name: str) -> str:
    """Return the title of a tuning method: `frozen` → `frozen encoder`."""
    return _TUNINGS.get(name, name)


def rule_title(name: str) -> str:
    """Return the name of a rule's class, which is the paper's, and what in it is ours: `fedavg` → `FedAvg`."""
    from fedtune3d.aggregation.registry import rule_title

    return rule_title(name)


_SHORT = {
    "ncc": "NCC",
    "resnet18": "ResNet-18",
    "random": "Random weights",
    "frozen": "frozen",
    "full": "full",
    "lora": "LoRA",
}


def variant_title(part: str, variant: VariantRecord) -> str:
    """Return the short title of a study's encoder, head, tuning or rule, with its options in brackets."""
    name = variant.name
    if part == "encoder":
        title = _encoder_label(name)
    else:
        title = rule_title(name) if part == "rule" else _SHORT.get(name) or _head_label(name)
    if not variant.note:
        return title
    return f"{title.removesuffix(')')}, {variant.note})" if title.endswith(")") else f"{title} ({variant.note})"


def interval(estimate: Estimate) -> str:
    """Format an estimate and its CI as `0.81 [0.74, 0.88]`, or give the reason why it is undefined."""
    return _with_limits(estimate, "")


def difference(estimate: Estimate, unit: str = "") -> str:
    """Format a difference and its CI as `+0.03 [−0.05, +0.11]`, or give the reason why it is undefined."""
    return _with_limits(estimate, "+") + (f" {unit}" if unit and estimate.limits else "")


def _with_limits(estimate: Estimate, sign: str) -> str:
    if estimate.limits is None:
        if cell := tie_cell(estimate):
            return cell
        return FLAT if estimate.undefined == FLAT else f"not defined: {estimate.undefined}"
    value, low, high = limits_text(estimate.limits, sign)
    return f"{value} [{low}, {high}]" if low != high else f"{value} ({NO_WIDTH})"


def limits_text(limits: tuple[float, float, float], sign: str = "") -> tuple[str, str, str]:
    """Format an estimate and its limits with two digits, or with as many, up to six, as tell the limits apart.

    A difference has as many as show that its CI excludes 0, where it does. An estimate that is 0 with these digits has
    no sign; a limit keeps it, as it tells on which side of 0 it lies.

    Args:
        limits: Estimate, lower and upper limit.
        sign: ``+`` to show the sign of positive numbers, too.
    """
    _, least, most = limits
    nearest = min(abs(least), abs(most)) if sign and least * most > 0 else 1
    apart = (
        count
        for count in range(2, 7)
        if f"{least:.{count}f}" != f"{most:.{count}f}" and float(f"{nearest:.{count}f}") > 0
    )
    digits = next(apart, 2)
    value, low, high = (format(number, f"{sign}.{digits}f").replace("-", "−") for number in limits)
    return value if value.strip("+−0.") else value.lstrip("+−"), low, high


def threshold(probability: float | None) -> str:
    """Format a threshold as `0.512`, with more digits if it would read 0.000 or 1.000; a dash if there is none."""
    return "–" if probability is None else f"{probability:.{verdict_digits(probability)}f}"


def probability_text(value: float, digits: int = FEWEST_DIGITS) -> str:
    """Format a probability as `0.512`; one that would read 0.000 or 1.000 as `<0.001` or `>0.999`."""
    smallest = 10.0**-digits
    if round(value, digits) <= 0:
        return f"<{smallest:.{digits}f}"
    return f">{1 - smallest:.{digits}f}" if round(value, digits) >= 1 else f"{value:.{digits}f}"


def verdict_digits(cut: float, probabilities: Sequence[float] = ()) -> int:
    """Return the digits, at least three, with which a threshold and probabilities are shown without contradiction.

    Each shown probability is at or above the shown threshold if and only if it is so unrounded, and the shown threshold
    is neither 0 nor 1 unless it is that.
    """
    for digits in range(FEWEST_DIGITS, MOST_DIGITS):
        shown = round(cut, digits)
        if (shown in (0, 1)) == (cut in (0, 1)) and all(
            (round(value, digits) >= shown) == (value >= cut) for value in probabilities
        ):
            return digits
    return MOST_DIGITS


def p_value(value: float | None) -> str:
    """Format a p-value as `0.42`, `0.003` or `<0.001`; a dash if there is none."""
    if value is None:
        return "–"
    if value < 0.001:
        return "<0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def size(count: float | None) -> str:
    """Format a number of bytes as `6.8 MB` (10⁶ bytes)."""
    if count is None:
        return "–"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.{1 if count < 100 * factor else 0}f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float | None) -> str:
    """Format a number of seconds as `4.2 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def utc(time: str) -> str:
    """Format a time of a ledger: `2026-11-26T21:14:30+00:00` → `2026-11-26 21:14:30 UTC`."""
    return time.replace("T", " ").replace("+00:00", " UTC")


def about(seconds: float) -> str:
    """Format an estimated duration: `under a minute`, `about 4 min`, `about 2 h 10 min`."""
    minutes = math.ceil(seconds / 60)
    if minutes <= 1:
        return "under a minute"
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60 // 10 * 10} min"


def sentence_case(text: str) -> str:
    """Begin a text with a capital letter."""
    return text[:1].upper() + text[1:]


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: `1 scan`, `2 scans`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sites_have(count: int) -> str:
    """Begin a sentence about what some sites have: `1 site has`, `2 sites have`."""
    return f"{plural(count, 'site')} {'has' if count == 1 else 'have'}"


def setup(metrics: RunMetrics) -> str:
    """Describe the combination of a run: `CONV S head, frozen encoder, FedAvg`."""
    return ", ".join((head_title(metrics.head), tuning_title(metrics.tuning), rule_title(metrics.rule)))


def caveat(facts: RunMetrics | Environment | None) -> str:
    """Warn of simulated scans, random weights, many scans of few people, and people at several sites; "" if of none.

    Args:
        facts: The metrics or the environment of a run; None if it has neither yet.
    """
    if facts is None:
        return ""
    simulated, random = facts.simulated, _has_random_weights(facts)
    sentences = []
    if simulated and random:
        sentences.append(
            "The scans are simulated and the encoder's weights are random: "
            "the numbers say nothing about patients or about a pre-trained encoder."
        )
    elif simulated:
        sentences.append("The scans are simulated: the numbers say nothing about patients.")
    elif random:
        sentences.append("The encoder's weights are random: the numbers say nothing about a pre-trained one.")
    if isinstance(facts, RunMetrics) and facts.test_groups is not None:
        sentences += _people_caveat(facts, facts.test_groups)
    return " ".join(sentences)


def _people_caveat(metrics: RunMetrics, people: int) -> Iterator[str]:
    tested = metrics.evaluated["federated"].sites.values()
    scans, counted = sum(site.scans for site in tested), sum(site.participants for site in tested)
    if scans > people:
        yield f"The {scans} test scans are of {people} {'person or anatomy' if people == 1 else 'people or anatomies'}."
    if counted > people:
        yield (
            f"The sites' numbers of people add up to {counted}, as some are at several sites: the interval of the mean "
            "allows for it, those of all sites pooled and of mean differences do not and are too narrow."
        )


def short_caveat(facts: RunMetrics | Environment | None) -> str:
    """Return a short caveat for figures: `simulated scans, random weights`; empty if neither applies."""
    if facts is None:
        return ""
    parts = ["simulated scans"] if facts.simulated else []
    return ", ".join([*parts, "random weights"] if _has_random_weights(facts) else parts)


def _has_random_weights(facts: RunMetrics | Environment) -> bool:
    return facts.weights.source == "random"
