"""The figure of mean maps."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fedtune3d._utils.folders import RunFolder
from fedtune3d.federation.mean_maps import MapInfo
from fedtune3d.preparation.template import load_template
from fedtune3d.report.figures.mean_saliency import draw_mean_saliency


def test_the_figure_cuts_through_the_largest_place_and_keeps_one_scale(tmp_path: Path) -> None:
    template = load_template(128, 1.5)
    place = (5, 3, 4)  # of 24 mm, wholly inside the brain
    infos = {}
    for site, height in (("A", 1.0), ("B", 3.0)):
        values = np.zeros((8, 8, 8), np.float32)
        values[place] = height
        values[0, 0, 0] = 50  # outside the brain: of no account
        for state in ("trained", "random"):
            image = nib.Nifti1Image(values * (state == "trained"), np.eye(4))
            target = RunFolder(tmp_path).saliency_map(site, state)
            target.parent.mkdir(exist_ok=True)
            nib.save(image, target)
        shares: dict[str, dict[str, tuple[float, float]]] = {"trained": {}, "random": {}}
        infos[site] = MapInfo("gradcam", None, 6, 0, 128, 1.5, 24.0, similarity=-0.2, shares=shares)
    drawing = draw_mean_saliency(infos, RunFolder(tmp_path))
    assert drawing is not None
    assert [row["site"] for row in drawing.rows] == ["A", "B"]
    assert drawing.rows[0]["region"] is None
    left = drawing.figure.axes[:6]
    cuts = [axes.get_images()[1] for axes in left]
    assert {cut.norm.vmax for cut in cuts} == {3.0}
    assert [float(cut.get_array().max()) for cut in cuts] == [1.0] * 3 + [3.0] * 3
    middle = template.affine @ [*(16 * index + 7.5 for index in place), 1]
    for axes, millimetres in zip(left, middle[:3], strict=False):
        assert float(axes.get_title().split("=")[1].removesuffix(" mm").replace("−", "-")) == pytest.approx(
            millimetres, abs=2
        )
    assert "at a resolution of 24 mm" in drawing.title
