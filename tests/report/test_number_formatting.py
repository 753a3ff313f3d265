import re
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d._utils.folders import RunFolder
from fedtune3d.config.study_results import VariantRecord
from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.metrics import RunMetrics, WeightsSource, read_metrics
from fedtune3d.report import number_formatting as words


@pytest.fixture
def metrics(finished_run: Path) -> RunMetrics:
    return read_metrics(RunFolder(finished_run).metrics)


@pytest.mark.parametrize(
    ("simulated", "source", "long", "short"),
    [
        (False, "sam_med3d_turbo.pth", "", ""),
        (
            True,
            "sam_med3d_turbo.pth",
            "scans are simulated: the numbers say nothing about patients.",
            "simulated scans",
        ),
        (False, "random", "weights are random: .* nothing about a pre-trained one", "random weights"),
        (
            True,
            "random",
            "simulated and the encoder's weights are random: .* patients or about a pre-trained encoder",
            "simulated scans, random weights",
        ),
    ],
)
def test_simulated_scans_and_random_weights_are_named(
    metrics: RunMetrics, simulated: bool, source: str, long: str, short: str
) -> None:
    facts = replace(metrics, simulated=simulated, weights=WeightsSource(source, None))
    assert re.search(long, words.caveat(facts)) if long else words.caveat(facts) == ""
    assert words.short_caveat(facts) == short


def test_before_anything_is_known_there_is_no_caveat() -> None:
    assert (words.caveat(None), words.short_caveat(None)) == ("", "")


def test_few_groups_behind_many_scans_are_named(metrics: RunMetrics) -> None:
    metrics = replace(metrics, simulated=False, weights=WeightsSource("file.pth", None))
    counted = sum(site.participants for site in metrics.federated.sites.values())
    assert words.caveat(replace(metrics, test_groups=60)).startswith("The 81 test scans are of 60 people or anatomies.")
    assert "1 person or anatomy." in words.caveat(replace(metrics, test_groups=1))
    assert f"people add up to {counted}, as some are at several sites" in words.caveat(replace(metrics, test_groups=2))
    assert words.caveat(replace(metrics, test_groups=81)) == ""


def test_differences_carry_their_sign() -> None:
    assert words.difference(defined(0.034, (-0.05, 0.106), "m", few=False)) == "+0.03 [−0.05, +0.11]"
    assert words.difference(undefined("no other group")) == "not defined: no other group"


@pytest.mark.parametrize(
    ("count", "text"), [(None, "–"), (12, "12 B"), (6_812_000, "6.8 MB"), (912e6, "912 MB"), (2.5e9, "2.5 GB")]
)
def test_sizes(count: float | None, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (4.21, "4.2 s"), (59.99, "60.0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "under a minute"),
        (60, "under a minute"),
        (61, "about 2 min"),
        (3_599, "about 1 h 0 min"),
        (7_830, "about 2 h 10 min"),
    ],
)
def test_a_guess_of_the_time_is_no_more_exact_than_it_can_be(seconds: float, expected: str) -> None:
    assert words.about(seconds) == expected


def test_names_that_are_not_known_stand_as_they_are() -> None:
    assert words.head_title("mine") == "mine head"
    assert words.rule_title("mine") == "mine"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.512, "0.512"), (0.0001, "0.0001"), (0.00004, "0.00004"), (0.99996, "0.99996")]
)
def test_a_threshold_never_reads_as_zero_or_one(value: float | None, text: str) -> None:
    assert words.threshold(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.512, 3, "0.512"),
        (0.0, 3, "<0.001"),
        (0.0004, 3, "<0.001"),
        (0.0006, 3, "0.001"),
        (1e-7, 5, "<0.00001"),
        (0.9994, 3, "0.999"),
        (0.9996, 3, ">0.999"),
        (1.0, 3, ">0.999"),
        (0.9996, 4, "0.9996"),
    ],
)
def test_a_probability_never_reads_as_zero_or_one(value: float, digits: int, text: str) -> None:
    assert words.probability_text(value, digits) == text


def test_what_is_ours_in_a_rule_stands_beside_its_name() -> None:
    assert words.rule_title("fedavg") == "FedAvg"
    assert words.rule_title("rate_my_lora") == "RateMyLoRA (rating: ours)"
    harsh = VariantRecord("rate_my_lora", "rate_my_lora-harsh", "temperature: 0.02")
    assert words.variant_title("rule", harsh) == "RateMyLoRA (rating: ours, temperature: 0.02)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (1.0, "1.00"), (0.042, "0.042"), (0.42, "0.42"), (0.0082, "0.008"), (0.0004, "<0.001")],
)
def test_p_values(value: float | None, text: str) -> None:
    assert words.p_value(value) == text


def test_an_interval_has_as_many_digits_as_tell_its_limits_apart_or_is_explained() -> None:
    near = defined(-0.99990, (-0.999989, -0.99912), "m", True)
    assert words.interval(near) == "−1.000 [−1.000, −0.999]"
    assert words.interval(defined(1.0, (0.99999, 1.0), "m", False)) == "1.00000 [0.99999, 1.00000]"
    assert words.interval(defined(0.5, (0.5, 0.5), "m", False)) == "0.50 (no interval: its estimated width is 0)"
    assert words.difference(defined(0.0, (0.0, 0.0), "m", False)).startswith("0.00 (no interval")
    assert words.interval(defined(0.5, (0.41, 0.6), "m", False)) == "0.50 [0.41, 0.60]"


def test_a_time_names_its_zone() -> None:
    assert words.utc("2026-11-26T21:14:30+00:00") == "2026-11-26 21:14:30 UTC"


def test_a_difference_shows_that_its_interval_excludes_zero() -> None:
    assert words.difference(defined(-0.3, (-0.65, -0.004), "m", few=False)) == "−0.300 [−0.650, −0.004]"
    assert words.difference(defined(0.3, (0.0002, 0.65), "m", few=False)) == "+0.3000 [+0.0002, +0.6500]"
    assert words.difference(defined(-0.3, (-0.65, 0.0), "m", few=False)) == "−0.30 [−0.65, +0.00]"
    assert words.interval(defined(0.2, (0.004, 0.4), "m", few=False)) == "0.20 [0.00, 0.40]"
