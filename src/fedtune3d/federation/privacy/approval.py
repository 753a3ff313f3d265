"""Approvals of experiments by people at a site, and withdrawals of participants: a hash-chained file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from filelock import FileLock

from fedtune3d._utils.clock import timestamp
from fedtune3d._utils.counted_ledgers import append_counted_line, read_typed_lines
from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import storage_errors
from fedtune3d._utils.typed_json import to_json
from fedtune3d._utils.version import __version__
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import BINARY
from fedtune3d.federation.privacy.people import PeopleSets, without_people
from fedtune3d.federation.privacy.refusal import Refusal

SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Decision:
    """One line of the file.

    Attributes:
        time: Time by the site's clock, with its offset from UTC.
        what: The decision; ``released`` is written by the program before the first number about a set of people
            leaves.
        experiment: The experiment's hash; empty for a withdrawal.
        name: The experiment's name.
        file: The text of the approved experiment file; empty otherwise.
        version: The version of fedtune3d that displayed it.
        people: The people for whom it was approved, or about whom numbers were released; see `people.people_sets`.
        withdrawn: The hash of a participant who withdrew.
    """

    time: str
    what: Literal["approved", "revoked", "withdrawn", "released"]
    experiment: str = ""
    name: str = ""
    file: str = ""
    version: str = ""
    people: Mapping[str, tuple[str, ...]] | None = None
    withdrawn: str | None = None


@dataclass(frozen=True)
class Approval:
    """An approved experiment.

    Attributes:
        experiment: Its hash.
        name: Its name.
        time: When it was approved.
        version: The version of fedtune3d that displayed it.
        people: The people for whom it was approved, without those who have withdrawn since.
        revoked: Time at which the approval was revoked; None if it is valid.
    """

    experiment: str
    name: str
    time: str
    version: str
    people: PeopleSets
    revoked: str | None = None

    @property
    def short(self) -> str:
        """The first digits of the hash, by which people name it."""
        return self.experiment[:SHOWN_DIGITS]


class Approvals:
    """The decisions of a site. Every call reads the file again, so that a revocation takes effect at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def approve(self, experiment: Experiment, file: str, people: PeopleSets) -> Approval:
        """Record the approval of an experiment for these people."""
        self._append(
            Decision(
                timestamp(),
                "approved",
                experiment=experiment.sha256(),
                name=experiment.name,
                file=file,
                version=__version__,
                people=people,
            )
        )
        return self.require(experiment.sha256(), "")

    def revoke(self, experiment: str) -> Approval:
        """Record the revocation of an approval. Raises `InputError` if the experiment is not approved."""
        standing = [approval for approval in self.all() if approval.experiment.startswith(experiment)]
        standing = [approval for approval in standing if approval.revoked is None]
        if len(standing) != 1 or len(experiment) < 4:
            known = ", ".join(f"{approval.short} ({approval.name})" for approval in self.all() if not approval.revoked)
            raise InputError(f"{experiment}: expected the hash of one approved experiment; there is {known or 'none'}")
        self._append(Decision(timestamp(), "revoked", experiment=standing[0].experiment, name=standing[0].name))
        return standing[0]

    def withdraw(self, person: str) -> None:
        """Record that a participant, given by their hash, is excluded from now on."""
        self._append(Decision(timestamp(), "withdrawn", withdrawn=person))

    def note_release(self, experiment: str, people: PeopleSets) -> None:
        """Record that numbers about these people are about to leave, unless this is recorded already."""
        if not any(other == experiment and dict(sets) == dict(people) for other, sets in self.released()):
            self._append(Decision(timestamp(), "released", experiment=experiment, people=people))

    def all(self) -> list[Approval]:
        """Return the latest approval of each experiment, including revoked ones, oldest first."""
        approvals: dict[str, Approval] = {}
        gone: list[str] = []
        for decision in self._decisions():
            if decision.what == "approved" and decision.people is not None:
                approvals.pop(decision.experiment, None)
                approvals[decision.experiment] = Approval(
                    decision.experiment, decision.name, decision.time, decision.version, decision.people
                )
            elif decision.what == "revoked" and decision.experiment in approvals:
                revoked = replace(approvals[decision.experiment], revoked=decision.time)
                approvals[decision.experiment] = revoked
            elif decision.withdrawn is not None:
                gone.append(decision.withdrawn)
        return [replace(approval, people=without_people(approval.people, gone)) for approval in approvals.values()]

    def require(self, experiment: str, site: str) -> Approval:
        """Return the approval of an experiment. Raises `Refusal` with advice for the server's operator."""
        current = next((approval for approval in self.all() if approval.experiment == experiment), None)
        short = experiment[:SHOWN_DIGITS]
        if current is None:
            raise Refusal(
                f"site {site} has not approved this experiment ({short}…); run `fedtune3d site approve FOLDER "
                "experiment.yaml` there"
            )
        if current.revoked is not None:
            raise Refusal(f"site {site} has revoked its approval of this experiment ({short}…)")
        return current

    def file_of(self, experiment: str) -> str:
        """Return the text of the file that was approved last for an experiment; empty if there is none."""
        approved = [
            entry.file for entry in self._decisions() if entry.what == "approved" and entry.experiment == experiment
        ]
        return approved[-1] if approved else ""

    def released(self) -> list[tuple[str, PeopleSets]]:
        """Return the experiments and sets of people about which numbers were released."""
        return [
            (decision.experiment, decision.people)
            for decision in self._decisions()
            if decision.what == "released" and decision.people is not None
        ]

    def withdrawn(self) -> frozenset[str]:
        """Return the hashes of the participants who have withdrawn."""
        return frozenset(decision.withdrawn for decision in self._decisions() if decision.withdrawn is not None)

    def _decisions(self) -> Iterator[Decision]:
        return read_typed_lines(Decision, self.path)

    def _append(self, decision: Decision) -> None:
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):  # `site approve` may run next to `site join`
            append_counted_line(self.path, to_json(decision))


def require_same_people(
    approval: Approval, people: PeopleSets, site: str, classes: Sequence[str] = BINARY.strata
) -> None:
    """Raise `Refusal` if the people of a class here are no longer those of the approval."""
    for name in classes:
        if set(approval.people.get(name, ())) != set(people[name]):
            raise Refusal(
                f"the people at site {site} have changed since it approved this experiment ({approval.short}…); "
                "run `fedtune3d site approve` there again"
            )
