"""Summaries travel as the types that the site made, and nothing else is taken for one."""

import json

import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import Summary, summarise, summarise_validation
from fedtune3d.federation.messages import Answer
from fedtune3d.federation.serialisation import from_text, to_text
from fedtune3d.federation.tasks.evaluate import Evaluation, whole_summary


def predictions(people: int) -> Predictions:
    names = tuple(f"sub-{number}" for number in range(people))
    return Predictions(names, ("",) * people, np.arange(people) % 2, np.linspace(0.1, 0.9, people))


@pytest.fixture(scope="module")
def summary() -> Summary:
    axes = {"sex": ["F", "M"] * 10}
    return summarise(predictions(8), predictions(20), seed=1, share_predictions=True, axes=axes, min_per_class=1)


def test_both_kinds_of_summary_arrive_as_they_left(summary: Summary) -> None:
    for sent in (summary, summarise_validation(predictions(8))):
        received = from_text(Evaluation, to_text(Evaluation(summary=sent)), "evaluation").summary
        assert type(received) is type(sent)
        assert received == sent


@pytest.mark.parametrize("change", [{"version": "3"}, {"names": ["sub-1"]}, {"test": {"scans": 20}}])
def test_what_is_no_summary_is_refused_in_one_line(summary: Summary, change: dict[str, object]) -> None:
    values = json.loads(to_text(Evaluation(summary=summary)))
    values["summary"] |= change
    with pytest.raises(ValueError, match=r"^evaluation: summary\.") as raised:
        from_text(Evaluation, json.dumps(values), "evaluation")
    assert "\n" not in str(raised.value)


def test_a_site_that_leaves_out_its_test_scans_is_named() -> None:
    answer = Answer("A", Evaluation(summary=summarise_validation(predictions(8))))
    with pytest.raises(InputError, match="site A: expected a summary of test scans"):
        whole_summary(answer)
