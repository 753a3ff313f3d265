"""An experiment under secure aggregation is refused where it would show an update, each reason in words."""

import pytest
from pydantic import ValidationError

from fedtune3d.config.aggregation import AggregationSection
from fedtune3d.config.participation import ParticipationSection
from fedtune3d.config.privacy import PrivacySection, find_visible_updates


@pytest.mark.parametrize(
    ("sites", "fraction", "baselines", "aggregation", "line"),
    [
        (3, 1.0, ("centralized",), {"rule": "fedce"}, None),
        (2, 1.0, (), {}, "privacy.secure_aggregation needs 3 sites in each round, and there would be 2"),
        (8, 0.25, (), {}, "privacy.secure_aggregation needs 3 sites in each round, and there would be 2"),
        (3, 1.0, ("local",), {}, "baselines: local shows the server each site's own model; leave it out with"),
        (
            3,
            1.0,
            ("leave_one_site_out",),
            {},
            "baselines: leave_one_site_out adds up the same updates with and without",
        ),
        (
            3,
            1.0,
            (),
            {"rule": "krum"},
            "rule krum looks at each update alone, and secure aggregation hides these; it com",
        ),
        (
            3,
            1.0,
            (),
            {"rule": "median"},
            "rule median looks at each update alone, and secure aggregation hides these; a",
        ),
    ],
)
def test_what_would_show_an_update(
    sites: int, fraction: float, baselines: tuple[str, ...], aggregation: dict, line: str | None
) -> None:
    section = AggregationSection.model_validate(aggregation)
    problems = find_visible_updates(sites, ParticipationSection(fraction=fraction), baselines, section)
    assert len(problems) == (line is not None)
    assert line is None or problems[0].startswith(line)


@pytest.mark.parametrize("share", [1 / 3, 0, 1.1, True])
def test_three_sites_must_be_able_to_share_a_sum(share: float) -> None:
    with pytest.raises(ValidationError, match="max_share"):
        PrivacySection(max_share=share)
