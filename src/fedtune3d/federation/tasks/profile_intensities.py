"""Measure the distribution of voxel intensities inside the brain, over all scans of a site."""

from typing import Annotated, ClassVar

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import CountedBy, Declaration, IfFew, Reveals
from fedtune3d.federation.site.data import SiteData, count_people
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.preparation.profiles import intensity_profile, intensity_range, load_brain


class ProfileIntensities(Instruction):
    """Measure the range of intensities, or their density on a grid.

    Attributes:
        grid: Lowest and highest intensity of the grid that the server chose from all sites' ranges; None to ask for
            the range.
    """

    kind: ClassVar[str] = "profile_intensities"
    grid: tuple[float, float] | None = None

    @property
    def purpose(self) -> str:
        """The range or the density."""
        return "range" if self.grid is None else "density"


OF_PEOPLE = CountedBy("people", IfFew.HOLD_BACK)


class IntensityProfile(Payload):
    """The range or the density.

    Neither if the site has fewer people than `Policy.min_described`, or a split so small that no total leaves.

    Attributes:
        people: Number of people; those who share a group count once.
        scans: Number of scans.
        range: Lowest and highest intensity.
        density: Density at the points of the grid (`preparation.profiles.grid_points`).
    """

    people: Annotated[int | None, Declaration(Reveals.COUNT, OF_PEOPLE)] = None
    scans: Annotated[int | None, Declaration(Reveals.COUNT, OF_PEOPLE)] = None
    range: Annotated[
        tuple[float, float] | None, Declaration(Reveals.STATISTIC, OF_PEOPLE, "lowest and highest intensity")
    ] = None
    density: Annotated[
        tuple[float, ...] | None, Declaration(Reveals.STATISTIC, OF_PEOPLE, "distribution of intensities")
    ] = None


def profile_intensities(site: SiteData, task: Task) -> Answer:
    """Measure the range or the density at the site."""
    paths, grid = list(site.prepared.paths.values()), task.expect(ProfileIntensities).grid
    people = count_people(site.records)
    if people < site.section.policy.min_described or site.small_splits():
        return Answer(site.name, IntensityProfile())
    with site.progress.bar(f"{site.name}: profiling scans") as advance:
        if grid is None:
            low, high = intensity_range(load_brain(path) for path in paths)
            return Answer(site.name, IntensityProfile(people=people, scans=len(paths), range=(low, high)))
        density = intensity_profile(map(load_brain, paths), *grid, lambda done: advance(done, len(paths)))
        return Answer(site.name, IntensityProfile(people=people, scans=len(paths), density=tuple(density)))


KIND = TaskKind(ProfileIntensities, IntensityProfile, profile_intensities, contents="distribution of image intensities")
