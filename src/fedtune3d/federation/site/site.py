"""A site: the only code that knows its paths. It answers tasks, whoever carries them."""

import copy
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import CacheFolder, SiteFolder
from fedtune3d._utils.progress import Progress
from fedtune3d._utils.seeds import derive_seed
from fedtune3d._utils.state_dicts import State, state_sha256
from fedtune3d._utils.typed_json import to_json, write_typed
from fedtune3d.aggregation.contract import STATE
from fedtune3d.cohorts.dataset_description import is_simulated
from fedtune3d.cohorts.flow import BadScan, SiteFlow, count_flow, leaving, without_folder
from fedtune3d.cohorts.reading import read_site
from fedtune3d.cohorts.records import Cohort, ScanRecord
from fedtune3d.cohorts.scanner import scanner_of
from fedtune3d.cohorts.splits import assign_splits, count_groups, read_splits, read_splits_of_scans, write_splits
from fedtune3d.config.experiment import Experiment, SiteSection
from fedtune3d.evaluation.groups import UNKNOWN, Axes, age_band
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import summarise, summarise_validation
from fedtune3d.federation.messages import LEAVE_ONE_SITE_OUT, LOCAL, Answer, Task, without
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.audit import Fingerprinter, describe, read_key
from fedtune3d.federation.site.local_trainer import KEPT_LOCAL, LocalTrainer
from fedtune3d.federation.site.memory import SiteMemory
from fedtune3d.federation.site.predictions_table import scan_name, write_predictions
from fedtune3d.federation.site.saliency import MAP, REGIONS, MapMaker, average, cannot_explain, choose, unpack_regions
from fedtune3d.models.centres import pool_features
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.feature_statistics import LEAST_SCANS, FeatureStatistics
from fedtune3d.preparation.pictures import write_example
from fedtune3d.preparation.prepare_all import PreparedCohort, prepare_all
from fedtune3d.preparation.profiles import intensity_profile, intensity_range, load_brain
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.training.dataset import LabelledScan, ScanSet, open_scans
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.fitting import head_inputs, one_head_input
from fedtune3d.training.prediction import predict

SPLITS = ("train", "validation", "test")
STATISTICS = "usual"
METHODS = ("federated", "local", "centralized", LEAVE_ONE_SITE_OUT)
EXAMPLES = 3
WORTH_PROCESSES = 16  # fewer scans are prepared sooner here than in processes that must first import everything


class Site(LocalTrainer):
    """One hospital: its scans, its half of the run folder and its cache.

    Args:
        experiment: The run.
        section: What the experiment says of this site; its root must be given.
        folder: ``sites/<name>/`` of the run folder.
        progress: Where preparing and encoding are shown.
        process_model: The model, shared by the sites of a process.
        workers: Processes that prepare scans.
        key: Of the leak audit, where the site names none: one drawn for the sites of this process.
    """

    def __init__(
        self,
        experiment: Experiment,
        section: SiteSection,
        folder: Path,
        progress: Progress,
        process_model: ProcessModel,
        workers: int = 2,
        key: bytes | None = None,
    ) -> None:
        super().__init__(section.name, experiment, process_model, SiteFolder(folder).memory())
        self.section = section
        self.folder = folder
        self.files = SiteFolder(folder)
        self.progress = progress
        self.workers = workers
        self.key = key
        self.cache = CacheFolder(experiment.cache).site(section.name)
        self._sets: dict[str, ScanSet] = {}

    def answer(self, task: Task) -> Answer:
        """Do what the task says, with the memory of its namespace; see `LocalTrainer.answer`."""
        if not task.namespace:
            return super().answer(task)
        purposes = (LOCAL, *(without(site.name) for site in self.experiment.sites if site.name != self.name))
        if task.namespace not in purposes:
            raise InputError(
                f"{self.name}: expected a task for the namespace {', '.join(purposes)}, got {task.namespace!r}"
            )
        return self._in_namespace(task.namespace).answer(replace(task, namespace=""))

    def _in_namespace(self, namespace: str) -> Self:
        """The same site with a memory of its own, to train for another namespace beside the federation."""
        twin = copy.copy(self)
        twin.memory = SiteMemory(self.files.memory(namespace))
        return twin

    def handlers(self) -> Mapping[str, Callable[[Task], Answer]]:
        """What the site can be asked, by kind of task."""
        return {
            "plan": self._plan,
            "split": self._split,
            "fingerprint": self._fingerprint,
            "describe": self._describe,
            "profile": self._profile,
            "evaluate": self._evaluate,
            "feature_statistics": self._feature_statistics,
            "saliency": self._saliency,
            **super().handlers(),
        }

    @property
    def root(self) -> Path:
        """The site's folder, or its table of paths."""
        if self.section.root is None:
            raise InputError(f"site {self.name}: `root`, its folder or table of paths, is not given")
        return self.section.root

    @cached_property
    def cohort(self) -> Cohort:
        """Which scans are used, and who is left out."""
        section = self.section
        return read_site(
            self.root,
            self.name,
            self.experiment.labels_of(section),
            section.sessions,
            section.format,
            section.participants,
        )

    @property
    def store(self) -> PreparedStore:
        """Where its prepared scans are kept."""
        return PreparedStore(self.cache.prepared, self.experiment.preparation.settings())

    @cached_property
    def prepared(self) -> PreparedCohort:
        """Every usable scan, prepared."""
        workers = self.workers if len(self.cohort.records) >= WORTH_PROCESSES else 1
        with self.progress.bar(f"{self.name}: preparing scans") as advance:
            return prepare_all(self.cohort.records, self.store, workers, self.experiment.on_bad_scan, advance)

    @property
    def records(self) -> list[ScanRecord]:
        """The usable scans that could be prepared."""
        return list(self.prepared.paths)

    @cached_property
    def splits(self) -> dict[str, str]:
        """Group → split, as saved when the site was told to split."""
        return read_splits(self.files.splits)

    def scans(self, split: str) -> ScanSet:
        """The scans of a split; encodes what the cache does not hold yet."""
        if split not in self._sets:
            training = self.experiment.training.settings()
            augmented = split == "train"
            with self.progress.bar(f"{self.name}: encoding {split} scans") as advance:
                self._sets[split] = open_scans(
                    self.labelled(split),
                    self.process_model.prefix,
                    FeatureCache(self.cache.features),
                    augmentation=training.augmentation if augmented else None,
                    views=training.views if augmented else 1,
                    seed=self.experiment.seed,
                    progress=advance,
                )
        return self._sets[split]

    def allow_class_sums(self, scans: ScanSet) -> None:
        """Raise `InputError` where a class has fewer scans than the site's policy wants behind a sum."""
        fewest, least = int(torch.bincount(scans.labels, minlength=2).min()), self.section.policy.least_per_class
        if fewest < least:
            raise InputError(f"{self.name}: a class has {fewest} training scans, and the site's policy wants {least}")

    def labelled(self, split: str) -> list[LabelledScan]:
        """The prepared scans of a split with their labels."""
        return [LabelledScan(self.prepared.paths[record], record.label, self.name) for record in self._of(split)]

    def _of(self, split: str) -> list[ScanRecord]:
        return [record for record in self.records if self.splits[record.group_id] == split]

    def _plan(self, task: Task) -> Answer:
        values = {
            "simulated": is_simulated(self.root),
            "scans": len(self.records),
            "own_groups": len({record.group_id for record in self.records if not self._is_shared(record)}),
            "declared_groups": self.shared_groups(self.records),
        }
        return Answer(self.name, values=values)

    def _split(self, task: Task) -> Answer:
        """Split own groups here; those that other sites may have, too, as the server split them for all."""
        splits = self.assign(self.records, task.values["groups"])
        write_splits(self.files.splits, self.records, splits)
        self.splits = splits
        flow = count_flow(self.cohort, self.prepared.bad, splits)
        bad = tuple(BadScan(record.name, without_folder(record, why)) for record, why in self.prepared.bad)
        write_typed(self.files.flow, SiteFlow(flow, bad))
        if self.section.policy.pictures_leave:
            self._write_examples()
        policy = self.section.policy
        shown = leaving(flow, policy.predictions_leave, policy.least_examples)
        return Answer(self.name, values={"flow": to_json(shown)})

    def shared_groups(self, records: Sequence[ScanRecord]) -> dict[str, tuple[int, int]]:
        """Scans of each group that the server splits for all sites, by the name that it sees."""
        declared = count_groups(record for record in records if self._is_shared(record))
        return {self._pseudonym(group): counts for group, counts in declared.items()}

    def assign(self, records: Sequence[ScanRecord], shared: Mapping[str, str]) -> dict[str, str]:
        """Group → split: own groups as this site deals them, the others as `shared` has them."""
        own = count_groups(record for record in records if not self._is_shared(record))
        splits = assign_splits(own, self.experiment.seed, self.name, self.experiment.splits.fractions())
        declared = {record.group_id for record in records if self._is_shared(record)}
        return splits | {group: shared[self._pseudonym(group)] for group in declared}

    def _fingerprint(self, task: Task) -> Answer:
        """What shows an image or a person that stands twice, to who compares it with the other sites' answers."""
        policy, key = self.section.policy, self.key
        if self.section.fingerprint_key is not None:
            key = read_key(self.name, self.section.fingerprint_key)
        if key is None:
            return Answer(self.name, values={"key": None, "scans": []})
        fingerprinter = Fingerprinter(self.name, key, policy.names_leave, policy.groups_leave)
        if not policy.names_leave:
            names = {fingerprinter.shown(name): name for one in self.records for name in (one.participant_id, one.name)}
            write_text(self.cache.names, "".join(f"{shown}\t{name}\n" for shown, name in names.items()))
        splits = read_splits_of_scans(self.files.splits)
        with self.progress.bar(f"{self.name}: fingerprinting scans") as advance:
            near = bool(task.values.get("near"))
            return Answer(self.name, values=fingerprinter.answer(self.prepared.paths, splits, near, advance))

    def _describe(self, task: Task) -> Answer:
        splits, least = read_splits_of_scans(self.files.splits), self.section.policy.least_per_class
        return Answer(self.name, values=describe(self.records, splits, least, self.experiment.seed))

    def _profile(self, task: Task) -> Answer:
        """The range of the intensities, or, on the grid that the server made of all sites' ranges, their density."""
        paths = list(self.prepared.paths.values())
        if len(paths) < self.section.policy.least_per_class:
            return Answer(self.name, values={"scans": None, "range": None, "density": None})
        with self.progress.bar(f"{self.name}: intensity profile") as advance:
            if "grid" in task.values:
                low, high = task.values["grid"]
                density = intensity_profile(map(load_brain, paths), low, high, lambda done: advance(done, len(paths)))
                return Answer(self.name, values={"scans": len(paths), "density": density})
            return Answer(self.name, values={"range": intensity_range(load_brain(path) for path in paths)})

    def _is_shared(self, record: ScanRecord) -> bool:
        """Whether the server splits the record's group, as other sites may have it, too."""
        return record.group_declared and self.section.policy.groups_leave

    def _pseudonym(self, group: str) -> str:
        """A group's name as the server sees it: it links the sites of an experiment, and those that split alike."""
        return hmac.new(self.experiment.splits_sha256().encode(), group.encode(), "sha256").hexdigest()

    def _write_examples(self) -> None:
        for record in self.records[:EXAMPLES]:
            voxels = np.load(self.prepared.paths[record], mmap_mode="r")
            write_example(voxels, self.files.example(record.name))

    def _evaluate(self, task: Task) -> Answer:
        method = task.values["method"]
        if method not in METHODS:
            raise InputError(f"{self.name}: expected one of {', '.join(METHODS)} to evaluate, got {method!r}")
        self._write_received(task)
        if task.values.get("left_out", self.name) != self.name:
            return self._evaluate_validation()
        probabilities = {
            split: predict(self.process_model.assembled.model, self.scans(split)).tolist() for split in SPLITS
        }
        rows = [
            (record.participant_id, record.session_id, split, record.label, probability)
            for split in SPLITS
            for record, probability in zip(self._of(split), probabilities[split], strict=True)
        ]
        write_predictions(self.files.predictions(method), rows)
        validation, test = (self._enough(self._predictions(split, probabilities[split])) for split in SPLITS[1:])
        policy = self.section.policy
        summary = summarise(
            validation,
            test,
            derive_seed(self.experiment.seed, self.name, "summary"),
            share_predictions=policy.predictions_leave,
            axes=self._axes() if len(test) else {},
            least_in_group=policy.least_per_class,
        )
        return Answer(self.name, values=summary)

    def _evaluate_validation(self) -> Answer:
        """The counts behind a threshold, of a model that is tested at another site."""
        probabilities = predict(self.process_model.assembled.model, self.scans("validation")).tolist()
        return Answer(
            self.name, values=summarise_validation(self._enough(self._predictions("validation", probabilities)))
        )

    def _feature_statistics(self, task: Task) -> Answer:
        """What the trained model's features of the training scans are like, for a look at new scans."""
        model, scans = self.process_model.assembled.model, self.scans("train")
        if not isinstance(model, Classifier):
            return Answer(self.name, values={"why": "the model has no encoder apart from its head"})
        fewest, least = int(torch.bincount(scans.labels, minlength=2).min()), self.section.policy.least_per_class
        if fewest < least or len(scans) < LEAST_SCANS:
            return Answer(self.name, values={"why": "too few training scans"})
        self._write_received(task)
        usual = FeatureStatistics.of(pool_features(features.cpu() for features in head_inputs(model, scans)))
        return Answer(self.name, {STATISTICS: usual.as_state()})

    def _saliency(self, task: Task) -> Answer:
        """The mean saliency map of the state that came, over test scans of positive people, one scan each.

        By label, not by prediction: so maps of two states are of the same scans.
        """
        settings = self.experiment.explain
        if settings is None:
            raise InputError(f"{self.name}: the experiment asks for no saliency maps")
        model, scans, records = self.process_model.assembled.model, self.scans("test"), self._of("test")
        positive = [index for index, record in enumerate(records) if record.label == 1]
        groups = [records[index].group_id for index in positive]
        chosen = [positive[i] for i in choose(groups, settings.scans, self.experiment.seed, self.name, "saliency")]
        if why := cannot_explain(model, settings.method) or self._why_no_maps(len(chosen)):
            return Answer(self.name, values={"why": why})
        regions = unpack_regions(task.parts.get(REGIONS, {}))
        causes = state_sha256(self._write_received(task))
        maker = MapMaker(model.eval(), settings, regions, causes, self.files.saliency)
        found = []
        with self.progress.bar(f"{self.name}: saliency maps") as advance:
            for index in chosen:
                features = one_head_input(model, scans, index) if settings.method == "gradcam" else None
                found.append(maker.of(self.prepared.paths[records[index]], features))
                advance(len(found), len(chosen))
        usable = [one for one in found if one]
        if why := self._why_no_maps(len(usable)):
            return Answer(self.name, values={"why": why})
        mean, values = average(usable, list(regions))
        return Answer(self.name, {MAP: mean}, values)

    def _why_no_maps(self, people: int) -> str | None:
        policy = self.section.policy
        if not policy.maps_leave:
            return "the site's policy keeps its maps (policy.maps_leave)"
        if people < policy.least_per_class:
            return f"fewer than {policy.least_per_class} positive people in the test set (policy.least_per_class)"
        return None

    def _write_received(self, task: Task) -> State:
        """Write the state that came with a task, with the layers that this site keeps as its own, and return it."""
        received = {**task.parts[STATE], **self.memory.load(task.memory_version).get(KEPT_LOCAL, {})}
        self.process_model.assembled.write(received)
        return received

    def _axes(self) -> Axes:
        """The group of each test scan by sex, age band and scanner."""
        records = self._of("test")
        return {
            "sex": [record.sex or UNKNOWN for record in records],
            "age": [age_band(record.age) for record in records],
            "scanner": [scanner_of(record.path, self.root) or UNKNOWN for record in records],
        }

    def _enough(self, predictions: Predictions) -> Predictions:
        """The predictions, or none where a class has fewer scans than the policy wants behind what leaves."""
        counts = np.bincount(predictions.labels, minlength=2)
        few = bool(((counts > 0) & (counts < self.section.policy.least_examples)).any())
        return Predictions((), (), np.array([], np.int8), np.array([])) if few else predictions

    def _predictions(self, split: str, probabilities: Sequence[float]) -> Predictions:
        """For the statistics, whose unit is the group: scans of one person or one anatomy are not independent."""
        records = self._of(split)
        return Predictions(
            tuple(record.group_id for record in records),
            tuple(scan_name(record.participant_id, record.session_id) for record in records),
            np.array([record.label for record in records], dtype=np.int8),
            np.array(probabilities, dtype=np.float64),
        )
