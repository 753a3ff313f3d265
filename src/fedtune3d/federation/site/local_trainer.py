"""Local training and scoring at a site, or on the pooled scans of several sites."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE
from fedtune3d.aggregation.site_step import KEPT_LOCAL, STATE, Parts, SiteStep
from fedtune3d.aggregation.sums import values_to_sum
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.masked_updates import MaskedUpdates
from fedtune3d.federation.site.memory import SiteMemory
from fedtune3d.federation.site.private_rounds import PrivateRounds
from fedtune3d.federation.step_messages import retry_sha256, step_of, tensors_sha256, training_sha256
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.federation.update_checks import reason_to_refuse
from fedtune3d.models.tuning import read_state
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.faults import SiteFault
from fedtune3d.training.fitting import fit_locally
from fedtune3d.training.local import LocalRound, TrainingResult, train_locally
from fedtune3d.training.private import Protection, train_privately
from fedtune3d.training.scores import Scores, score


class ScoredElsewhere(Protocol):
    """The scores of the state that a site received, which another process may compute while the site trains."""

    def obtain(self, compute: Callable[[], Scores]) -> Scores:
        """Return the scores, and compute them here if nobody else does."""
        ...


def can_be_scored_elsewhere(task: Task) -> bool:
    """Return whether another process can score the state of a training task: it needs nothing but the task."""
    return isinstance(task.instruction, Train) and task.instruction.attempt is None and not task.namespace


class LocalTrainer:
    """Base class for anything that trains locally: a site, or several sites pooled."""

    def __init__(self, name: str, experiment: Experiment, process_model: ProcessModel, memory: Path) -> None:
        self.name = name
        self.experiment = experiment
        self.process_model = process_model
        self.memory = SiteMemory(memory)
        self.elsewhere: ScoredElsewhere | None = None

    def scans(self, split: str) -> ScanSet:
        """Return the scans of a split, as input to the trainable part of the model."""
        raise NotImplementedError

    def people(self, split: str) -> int:
        """Count the people behind the scans of a split."""
        raise NotImplementedError

    def train(self, task: Task) -> Answer:
        """Train for one round, with the aggregation rule's site step."""
        began, memory = time.monotonic(), self.process_model.memory
        memory.begin(self.process_model.device)
        step, attempt = step_of(task), task.expect(Train).attempt
        remembered = self.memory.load(task.memory_version)
        received = task.parts[STATE] | remembered.get(KEPT_LOCAL, {})
        self.allow_training()
        if attempt is not None:
            self.masked.require_one_task(task.round, tensors_sha256(task), retry_sha256(task))
        received_scores = None if self.elsewhere else self._score_state(received)
        with nullcontext() if received_scores else self._fault_of(received):
            others = {of: self._score_state(state) for of, state in step.states_to_score(received, remembered).items()}
            training_loss = self._training_loss(received) if step.scores_training else None
            deadline = None if task.deadline_seconds is None else began + task.deadline_seconds
            result = self._train_from(received, task, step, remembered, deadline)
        assembled = self.process_model.assembled
        trained = received | read_state(assembled.model, assembled.trainable)
        sent_scores = self._score_state(trained)
        if received_scores is None:
            assert self.elsewhere is not None
            received_scores = self.elsewhere.obtain(partial(self._score_state, received))
        scores = {RECEIVED_SCORE: received_scores, **others, SENT_SCORE: sent_scores}
        parts = {STATE: {name: trained[name] for name in step.expected_parts(received)[STATE]}, **result.parts}
        remember = step.to_remember(trained, parts, remembered) | step.received_to_remember(received)
        self.memory.save(task.round, remember)
        self.memory.forget_before(task.oldest_version)
        payload = TrainAnswer(
            examples=result.examples,
            people=self.people("train"),
            loss=result.loss,
            received=received_scores,
            sent=sent_scores,
            scores={name: value for name, score in scores.items() if (value := score.for_rule(step.score_kind))},
            scalars=step.scalars(received, trained, remembered),
            validation_people=self.people("validation"),
            received_training_loss=training_loss,
            spent=None if self.experiment.privacy.differential is None else self.private.spent(),
            seconds=round(time.monotonic() - began, 3),
            peak_memory_bytes=memory.peak_bytes(),
        )
        answer = Answer(self.name, payload, parts)
        return answer if attempt is None else self._hide(task, step, received, trained, answer)

    @property
    def masked(self) -> MaskedUpdates:
        """Updates on their way into a secure sum. Raises `InputError` where there are none."""
        raise InputError(f"{self.name}: takes part in no secure aggregation")

    def _hide(self, task: Task, step: SiteStep, received: State, trained: State, answer: Answer) -> Answer:
        """Keep an update at the site, checked as the server cannot check it any more, and answer with keys instead."""
        most = self.experiment.participation.max_norm
        if reason_to_refuse(answer, task.parts[STATE], step, most):  # which may hold numbers of the update
            raise SiteFault(f"its update is not finite, or larger than participation.max_norm ({most:.3g})")
        payload, attempt = answer.expect(TrainAnswer), task.expect(Train).attempt
        assert attempt is not None  # asked for by the task
        keys = self.masked.begin(
            task.round,
            attempt,
            payload.people,
            values_to_sum(self.experiment.rule_of_sums().to_sum, step, received, trained, answer.parts),
            tensors_sha256(task),
            training_sha256(task),
        )
        return Answer(self.name, payload.model_copy(update={"keys": keys}))

    @property
    def private(self) -> PrivateRounds:
        """Rounds under differential privacy. Raises `InputError` where there are none."""
        raise InputError(f"{self.name}: takes part in no training under differential privacy")

    def people_of_scans(self, split: str) -> list[str]:
        """Return the person of each scan of a split, in the order of `scans`. Raises as `private`."""
        raise InputError(f"{self.name}: takes part in no training under differential privacy")

    def _train_from(
        self, state: State, task: Task, step: SiteStep, remembered: Parts, deadline: float | None
    ) -> TrainingResult:
        """Train from `state`; the model holds the trained state afterwards."""
        assembled, scans, training = self.process_model.assembled, self.scans("train"), self.experiment.training
        local_round = LocalRound(self.experiment.seed, self.name, task.round, training.rounds)
        if self.experiment.privacy.differential is not None:
            return self._train_privately(state, task, local_round, step, remembered, deadline)
        if not assembled.trainable.parameters:
            self.allow_class_sums(scans)
            return fit_locally(assembled.model, scans)
        return train_locally(
            assembled, state, scans, training, local_round, step=step, remembered=remembered, deadline=deadline
        )

    def _train_privately(
        self,
        state: State,
        task: Task,
        local_round: LocalRound,
        step: SiteStep,
        remembered: Parts,
        deadline: float | None,
    ) -> TrainingResult:
        """Train under differential privacy, or load what the same task was answered with before."""
        assembled = self.process_model.assembled

        def train(protection: Protection) -> tuple[TrainingResult, State]:
            """Train under the protection; return the result and the trained state."""
            result = train_privately(
                assembled,
                state,
                self.scans("train"),
                self.people_of_scans("train"),
                self.experiment.training,
                protection,
                local_round,
                step=step,
                remembered=remembered,
                deadline=deadline,
            )
            return result, read_state(assembled.model, assembled.trainable)

        causes = hashlib.sha256(f"{retry_sha256(task)} {tensors_sha256(task)}".encode()).hexdigest()
        result, trained = self.private.release(local_round, causes, train)
        assembled.write(state | trained)
        return result

    def allow_training(self) -> None:
        """Raise `InputError` where so few people are in training that no update may leave."""

    def allow_class_sums(self, scans: ScanSet) -> None:
        """Raise `InputError` if too few people are behind a class sum for it to leave the site."""

    def score(self, task: Task) -> Answer:
        """Score the state that comes with a task."""
        state = task.parts[STATE] | self.memory.load(task.memory_version).get(KEPT_LOCAL, {})
        payload = ScoreAnswer(received=self._score_state(state), validation_people=self.people("validation"))
        return Answer(self.name, payload)

    def _score_state(self, state: State) -> Scores:
        """Score a state on the validation set."""
        return score(self.process_model.assembled, state, self.scans("validation"))

    @contextmanager
    def _fault_of(self, received: State) -> Iterator[None]:
        """If the block fails, fail with the fault of the state that was not scored before it, if that has one."""
        try:
            yield
        except SiteFault:
            self._score_state(received)
            raise

    def _training_loss(self, state: State) -> float | None:
        """Compute the mean cross-entropy of a state over the training scans; None if there are none."""
        return score(self.process_model.assembled, state, self.scans("train")).loss
