"""Whatever trains and scores on scans of its own, as a rule's plan wants it."""

import resource
import time
from collections.abc import Mapping
from pathlib import Path

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.contract import (
    CONTROL,
    CONTROL_CHANGE,
    KIND,
    LEAVE_ONE_OUT_SCORE,
    RECEIVED_SCORE,
    RECEIVED_TRAINING_LOSS,
    SENT_SCORE,
    SENT_STATE,
    STATE,
    LocalPlan,
)
from fedtune3d.aggregation.fed_ce import leave_one_out_state
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.local_plans import plan_of
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.memory import SiteMemory
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import TrainAnswer
from fedtune3d.models.tuning import read_state
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.fitting import fit_locally
from fedtune3d.training.local import LocalRound, TrainingResult, train_locally
from fedtune3d.training.scores import Scores, score

KEPT_LOCAL = "kept_local"


class LocalTrainer:
    """Whatever trains and scores on scans of its own: one site, or several pooled."""

    def __init__(self, name: str, experiment: Experiment, process_model: ProcessModel, memory: Path) -> None:
        self.name = name
        self.experiment = experiment
        self.process_model = process_model
        self.memory = SiteMemory(memory)

    def scans(self, split: str) -> ScanSet:
        """The scans of a split, as the trained part of the model takes them."""
        raise NotImplementedError

    def train(self, task: Task) -> Answer:
        """Train for one round, as the rule's plan wants it."""
        began = time.monotonic()
        plan = plan_of(task)
        remembered = self.memory.load(task.memory_version)
        received = task.parts[STATE] | remembered.get(KEPT_LOCAL, {})
        metrics = self._scores_before(plan, received, remembered)
        received_scores = self._score_state(received)
        model, answer = self.process_model.assembled.model, self.process_model.assembled.trainable
        deadline = None if task.deadline_seconds is None else began + task.deadline_seconds
        result = self._train_model(task.round, plan, deadline, remembered.get(CONTROL))
        trained = read_state(model, answer)
        sent_scores = score(model, self.scans("validation"))
        metrics |= _metric(RECEIVED_SCORE, received_scores, plan) | _metric(SENT_SCORE, sent_scores, plan)
        sent = {name: tensor for name, tensor in trained.items() if name not in plan.keep_local + plan.frozen}
        parts = {STATE: sent}
        if result.control_change is not None:
            parts[CONTROL_CHANGE] = result.control_change
        own = received | trained
        self.memory.save(task.round, _to_remember(plan, own, result.control_change, remembered))
        self.memory.forget_before(task.oldest_version)
        payload = TrainAnswer(
            examples=result.examples,
            loss=result.loss,
            received=received_scores,
            sent=sent_scores,
            metrics=metrics,
            seconds=round(time.monotonic() - began, 3),
            peak_memory_bytes=peak_memory_bytes(),
        )
        return Answer(self.name, payload, parts)

    def _train_model(
        self, round_: int, plan: LocalPlan, deadline: float | None, own_control: State | None
    ) -> TrainingResult:
        model, answer = self.process_model.assembled.model, self.process_model.assembled.trainable
        scans, training = self.scans("train"), self.experiment.training
        if not answer.parameters:
            self.allow_class_sums(scans)
            return fit_locally(model, scans)
        occasion = LocalRound(self.experiment.seed, self.name, round_, training.rounds)
        return train_locally(
            model, answer, scans, training.settings(), plan, occasion, deadline=deadline, own_control=own_control
        )

    def allow_class_sums(self, scans: ScanSet) -> None:
        """Raise `InputError` where so few people stand behind a class sum that it may not leave."""

    def score(self, task: Task) -> Answer:
        """Score the state that comes with a task."""
        state = task.parts[STATE] | self.memory.load(task.memory_version).get(KEPT_LOCAL, {})
        return Answer(self.name, ScoreAnswer(received=self._score_state(state)))

    def _score_state(self, state: State) -> Scores:
        """Scores on the validation set; the model holds the state afterwards."""
        self.process_model.assembled.write(state)
        return score(self.process_model.assembled.model, self.scans("validation"))

    def _scores_before(
        self, plan: LocalPlan, received: State, remembered: Mapping[str, State]
    ) -> dict[str, float | str]:
        """The scores that the plan wants of other states or other scans than the two that are always scored."""
        metrics: dict[str, float | str] = {}
        if "leave_one_out" in plan.scores and SENT_STATE in remembered:
            without = leave_one_out_state(
                received,
                remembered[SENT_STATE],
                plan.values["leave_one_out_weight"],
                plan.values.get("leave_one_out_scaling"),
            )
            metrics |= _metric(LEAVE_ONE_OUT_SCORE, self._score_state(without), plan)
        if "received_training" in plan.scores:
            self.process_model.assembled.write(received)
            loss = score(self.process_model.assembled.model, self.scans("train")).loss
            if loss is not None:
                metrics[RECEIVED_TRAINING_LOSS] = loss
        return metrics


def _metric(name: str, scores: Scores, plan: LocalPlan) -> dict[str, float | str]:
    """A score as a rule reads it, with its kind; nothing where there is no validation set."""
    found = scores.for_rule(plan.score_kind)
    return {} if found is None else {name: found[0], name + KIND: found[1]}


def _to_remember(
    plan: LocalPlan, trained: State, change: State | None, before: Mapping[str, State]
) -> dict[str, State]:
    """What the site keeps for its next round: what the plan asked it to, and what never leaves it."""
    parts: dict[str, State] = {KEPT_LOCAL: {name: trained[name] for name in plan.keep_local}}
    if SENT_STATE in plan.remember:
        parts[SENT_STATE] = trained
    if change is not None:
        own = before.get(CONTROL, {})
        parts[CONTROL] = {name: own[name] + delta if name in own else delta for name, delta in change.items()}
    return parts


def peak_memory_bytes() -> int:
    """The most memory that this process had resident so far; on Linux without that of the process it began from."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
