from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d._utils.folders import RunFolder
from fedtune3d.cohorts.flow import Counts
from fedtune3d.federation.leak_audit import Finding, LeakAudit
from fedtune3d.federation.ledger import SecureSum
from fedtune3d.report.checks import checks
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def texts(contents: RunContents) -> list[str]:
    return [f"{check.text} {check.mark}" for check in checks(contents)]


def test_a_clean_run_has_ticks(small_run: RunFolder) -> None:
    leaks, *_, left_out, answers, quality, memory, privacy = texts(read_run(small_run.path))
    assert (leaks, left_out, answers) == (
        "leaks between sets or sites: none ✓",
        "excluded 0 people ✓",
        "every site answered in 2 rounds ✓",
    )
    assert "flagged by QC" in quality
    assert "membership attack AUC" in memory
    assert privacy == "privacy: the server saw each update →"


def test_what_is_not_well_is_marked(contents: RunContents) -> None:
    leak = Finding("leak", "sub-1 is in two splits")
    assert contents.audit is not None
    found = texts(replace(contents, audit=LeakAudit((leak, leak), contents.audit.described)))
    assert found[0] == "leaks between sets or sites: 2 !"
    assert "no answer from Graz in 1 of 10 rounds !" in found
    assert "excluded: number withheld by some sites →" in found  # Lagos has no flow
    assert "scans flagged by QC: known at the sites only (qc.html) →" in found
    assert texts(replace(contents, audit=None))[0] == "leaks between sets or sites: not checked !"


def test_people_left_out_are_counted_unless_a_number_is_held_back(contents: RunContents) -> None:
    flows = dict.fromkeys(contents.sites, contents.flows["Graz"])
    assert "excluded 48 of 280 people →" in texts(replace(contents, flows=flows))  # 12 of 12 + 58 at each site
    step = replace(flows["Graz"].left_out[0], counts=Counts(None, None))
    hidden = flows | {"Boston": replace(flows["Graz"], left_out=(step,))}
    assert "excluded: number withheld by some sites →" in texts(replace(contents, flows=hidden))


def test_flags_of_quality_control_are_counted_as_far_as_policies_allow(contents: RunContents) -> None:
    flags = dict.fromkeys(contents.sites, 0)
    assert "no scan flagged by QC ✓" in texts(replace(contents, flags=flags))
    assert "2 scans flagged by QC →" in texts(replace(contents, flags=flags | {"Graz": 2}))
    strict = [section | {"policy": section["policy"] | {"min_people": 3}} for section in contents.config["sites"]]
    hidden = replace(contents, flags=flags | {"Graz": 2}, config=contents.config | {"sites": strict})
    assert "scans flagged by QC: known at the sites only (qc.html) →" in texts(hidden)


def attacked(contents: RunContents, value: float, low: float, high: float) -> RunContents:
    """The contents with another AUC of the attack on the federated model."""
    assert contents.metrics is not None
    federated = contents.metrics.federated
    assert federated.membership is not None
    mean = replace(federated.membership.mean_auc, value=value, low=low, high=high)
    attack = replace(federated.membership, mean_auc=mean)
    methods = contents.metrics.methods | {"federated": replace(federated, membership=attack)}
    return replace(contents, metrics=replace(contents.metrics, methods=methods))


def test_a_model_that_memorises_is_marked_and_leads_to_its_numbers(contents: RunContents) -> None:
    found = {check.text: check for check in checks(attacked(contents, 0.68, 0.58, 0.77))}
    check = found["the model memorises training people (membership attack AUC 0.68)"]
    assert (check.good, check.section) == (False, "privacy")
    assert "no sign of memorising (membership attack AUC 0.55) →" in texts(attacked(contents, 0.55, 0.45, 0.65))
    assert not any("memoris" in text for text in texts(replace(contents, metrics=None)))


def test_privacy_is_what_the_ledger_and_the_configuration_say(contents: RunContents) -> None:
    secure = SecureSum(1, *(tuple(contents.sites),) * 3, needed=3)
    ledger = [replace(line, secure=secure) if line.trains else line for line in contents.ledger]
    config = contents.config | {"privacy": {"epsilon": 3.0}}
    assert texts(replace(contents, ledger=ledger))[-1] == "privacy: secure aggregation ✓"
    assert texts(replace(contents, ledger=ledger, config=config))[-1] == "privacy: secure aggregation, ε = 3 ✓"
    assert texts(replace(contents, config=config))[-1] == "privacy: ε = 3 ✓"
