"""The decisions of a site: what stands, what was revoked, and two processes that write at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.privacy.approval import Approvals, require_same_people
from fedtune3d.federation.privacy.refusal import Refusal

PEOPLE = {"everyone": ("p", "q"), "negative": ("p",), "positive": ("q",)}


def experiment(name: str) -> Experiment:
    values = {"name": name, "sites": [{"name": "A"}], "labels": {"positive": ["AD"], "negative": ["CN"]}}
    return Experiment.model_validate(values)


def test_a_revoked_approval_can_be_given_again(tmp_path: Path) -> None:
    approvals, asked = Approvals(tmp_path / "approvals.jsonl"), experiment("x")
    with pytest.raises(Refusal, match=r"site A has not approved this experiment \(\w{12}…\); run `fedtune3d "):
        approvals.require(asked.sha256(), "A")
    approvals.approve(asked, "name: x", PEOPLE)
    assert approvals.require(asked.sha256(), "A").people == PEOPLE
    assert approvals.revoke(asked.sha256()[:6]).name == "x"
    with pytest.raises(Refusal, match="site A has revoked its approval"):
        approvals.require(asked.sha256(), "A")
    with pytest.raises(InputError, match="expected the hash of one approved experiment; there is none"):
        approvals.revoke(asked.sha256()[:6])
    approvals.approve(asked, "name: x", PEOPLE)
    assert approvals.require(asked.sha256(), "A").revoked is None


def test_who_withdrew_is_in_no_approval(tmp_path: Path) -> None:
    approvals, asked = Approvals(tmp_path / "approvals.jsonl"), experiment("x")
    approvals.approve(asked, "name: x", PEOPLE)
    approvals.withdraw("q")
    approval = approvals.require(asked.sha256(), "A")
    assert approval.people == {"everyone": ("p",), "negative": ("p",), "positive": ()}
    require_same_people(approval, approval.people, "A")
    with pytest.raises(Refusal, match="the people at site A have changed since it approved this experiment"):
        require_same_people(approval, PEOPLE, "A")


def test_a_release_is_noted_once(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "approvals.jsonl")
    for _ in range(3):
        approvals.note_release("e" * 64, PEOPLE)
    assert approvals.released() == [("e" * 64, PEOPLE)]


def test_decisions_at_once_keep_the_chain(tmp_path: Path) -> None:
    """As `site approve` next to `site join`."""
    with ThreadPoolExecutor(8) as threads:
        for number in range(40):
            threads.submit(Approvals(tmp_path / "approvals.jsonl").withdraw, f"person-{number}")
    assert len(Approvals(tmp_path / "approvals.jsonl").withdrawn()) == 40
