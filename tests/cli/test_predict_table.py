"""What a model says of new scans, as a table."""

from pathlib import Path

import pytest
from rich.console import Console

from fedtune3d.cli.predict_table import class_table, distance_text, number_table, prediction_table
from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.workflows.known_scans import KnownScan
from fedtune3d.workflows.scan_predictions import ClassPrediction, NumberPrediction, Prediction


def printed(*predictions: Prediction, threshold: float | None, scaling: PlattScaling | None = None) -> list[str]:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(prediction_table(predictions, threshold, scaling))
    return [line for line in capture.get().splitlines() if line.strip()]


def test_each_scan_has_its_probability_verdict_and_likeness() -> None:
    text = printed(
        Prediction(Path("a"), "sub-1", 0.8125, True, "A", 0.5),
        Prediction(Path("b"), "sub-2", 0.25, False, "B", 1.5),
        threshold=0.4,
    )
    one, two = (next(line for line in text if name in line) for name in ("sub-1", "sub-2"))
    assert one.split()[:4] == ["sub-1", "0.812", "positive", "(≥"]
    assert "no: 0.5 × the limit of A" in one
    assert two.split()[:5] == ["sub-2", "0.250", "negative", "(<", "0.400)"]
    assert "OUT OF DISTRIBUTION: 1.5 × the limit of B" in two
    assert "positive at 0.400 or above" in text[-1]


def test_a_probability_never_reads_as_zero_or_one() -> None:
    values, scaling = (1e-6, 1 - 1e-6), PlattScaling(2.0, 0.0, (9, 8))
    scans = [Prediction(Path("a"), f"sub-{value}", value, value > 0.5, None, None, value) for value in values]
    low, high = (line.split() for line in printed(*scans, threshold=0.5, scaling=scaling) if "sub-" in line)
    assert low[1:3] == ["<0.001", "<0.001"]
    assert high[1:3] == [">0.999", ">0.999"]
    of_three = ClassPrediction(Path("a"), "sub-1", {"CN": 0.0, "MCI": 1e-5, "AD": 1.0}, None, None)
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(class_table([of_three], ClassOutcome(("CN", "MCI", "AD"))))
    assert "AD <0.001 <0.001 >0.999" in " ".join(capture.get().split())


def test_numeric_classes_are_called_classes() -> None:
    scan = ClassPrediction(Path("a"), "sub-1", {"0": 0.5, "1": 0.3, "2": 0.2}, None, None)
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(class_table([scan], ClassOutcome(("0", "1", "2"))))
    text = " ".join(capture.get().split())
    assert "Predicted class class 0 class 1 class 2" in text
    assert "sub-1 class 0 0.500 0.300 0.200" in text


def test_without_a_threshold_or_statistics_nothing_is_claimed() -> None:
    text = printed(Prediction(Path("a"), "sub-1", 0.8, None, None, None), threshold=None)
    line = next(line for line in text if "sub-1" in line)
    assert "no threshold" in line
    assert "not known" in line
    assert not any("positive at" in line for line in text)


@pytest.mark.parametrize("threshold", [0.5118, 0.00013, 0.9997, 0.31])
def test_what_is_shown_of_probability_threshold_and_class_agrees(threshold: float) -> None:
    """Probabilities next to the threshold, on either side: at three digits many would read as equal to it."""
    values = [threshold + step * 10**-power for power in range(2, 8) for step in (-3, -1, 0, 1, 3)]
    values = [value for value in values if 0 < value < 1]
    text = printed(
        *(
            Prediction(Path("a"), f"sub-{n:02}", value, value >= threshold, None, None)
            for n, value in enumerate(values)
        ),
        threshold=threshold,
    )
    rows = [line.split() for line in text if "sub-" in line]
    assert len(rows) == len(values)
    for row in rows:
        shown, cut = float(row[1]), float(row[4].removesuffix(")"))
        assert 0 < cut < 1
        assert (row[2], row[3]) == (("positive", "(≥") if shown >= cut else ("negative", "(<"))
    assert f"positive at {rows[0][4].removesuffix(')')} or above" in text[-1]


@pytest.mark.parametrize(("slope", "intercept"), [(1.4, -0.3), (0.02, 0.7), (1e-7, -0.2), (8.0, 5.0)])
@pytest.mark.parametrize("threshold", [0.5118, 0.00013, 0.9997])
def test_recalibrated_probabilities_agree_with_the_class_too(threshold: float, slope: float, intercept: float) -> None:
    scaling = PlattScaling(slope, intercept, (9, 8))
    values = [threshold + step * 10**-power for power in range(2, 9) for step in (-3, -1, 0, 1, 3)]
    values = [value for value in values if 0 < value < 1]
    text = printed(
        *(
            Prediction(Path("a"), f"sub-{n:02}", value, value >= threshold, None, None, beside)
            for n, value in enumerate(values)
            for beside in [scaling.probability_beside(value, threshold)]
        ),
        threshold=threshold,
        scaling=scaling,
    )
    note = next(line for line in text if "recalibrated:" in line)
    cut = float(note.split("(recalibrated: ")[1].split(" ")[0])
    rows = [line.split() for line in text if "sub-" in line]
    assert len(rows) == len(values)
    for row, value in zip(rows, values, strict=True):
        assert (float(row[2]) >= cut) == (row[3] == "positive") == (value >= threshold)
        assert float(row[2]) == pytest.approx(scaling.probability(value), abs=6e-4)
    assert "fitted on validation scans (8 positive, 9 negative)" in text[-1]


def test_a_scaling_that_reverses_the_classes_is_named_and_not_used() -> None:
    text = printed(
        Prediction(Path("a"), "sub-1", 0.8, True, None, None), threshold=0.4, scaling=PlattScaling(-0.21, 0.1, (4, 3))
    )
    assert "Recalibrated" not in text[0]
    caption = " ".join(" ".join(text[3:]).split())
    assert "no recalibrated probabilities" in caption
    assert "slope of -0.21, which would reverse the classes" in caption


def test_classes_have_their_names() -> None:
    scan = Prediction(Path("a"), "sub-1", 0.8, True, None, None)
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(prediction_table([scan], 0.4, names=ClassNames("AD", "CN"), why_unknown="no site sent any"))
    text = capture.get()
    assert "Probability of AD" in text
    assert "AD (≥ 0.400)" in text
    assert "out of distribution is not known: no site sent any" in text


def test_why_a_scan_is_not_compared_stands_below_the_table_whatever_is_predicted() -> None:
    classes = ClassOutcome(("CN", "MCI", "AD"))
    age = NumberOutcome("age", 40, 100, "years", "leave_out")
    of_three = ClassPrediction(Path("a"), "sub-1", {"CN": 0.5, "MCI": 0.3, "AD": 0.2}, None, None)
    number = NumberPrediction(Path("a"), "sub-1", 140.0, None, None)
    for table in (
        lambda why: prediction_table([Prediction(Path("a"), "sub-1", 0.8, True, None, None)], 0.4, why_unknown=why),
        lambda why: class_table([of_three], classes, why),
        lambda why: number_table([number], age, why),
    ):
        console = Console(width=160, no_color=True)
        with console.capture() as capture:
            console.print(table("no site sent any"))
            console.print(table(""))
        text = " ".join(capture.get().split())
        assert text.count("out of distribution is not known: no site sent any") == 1
    assert text.count("outside the range of the target (40 to 100): sub-1") == 2


def test_a_distance_beyond_the_limit_never_reads_as_the_limit() -> None:
    assert [distance_text(value) for value in (0.31, 0.96, 1, 1.04, 1.004, 12.34)] == [
        "0.3",
        "1.0",
        "1.0",
        "1.04",
        "1.004",
        "12.3",
    ]


def test_the_rows_of_many_scans_name_their_set_in_the_run() -> None:
    known = KnownScan("A", "train")
    age = NumberOutcome("age", 40, 100, "years", "leave_out")
    three, by_class = ClassOutcome(("CN", "MCI", "AD")), {"CN": 0.5, "MCI": 0.3, "AD": 0.2}
    of_two = [Prediction(Path("a"), f"sub-{n}", 0.8, True, "A", 0.5, known=known if n else None) for n in range(4)]
    of_three = [ClassPrediction(Path("a"), f"sub-{n}", by_class, "A", 0.5, known if n else None) for n in range(4)]
    numbers = [NumberPrediction(Path("a"), f"sub-{n}", 70.0, "A", 0.5, known if n else None) for n in range(4)]
    for many, few in (
        (prediction_table(of_two, 0.4), prediction_table(of_two[1:], 0.4)),
        (class_table(of_three, three), class_table(of_three[1:], three)),
        (number_table(numbers, age), number_table(numbers[1:], age)),
    ):
        assert many.columns[-1].header == "Set in run"
        assert [str(cell) for cell in many.columns[-1].cells] == ["–", *["training"] * 3]
        assert few.columns[-1].header == "Out of distribution?"
