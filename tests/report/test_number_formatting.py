import pytest

from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.report import number_formatting as words


def metrics_with(mean: dict, **facts: object) -> dict:
    return {
        "head": "conv_s",
        "tuning": "frozen",
        "rule": "fedavg",
        "methods": {"federated": {"mean_auc": mean, "sites": {"A": {"scans": 9}, "B": {"scans": 3}}}},
        **facts,
    }


def test_the_answer_is_one_sentence() -> None:
    mean = {**vars(defined(0.8149, (0.7351, 0.881), "m", few=False)), "sites": ["A", "B"]}
    expected = "CONV S head, frozen encoder, FedAvg: mean test AUC over 2 sites 0.81 [0.74, 0.88], 41.0 MB of traffic."
    assert words.answer(metrics_with(mean), 41_000_000) == expected
    few = {**mean, "mark": "few", "sites": ["A"]}
    assert "over 1 site 0.81 [0.74, 0.88], resting on few people, 5.0 kB" in words.answer(metrics_with(few), 5_000)


def test_the_answer_says_why_there_is_none() -> None:
    text = words.answer(metrics_with({**vars(undefined("no site has an AUC")), "sites": []}), 0)
    assert text.endswith("the mean test AUC is not defined: no site has an AUC.")


@pytest.mark.parametrize(
    ("facts", "long", "short"),
    [
        ({}, "", ""),
        ({"simulated": False, "weights": {"source": "sam_med3d_turbo.pth"}}, "", ""),
        ({"simulated": True}, "scans are simulated: the numbers say nothing about patients.", "simulated scans"),
        ({"weights": {"source": "random"}}, "weights are random: .* nothing about SAM-Med3D", "random weights"),
        (
            {"simulated": True, "weights": {"source": "random"}},
            "simulated and the encoder's weights are random: .* patients or about SAM-Med3D",
            "simulated scans, random weights",
        ),
    ],
)
def test_simulated_and_random_are_said(facts: dict, long: str, short: str) -> None:
    import re

    assert re.search(long, words.caveat(facts)) if long else words.caveat(facts) == ""
    assert words.short_caveat(facts) == short


def test_few_groups_behind_many_scans_are_said() -> None:
    mean = {**vars(undefined("no site has an AUC")), "sites": []}
    assert "The 12 test scans are of at most 10 people or anatomies" in words.caveat(metrics_with(mean, groups=10))
    assert words.caveat(metrics_with(mean, groups=40)) == ""


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


def test_names_that_are_not_known_stand_as_they_are() -> None:
    assert words.head_title("mine") == "mine head"
    assert words.rule_title("mine") == "mine"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (1.0, "1.00"), (0.042, "0.04"), (0.0082, "0.008"), (0.0004, "<0.001")]
)
def test_p_values(value: float | None, text: str) -> None:
    assert words.p_value(value) == text
