"""A site's data: its cohort, prepared scans, splits and features. The only code that knows the site's paths."""

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import CacheFolder, SiteFolder
from fedtune3d._utils.progress import Advance, Progress
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_step import KEPT_LOCAL, STATE
from fedtune3d.cohorts.folds import require_enough_people
from fedtune3d.cohorts.reading import read_site
from fedtune3d.cohorts.records import Cohort, ScanRecord
from fedtune3d.cohorts.rejected import RejectedScan, read_rejected, without_rejected
from fedtune3d.cohorts.splits import count_by_quantile, count_groups, read_splits
from fedtune3d.cohorts.warnings import ReadingWarning
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.site import SiteSection
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.federation.messages import Task
from fedtune3d.federation.privacy.budget import training_rounds
from fedtune3d.federation.privacy.differential_privacy.accounting import mechanism_of
from fedtune3d.federation.privacy.differential_privacy.spending import Budget, Spending
from fedtune3d.federation.privacy.minimums import (
    people_by_class,
    require_small_delta,
    require_training,
    small_splits,
)
from fedtune3d.federation.privacy.people import hash_person, site_key
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.secure_aggregation.key_files import make_identity, read_identity, read_trusted
from fedtune3d.federation.privacy.secure_aggregation.site_part import SitePart
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.joint_preparation import JointPreparation
from fedtune3d.federation.site.local_trainer import LocalTrainer
from fedtune3d.federation.site.masked_updates import MaskedUpdates
from fedtune3d.federation.site.private_rounds import PrivateRounds
from fedtune3d.preparation.prepare_all import PreparedCohort
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.training.dataset import LabelledScan, ScanSet, count_cached, open_scans, unencoded, view_names
from fedtune3d.training.draws import MakeDraws, SeededDraws
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.settings import AugmentationSettings

SPLITS = ("train", "validation", "test")


def count_people(records: Iterable[ScanRecord]) -> int:
    """Count the people behind scans; people who share a group count once, as they may be one person."""
    return len({record.group_id for record in records})


class SiteData(LocalTrainer):
    """A hospital's scans, its part of the run folder and its cache, which the task handlers work on.

    Args:
        experiment: The experiment.
        section: This site's section of the experiment; must have a root. The site keeps to its policy as the outcome
            asks for it (`Policy.for_outcome`).
        folder: ``sites/<name>/`` of the run folder.
        progress: Where the progress of preparation and encoding is shown.
        process_model: The model, shared by the sites of a process.
        preparation: Prepares the scans of all sites of this process; None to prepare those of this site alone.
        key: Key for the leak audit if the site names none: drawn for the sites of this process.
        withdrawn: Tells whether a participant has withdrawn, and is no longer part of the site's data.
    """

    def __init__(
        self,
        experiment: Experiment,
        section: SiteSection,
        folder: Path,
        progress: Progress,
        process_model: ProcessModel,
        preparation: JointPreparation | None = None,
        key: bytes | None = None,
        withdrawn: Callable[[str], bool] = lambda participant: False,
    ) -> None:
        super().__init__(section.name, experiment, process_model, SiteFolder(folder).memory())
        self.section = section.model_copy(update={"policy": section.policy.for_outcome(experiment.outcome)})
        self.folder = folder
        self.files = SiteFolder(folder)
        self.progress = progress
        self.key = key
        self.withdrawn = withdrawn
        self.cache = CacheFolder(experiment.cache).site(section.name)
        self.preparation = preparation or JointPreparation(experiment, progress)
        self.preparation.join(self)
        self._sets: dict[str, ScanSet] = {}
        self._key_files: tuple[Path, Path] | None = None
        self._spending_files: tuple[Path, Path] | None = None
        self._make_draws: MakeDraws = SeededDraws

    def sign_with(self, signing_key: Path, trusted: Path) -> None:
        """Take part in secure aggregation as a hospital does: with its own key, and those that people compared."""
        self._key_files = signing_key, trusted

    def spend_from(self, spending: Path, people_key: Path, make_draws: MakeDraws) -> None:
        """Train under differential privacy as a hospital does: out of one budget over all experiments."""
        self._spending_files = spending, people_key
        self._make_draws = make_draws

    @cached_property
    def private(self) -> PrivateRounds:
        """Rounds under differential privacy, with the noise that the experiment needs at this site."""
        experiment, policy = self.experiment, self.section.policy
        privacy, records = experiment.privacy.differential, self.records_of("train")
        if privacy is None:
            raise InputError(f"{self.name}: the experiment has no privacy.epsilon")
        require_small_delta(privacy, count_people(records), self.name)
        own_files = self.files.spending, self.files.people_key
        path, key_file = self._spending_files or own_files
        identity = experiment.name if self._spending_files is None else experiment.sha256()
        key = site_key(key_file, [path])
        return PrivateRounds(
            Spending(path, self.name, identity, privacy, Budget(policy.max_epsilon, policy.max_delta)),
            self.files.releases,
            privacy,
            mechanism_of(
                privacy, experiment.training, count_people(records), len(training_rounds(experiment, self.name))
            ),
            [hash_person(key, record.participant_id) for record in records],
            self._make_draws,
        )

    @cached_property
    def masked(self) -> MaskedUpdates:
        """Updates on their way into a secure sum."""
        paths, max_share = self.files.masking, self.section.policy.max_share
        if self._key_files is None:  # all sites are of one process, so there is nobody to mistake for another
            part = SitePart(make_identity(paths.signing_key), None, max_share)
        else:
            signing_key, trusted = self._key_files
            part = SitePart(read_identity(signing_key), read_trusted(trusted), max_share)
        return MaskedUpdates(self.name, self.experiment.sha256(), paths, part)

    @property
    def root(self) -> Path:
        """The site's folder, or its table of paths."""
        if self.section.root is None:
            raise InputError(f"site {self.name}: `root`, its folder or table of paths, is missing")
        return self.section.root

    @cached_property
    def cohort(self) -> Cohort:
        """The scans in use, and the people left out."""
        section = self.section
        cohort = read_site(
            self.root,
            self.name,
            self.experiment.wanted_of(section),
            section.sessions,
            section.format,
            section.participants,
            None if section.labels is None else self.experiment.labels,
            section.labels is not None,
        )
        if section.exclude is not None:
            cohort = without_rejected(cohort, self.rejected, section.exclude)
        self._note(cohort.warnings)
        for line in cohort.notes:
            self.progress.note(f"{self.name}: warning: {line}")
        return cohort.without(self.withdrawn)

    @property
    def classes(self) -> int:
        """The number of classes by which people are counted; 1 where a number is predicted."""
        return len(self.experiment.outcome.strata)

    @property
    def rejected(self) -> list[RejectedScan]:
        """The scans that the site excludes by a list."""
        return [] if self.section.exclude is None else read_rejected(self.section.exclude)

    @property
    def store(self) -> PreparedStore:
        """The store of the site's prepared scans."""
        return PreparedStore(self.cache.prepared, self.experiment.preparation_settings)

    @cached_property
    def prepared(self) -> PreparedCohort:
        """Every usable scan, prepared, together with those of the other sites of this process."""
        prepared = self.preparation.cohort_of(self.name)
        self._note(prepared.warnings)
        return prepared

    @property
    def warnings(self) -> tuple[ReadingWarning, ...]:
        """The warnings about unreadable entries of its tables and sidecars."""
        return self.cohort.warnings + self.prepared.warnings

    def _note(self, warnings: Iterable[ReadingWarning]) -> None:
        for warning in warnings:
            self.progress.note(f"{self.name}: warning: {warning.line}")

    @property
    def records(self) -> list[ScanRecord]:
        """The usable scans that could be prepared."""
        return list(self.prepared.paths)

    @cached_property
    def splits(self) -> dict[str, str]:
        """Group → split, as saved by the task `assign_splits`."""
        return read_splits(self.files.splits)

    def scans(self, split: str) -> ScanSet:
        """Return the scans of a split, encoding those that are not in the cache yet."""
        if split not in self._sets:
            with self.progress.bar(f"{self.name}: encoding {split} scans") as advance:
                self._sets[split] = self.encode(split, self.labelled(split), advance)
        return self._sets[split]

    def encode(self, split: str, scans: Sequence[LabelledScan], progress: Advance | None = None) -> ScanSet:
        """Open scans of a split of this site, encoding those that are not in the cache yet."""
        augmentation, views = self._views(split)
        return open_scans(
            scans,
            self.process_model.prefix,
            FeatureCache(self.cache.features),
            self.experiment.input,
            augmentation=augmentation,
            views=views,
            seed=self.experiment.seed,
            progress=progress,
        )

    def unencoded(self, split: str) -> list[LabelledScan]:
        """Return the scans of a split that are not in the cache yet."""
        augmentation, views = self._views(split)
        return unencoded(
            self.labelled(split),
            self.process_model.prefix,
            FeatureCache(self.cache.features),
            augmentation=augmentation,
            views=views,
            seed=self.experiment.seed,
        )

    def count_cached(self, split: str, scans: Iterable[Path]) -> int:
        """Count the features that the cache has of prepared scans, as a split takes them."""
        augmentation, views = self._views(split)
        names = view_names(views, augmentation, self.experiment.seed, self.name)
        return count_cached(scans, names, self.process_model.prefix, FeatureCache(self.cache.features))

    def _views(self, split: str) -> tuple[AugmentationSettings | None, int]:
        """Return the augmentation of a split's scans, and the number of their cached views."""
        training = self.experiment.training
        return (training.augmentation, training.views) if split == "train" else (None, 1)

    def people_of_scans(self, split: str) -> list[str]:
        """Return the group of each scan of a split, usually one person, in the order of `scans`."""
        return [record.group_id for record in self.records_of(split)]

    def allow_training(self) -> None:
        """Raise `Refusal` if a class has fewer people in training than the site's policy requires."""
        require_training(self.people_per_class("train"), self.section.policy, self.name)

    def small_splits(self) -> frozenset[str]:
        """Return the splits about which no number leaves, by the saved splits, or else by those to be made."""
        splits = self.splits if self.files.splits.exists() else self.own_splits(self.records)
        members = {
            split: [record for record in self.records if splits.get(record.group_id) == split] for split in SPLITS
        }
        counts = {split: people_by_class(own, self.classes) for split, own in members.items()}
        return small_splits(counts, self.section.policy)

    def allow_class_sums(self, scans: ScanSet) -> None:
        """Raise `Refusal` if a class has fewer training people than the site's policy requires behind a class sum."""
        people, required = min(self.people_per_class("train")), self.section.policy.min_per_class
        if people < required:
            raise Refusal(
                f"policy.min_per_class of site {self.name} is {required}, and a class has fewer people in training"
            )

    def people(self, split: str) -> int:
        """Count the people of a split; 0 where it is too small for any number of it to leave."""
        return 0 if split in self.small_splits() else count_people(self.records_of(split))

    def people_per_class(self, split: str) -> tuple[int, ...]:
        """Count the groups with a scan in a split by class, in the order of labels. A group is usually one person."""
        return people_by_class(self.records_of(split), self.classes)

    def labelled(self, split: str) -> list[LabelledScan]:
        """Return the prepared scans of a split with their labels."""
        return [
            LabelledScan(self.prepared.paths[record], self._learnt(record), self.name)
            for record in self.records_of(split)
        ]

    def _learnt(self, record: ScanRecord) -> int | float:
        """Return what training fits: the index of the class, or the number on the outcome's scale."""
        outcome = self.experiment.outcome
        if isinstance(outcome, ClassOutcome) or record.number is None:
            return record.label
        return outcome.standardise(record.number)

    def records_of(self, split: str) -> list[ScanRecord]:
        """Return the prepared scans' records of a split."""
        return [record for record in self.records if self.splits[record.group_id] == split]

    def shared_groups(self, records: Sequence[ScanRecord]) -> dict[str, tuple[int, ...]]:
        """Count the scans per class of each group that the server splits for all sites, by its pseudonym."""
        declared = count_groups((record for record in records if self.is_shared(record)), self.classes)
        return {self._pseudonym(group): counts for group, counts in declared.items()}

    def assign(self, records: Sequence[ScanRecord], shared: Mapping[str, str]) -> dict[str, str]:
        """Assign groups to splits: shared groups as in `shared`, all others here. Returns group → split.

        Groups that were assigned before keep their split, also after somebody has withdrawn.
        """
        own = [record for record in records if not self.is_shared(record)]
        by_number = isinstance(self.experiment.outcome, NumberOutcome)
        unshared = count_by_quantile(own) if by_number else count_groups(own, self.classes)
        saved = read_splits(self.files.splits) if self.files.splits.exists() else {}
        if unshared.keys() <= saved.keys():
            splits = {group: saved[group] for group in unshared}
        else:
            splits = self.experiment.assign(unshared, self.name)
        declared = {record.group_id for record in records if self.is_shared(record)}
        return splits | {group: shared[self._pseudonym(group)] for group in declared}

    def require_enough_people(self, records: Sequence[ScanRecord]) -> None:
        """Raise `InputError` if a fold of the cross-validation would lack a class that the site has."""
        validation, names = self.experiment.validation, self.experiment.outcome.strata
        require_enough_people(records, 0 if validation is None else validation.folds, self.name, names)

    def own_splits(self, records: Iterable[ScanRecord]) -> dict[str, str]:
        """Group → split of the groups that this site splits itself."""
        return self.assign([record for record in records if not self.is_shared(record)], {})

    def is_shared(self, record: ScanRecord) -> bool:
        """Return whether the server splits the record's group because other sites may have it, too."""
        return record.group_declared and self.section.policy.groups_leave

    def _pseudonym(self, group: str) -> str:
        """Return a group's pseudonym, equal at all sites of an experiment and in experiments with the same splits."""
        return hmac.new(self.experiment.splits_sha256().encode(), group.encode(), "sha256").hexdigest()

    def write_received(self, task: Task) -> State:
        """Load a task's state into the model, with the layers that this site keeps local, and return it."""
        received = {**task.parts[STATE], **self.memory.load(task.memory_version).get(KEPT_LOCAL, {})}
        self.process_model.assembled.write(received)
        return received
