"""Effects of a site's scanner and population on its scans."""

from dataclasses import dataclass

import numpy as np

from fedtune3d._utils.seeds import numpy_rng

AXIS_CODES = ("RAS", "LPS", "LAS", "LIA", "RSA", "ASL")


@dataclass(frozen=True)
class SiteEffect:
    """One site's scanner and population.

    Attributes:
        positive_share: Target share of people with AD.
        mean_age: Mean age of the healthy in years.
        white_level: Intensity of white matter in the scanner's own units (its gain).
        grey_contrast: Intensity of grey matter relative to white matter.
        fluid_contrast: Intensity of cerebrospinal fluid relative to white matter.
        bias_strength: Standard deviation of the bias field's logarithm over the field of view.
        noise: Standard deviation of the noise per channel, relative to the intensity of white matter.
        voxel_mm: In-plane voxel size.
        slice_mm: Slice thickness.
        slice_axis: Axis of `axis_codes` perpendicular to the slices.
        axis_codes: Orientation of the voxel axes, as in nibabel.
        stored_as: `int16` (with a slope) or `float32`.
        motion_mm: Standard deviation of head movements during the scan, in mm and in degrees; 0 for none.
    """

    positive_share: float
    mean_age: float
    white_level: float
    grey_contrast: float
    fluid_contrast: float
    bias_strength: float
    noise: float
    voxel_mm: float
    slice_mm: float
    slice_axis: int
    axis_codes: str
    stored_as: str
    motion_mm: float = 0.0


def draw_site_effects(count: int, seed: int) -> list[SiteEffect]:
    """Draw the effects of `count` sites that differ in each quantity.

    Each range is divided into `count` strata, assigned to the sites in a random order (Latin hypercube sampling), so
    that even a few sites cover the whole range.
    """
    rng = numpy_rng(seed, "site effects", count)

    def spread(low: float, high: float) -> list[float]:
        strata = (rng.permutation(count) + rng.random(count)) / count
        return [float(low + (high - low) * stratum) for stratum in strata]

    shares, ages = spread(0.3, 0.7), spread(70.0, 74.0)
    levels = [float(np.exp(level)) for level in spread(np.log(200.0), np.log(3000.0))]
    greys, fluids = spread(0.62, 0.72), spread(0.18, 0.28)
    biases, noises = spread(0.03, 0.09), spread(0.012, 0.035)
    voxels, slices = spread(1.3, 1.8), spread(1.4, 3.2)
    axes = rng.permutation(np.arange(count) % 3)
    codes = rng.permutation([AXIS_CODES[index % len(AXIS_CODES)] for index in range(count)])
    floats = rng.permutation(np.arange(count) % 4 == 3)
    return [
        SiteEffect(
            positive_share=shares[i],
            mean_age=ages[i],
            white_level=levels[i],
            grey_contrast=greys[i],
            fluid_contrast=fluids[i],
            bias_strength=biases[i],
            noise=noises[i],
            voxel_mm=round(voxels[i], 2),
            slice_mm=round(slices[i], 1),
            slice_axis=int(axes[i]),
            axis_codes=str(codes[i]),
            stored_as="float32" if floats[i] else "int16",
        )
        for i in range(count)
    ]
