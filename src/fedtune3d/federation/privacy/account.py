"""The account of an approved experiment at a site: the tasks so far, each charged before it is computed.

It is a hash-chained file in the site's folder, so it survives restarts and kills. If a task that was charged before is
repeated, its stored answer is sent again without a charge, so that a server that lost an answer can resume.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from fedtune3d._utils.clock import timestamp
from fedtune3d._utils.counted_ledgers import append_counted_line, read_typed_lines
from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.state_dicts import State, load_info, load_state, save_state, state_sha256
from fedtune3d._utils.typed_json import to_json
from fedtune3d.federation.messages import Answer, Payload, Task
from fedtune3d.federation.privacy.budget import Allowance, purpose_of
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.serialisation import flat_state, from_text, to_text

STATE = "state"
ROUND_KINDS = ("train", "score")
UPDATE_KINDS = ("train", "share_secrets", "mask_update", "confirm_survivors", "reveal_shares")


@dataclass(frozen=True)
class Charge:
    """A charged task.

    Attributes:
        time: Time by the site's clock, with its offset from UTC.
        experiment: The hash of the experiment.
        task: The task's own hash (`task_sha256`).
        purpose: Its purpose (`budget.purpose_of`).
        kind: Its kind.
        round: Its round; 0 outside the rounds.
        namespace: Its namespace.
        state: SHA-256 of its state; None without one.
    """

    time: str
    experiment: str
    task: str
    purpose: str
    kind: str
    round: int
    namespace: str
    state: str | None


def task_sha256(task: Task) -> str:
    """Return the hash of a task; equal tasks have equal hashes."""
    parts = {name: state_sha256(state) for name, state in task.parts.items()}
    causes = [task.kind, task.round, task.namespace, task.instruction.model_dump(mode="json"), parts]
    return hashlib.sha256(json.dumps([*causes, task.memory_version], sort_keys=True).encode()).hexdigest()


class Account:
    """The remaining allowances of one experiment at a site.

    Args:
        path: The file of charges.
        answers: The folder of stored answers.
        experiment: The experiment's hash.
        site: The site's name.
        budget: Purpose → allowance.
        rounds: Rounds of the experiment.
        terms: SHA-256 of the site's terms, such as its policy; an answer that was stored under others is not given
            again.
    """

    def __init__(
        self,
        path: Path,
        answers: Path,
        experiment: str,
        site: str,
        budget: Mapping[str, Allowance],
        rounds: int,
        terms: str = "",
    ) -> None:
        self.path = path
        self.answers = answers
        self.experiment = experiment
        self.site = site
        self.budget = budget
        self.rounds = rounds
        self.terms = terms
        self._charges = [charge for charge in read_charges(path) if charge.experiment == experiment]

    def charge(self, task: Task) -> str:
        """Charge a task, on disk when this returns. Returns the reason why it is allowed, for the log.

        Raises:
            Refusal: If the experiment does not need the task, or not again.
        """
        sha256, purpose = task_sha256(task), purpose_of(task)
        allowance = self.budget.get(purpose)
        if allowance is None or task.round not in allowance.rounds:
            where = f" in round {task.round}" if task.round else ""
            raise Refusal(f"the approved experiment needs no {purpose}{where}")
        earlier = [charge for charge in self._charges if charge.purpose == purpose]
        if any(charge.task == sha256 for charge in earlier):
            return f"{purpose}: the same task again, uncharged"
        if (
            sum(charge.round == task.round for charge in earlier) >= allowance.per_round
            or len(earlier) >= allowance.times
        ):
            in_round = f" in round {task.round}" if task.round else ""
            raise Refusal(
                f"the approved experiment needs {allowance.per_round} × {purpose}{in_round}, and "
                f"{'that was' if allowance.per_round == 1 else 'those were'} answered already"
            )
        self._require_known_state(task)
        state = state_sha256(task.parts[STATE]) if STATE in task.parts else None
        charge = Charge(timestamp(), self.experiment, sha256, purpose, task.kind, task.round, task.namespace, state)
        append_counted_line(self.path, to_json(charge))
        self._charges.append(charge)
        return f"{purpose}: {len(earlier) + 1} of {allowance.times}"

    def stored(self, task: Task, payload: type[BaseModel]) -> Answer | None:
        """Return the stored answer to the same task; None if there is none under these terms, or it is not kept."""
        path = self._path(task)
        if not path.exists():
            return None
        try:
            flat, info = load_state(path), load_info(path)
            if info["terms"] != self.terms:
                return None
            value = from_text(payload, str(info["payload"]), "a stored answer")
            assert isinstance(value, Payload)
        except (DamagedFileError, InputError, KeyError, ValueError):
            path.unlink(missing_ok=True)  # will be computed again, with the same result
            return None
        parts: dict[str, State] = {str(name): {} for name in str(info["parts"]).split()}
        for name, tensor in flat.items():
            part, _, inner = name.partition("/")
            parts[part][inner] = tensor
        return Answer(self.site, value, parts)

    def keep(self, task: Task, answer: Answer) -> None:
        """Store an answer before it leaves. Updates of earlier rounds are deleted, as no server resumes from them."""
        path = self._path(task)
        info = {"payload": to_text(answer.payload), "parts": " ".join(sorted(answer.parts)), "terms": self.terms}
        save_state(path, flat_state(answer.parts), info)
        if task.kind in UPDATE_KINDS:
            for old in self.answers.glob(f"{task.kind}-{task.namespace}-*.safetensors"):
                if old.name.split("-")[-2] < f"{task.round:05d}":
                    old.unlink(missing_ok=True)

    def _path(self, task: Task) -> Path:
        name = f"{task.kind}-{task.namespace}-{task.round:05d}-{task_sha256(task)[:32]}.safetensors"
        return self.answers / name

    def _require_known_state(self, task: Task) -> None:
        """Raise `Refusal` unless the state to be tested was received in the rounds to which it is attributed.

        A site that missed a round cannot know that round's state, and accepts one, as it would have in the round.
        """
        namespace = task.instruction.tested_namespace
        if namespace is None:
            return
        received = [charge for charge in self._charges if charge.kind in ROUND_KINDS and charge.namespace == namespace]
        known = {charge.state for charge in received}
        if STATE in task.parts and state_sha256(task.parts[STATE]) in known:
            return
        if not received or len({charge.round for charge in received}) > self.rounds:
            raise Refusal(f"{purpose_of(task)}: the state is none that this site received in the rounds of this method")


def read_charges(path: Path) -> Iterator[Charge]:
    """Read the charges of all experiments, oldest first. Raises `DamagedFileError`."""
    return read_typed_lines(Charge, path)
