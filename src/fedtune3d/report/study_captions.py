"""Captions and formatted numbers of a study."""

from fedtune3d.report.number_formatting import caveat, interval, plural, size
from fedtune3d.report.study_contents import Row, StudyContents
from fedtune3d.report.study_estimates import StudyEstimate


def with_spread(found: StudyEstimate) -> str:
    """Format an estimate: `0.81 [0.74, 0.88]` for one trial, `0.81 ± 0.02 [0.74, 0.88]` for several, or the reason."""
    text = interval(found.estimate)
    return text if found.sd is None else text.replace(" [", f" ± {found.sd:.2f} [", 1)


def answer(contents: StudyContents) -> str | None:
    """State a study's main result, or None before its end.

    Example: `CONV S, frozen, FedCE: mean test AUC over 3 sites 0.87 [0.84, 0.90], 41 MB of traffic.`"""
    row = contents.answer
    if row is None or row.cost is None:
        return None
    having = sum(bool(estimate.values) for estimate in row.sites.values())
    trials = f" (mean of {len(row.mean.values)} {contents.unit}s)" if len(row.mean.values) > 1 else ""
    few = " (few people)" if row.mean.estimate.mark else ""
    traffic = size(row.cost.total_bytes)
    sites = plural(having, "site")
    value = f"{with_spread(row.mean)} {contents.measure.unit}".rstrip()
    return (
        f"{', '.join(row.parts.values())}: mean test {contents.measure.name} over {sites}{trials} {value}{few}, "
        f"{traffic} of traffic."
    )


def criterion_mean(contents: StudyContents) -> str:
    """Say over what the criterion of choice is a mean: an AUC over sites, an error over all their validation scans."""
    over = "all validation scans" if contents.measure.is_error else "sites"
    return f"mean over {over}" + (f" and {contents.unit}s" if len(contents.numbers) > 1 else "")


def how_chosen(contents: StudyContents) -> str:
    """Explain how the best combination was selected, and what that implies for its test result."""
    parts = "Encoder, head, tuning" if "encoders" in contents.results.stages else "Head, tuning"
    return (
        f"{parts} and rule were selected by validation {contents.measure.validation} "
        f"({criterion_mean(contents)}; ties go to the first); "
        "test scans were not used. "
        "Being selected is no evidence of being better: see the paired differences."
    )


def study_caveat(contents: StudyContents) -> str:
    """Return the caveat of a study; empty if there is none."""
    return caveat(contents.facts)


def state_of_row(row: Row) -> str:
    """Return the mark of a row: selected, reference or baseline."""
    return "selected" if row.chosen else {"reference": "reference", "baseline": "baseline"}.get(row.kind, "")
