"""Sites of this process behind the wire: every task and answer is packed and unpacked, and may be spoiled between."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from flwr.app import RecordDict
from unrendered import unrendered_figures

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.flower.wire import Occasion, TensorCache, pack_answer, pack_task, unpack_answer, unpack_task
from fedtune3d.federation.messages import Answer, Answering, Fault, Federation, Task
from fedtune3d.federation.privacy.gate import PolicyGate
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.tasks.registry import declared_answer
from fedtune3d.workflows.prepare import read_tables
from fedtune3d.workflows.run import run_across
from fedtune3d.workflows.sites import make_sites

Spoil = Callable[[str, Task, RecordDict], RecordDict | Fault]
"""What becomes of a site's answer to a task on its way."""


def nothing_spoiled(site: str, task: Task, records: RecordDict) -> RecordDict:
    """Let every answer through."""
    return records


@dataclass
class Wired:
    """A federation whose sites are called in turn, with the wire between.

    Attributes:
        guarded: The sites by name.
        occasion: What every message belongs to.
        spoil: Applied to each answer.
        seen: Site, task and reply of everything that was asked.
    """

    guarded: Mapping[str, Answering]
    occasion: Occasion
    spoil: Spoil = nothing_spoiled
    seen: list[tuple[str, Task, Answer | Fault]] = field(default_factory=list)

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        return tuple(sorted(self.guarded))

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Yield one answer or fault per site, in the order of names."""
        for site, task in sorted(tasks.items()):
            received, _ = unpack_task(pack_task(task, self.occasion, TensorCache().array))
            records = self.spoil(site, task, pack_answer(self.guarded[site].answer(received), self.occasion.sha256))
            reply = records if isinstance(records, Fault) else unpack_answer(records, task, site, self.occasion.sha256)
            self.seen.append((site, task, reply))
            yield reply


def run_wired(experiment: Experiment, spoil: Spoil = nothing_spoiled) -> tuple[RunFolder, Wired]:
    """Run an experiment whose sites are of this process but reached by the wire, as `run_across` reaches hospitals."""
    made: list[Wired] = []

    def reach(process_model: ProcessModel) -> Federation:
        folder = RunFolder(experiment.output)
        sites = make_sites(experiment, folder, Silent(), process_model=process_model, workers=1, key=bytes(32))
        read_tables(sites)
        guarded = {
            site.name: PolicyGate(site, experiment, site.section.policy, site.folder, declared_answer) for site in sites
        }
        occasion = Occasion(experiment.public(), experiment.sha256(), process_model.assembled.weights.sha256)
        made.append(Wired(guarded, occasion, spoil))
        return made[-1]

    with unrendered_figures():
        return run_across(experiment, reach, resume=False, progress=None), made[-1]
