"""A description of what left the sites in a run, from its configuration and its ledger."""

from collections.abc import Sequence

from fedtune3d.report.number_formatting import plural, size
from fedtune3d.report.run_contents import RunContents

FINGERPRINTS = "keyed codes of scans, for the leak audit (across hospitals only with a fingerprint_key)"
RECOGNISED = "how well the training people are recognised by their loss"
FREE_OF_NOISE = (
    "numbers of people and scans per site, split and class",
    "validation scores in each round, and the round selected with them",
    "results on validation and test scans",
    RECOGNISED,
    "intensity profiles",
    "age and sex by class",
)
"""Values that every run sends besides updates; differential privacy adds no noise to it."""
ON_ONE_MACHINE = ". All sites were on this machine: across hospitals, this would have left"


def what_left_short(contents: RunContents) -> str:
    """Say in one line what left the sites: updates, counts and scores, and what some policies allow besides."""
    parts = [f"{_updates(contents)} ({size(contents.total_bytes)} both ways, all sites)", "counts, scores and averages"]
    for key, what in (("predictions_leave", "test predictions"), ("pictures_leave", "example slices")):
        allowed = [site for site in contents.sites if contents.policy(site, key)]
        parts.append(f"{what} from {_share(len(allowed), len(contents.sites))}")
    text = f"{', '.join(parts)}; no whole scan"
    return f"{text}{ON_ONE_MACHINE}" if contents.on_one_machine else text


def what_left(contents: RunContents) -> list[str]:
    """List everything that left the sites, updates first."""
    listed = [_updates(contents), *sent_besides(contents), FINGERPRINTS]
    for key, what in (
        ("predictions_leave", "predictions and labels of test scans, without names"),
        ("pictures_leave", "example slices of prepared scans"),
    ):
        allowed = [site for site in contents.sites if contents.policy(site, key)]
        if allowed:
            listed.append(f"{what}: {', '.join(allowed)}")
    return listed


def sent_besides(contents: RunContents) -> list[str]:
    """List the numbers that leave besides updates, fingerprints and predictions."""
    listed = [what for what in FREE_OF_NOISE if what != RECOGNISED or contents.outcome.is_binary]
    if described := contents.with_feature_statistics:
        listed.append(f"mean and covariance of the features of the training scans{_named(described, contents)}")
    if contents.saliency:
        listed.append("mean saliency maps")
    if any(entry.signals for line in contents.ledger for entry in line.sites.values()):
        listed.append("the numbers on which the rule's weights are based")
    return listed


def sums_only(contents: RunContents) -> bool:
    """Return whether the server saw no single update, by secure aggregation in every round."""
    trained = [line for line in contents.ledger if line.trains]
    return bool(trained) and all(line.secure is not None for line in trained)


def _updates(contents: RunContents) -> str:
    rounds = plural(sum(line.trains for line in contents.ledger), "round")
    whose = "the sum of the sites' model updates" if sums_only(contents) else "each site's model update"
    noise = ", with noise" if contents.config.get("privacy", {}).get("epsilon") is not None else ""
    return f"{whose} in {rounds}{noise}"


def _named(sites: Sequence[str], contents: RunContents) -> str:
    """Name sites if they are not all."""
    return "" if len(sites) == len(contents.sites) else f": {', '.join(sites)}"


def _share(count: int, total: int) -> str:
    return "no site" if not count else "every site" if count == total else f"{count} of {plural(total, 'site')}"
