"""A site behind its policy: what that does not allow is refused, whoever asks, and all that leaves is written down."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import Any

from fedtune3d._utils.folders import SiteFolder
from fedtune3d.aggregation.registry import step_type_of
from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.config.experiment import Experiment, Policy
from fedtune3d.federation.messages import Answer, Answering, Payload, Task, parts_bytes
from fedtune3d.federation.privacy.declarations import require_declared_parts
from fedtune3d.federation.privacy.egress_log import EgressManifest
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.tasks.count_scans import ScanCounts
from fedtune3d.federation.tasks.registry import task_kind
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.training.scores import Scores


class PolicyGate:
    """A site as others reach it.

    Args:
        site: Whose answers are guarded.
        experiment: What it is asked for.
        policy: What it allows.
        folder: Where its egress manifest is kept.
        now: The site's clock.
    """

    def __init__(
        self,
        site: Answering,
        experiment: Experiment,
        policy: Policy,
        folder: Path,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.site = site
        self.experiment = experiment
        self.policy = policy
        self.manifest = EgressManifest(SiteFolder(folder).egress)
        self.now = now
        self._sha256 = experiment.sha256()
        self._trained = [
            line["namespace"]
            for line in self.manifest.lines()
            if line["kind"] == "train" and line["experiment"] == self._sha256
        ]

    def answer(self, task: Task) -> Answer:
        """What the site answers, cut to what may leave.

        Raises:
            Refusal: When the policy does not allow the task or its answer.
            InputError: As the site.
        """
        self._allow_experiment()
        self._allow_hour()
        self._allow_payload("asked to take", task.parts)
        if task.kind == "train":
            self._allow_round(task)
        answer = self._without_small_numbers(task, self.site.answer(task))
        self._allow_payload("asked to send", answer.parts)
        _require_declared(task, answer)
        self.manifest.record(self._sha256, task, answer)
        if task.kind == "train":
            self._trained.append(task.namespace)
        return answer

    def _allow_experiment(self) -> None:
        tuning, head = self.experiment.tuning.method, self.experiment.head_name()
        if self.policy.tunings is not None and tuning not in self.policy.tunings:
            raise Refusal(f"policy.tunings allows {', '.join(self.policy.tunings)}, the experiment wants {tuning}")
        if self.policy.heads is not None and head not in self.policy.heads:
            raise Refusal(f"policy.heads allows {', '.join(self.policy.heads)}, the experiment wants {head}")
        most, rounds = self.policy.max_rounds, self.experiment.training.rounds
        if most is not None and rounds > most:
            raise Refusal(f"policy.max_rounds is {most}, the experiment wants {rounds} rounds")

    def _allow_round(self, task: Task) -> None:
        most, before = self.policy.max_rounds, self._trained.count(task.namespace)
        if most is not None and before >= most:
            raise Refusal(f"policy.max_rounds is {most}, and {before} training answers have left already")

    def _allow_hour(self) -> None:
        if self.policy.hours is None:
            return
        first, last = (time.fromisoformat(part) for part in self.policy.hours.split("-"))
        now = self.now().time()
        within = first <= now < last if first < last else now >= first or now < last
        if not within:
            raise Refusal(f"policy.hours is {self.policy.hours}, and it is {now:%H:%M} at the site")

    def _allow_payload(self, what: str, parts: Mapping[str, Any]) -> None:
        most, size = self.policy.max_payload_mb, parts_bytes(parts) / 1e6
        if most is not None and size > most:
            raise Refusal(f"policy.max_payload_mb is {most:g}, the site was {what} {size:,.1f} MB")

    def _without_small_numbers(self, task: Task, answer: Answer) -> Answer:
        """The answer without scores of fewer scans than the policy wants; refused where there are fewer at all."""
        payload, fewest = answer.payload, self.policy.min_people
        if isinstance(payload, ScanCounts) and payload.scans < fewest:
            raise Refusal(f"policy.min_people is {fewest}, and the site has fewer scans")
        if isinstance(payload, TrainAnswer) and payload.examples < fewest:
            raise Refusal(f"policy.min_people is {fewest}, and the site has fewer scans to train with")
        return replace(answer, payload=_without_few(payload, fewest))


def _without_few(payload: Payload, fewest: int) -> Payload:
    """The payload without validation scores of fewer scans than `fewest`, those for the rule included."""
    why = f"not sent: of fewer than {fewest} scans (policy.min_people)"
    kept: dict[str, Scores | dict[str, SiteScore]] = {}
    for name in ("received", "sent"):
        scores = getattr(payload, name, None)
        if isinstance(scores, Scores) and 0 < scores.examples < fewest:
            kept[name] = Scores(auc=None, balanced_accuracy=None, loss=None, examples=0, why=why)
    if isinstance(payload, TrainAnswer):
        kept["scores"] = {name: score for name, score in payload.scores.items() if score.examples >= fewest}
    return payload.model_copy(update=kept) if kept else payload


def _require_declared(task: Task, answer: Answer) -> None:
    """Refuse an answer that is not of the task's kind, or holds a part or a score without a declaration."""
    kind = task_kind(task.kind)
    if type(answer.payload) is not kind.payload:
        raise Refusal(f"a task of kind {task.kind} has no answer of type {type(answer.payload).__name__}")
    try:
        require_declared_parts(task.kind, kind.parts, answer.parts)
    except TypeError as error:
        raise Refusal(str(error)) from None
    if isinstance(answer.payload, TrainAnswer):
        rule = task.expect(Train).rule
        if unknown := sorted(answer.payload.scores.keys() - step_type_of(rule).score_names()):
            raise Refusal(f"train: rule {rule} declares no score {', '.join(unknown)} (SiteStep.own_scores)")
