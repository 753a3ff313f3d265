"""The mean saliency map of a state over test people of a class, or over all where a number is predicted."""

from typing import Annotated, ClassVar

from pydantic import Field

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State, state_sha256
from fedtune3d.config.class_names import names_of
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.explain import ExplainSection
from fedtune3d.evaluation.outcome import EVERYONE
from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import NOTHING, CountedBy, Declaration, Reveals
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.site.saliency import (
    MAP,
    REGIONS,
    MapMaker,
    average,
    cannot_explain,
    choose,
    unpack_regions,
)
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.training.fitting import one_head_input

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
ONE_EACH = CountedBy("scans")
"""Scans equal people, as each person has one; with too few people the answer is refused."""
OF_SHARES = Declaration(Reveals.STATISTIC, ONE_EACH, "saliency in each brain region")
OF_VOLUMES = Declaration(Reveals.STATISTIC, ONE_EACH, "mean volume of each brain region")


class MapSaliency(Instruction):
    """Explain the state in part ``"state"``, with the atlas regions in part ``"regions"``.

    Attributes:
        random: Whether the state holds the random weights that the trained ones are compared with.
    """

    kind: ClassVar[str] = "map_saliency"
    random: bool = False

    @property
    def purpose(self) -> str:
        """The state of the federation, or random weights."""
        return "random" if self.random else "trained"

    @property
    def tested_namespace(self) -> str | None:
        """The federation's; random weights are of no namespace."""
        return None if self.random else ""


class MeanSaliency(Payload):
    """The regions' shares; the mean map is in part ``"map"``.

    Attributes:
        why: Why there is no map; None if there is one.
        scans: Number of scans in the mean, one per person.
        in_template: Number of these in MNI152 space.
        shares: Region → mean and standard deviation of its share of the brain's saliency.
        volumes: Region → its share of the brain.
    """

    why: Annotated[str | None, NOTHING] = None
    scans: Annotated[Count, Declaration(Reveals.COUNT, ONE_EACH, "people behind the map, one scan each")] = 0
    in_template: Annotated[Count, Declaration(Reveals.COUNT, ONE_EACH, "of these, scans in template space")] = 0
    shares: Annotated[dict[str, tuple[Share, Share]], OF_SHARES] = Field(default_factory=dict)
    volumes: Annotated[dict[str, Share], OF_VOLUMES] = Field(default_factory=dict)


def map_saliency(site: SiteData, task: Task) -> Answer:
    """Compute the maps of the site's test people of the explained class, one scan each, and answer with their mean.

    People are chosen by label, not by prediction, so that the maps of two states are over the same scans.
    """
    settings = site.experiment.explain
    if settings is None:
        raise InputError(f"{site.name}: the experiment asks for no saliency maps")
    records, label = site.records_of("test"), explained_label(site.experiment)
    of_class = [index for index, record in enumerate(records) if record.label == label]
    groups = [records[index].group_id for index in of_class]
    chosen = [of_class[i] for i in choose(groups, settings.scans, site.experiment.seed, site.name, "saliency")]
    model = site.process_model.assembled.model
    if why := cannot_explain(model, settings.method) or _why_no_maps(site, len(chosen)):
        return Answer(site.name, MeanSaliency(why=why))
    maps, regions = _make_maps(site, task, settings, chosen)
    if why := _why_no_maps(site, len(maps)):
        return Answer(site.name, MeanSaliency(why=why))
    mean = average(maps, regions)
    payload = MeanSaliency(scans=mean.scans, in_template=mean.in_template, shares=mean.shares, volumes=mean.volumes)
    return Answer(site.name, payload, {MAP: {"mean": mean.map}})


def _make_maps(
    site: SiteData, task: Task, settings: ExplainSection, chosen: list[int]
) -> tuple[list[State], list[str]]:
    """Return the maps of those chosen test scans that can be registered, and the names of the regions."""
    model, scans, records = site.process_model.assembled.model, site.scans("test"), site.records_of("test")
    regions = unpack_regions(task.parts.get(REGIONS, {}), site.experiment.input.size)
    causes = state_sha256(site.write_received(task))
    maker = MapMaker(
        model.eval(),
        settings,
        site.experiment.input,
        site.experiment.map_stride,
        regions,
        causes,
        site.files.saliency,
        None if settings.of is None else explained_label(site.experiment),
    )
    maps = []
    with site.progress.bar(f"{site.name}: saliency maps") as advance:
        for index in chosen:
            features = one_head_input(model, scans, index) if settings.method == "gradcam" else None
            maps.append(maker.of(site.prepared.paths[records[index]], features))
            advance(len(maps), len(chosen))
    return [scan_map for scan_map in maps if scan_map], list(regions)


def explained_label(experiment: Experiment) -> int:
    """Return the index of the class whose people are explained: `explain.of`, or the last one."""
    strata = experiment.outcome.strata
    named = None if experiment.explain is None else experiment.explain.of
    return len(strata) - 1 if named is None else strata.index(named)


def _why_no_maps(site: SiteData, people: int) -> str | None:
    policy = site.section.policy
    if not policy.maps_leave:
        return "the site's policy does not let maps leave (policy.maps_leave)"
    for key, minimum in (("min_per_class", policy.min_per_class), ("min_people", policy.min_people)):
        if people < minimum:
            stratum = names_of(site.experiment).in_order[explained_label(site.experiment)]
            people_of = "people" if stratum == EVERYONE else f"{stratum} people"
            return f"fewer than {minimum} {people_of} in the test set (policy.{key})"
    return None


KIND = TaskKind(
    MapSaliency,
    MeanSaliency,
    map_saliency,
    {MAP: Declaration(Reveals.IMAGE, ONE_EACH, "mean saliency map")},
    max_tensor_bytes=1 << 30,  # the largest grid, of 512 voxels along each axis, in float64
    contents="mean saliency map, and its share in each brain region",
)
