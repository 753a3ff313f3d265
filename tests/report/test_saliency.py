"""What the report says and draws of where the model looks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.federation.mean_maps import MapInfo
from fedtune3d.report import saliency, write_report
from fedtune3d.report.figures.drawing import write_png
from fedtune3d.report.figures.saliency import draw_saliency
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def token_map(method: str = "gradcam", in_template: int = 0) -> MapInfo:
    shares: dict[str, dict[str, tuple[float, float]]] = {"trained": {}, "random": {}}
    return MapInfo(method, None, 6, in_template, 128, 1.5, 24.0, similarity=-0.2, shares=shares)


def test_correlations_and_shares_stand_in_rows(contents: RunContents) -> None:
    rows = saliency.map_rows(contents.saliency)
    assert [(row["site"], row["people"], row["similarity"]) for row in rows] == [
        ("Amsterdam", "9", "0.12"),
        ("Boston", "9", "0.91"),
    ]
    shares = saliency.share_rows(contents.saliency, contents.config["explain"]["regions"])
    assert [(row["site"], row["region"]) for row in shares[:2]] == [
        ("Amsterdam", "ventricles"),
        ("Amsterdam", "hippocampus"),
    ]
    assert (shares[1]["volume"], shares[1]["trained"], shares[1]["random"]) == ("0.6%", "1.2% ± 0.3%", "0.7% ± 0.2%")
    assert len(shares) == 4


def test_a_map_that_hardly_changes_is_said_in_words(contents: RunContents) -> None:
    (warning,) = saliency.warnings(contents.saliency)
    assert warning.startswith("Boston: this map hardly changes when the trained weights are randomised")
    assert "(correlation 0.91)" in warning


def test_one_reason_of_several_sites_is_said_once(contents: RunContents) -> None:
    assert saliency.notes(contents.saliency) == [
        "No map of Graz, Lagos: fewer than 5 positive people in the test set (policy.min_per_class)."
    ]


def test_where_the_scans_lie_and_why_there_are_no_shares() -> None:
    centred, coarse = saliency.notes({"A": token_map(), "B": token_map(in_template=6)})
    assert "Scans of A that were not registered to MNI152" in centred
    assert "At 24 mm a map is too coarse for a hippocampus" in coarse
    (no_atlas,) = saliency.notes({"A": token_map(method="integrated_gradients", in_template=6)})
    assert "install fedtune3d[atlas]" in no_atlas
    assert saliency.map_rows({"A": token_map()})[0]["similarity"] == "−0.20"


def test_the_page_shows_it_where_it_was_asked_for(finished_page: Path, small_run: RunFolder) -> None:
    text = finished_page.read_text(encoding="utf-8")
    assert "Where the model looks" in text
    assert "6 mm" in text
    assert "1.2% ± 0.3%" in text
    assert (finished_page.parent / "figures" / "mean_saliency.tsv").read_text().count("\n") == 1 + 4
    assert "Where the model looks" not in small_run.report.read_text(encoding="utf-8")


@pytest.mark.usefixtures("_unrendered")
def test_no_map_at_all_is_a_sentence(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    for path in (folder / "saliency").glob("*.json"):
        why = "NCC has no trained weights to randomise for the sanity check"
        write_typed(path, MapInfo("gradcam", why))
    text = write_report(folder).read_text(encoding="utf-8")
    assert "No map of Amsterdam, Boston, Graz, Lagos: NCC has no trained weights" in text
    assert "mean_saliency" not in text


def test_a_map_that_is_gone_is_named(contents: RunContents) -> None:
    (contents.path / "saliency" / "Boston_random.nii.gz").unlink()
    with pytest.raises(InputError, match=r"Boston_random.nii.gz: expected a mean map; .* run again with --resume"):
        write_report(contents.path)


def test_no_sentence_below_a_picture_is_cut_off(tmp_path: Path) -> None:
    """White borders on both sides, however long the sentences are, and the class by its name."""
    rng = np.random.default_rng(1)
    scan = rng.normal(1, 0.2, (32, 32, 32)).astype(np.float32)
    notes = [
        "The map's resolution is 24 mm. Maps show what the model used, not where a disease is.",
        "The scans are simulated and the encoder's weights are random: the numbers say nothing about patients. " * 3,
    ]
    draw_saliency(scan, {"Occlusion": rng.normal(size=scan.shape)}, "sub-01", notes, tmp_path / "a.png", "AD")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, -4:] == 255).all()
    assert (pixels[-2:] == 255).all()


def test_the_sentences_below_a_picture_are_as_dark_and_large_as_its_titles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: list[Figure] = []

    def keep(figure: Figure, path: Path, dpi: int) -> None:
        drawn.append(figure)
        write_png(figure, path, dpi=dpi)

    monkeypatch.setattr("fedtune3d.report.figures.saliency.write_png", keep)
    scan = np.random.default_rng(1).normal(1, 0.2, (32, 32, 32)).astype(np.float32)
    draw_saliency(scan, {"Grad-CAM": scan}, "sub-01", ["not where a disease is"], tmp_path / "a.png", "AD")
    (figure,) = drawn
    caption, title = next(text for text in figure.texts if "disease" in text.get_text()), figure.axes[0].title
    assert (caption.get_fontsize(), caption.get_color()) == (title.get_fontsize(), title.get_color())
