"""The section of the page on differential privacy: what each site has spent, and what lies outside of it."""

from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.what_left import sent_besides


def privacy_rows(contents: RunContents) -> list[dict[str, str]]:
    """Return per site: rounds, noise, sampling and ε spent, by what the site says; empty without privacy."""
    rows = []
    for site in contents.sites:
        entries = [line.sites[site] for line in contents.ledger if line.trains and site in line.sites]
        spent = [entry.spent for entry in entries if entry.spent is not None]
        if not spent:
            continue
        last = spent[-1]
        rows.append(
            {
                "site": site,
                "rounds": str(len(spent)),
                "noise": f"{last.noise_multiplier:.3g}",
                "sampling": "all" if last.sampling_rate == 1 else f"{last.sampling_rate:.0%}",
                "epsilon": f"{last.epsilon:.3g}",
            }
        )
    return rows


def privacy_notes(contents: RunContents) -> list[str]:
    """Say what ε promises, what it does not cover, and how its price is found; empty without privacy."""
    section = contents.config.get("privacy", {})
    if section.get("epsilon") is None:
        return []
    delta, clip, outside = section["delta"], section["clip"], ", ".join(sent_besides(contents))
    return [
        f"Each person's gradient was clipped to a norm of {clip:g}, over all of that person's scans, and Gaussian "
        "noise was added to the sum in each step. ε applies to each training person, at "
        f"δ = {delta:g}, over all rounds of this run. In a simulation on one machine the noise is derived from the "
        "seed and protects nobody; across hospitals it comes from each site's own system.",
        f"ε does not cover the other numbers that left, which have no noise: {outside}. The "
        "training loss was not sent.",
        "One run does not show the loss of AUC: run the same file without privacy.epsilon and with the same "
        "seed, so that the splits are the same, or compare both as two rules of a study.",
    ]
