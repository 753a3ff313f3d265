"""Answer a message at the site: open its experiment, ask the site behind its gate, report faults without names."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from flwr.app import RecordDict
from pydantic import ValidationError

from fedtune3d._utils.errors import InputError, MachineError, StorageError
from fedtune3d._utils.folders import RunFolder, SitePaths, SiteWork
from fedtune3d._utils.foreign_text import one_line
from fedtune3d._utils.progress import Progress, Silent
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.model import ModelSection
from fedtune3d.config.own_encoder import find_other_code, named_code
from fedtune3d.config.site import SiteSection
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.flower.wire import Occasion, WireError, pack_answer, unpack_task
from fedtune3d.federation.messages import Answer, Fault, Task, parts_bytes
from fedtune3d.federation.privacy.account import Account
from fedtune3d.federation.privacy.approval import Approvals
from fedtune3d.federation.privacy.budget import budget_of
from fedtune3d.federation.privacy.consent import Consent, require_answerable
from fedtune3d.federation.privacy.egress_log import EgressManifest
from fedtune3d.federation.privacy.gate import PolicyGate
from fedtune3d.federation.privacy.limits import require_within_limits
from fedtune3d.federation.privacy.people import hash_person, people_sets, site_key
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.site.data import SPLITS
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.tasks.profile_intensities import ProfileIntensities
from fedtune3d.federation.tasks.registry import declared_answer
from fedtune3d.training.draws import MakeDraws, system_draws
from fedtune3d.training.faults import SiteFault

log = logging.getLogger("fedtune3d")
MakeSite = Callable[[Experiment, SiteSection, Path, Progress, Callable[[str], bool]], Site]
"""Creates a site from the experiment, the site's section, its folder, the progress display, and who has withdrawn."""


class SiteHost:
    """Answer the messages to a site; the last experiment's site is kept open between messages.

    Args:
        folder: The site's folder, with its approvals.
        make_site: Creates the site for an experiment.
        progress: Where the progress of preparation and encoding is shown.
        make_draws: Makes the draws of differential privacy: from the operating system's generator.
    """

    def __init__(
        self,
        folder: Path,
        make_site: MakeSite,
        progress: Progress | None = None,
        make_draws: MakeDraws = system_draws,
    ) -> None:
        self.paths = SitePaths(folder)
        self.settings = SiteSettings.read(folder)
        self.settings.install_encoders()
        self.make_site = make_site
        self.progress = progress or Silent()
        self.make_draws = make_draws
        self.approvals = Approvals(self.paths.approvals)
        self._current: tuple[object, PolicyGate, Site] | None = None

    def answer(self, records: RecordDict) -> RecordDict:
        """Return the reply: an answer, or a fault of one line that names no path, person or scan."""
        sha256, description, reply = self._reply(records)
        if isinstance(reply, Fault):
            reply = self._record(sha256, Fault(reply.site, one_line(reply.reason)))
        else:
            log.info("%s: answered with %s bytes of tensors", description, f"{parts_bytes(reply.parts):,}")
        return pack_answer(reply, sha256)

    def _record(self, sha256: str, fault: Fault) -> Fault:
        """Record a fault and return it; if it cannot be recorded, return a fault that says only this."""
        try:
            EgressManifest(SiteWork(self.settings.work).egress).record_fault(sha256, fault.reason)
        except MachineError as error:
            log.error("the egress manifest cannot be written: %s", error)
            reason = error.reason if isinstance(error, StorageError) else "it is damaged"
            return Fault(self.settings.name, f"the site cannot write its egress manifest ({reason})")
        return fault

    def _reply(self, records: RecordDict) -> tuple[str, str, Answer | Fault]:
        """Return the experiment's hash, a description of the task, and the reply; the task's tensors are released."""
        sha256, description = "", "message"
        try:
            task, occasion = unpack_task(records)
            sha256, description = occasion.sha256, f"{task.kind}, round {task.round}" if task.round else task.kind
            return sha256, description, self._carry_out(task, occasion)
        except (Refusal, WireError) as refusal:
            log.warning("%s: refused: %s", description, one_line(str(refusal)))
            return sha256, description, Fault(self.settings.name, f"refused: {refusal}")
        except SiteFault as fault:
            log.warning("%s: %s", description, fault)
            return sha256, description, Fault(self.settings.name, fault.public)
        except Exception as error:
            log.error("%s: %s", description, error, exc_info=not isinstance(error, InputError))
            return sha256, description, Fault(self.settings.name, _without_names(error))

    def _carry_out(self, task: Task, occasion: Occasion) -> Answer:
        gate, site = self._open(occasion)
        if occasion.weights_sha256 != site.process_model.assembled.weights.sha256:
            raise Refusal("the encoder's weights here differ from the server's; compare their SHA-256")
        answer = gate.answer(task)
        if isinstance(task.instruction, ProfileIntensities):
            for split in SPLITS:
                site.scans(split)  # encode before the rounds, so that the first deadline need not allow for it
        return answer

    def _open(self, occasion: Occasion) -> tuple[PolicyGate, Site]:
        """Return the site of an approved experiment, reopened if it was approved again or a participant withdrew."""
        experiment = self._experiment(occasion)  # says so if the versions differ, before "not approved" would
        approval = self.approvals.require(occasion.sha256, self.settings.name)
        causes = (approval.experiment, approval.time, self.approvals.withdrawn())
        if self._current is None or self._current[0] != causes:
            self._current = None
            section = self.settings.section_of(experiment)
            require_within_limits(experiment, section.policy)
            folder = RunFolder(experiment.output).site(section.name).path
            site = self.make_site(experiment, section, folder, self.progress, self._withdrawn())
            consent = self._consent(experiment, site)
            site.sign_with(self.settings.signing_key, self.settings.trusted)
            site.spend_from(self.paths.spending, self.paths.people_key, self.make_draws)
            gate = PolicyGate(site, experiment, site.section.policy, folder, declared_answer, consent)
            self._current = causes, gate, site
        return self._current[1:]

    def _withdrawn(self) -> Callable[[str], bool]:
        key, withdrawn = site_key(self.paths.people_key, self.paths.hashed), self.approvals.withdrawn()
        return lambda participant: hash_person(key, participant) in withdrawn

    def _consent(self, experiment: Experiment, site: Site) -> Consent:
        """Check the people and labels of the experiment at this site, as `site approve` did."""
        require_answerable(experiment, site.section, self.settings.columns, site.cohort)
        records = site.cohort.records
        key, classes = site_key(self.paths.people_key, self.paths.hashed), experiment.outcome.strata
        people = people_sets(records, site.own_splits(records), key, classes)
        account = Account(
            self.paths.charges,
            site.files.answers,
            experiment.sha256(),
            site.name,
            budget_of(experiment, site.name),
            experiment.training.rounds,
            self._terms(),
        )
        return Consent.open(self.approvals, account, people, site.section.policy, classes)

    def _terms(self) -> str:
        """Return the SHA-256 of what decides on answers: the policy, the key of the codes, and who has withdrawn."""
        digest = hashlib.sha256(self.settings.policy.model_dump_json().encode())
        if (key := self.settings.fingerprint_key) is not None:
            digest.update(hashlib.sha256(key.read_bytes()).digest())
        digest.update("".join(sorted(self.approvals.withdrawn())).encode())
        return digest.hexdigest()

    def _experiment(self, occasion: Occasion) -> Experiment:
        """Return the experiment as this site runs it: with its own folders and weights, and the same hash."""
        if problem := find_other_code(*named_code(occasion.experiment)):
            raise Refusal(problem)
        try:
            experiment = Experiment.model_validate(occasion.experiment)
        except (ValidationError, InputError):
            raise Refusal("the experiment is not valid here; install the server's version of fedtune3d") from None
        if experiment.sha256() != occasion.sha256:
            raise Refusal("the experiment's hash differs here; install the server's version of fedtune3d")
        updates: dict[str, Path | ModelSection] = {
            "cache": SiteWork(self.settings.work).cache.path,
            "output": SiteWork(self.settings.work).run(experiment.name, occasion.sha256).path,
        }
        if isinstance(experiment.model.weights, Path):
            updates["model"] = experiment.model.model_copy(update={"weights": self._weights(experiment.model.weights)})
        return experiment.model_copy(update=updates)

    def _weights(self, expected: Path) -> Path:
        if self.settings.weights is None:
            raise Refusal(f"the experiment starts from {expected.name}, but site.yaml has no `weights`")
        if self.settings.weights.name != expected.name:
            raise Refusal(f"the experiment starts from {expected.name}, but `weights` in site.yaml is another file")
        return self.settings.weights


def _without_names(error: Exception) -> str:
    """Describe an error to the server by its type only: its text could name paths, people and scans."""
    cause = error.reason if isinstance(error, StorageError) else getattr(error, "strerror", None)
    reason = f" ({cause})" if cause else ""
    return f"the site could not carry out the task: {type(error).__name__}{reason}; details are in the site's log"
