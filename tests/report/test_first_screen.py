"""The first screen answers five questions: the best model, on whom, whether to trust it, what left, a new scan."""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from run_editing import change_metrics

from fedtune3d._utils.folders import RunFolder
from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.confusion import Confusion
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import ClassOutcome
from fedtune3d.report import write_report
from fedtune3d.report.first_screen import asked, first_screen, sample_sentence
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def header_of(page: Path) -> str:
    """The words before the first section."""
    text = page.read_text(encoding="utf-8")
    words = re.sub(r"<[^>]*>", " ", text[text.index("<header>") : text.index("<main>")])
    return " ".join(html.unescape(words).split())


def test_the_question_and_the_setting(contents: RunContents) -> None:
    screen = first_screen(contents, contents.names)
    assert screen.question == "AD vs CN from T1-weighted MRI"
    model = "SAM-Med3D ViT-B (random weights) · CONV S head, frozen encoder, FedAvg"
    assert screen.setting == f"demo · {model} · 4 sites · 25 Nov 2026 · fedtune3d 0.1.0"


def test_who_was_included_is_on_it(contents: RunContents) -> None:
    """The model was not tested on anybody else, such as patients by a model of healthy people's age."""
    assert "Included" not in dict(facts_of(contents))
    only = replace(contents, config=contents.config | {"include": "diagnosis == CN"})
    assert dict(facts_of(only))["Included"] == (
        "Only scans that met “diagnosis == CN” in the table of participants or sessions were included. Predictions for "
        "anybody else were not tested"
    )


def facts_of(contents: RunContents) -> Sequence[tuple[str, str]]:
    result = first_screen(contents, contents.names).result
    assert result is not None
    return result.facts


def test_a_question_begins_with_a_capital_where_classes_are_numbers() -> None:
    names = ClassNames("class 1", "class 0")
    assert asked(ClassOutcome(("negative", "positive")), names) == "Class 1 vs class 0"
    assert asked(ClassOutcome(("negative", "positive")), ClassNames("cdr >= 1", "cdr == 0")) == "cdr >= 1 vs cdr == 0"


def test_five_questions_are_answered_from_it_alone(finished_page: Path, contents: RunContents) -> None:
    text, metrics = header_of(finished_page), contents.metrics
    assert metrics is not None
    for name in ("local", "centralized"):  # which model is best, and is it better than local?
        difference = metrics.against[name].mean.comparison.difference
        value, low, high = (f"{number:+.2f}".replace("-", "−") for number in difference.limits or ())
        assert f"vs {name} {value} (95% CI {low} to {high})" in text
    assert "On average over the sites, " in text
    # On how many people?
    assert "Trained on A number of people that not every site lets leave." in text
    assert "Tested on 81 other people (33 AD, 48 CN)" in text
    assert "2 sites have fewer than 10 people in a class, so intervals are wide" in text
    # Can I trust it?
    assert "The scans are simulated and the encoder's weights are random" in text
    assert re.search(r"Calibration (Over|Under|Too few|No sign)", text)
    assert re.search(r"Sensitivity \d+/33 AD, .* specificity \d+/48 CN", text)
    for check in (
        "leaks between sets or sites: none ✓",
        "1 warning before training !",
        "no answer from Graz in 1 of 10 rounds !",
        "excluded",
    ):
        assert check in text
    # What left my hospital?
    assert "Left the sites Each site's model update in 10 rounds (" in text
    assert "test predictions from 3 of 4 sites, example slices from every site; no whole scan" in text
    # What do I do with a new scan?
    threshold = metrics.federated.threshold
    assert f"; {threshold:.3f} or above is classified as AD, below it as CN" in text
    assert "Run fedtune3d predict . scan.nii.gz in the folder of this report" in text
    assert "Research only, not for diagnosis" in text


def test_the_forest_plot_and_the_contents_are_on_it(finished_page: Path) -> None:
    page = finished_page.read_text(encoding="utf-8")
    header = page[page.index("<header>") : page.index("<main>")]
    assert header.count("<figure") == 1
    listed = re.findall(r'<a href="#(\w+)">', header[header.index("<nav") :])
    assert listed == re.findall(r'<section aria-labelledby="(\w+)"', page)
    for target in re.findall(r'href="#(\w+)"', page):
        assert f'id="{target}"' in page


def test_without_baselines_or_few_people_less_is_said(contents: RunContents) -> None:
    assert contents.metrics is not None
    boston = {"Boston": contents.metrics.federated.sites["Boston"]}
    federated = replace(contents.metrics.federated, sites=boston)
    metrics = replace(contents.metrics, methods={"federated": federated}, against={})
    text = sample_sentence(metrics, contents.names)
    assert text == "40 other people (18 AD, 22 CN) at 1 site"
    result = first_screen(replace(contents, metrics=metrics), contents.names).result
    assert result is not None
    assert (result.against, "was not compared" in result.sentence) == ([], True)


@pytest.mark.usefixtures("_unrendered")
def test_people_at_several_sites_are_counted_once(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    change_metrics(folder, lambda metrics: replace(metrics, test_groups=70))
    assert "70 other people (33 AD, 48 CN) with 81 scans" in header_of(write_report(folder))


def test_a_run_says_when_it_began(small_run: RunFolder) -> None:
    environment = read_run(small_run.path).environment
    assert environment is not None
    assert environment.started is not None
    assert re.search(r" · 2 sites · \d{1,2} \w{3} 20\d\d · fedtune3d ", header_of(small_run.report))


@pytest.mark.ci
def test_a_class_that_is_never_recognised_is_a_warning_next_to_the_result(make_run: Callable[..., Path]) -> None:
    folder = make_run()

    def none_detected(metrics: RunMetrics) -> RunMetrics:
        pooled = metrics.federated.pooled
        assert pooled is not None
        federated = replace(metrics.federated, pooled=replace(pooled, confusion=Confusion(0, 33, 48, 0)))
        return replace(metrics, methods=metrics.methods | {"federated": federated})

    assert "was recognised" not in header_of(write_report(folder))
    change_metrics(folder, none_detected)
    page = write_report(folder)
    assert "No AD scan was recognised (sensitivity 0.00): all 33" in header_of(page)
    header = page.read_text(encoding="utf-8").partition("<main>")[0]
    assert header.count('role="note"') == 1  # all warnings are in one box, a point of a list each
    assert header[header.index('class="caveat"') :].partition("</div>")[0].count("<li>") == 2
