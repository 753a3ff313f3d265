"""Mean saliency maps of a run at each site: of the final model, and of an untrained one for comparison."""

import gzip
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import nibabel
import numpy as np
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import atomic_path
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.seeds import derive_seed
from fedtune3d._utils.state_dicts import State
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.aggregation.site_step import STATE
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Answer, Federation, Task, answer_of
from fedtune3d.federation.site.saliency import MAP, REGIONS, pack_regions, place_width
from fedtune3d.federation.tasks.map_saliency import MapSaliency, MeanSaliency
from fedtune3d.models.assembly import assemble
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.explanation import places_of, similarity
from fedtune3d.models.tuning import read_state
from fedtune3d.preparation.atlas import load_regions, packaged_atlas
from fedtune3d.preparation.template import Template, load_template

TRAINED, RANDOM = "trained", "random"


@dataclass(frozen=True)
class MapInfo:
    """Information about a site's mean maps.

    Attributes:
        method: Explanation method, for example ``integrated_gradients``.
        why: Why there is no map; None if there is one.
        scans: Number of scans in the mean, one per person.
        in_template: Number of these in MNI152 space.
        size: Voxels of the prepared grid along each axis; 0 without maps.
        spacing_mm: Edge length of a voxel of that grid.
        place_mm: Edge length of a voxel of the map, in millimetres.
        similarity: Similarity of the two maps over the template's brain; None without maps.
        volumes: Region → its share of the brain.
        shares: `TRAINED` and `RANDOM` → region → mean and standard deviation of its share of the saliency.
    """

    method: str
    why: str | None = None
    scans: int = 0
    in_template: int = 0
    size: int = 0
    spacing_mm: float = 0.0
    place_mm: float | None = None
    similarity: float | None = None
    volumes: dict[str, float] = field(default_factory=dict)
    shares: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteMaps:
    """The mean maps of a site.

    Attributes:
        site: The site's name.
        maps: `TRAINED` and `RANDOM` → the mean map, (n, n, n) float32; empty if none may leave.
        info: Information about the maps.
    """

    site: str
    maps: Mapping[str, torch.Tensor]
    info: MapInfo


def random_state(experiment: Experiment) -> State:
    """Return the trainable state of an untrained model, drawn with a different seed.

    LoRA adapters start as the identity, so with LoRA this is the original encoder with a new head.
    """
    section, tuning = experiment.model, experiment.tuning
    seed = derive_seed(experiment.seed, "saliency")
    assembled = assemble(section.encoder, "random", section.head, tuning, seed, experiment.outcome)
    return read_state(assembled.model, assembled.trainable)


def require_atlas(experiment: Experiment) -> None:
    """Raise `InputError` before training if the experiment names an atlas that cannot be used."""
    if experiment.explain is not None and experiment.explain.atlas is not None:
        _regions(experiment, _template(experiment.input))


def ask_for_maps(
    experiment: Experiment,
    federation: Federation,
    sites: Sequence[str],
    state: State,
    versions: Mapping[str, int],
) -> Iterator[SiteMaps]:
    """Ask the sites for mean maps of the state and of random weights (Adebayo et al. 2018, arXiv 1810.03292).

    Args:
        experiment: An experiment with a section `explain`.
        federation: The federation.
        sites: The sites to ask; may be empty.
        state: The final state.
        versions: Site → the version of its memory that belongs to the state.

    Yields:
        The maps of each site that answered.

    Raises:
        InputError: If the atlas cannot be used, or a site fails or sends an invalid map.
    """
    if not sites:
        return
    assert experiment.explain is not None
    method = experiment.explain.method
    template = _template(experiment.input)
    regions = {REGIONS: _regions(experiment, template)} if method == "integrated_gradients" else {}
    trained = {
        site: Task(MapSaliency(), parts={STATE: state, **regions}, memory_version=versions.get(site)) for site in sites
    }
    answers = {reply.site: {TRAINED: answer_of(reply)} for reply in federation.ask(trained)}
    answered = [site for site in sites if site in answers]
    with_maps = [site for site in answered if answers[site][TRAINED].expect(MeanSaliency).why is None]
    if not with_maps:
        yield from (_site_maps(experiment, template, answers[site]) for site in answered)
        return
    random_task = Task(MapSaliency(random=True), parts={STATE: random_state(experiment), **regions})
    for reply in federation.ask(dict.fromkeys(with_maps, random_task)):
        answers[reply.site][RANDOM] = answer_of(reply)
    for site in answered:
        if site not in with_maps or RANDOM in answers[site]:
            yield _site_maps(experiment, template, answers[site])


def map_places(experiment: Experiment) -> int | None:
    """Return the number of elements of a mean map along each axis; None if the experiment asks for no maps."""
    if experiment.explain is None:
        return None
    return experiment.input.size // place_width(experiment.explain.method, experiment.map_stride)


def write_maps(site_maps: SiteMaps, folder: RunFolder) -> None:
    """Write `<site>_<state>.nii.gz` in MNI152 space; `<site>.json` is written last and marks the site as done."""
    info = site_maps.info
    for name, values in site_maps.maps.items():
        template = load_template(info.size, info.spacing_mm)
        image = as_nifti(values.numpy(), template, in_template=info.in_template == info.scans)
        with atomic_path(folder.saliency_map(site_maps.site, name)) as partial:
            partial.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    write_typed(folder.saliency_info(site_maps.site), site_maps.info)


def _template(spec: InputSpec) -> Template:
    return load_template(spec.size, spec.spacing_mm)


def as_nifti(values: np.ndarray, template: Template, *, in_template: bool) -> nibabel.Nifti1Image:
    """Convert a map over the prepared grid, (n, n, n), to NIfTI; the sform code is 'aligned' if it is not in MNI152."""
    width = template.brain.shape[0] // values.shape[0]
    affine = template.affine @ np.array(
        [[width, 0, 0, (width - 1) / 2], [0, width, 0, (width - 1) / 2], [0, 0, width, (width - 1) / 2], [0, 0, 0, 1]]
    )
    image = nibabel.Nifti1Image(values.astype(np.float32), affine)
    image.set_sform(affine, code="mni" if in_template else "aligned")
    image.set_qform(affine, code="mni" if in_template else "aligned")
    return image


def _regions(experiment: Experiment, template: Template) -> State:
    assert experiment.explain is not None
    atlas = experiment.explain.atlas or packaged_atlas()
    return {} if atlas is None else pack_regions(load_regions(atlas, experiment.explain.regions, template))


def _site_maps(experiment: Experiment, template: Template, answers: Mapping[str, Answer]) -> SiteMaps:
    assert experiment.explain is not None
    method, spec = experiment.explain.method, experiment.input
    width = place_width(method, experiment.map_stride)
    summaries, site = {name: answer.expect(MeanSaliency) for name, answer in answers.items()}, answers[TRAINED].site
    for summary in summaries.values():
        if summary.why is not None:
            return SiteMaps(site, {}, MapInfo(method, summary.why))
    trained = summaries[TRAINED]
    regions = [name for name in trained.volumes if all(name in summary.shares for summary in summaries.values())]
    maps = {name: _checked_map(answer, spec.size // width) for name, answer in answers.items()}
    brain = places_of(torch.from_numpy(template.brain).float(), width) > 0
    info = MapInfo(
        method=method,
        scans=trained.scans,
        in_template=trained.in_template,
        size=spec.size,
        spacing_mm=spec.spacing_mm,
        place_mm=width * spec.spacing_mm,
        similarity=similarity(maps[TRAINED][brain], maps[RANDOM][brain]),
        volumes={region: trained.volumes[region] for region in regions},
        shares={name: {region: summary.shares[region] for region in regions} for name, summary in summaries.items()},
    )
    return SiteMaps(site, maps, info)


def _checked_map(answer: Answer, places: int) -> torch.Tensor:
    """Return the map that a site sent, of `places`³ elements. Raises `InputError` if it is missing or invalid."""
    mean_map, shape = answer.parts.get(MAP, {}).get("mean"), (places,) * 3
    if mean_map is None or mean_map.shape != shape or not bool(torch.isfinite(mean_map).all()):
        raise InputError(f"site {answer.site}: expected a mean map of {math.prod(shape)} finite numbers")
    return mean_map
