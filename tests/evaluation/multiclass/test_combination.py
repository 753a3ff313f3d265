import json
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.auc_interval import mean_auc_interval
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.combination import combine_classes
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.multiclass.summary import summarise_classes
from fedtune3d.evaluation.reliability import calibration_error
from fedtune3d.evaluation.sample import FROM_COUNTS, FROM_PREDICTIONS, Sample

CLASSES = ("CN", "MCI", "AD")
Draw = Callable[..., ClassPredictions]
SIZES = {"A": (14, 11, 12), "B": (22, 9, 30)}


@pytest.fixture
def tests(draw_classes: Draw) -> dict[str, ClassPredictions]:
    return {site: draw_classes(seed, size, 1 + seed) for seed, (site, size) in enumerate(SIZES.items())}


def together(tests: dict[str, ClassPredictions]) -> ClassPredictions:
    return ClassPredictions(
        tuple(f"{site}{name}" for site, part in tests.items() for name in part.participants),
        tuple(name for part in tests.values() for name in part.sessions),
        np.concatenate([part.truth for part in tests.values()]),
        np.concatenate([part.probabilities for part in tests.values()]),
    )


@pytest.mark.parametrize("share", [True, False])
def test_combined_numbers_are_those_of_the_predictions(tests: dict[str, ClassPredictions], share: bool) -> None:
    metrics = combine_classes({site: summarise_classes(test, CLASSES, share) for site, test in tests.items()})
    assert from_json(ClassMetrics, json.loads(json.dumps(to_json(metrics), allow_nan=False))) == metrics
    every = together(tests)
    for part, test in ((metrics.sites["A"], tests["A"]), (metrics.sites["B"], tests["B"]), (metrics.pooled, every)):
        exact = share or test is not every
        tolerance = 1e-9 if exact else 0.01
        for found, scheme in ((part.macro_auc, "ovr"), (part.hand_till, "ovo")):
            expected = roc_auc_score(test.truth, test.probabilities, multi_class=scheme)
            assert found.value == pytest.approx(expected, abs=tolerance)
        assert part.balanced_accuracy.value == pytest.approx(
            balanced_accuracy_score(test.truth, test.predicted), abs=1e-12
        )
        assert part.log_loss.value == pytest.approx(log_loss(test.truth, test.probabilities), abs=1e-9)
        top = calibration_error(Sample.of_predictions(test.top_label()))
        assert part.calibration_error.value == pytest.approx(top.value, abs=1e-9 if share else 0.02)
        assert (part.participants, part.scans) == (len(set(test.participants)), len(test))
        rocs = [own.roc for own in part.of_class]
        assert {roc.source for roc in rocs} == {FROM_PREDICTIONS if share else FROM_COUNTS}
        assert rocs[0].sensitivity[-1] == rocs[0].false_positive_rate[-1] == 1
    assert [own.people for own in metrics.pooled.of_class] == [36, 20, 42]
    assert list(metrics.parts) == ["A", "B", "Pooled"]


def test_means_over_sites(tests: dict[str, ClassPredictions]) -> None:
    sent = {site: summarise_classes(test, CLASSES, False) for site, test in tests.items()}
    mean = combine_classes(sent).mean
    values = [part.macro_auc.estimate.value for part in sent.values()]
    limits = mean_auc_interval(values, [part.macro_auc.variance for part in sent.values()])
    assert mean.macro_auc.limits == pytest.approx((np.mean(values), *limits))
    assert mean.macro_auc.sites == mean.brier.sites == ("A", "B")
    losses = [part.log_loss.measure for part in sent.values()]
    assert mean.log_loss.value == pytest.approx(np.mean([part.value for part in losses]))
    assert mean.log_loss.low > 0


def test_a_site_without_a_class_is_left_out_of_the_mean_only(draw_classes: Draw, no_classes: Draw) -> None:
    sent = {
        "A": summarise_classes(draw_classes(1), CLASSES, False),
        "B": summarise_classes(draw_classes(2, (9, 0, 9)), CLASSES, False),
        "C": summarise_classes(no_classes(), CLASSES, False),
    }
    metrics = combine_classes(sent)
    assert metrics.mean.macro_auc.sites == metrics.mean.balanced_accuracy.sites == ("A",)
    assert metrics.mean.log_loss.sites == ("A", "B")
    assert metrics.sites["B"].macro_auc.undefined == "1 of 3 classes without test scans"
    assert metrics.pooled.macro_auc.value is not None
    assert metrics.pooled.confusion.totals == (23, 11, 21)
    nobody = combine_classes({"C": sent["C"]})
    assert nobody.mean.macro_auc.undefined == "no site has an AUC over all classes"
    assert nobody.pooled.accuracy.undefined == "no test scans, or too few for the policy"
    assert from_json(ClassMetrics, to_json(nobody)) == nobody


def test_nothing_is_pooled_over_models_of_their_own(tests: dict[str, ClassPredictions]) -> None:
    sent = {site: summarise_classes(test, CLASSES, True) for site, test in tests.items()}
    assert combine_classes(sent, shared_model=False).pooled is None


def test_what_is_held_back_at_one_site_is_held_back_in_all(draw_classes: Draw) -> None:
    sent = {
        "A": summarise_classes(draw_classes(1), CLASSES, False, min_people=5),
        "B": summarise_classes(draw_classes(2), CLASSES, False),
    }
    assert sent["A"].top_label is None
    pooled = combine_classes(sent).pooled
    assert (pooled.calibration_error.value, pooled.calibration_curve) == (None, ())
    assert pooled.confusion.totals == (28, 22, 24)
    assert not pooled.confusion.whole


def test_sites_must_have_the_same_classes(tests: dict[str, ClassPredictions]) -> None:
    sent = {
        "A": summarise_classes(tests["A"], CLASSES, True),
        "B": summarise_classes(tests["B"], CLASSES[::-1], True),
    }
    with pytest.raises(InputError, match=r"site B.*AD, MCI, CN"):
        combine_classes(sent)
