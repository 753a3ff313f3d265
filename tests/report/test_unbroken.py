import pytest

from fedtune3d.report.unbroken import unbroken


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("AUC 0.92 (95% CI 0.76–0.96); slope", "(95% CI 0.76–0.96)"),
        ("+0.11 years (95% CI −0.02 to +0.24).", "(95% CI −0.02 to +0.24)"),
        ("slope 0.51, 95% CI 0.30–0.72, all sites", "95% CI 0.30–0.72"),
        ("AUC 0.68 [0.58, 0.77], few people", "0.68 [0.58, 0.77]"),
        ("14 of 100 people, 14% [9%, 22%]", "14% [9%, 22%]"),
    ],
)
def test_an_interval_is_kept_on_one_line(text: str, whole: str) -> None:
    before, _, after = text.partition(whole)
    assert unbroken(text) == f'{before}<span class="interval">{whole}</span>{after}'


def test_everything_else_is_escaped_and_may_break() -> None:
    assert unbroken("site <b>: rounds 1 to 20") == "site &lt;b&gt;: rounds 1 to 20"
