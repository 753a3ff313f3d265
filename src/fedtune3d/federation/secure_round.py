"""A round in which the server adds up updates that it cannot see: the attempts, and what is kept for a restart.

An attempt asks five times: train and offer keys, share secrets, mask the update, confirm the survivors, reveal shares.
Until the survivors are fixed, an attempt that fails is followed by another with fresh masks. From then on the record of
the attempt is on disk, and only this attempt can be finished: the sites sign one list of survivors per round.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch

from fedtune3d._utils.state_dicts import State, load_state, save_state
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.aggregation.average import shares, with_examples
from fedtune3d.aggregation.capping import bound_shares
from fedtune3d.aggregation.contract import Aggregate, Update
from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.aggregation.site_step import SiteStep
from fedtune3d.aggregation.sums import KnownSums, SumRule, Weighing, values_to_sum
from fedtune3d.federation.ledger import SecureSum, SiteEntry
from fedtune3d.federation.ledger_entries import entry_of
from fedtune3d.federation.messages import Answer, Fault, Federation, Instruction, Payload, Task
from fedtune3d.federation.privacy.secure_aggregation.fixed_point import to_values
from fedtune3d.federation.privacy.secure_aggregation.messages import (
    MIN_PART,
    Attempt,
    Dealing,
    Plan,
    SignedKeys,
    why_unsafe,
)
from fedtune3d.federation.privacy.secure_aggregation.server_part import (
    ServerAttempt,
    TooFewSitesError,
    WrongShareError,
)
from fedtune3d.federation.privacy.secure_aggregation.vectors import layout_sha256, length_of, unflatten
from fedtune3d.federation.round_state import RoundsFolder, RoundState
from fedtune3d.federation.secure_traffic import answer_bytes, instruction_bytes, keys_bytes
from fedtune3d.federation.step_messages import tensors_sha256, training_sha256
from fedtune3d.federation.tasks.confirm_survivors import Confirmation, ConfirmSurvivors
from fedtune3d.federation.tasks.mask_update import MASKED, WORDS, MaskedUpdate, MaskUpdate
from fedtune3d.federation.tasks.reveal_shares import RevealedShares, RevealShares
from fedtune3d.federation.tasks.share_secrets import SharedSecrets, ShareSecrets
from fedtune3d.federation.tasks.train import TrainAnswer
from fedtune3d.federation.update_checks import reason_to_refuse_hidden

_ADVICE = "run again into a new folder, under another name or seed"


@dataclass(frozen=True)
class Report:
    """A site's report on an update that it keeps: an `Update` without its tensors."""

    examples: int
    scores: dict[str, SiteScore]
    received_training_loss: float | None
    scalars: dict[str, float]

    @classmethod
    def of(cls, payload: TrainAnswer) -> "Report":
        """Return the report in a training answer."""
        return cls(payload.examples or 0, dict(payload.scores), payload.received_training_loss, dict(payload.scalars))

    def update(self, site: str) -> Update:
        """Return the report as an update whose tensors cannot be read."""
        return Update(site, self.examples, _hidden, self.scores, self.received_training_loss, self.scalars)


@dataclass(frozen=True)
class SumRecord:
    """How far the sum of a round has come; on disk from the start of each attempt.

    Attributes:
        server: The attempt, as the server knows it.
        entries: Site → its entry for the ledger so far.
        reports: Site → what it says of its update.
        weighing: What each update counts, over the sites of the plan.
        adjusted: Sites whose weight was cut or raised to the bounds of a sum.
    """

    server: ServerAttempt
    entries: dict[str, SiteEntry] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    weighing: Weighing = field(default_factory=lambda: Weighing({}))
    adjusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecureOutcome:
    """The result of a round: as after visible updates, and how the sum was formed."""

    aggregate: Aggregate
    entries: dict[str, SiteEntry]
    accepted: tuple[str, ...]
    secure: SecureSum


class AttemptFailed(Exception):
    """An attempt at a sum that came to nothing; the text says in which step.

    Attributes:
        faults: Site → fault.
        is_final: Whether no other attempt at the round is possible, so that only this one can be finished.
    """

    def __init__(self, reason: str, entries: Mapping[str, SiteEntry], is_final: bool) -> None:
        super().__init__(reason)
        self.faults = {site: entry.fault for site, entry in entries.items() if entry.fault}
        self.is_final = is_final


class SecureRound:
    """One round of a federation under secure aggregation.

    Args:
        federation: The sites.
        rule: The aggregation rule, on sums.
        folder: Where the record is kept.
        experiment: SHA-256 of the experiment.
        round_state: The state before the round.
        steps: Site → the rule's part, for the sites that train.
        tasks: Returns the tasks of an attempt by its number: training for these sites, scoring for the others.
        min_sites: Fewest updates in the sum.
        max_share: The greatest share of the sum that a site may have.
    """

    def __init__(
        self,
        federation: Federation,
        rule: SumRule,
        folder: RoundsFolder,
        experiment: str,
        round_state: RoundState,
        steps: Mapping[str, SiteStep],
        tasks: Callable[[int], dict[str, Task]],
        min_sites: int,
        max_share: float,
    ) -> None:
        self.federation = federation
        self.rule = rule
        self.paths = folder.paths
        self.experiment = experiment
        self.round_state = round_state
        self.round = round_state.round + 1
        self.steps = steps
        self.tasks = tasks
        self.min_sites = min_sites
        self.max_share = max_share
        self.entries: dict[str, SiteEntry] = {}

    def attempt(self) -> SecureOutcome:
        """Make an attempt at the sum, or finish the one whose survivors are fixed.

        Raises:
            AttemptFailed: If too few sites are left in a step.
        """
        record = self._read_record()
        try:
            if record is None or not record.server.survivors:
                record = self._until_masked(1 if record is None else record.server.attempt.number + 1)
            self.entries = dict(record.entries)
            return self._unmasked(record)
        except (TooFewSitesError, WrongShareError) as error:
            is_final = record is not None and bool(record.server.survivors)
            raise AttemptFailed(str(error), self.entries, is_final) from error

    def forget(self) -> None:
        """Remove the record, once the round is committed."""
        shutil.rmtree(self.paths.sum_record.parent, ignore_errors=True)

    def _until_masked(self, number: int) -> SumRecord:
        """Train, share secrets, and add up what comes under masks."""
        server = ServerAttempt(Attempt(self.experiment, self.round, number))
        write_typed(self.paths.sum_record, SumRecord(server))  # the sites take part in no attempt twice
        tasks = self.tasks(number)
        keys, reports = self._offered(server, tasks)
        server = server.with_roster(keys)
        server = server.with_dealings(self._dealings(server))
        updates = with_examples([reports[site].update(site) for site in server.dealings])
        weighing = self.rule.weigh(updates, self.round_state.memory)
        amounts, adjusted = bound_shares(weighing.amounts, self.max_share, MIN_PART)
        weighing = replace(weighing, amounts=amounts)
        layout = self._layout()
        trains = next(task for site, task in sorted(tasks.items()) if site in self.steps)
        coefficients = shares(weighing.amounts)
        plan = Plan(coefficients, tensors_sha256(trains), training_sha256(trains), layout_sha256(layout))
        server = replace(server, plan=plan)
        total, survivors = self._masked(server, length_of(layout))
        if len(survivors) < self.min_sites:
            raise TooFewSitesError(f"{len(survivors)} sites sent masked values, and the quorum is {self.min_sites}")
        if why := why_unsafe({site: coefficients[site] for site in survivors}, self.max_share):
            raise TooFewSitesError(f"of the sites that sent masked values, {why}")
        server = server.with_survivors(survivors)
        for site in survivors:
            self.entries[site] = replace(self.entries[site], participated=True)
        record = SumRecord(server, dict(sorted(self.entries.items())), reports, weighing, adjusted)
        save_state(self.paths.masked_sum, {WORDS: total})
        write_typed(self.paths.sum_record, record)
        return record

    def _offered(
        self, server: ServerAttempt, tasks: Mapping[str, Task]
    ) -> tuple[dict[str, SignedKeys], dict[str, Report]]:
        """Let the sites train; return the keys and reports of those whose update can be added up."""
        keys: dict[str, SignedKeys] = {}
        reports: dict[str, Report] = {}
        self.entries = {}
        for reply in self.federation.ask(tasks):
            site, step = reply.site, self.steps.get(reply.site)
            self.entries[site] = entry_of(reply, tasks[site])
            if isinstance(reply, Fault) or step is None:
                continue
            fault = reason_to_refuse_hidden(reply, step)
            offered = reply.expect(TrainAnswer).keys if fault is None else None
            if offered is not None:
                fault = server.why_not_keys(site, offered, keys.values())
            if offered is None or fault is not None:
                self._note_fault(site, fault or "no keys")
                continue
            self._count(site, 0, keys_bytes(offered))
            keys[site], reports[site] = offered, Report.of(reply.expect(TrainAnswer))
        return keys, reports

    def _dealings(self, server: ServerAttempt) -> dict[str, Dealing]:
        instruction = ShareSecrets(attempt=server.attempt.number, roster=server.roster)
        dealings = {}
        for site, answer in self._ask(dict.fromkeys(server.roster, instruction), SharedSecrets):
            dealing = answer.expect(SharedSecrets).dealing
            if fault := server.why_not_dealt(dealing):
                self._note_fault(site, fault)
            else:
                dealings[site] = dealing
        return dealings

    def _masked(self, server: ServerAttempt, length: int) -> tuple[torch.Tensor, list[str]]:
        """Add up what the sites send under masks, one at a time."""
        number, plan = server.attempt.number, server.decided
        instructions = {
            site: MaskUpdate(attempt=number, plan=plan, sealed=server.sealed_for(site)) for site in plan.sites
        }
        total, survivors = torch.zeros(length, dtype=torch.int64), []
        for site, answer in self._ask(instructions, MaskedUpdate):
            words = answer.parts.get(MASKED, {}).get(WORDS)
            if words is None or words.dtype != torch.int64 or words.shape != total.shape:
                self._note_fault(site, f"expected {length} masked words of int64")
                continue
            total += words
            survivors.append(site)
        return total, survivors

    def _unmasked(self, record: SumRecord) -> SecureOutcome:
        """Have the survivors confirmed and their sum unmasked, and apply the rule."""
        server = record.server
        number, survivors = server.attempt.number, server.survivors
        confirm = ConfirmSurvivors(attempt=number, survivors=survivors)
        confirmed = self._ask(dict.fromkeys(survivors, confirm), Confirmation)
        signatures = {
            site: signature
            for site, answer in confirmed
            if server.is_confirmed_by(site, signature := answer.expect(Confirmation).signature)
        }
        if len(signatures) < server.threshold:
            raise TooFewSitesError(f"{len(signatures)} of {server.threshold} sites have confirmed the survivors")
        reveal = RevealShares(attempt=number, signatures=signatures)
        answers = self._ask(dict.fromkeys(signatures, reveal), RevealedShares)
        revealed = {site: answer.expect(RevealedShares).revealed for site, answer in answers}
        values = to_values(server.unmask(load_state(self.paths.masked_sum)[WORDS], revealed))
        return SecureOutcome(
            self._aggregate(record, values),
            dict(sorted(self.entries.items())),
            survivors,
            SecureSum(
                number, tuple(server.roster), tuple(server.dealings), survivors, server.threshold, record.adjusted
            ),
        )

    def _aggregate(self, record: SumRecord, values: torch.Tensor) -> Aggregate:
        state, survivors = self.round_state.state, record.server.survivors
        coefficients = {site: record.server.decided.coefficients[site] for site in survivors}
        sums = KnownSums(self.rule.to_sum(state), unflatten(values, self._layout()), coefficients)
        known = with_examples([record.reports[site].update(site) for site in record.server.dealings])
        updates = [update for update in known if update.site in survivors]
        return self.rule.step(state, sums, updates, record.weighing.of(survivors), self.round_state.memory)

    def _layout(self) -> dict[str, State]:
        """Return tensors with the parts, names and shapes of what the sites add up."""
        state, step = self.round_state.state, next(step for _, step in sorted(self.steps.items()))
        return values_to_sum(self.rule.to_sum, step, state, state, step.expected_parts(state))

    def _ask(self, instructions: Mapping[str, Instruction], kind: type[Payload]) -> Iterable[tuple[str, Answer]]:
        """Ask sites of the attempt; yield the answers of the kind expected, and note faults and bytes."""
        deadline = next(iter(self.tasks(1).values())).deadline_seconds
        tasks = {
            site: Task(instruction, round=self.round, deadline_seconds=deadline)
            for site, instruction in instructions.items()
        }
        for reply in self.federation.ask(tasks):
            down = instruction_bytes(tasks[reply.site].instruction)
            if isinstance(reply, Fault):
                self._count(reply.site, down, 0)
                self._note_fault(reply.site, reply.reason)
                continue
            self._count(reply.site, down, answer_bytes(reply.payload, reply.parts))
            if isinstance(reply.payload, kind):
                yield reply.site, reply
            else:
                self._note_fault(reply.site, f"expected {kind.__name__}, got {type(reply.payload).__name__}")

    def _count(self, site: str, down: int, up: int) -> None:
        entry = self.entries[site]
        self.entries[site] = replace(entry, bytes_down=entry.bytes_down + down, bytes_up=entry.bytes_up + up)

    def _note_fault(self, site: str, fault: str) -> None:
        """Note why a site's update is not in the sum; one that is in it already stays there."""
        if not self.entries[site].participated:
            self.entries[site] = replace(self.entries[site], fault=fault)

    def _read_record(self) -> SumRecord | None:
        """Read the record of this round; None if there is none. Raises `DamagedFileError`."""
        if not self.paths.sum_record.exists():
            return None
        record = read_typed(SumRecord, self.paths.sum_record, _ADVICE)
        return record if record.server.attempt.round == self.round else None


def _hidden(part: str) -> State:
    raise TypeError(f"{part}: nobody sees a single update under secure aggregation")
