from dataclasses import replace

import numpy as np
import pytest

from fedtune3d.preparation.quality.flags import MEASURES, flag_scans, limits_of, robust_scores
from fedtune3d.preparation.quality.measures import AS_IT_LIES, Quality

GOOD = Quality(1400.0, 0.55, 0.96, 30.0, 9.0, 0.0, AS_IT_LIES, 0.0)


def site(*others: Quality) -> list[Quality]:
    """Eleven ordinary scans and others."""
    return [replace(GOOD, brain_ml=1400.0 + 20 * i, snr=30.0 + i) for i in range(-5, 6)] + list(others)


def test_robust_scores_by_hand() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 60])  # median 6; deviations 5 4 3 2 1 0 1 2 3 4 54, median 3
    np.testing.assert_allclose(robust_scores(values)[[0, 10]], [0.6745 * -5 / 3, 0.6745 * 54 / 3])
    assert not robust_scores(np.array([1.0, 2.0, 30.0])).any()  # too few
    np.testing.assert_allclose(robust_scores(np.array([10.0] * 10 + [10.5]))[-1], 0.6745)  # 5 % of the median at least


def test_ordinary_scans_are_not_suspicious() -> None:
    assert flag_scans(site(), [True] * 11) == [[]] * 11


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        (replace(GOOD, brain_ml=700.0), "Brain volume (mL) 700: below 800"),
        (replace(GOOD, brain_ml=1900.0), "Brain volume (mL) 1900: outlier among the site's scans (robust z +4.7)"),
        (replace(GOOD, template_correlation=0.3), "Correlation with template 0.30: below 0.35"),
        (replace(GOOD, snr=8.0), "Signal-to-noise ratio 8.0: outlier among the site's scans (robust z -4.8)"),
        (replace(GOOD, edge_cm2=40.0), "Brain on the scan's edge (cm²) 40.0: above 15"),
        (replace(GOOD, header_degrees=180.0), "Angle of sform to qform (°) 180.0: above 5"),
        (replace(GOOD, orientation="upside down"), "fits the template better upside down"),
    ],
)
def test_each_measure_can_tell(scan: Quality, reason: str) -> None:
    reasons = flag_scans(site(scan), [True] * 12)
    assert reasons == [[]] * 11 + [[reason]]


def test_signal_to_noise_is_suspicious_when_low_only() -> None:
    assert flag_scans(site(replace(GOOD, snr=90.0)), [True] * 12)[-1] == []


def test_scans_in_their_own_space_have_no_limit_against_the_template_and_their_own_median() -> None:
    own = [replace(GOOD, template_correlation=0.2, template_dice=0.8)] * 11
    assert flag_scans(site() + own, [True] * 11 + [False] * 11) == [[]] * 22


def test_what_cannot_be_measured_is_not_suspicious() -> None:
    blind = replace(GOOD, snr=None, cnr=None, header_degrees=None)
    assert flag_scans(site(blind), [True] * 12)[-1] == []


def test_a_value_is_suspicious_exactly_outside_its_limits() -> None:
    rng = np.random.default_rng(2)
    for registered in (True, False):
        scans = [
            replace(GOOD, **{measure.name: float(value) for measure, value in zip(MEASURES, values, strict=True)})
            for values in zip(
                *(
                    rng.normal(1200, 400, 40),
                    *(
                        rng.uniform(low, high, 40)
                        for low, high in ((0.2, 0.9), (0.7, 1), (5, 40), (0.5, 12), (0, 30), (0, 9))
                    ),
                ),
                strict=True,
            )
        ]
        limits = limits_of(scans, registered)
        for scan, reasons in zip(scans, flag_scans(scans, [registered] * 40), strict=True):
            outside = [
                measure.title
                for measure in MEASURES
                for low, high in [limits[measure.name]]
                if (low is not None and getattr(scan, measure.name) < low)
                or (high is not None and getattr(scan, measure.name) > high)
            ]
            assert [reason for reason in reasons if not any(map(reason.startswith, outside))] == []
            assert len(reasons) == len(outside)


def test_few_scans_have_absolute_limits_only() -> None:
    assert limits_of([GOOD] * 3, True)["brain_ml"] == (800, 2000)
    assert limits_of([GOOD] * 3, True)["snr"] == (None, None)
    assert limits_of([GOOD] * 3, False)["template_dice"] == (None, None)
