"""A whole run with a site that trains and withholds its counts and statistics: it ends, and its numbers are missing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from unrendered import unrendered_figures

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answering, Federation
from fedtune3d.federation.privacy.account import Account
from fedtune3d.federation.privacy.approval import Approvals
from fedtune3d.federation.privacy.budget import budget_of
from fedtune3d.federation.privacy.consent import WITHHELD, Consent
from fedtune3d.federation.privacy.egress_log import EgressManifest
from fedtune3d.federation.privacy.gate import PolicyGate
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.run_folder import read_metrics

PEOPLE = {"everyone": ("p",), "negative": (), "positive": ("p",)}


@pytest.mark.ci
def test_a_run_ends_without_the_numbers_of_a_site_that_withholds(small_experiment: Any, tmp_path: Path) -> None:
    experiment = Experiment.from_yaml(small_experiment.write(tmp_path / "run"))

    def reach(sites: Mapping[str, Answering]) -> Federation:
        guarded = sites["B"]
        assert isinstance(guarded, PolicyGate)
        guarded.consent = consent_of(guarded, experiment, tmp_path / "B")
        return InProcess(sites)

    with unrendered_figures():
        folder = run_experiment(experiment, reach=reach)
    sites = read_metrics(folder).federated.sites
    assert (sites["A"].scans, sites["B"].scans) == (4, 0)
    assert sites["B"].auc.value is None
    lines = [json.loads(line) for line in folder.rounds.ledger.read_text().splitlines()]
    first = lines[0]["sites"]
    assert first["A"]["weight"] == first["B"]["weight"] == 0.5  # B weighs as the median of the others
    assert (first["B"]["examples"], first["B"]["loss"], first["B"]["participated"]) == (None, None, True)
    left = EgressManifest(folder.site("B").egress).entries()
    assert {entry.reason.partition("; ")[2] for entry in left} == {f"withheld: {WITHHELD}"}
    assert {field.reveals for entry in left for field in entry.fields} == {"a tensor of an update"}
    assert not Approvals(tmp_path / "B" / "approvals.jsonl").released()
    assert folder.report.exists()


def consent_of(gate: PolicyGate, experiment: Experiment, folder: Path) -> Consent:
    """As of a site whose people are nearly those of an earlier experiment."""
    approvals = Approvals(folder / "approvals.jsonl")
    approvals.approve(experiment, "", PEOPLE)
    budget = budget_of(experiment, "B")
    account = Account(
        folder / "charges.jsonl", folder / "answers", experiment.sha256(), "B", budget, experiment.training.rounds
    )
    return Consent(approvals, account, PEOPLE, withholds=True)
