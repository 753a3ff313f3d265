"""A site behind its policy: what the policy does not allow is refused, and everything that leaves is recorded."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path

from fedtune3d._utils.folders import SiteFolder
from fedtune3d._utils.state_dicts import State
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.federation.messages import Answer, Answering, Task, parts_bytes
from fedtune3d.federation.privacy.consent import WITHHELD, Consent
from fedtune3d.federation.privacy.declarations import AnswerDeclaration, require_declared_parts
from fedtune3d.federation.privacy.egress_log import EgressManifest, sent_fields
from fedtune3d.federation.privacy.limits import require_within_limits
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.suppression import reveals_numbers, suppress, withhold
from fedtune3d.models.assembly import NCC

OWN_DATA = "one process: the data belong to the owner of the run"


class PolicyGate:
    """A site behind its policy, as the rest of the federation reaches it.

    Args:
        site: The site to guard.
        experiment: The experiment that the tasks belong to.
        policy: The site's policy.
        folder: Folder of the egress manifest.
        declared: Returns what the answers to a kind of task reveal, by its name (`tasks.registry.declared_answer`).
        consent: Approval and budget; None in one process, where the run's owner owns the data.
        now: The site's clock.
    """

    def __init__(
        self,
        site: Answering,
        experiment: Experiment,
        policy: Policy,
        folder: Path,
        declared: Callable[[str], AnswerDeclaration],
        consent: Consent | None = None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.site = site
        self.experiment = experiment
        self.policy = policy
        self.manifest = EgressManifest(SiteFolder(folder).egress)
        self.declared = declared
        self.consent = consent
        self.now = now
        self._sha256 = experiment.sha256()

    def answer(self, task: Task) -> Answer:
        """Return the site's answer, without what may not leave.

        Raises:
            Refusal: If the approval, the budget or the policy does not allow the task or its answer.
            InputError: If the site raises it.
        """
        if self.consent is not None:
            self.consent.require_approved()
        require_within_limits(self.experiment, self.policy)
        self._allow_hour()
        self._allow_payload("asked to receive", task.parts)
        declared = self.declared(task.kind)
        if self.consent is None:
            answer, reason = self._cut(task, self.site.answer(task), declared), OWN_DATA
        else:
            answer, reason = self._agreed(task, declared, self.consent)
        self._allow_payload("asked to send", answer.parts)
        if self.consent is not None:
            self.consent.require_approved()  # as late as possible
        self.manifest.record(self._sha256, task, answer, reason, sent_fields(declared, answer, self.policy))
        return answer

    def _agreed(self, task: Task, declared: AnswerDeclaration, consent: Consent) -> tuple[Answer, str]:
        """Return the answer to a task within the budget, and why it is allowed; a repeated task has the same answer."""
        if consent.withholds and task.kind == "train":
            self._require_plain_training()
        reason = consent.account.charge(task)
        stored = consent.account.stored(task, declared.payload)
        if stored is not None:
            return stored, reason
        answer = self._cut(task, self.site.answer(task), declared)
        consent.require_approved()  # it may have been revoked during the computation, or a participant have withdrawn
        if consent.withholds:
            answer = withhold(answer, declared, WITHHELD)
            reason = f"{reason}; withheld: {WITHHELD}"
        elif reveals_numbers(answer, declared):
            consent.note_release()
        consent.account.keep(task, answer)
        return answer, reason

    def _require_plain_training(self) -> None:
        """Raise `Refusal` if an update would hold statistics of the training scans, which are withheld."""
        step = self.experiment.aggregation.build().step_type
        if self.experiment.head_name() == NCC or step.scores_training or step.own_scalars:
            raise Refusal(f"the rule needs statistics of the training scans, which this site withholds: {WITHHELD}")

    def _allow_hour(self) -> None:
        if self.policy.hours is None:
            return
        first, last = (time.fromisoformat(part) for part in self.policy.hours.split("-"))
        now = self.now().time()
        within = first <= now < last if first < last else now >= first or now < last
        if not within:
            raise Refusal(f"policy.hours is {self.policy.hours}, but it is {now:%H:%M} at the site")

    def _allow_payload(self, request: str, parts: Mapping[str, State]) -> None:
        max_mb, size_mb = self.policy.max_payload_mb, parts_bytes(parts) / 1e6
        if max_mb is not None and size_mb > max_mb:
            raise Refusal(f"policy.max_payload_mb is {max_mb:g}, but the site was {request} {size_mb:,.1f} MB")

    def _cut(self, task: Task, answer: Answer, declared: AnswerDeclaration) -> Answer:
        """Refuse an answer that its kind does not declare, and hold back fields about too few people."""
        if type(answer.payload) is not declared.payload:
            raise Refusal(f"a task of kind {task.kind} is not answered with {type(answer.payload).__name__}")
        try:
            require_declared_parts(task.kind, declared.parts, answer.parts)
            declared.require_declared(task, answer)
        except TypeError as error:
            raise Refusal(str(error)) from None
        payload = suppress(task.kind, answer.payload, answer.parts, declared, self.policy.min_people)
        return replace(answer, payload=payload)
