"""Distribution of the intensities in each site's brains after normalisation."""

from fedtune3d.preparation.profiles import Profiles, grid_points
from fedtune3d.report.figures.drawing import GREY, Drawing, new_figure, site_marks
from fedtune3d.report.figures.learning_curves import MANY_SITES


def draw_intensity_profiles(profiles: Profiles | None) -> Drawing | None:
    """Draw all sites' kernel densities on one axes; None if there are none yet, or none may leave."""
    if profiles is None or profiles.grid is None:
        return None
    sites, points = profiles.sites, grid_points(*profiles.grid)
    figure = new_figure(7.2, 3.8)
    axes = figure.add_subplot()
    many = len(sites) > MANY_SITES
    for index, (site, mark) in enumerate(site_marks(list(sites)).items()):
        axes.plot(
            points,
            sites[site].density,
            color=GREY if many else mark.colour,
            linestyle="-" if many else mark.line,
            linewidth=0.7 if many else 1.6,
            label=("each site" if index == 0 else None) if many else f"{site} ({sites[site].scans} scans)",
        )
    axes.set_xlabel("Intensity after normalisation", fontsize=9)
    axes.set_ylabel("Density of brain voxels", fontsize=9)
    axes.set_xlim(points[0], points[-1])
    axes.set_ylim(0, None)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return Drawing(
        name="intensity_profiles",
        title="Intensity profile per site",
        description="Kernel density of the intensities of all brain voxels of each site's prepared scans, all sites on "
        "one axes; the table has the distances between them.",
        figure=figure,
        rows=[
            {"site": site, "intensity": float(f"{point:.6g}"), "density": density}
            for site, values in sites.items()
            for point, density in zip(points, values.density, strict=True)
        ],
    )
