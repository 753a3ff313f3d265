"""Who took part in a run, in one sentence, and how their scans were checked."""

from fedtune3d.cohorts.flow import NOBODY, Counts
from fedtune3d.config.class_names import ClassNames, of_class
from fedtune3d.evaluation.outcome import in_shown_order
from fedtune3d.report.flow import HELD_BACK
from fedtune3d.report.number_formatting import plural
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.split_sizes import people_in

_SETS = {"train": "training", "validation": "validation", "test": "test"}


def participants_sentence(contents: RunContents, names: ClassNames) -> str:
    """Say how many people were found, excluded, included and in each set, as far as policies let the numbers leave."""
    flows = [contents.flows[site] for site in contents.sites if site in contents.flows]
    if len(flows) < len(contents.sites):
        missing = ", ".join(site for site in contents.sites if site not in contents.flows)
        return f"The numbers of people are not known here for {missing}." if flows else "No site has been split yet."
    found = sum((flow.found for flow in flows), NOBODY)
    included = sum((flow.included for flow in flows), NOBODY)
    left_out = sum((step.counts for flow in flows for step in flow.left_out), NOBODY)
    sets = ", ".join(f"{title} {_by_class(contents, split, names)}" for split, title in _SETS.items())
    return f"Found {_people(found)}; excluded {_people(left_out)}; included {_people(included)}: {sets}."


def checked_sentences(contents: RunContents) -> list[str]:
    """Say what came of the search for leaks and of quality control, with the commands that look again."""
    if contents.audit is None:
        leaks = "Leaks (a person in two sets, or an image at two sites or under two ids) were not checked for"
    else:
        count = len(contents.audit.leaks)
        found = plural(count, "leak") if count else "no leak"
        leaks = f"The search for a person in two sets, or an image at two sites or under two ids, found {found}"
    known = [contents.flagged[site] for site in contents.sites if site in contents.flagged]
    if len(known) < len(contents.sites):
        flags = "How many scans quality control flags is known at the sites only"
    elif count := sum(known):
        flags = f"Quality control flags {plural(count, 'scan')}, which {'was' if count == 1 else 'were'} used"
    else:
        flags = "Quality control flags no scan"
    return [
        f"{leaks} (`fedtune3d check experiment.yaml`).",
        f"{flags}. `fedtune3d prepare experiment.yaml` lists them; qc.html in the cache folder shows every scan.",
    ]


def audit_notices(contents: RunContents) -> list[str]:
    """Return the findings of the search for leaks, a sentence each."""
    findings = () if contents.audit is None else contents.audit.findings
    return [f"{finding.level.capitalize()}: {finding.text}." for finding in findings]


def _people(counts: Counts) -> str:
    if counts.participants is None:
        return f"({HELD_BACK})"
    scans = "" if counts.scans is None or counts.scans == counts.participants else f" ({counts.scans} scans)"
    return f"{counts.participants} {'person' if counts.participants == 1 else 'people'}{scans}"


def _by_class(contents: RunContents, split: str, names: ClassNames) -> str:
    size = people_in(contents, split)
    if size.people is None:
        return HELD_BACK
    if len(size.people) == 1:
        return str(size.people[0])
    counted = zip(size.people, names.in_order, strict=True)
    return " + ".join(in_shown_order(of_class(count, name) for count, name in counted))
