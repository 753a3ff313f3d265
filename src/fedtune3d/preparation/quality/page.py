"""qc.tsv and qc.html of a site, with every scan's measures and picture. Both stay at the site."""

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import SiteCache
from fedtune3d._utils.foreign_text import table_cell
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.rejected import RejectedScan
from fedtune3d.preparation.pictures import LETTERS_AT, PLANES
from fedtune3d.preparation.prepare_all import PreparedCohort
from fedtune3d.preparation.prepare_scan import OWN_SPACE
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.preparation.quality.flags import MEASURES, Limits, flag_scans, limits_of
from fedtune3d.preparation.store import load_prepared

_OUTLINE = (230, 159, 0)  # orange, distinguishable from grey for colour-blind readers
_GREYS = 31


@dataclass(frozen=True)
class CheckedScan:
    """A prepared scan with the reasons why it is suspicious, if any."""

    record: ScanRecord
    prepared: PreparedScan
    reasons: list[str]

    @property
    def registered(self) -> bool:
        """True if the scan was registered to the template."""
        return self.prepared.space != OWN_SPACE


def check_quality(cohort: PreparedCohort) -> list[CheckedScan]:
    """Return the prepared scans of a site, with the reasons why they are suspicious."""
    prepared = [load_prepared(path) for path in cohort.paths.values()]
    reasons = flag_scans([scan.quality for scan in prepared], [scan.space != OWN_SPACE for scan in prepared])
    return [CheckedScan(*parts) for parts in zip(cohort.paths, prepared, reasons, strict=True)]


def write_quality(
    folder: Path, site: str, experiment: str, cohort: PreparedCohort, rejected: Sequence[RejectedScan] = ()
) -> list[CheckedScan]:
    """Write `qc.tsv` and `qc.html` of a site into `folder`, and return the scans they show.

    The page is a single file that opens offline. It shows every scan with the outline of its brain mask, can be sorted
    by any measure, and lists scans that could not be prepared at the end. Scans can be rejected on it, which makes a
    file for the site's `exclude`.

    Args:
        folder: The site's folder in the cache.
        site: The site's name.
        experiment: The name of the experiment whose scans they are; that of another replaces the files.
        cohort: Its prepared scans.
        rejected: Scans that are excluded already, which the page keeps in its file.
    """
    scans = check_quality(cohort)
    paths = SiteCache(folder)
    write_text(paths.quality_table, _table(scans))
    environment = Environment(
        loader=PackageLoader("fedtune3d.preparation.quality"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("qc.html").render(
        site=site,
        experiment=experiment,
        measures=MEASURES,
        cards=_cards(scans),
        rejected=[[entry.participant_id, entry.session_id or "n/a", entry.reason] for entry in rejected],
        flagged=sum(bool(scan.reasons) for scan in scans),
        spaces=sorted({scan.prepared.space for scan in scans}),
        bad=[(record.name, why.removeprefix(f"{record.path}: ")) for record, why in cohort.bad],
    )
    write_text(paths.quality_page, page)
    return scans


def _table(scans: Sequence[CheckedScan]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    names = [measure.name for measure in MEASURES]
    writer.writerow(["participant_id", "session_id", *names, "orientation", "space", "steps", "suspicious"])
    for scan in scans:
        quality = scan.prepared.quality
        numbers = [getattr(quality, name) for name in names]
        writer.writerow(
            [
                table_cell(scan.record.participant_id),
                table_cell(scan.record.session_id or "n/a"),
                *("n/a" if number is None else number for number in numbers),
                table_cell(quality.orientation),
                table_cell(scan.prepared.space),
                table_cell("+".join(scan.prepared.steps) or "n/a"),
                table_cell("; ".join(scan.reasons) or "n/a"),
            ]
        )
    return text.getvalue()


@dataclass(frozen=True)
class _Card:
    """A scan on the page: a picture in base64, the values to sort by, and each measure's title, text and limits."""

    name: str
    participant: str
    session: str
    reasons: Sequence[str]
    picture: str
    sorting: Mapping[str, float]
    shown: Sequence[tuple[str, str, str]]


def _cards(scans: Sequence[CheckedScan]) -> list[_Card]:
    limits = {
        registered: limits_of([scan.prepared.quality for scan in scans if scan.registered == registered], registered)
        for registered in (False, True)
    }
    return [_card(scan, limits[scan.registered]) for scan in scans]


def _card(scan: CheckedScan, limits: Mapping[str, Limits]) -> _Card:
    values = [(measure, getattr(scan.prepared.quality, measure.name)) for measure in MEASURES]
    shown = ["n/a" if value is None else f"{value:.{measure.digits}f}" for measure, value in values]
    return _Card(
        name=scan.record.name,
        participant=scan.record.participant_id,
        session=scan.record.session_id or "n/a",
        reasons=scan.reasons,
        picture=base64.b64encode(draw_outlined(scan.prepared)).decode(),
        sorting={measure.name: value for measure, value in values if value is not None},
        shown=[
            (measure.title, text, _limits_text(limits[measure.name], measure.digits))
            for (measure, _), text in zip(values, shown, strict=True)
        ],
    )


def _limits_text(limits: Limits, digits: int) -> str:
    """Format the range of unsuspicious values: `800–2000`, `≥ 0.35`, `≤ 15.0`; empty without limits."""
    low, high = (None if limit is None else f"{limit:.{digits}f}".replace("-", "−") for limit in limits)
    if low is not None and high is not None:
        return f"{low}–{high}"
    return f"≥ {low}" if low is not None else f"≤ {high}" if high is not None else ""


def draw_outlined(prepared: PreparedScan) -> bytes:
    """Draw the middle sagittal, coronal and axial slices with the mask's outline as a small PNG, left on the left.

    Letters name the directions at the borders of each slice.
    """
    inside = prepared.voxels[prepared.brain].astype(np.float32)
    low, high = np.percentile(inside, (1, 99))
    pixels = np.hstack([_paint(prepared, axis, low, high) for axis in range(3)])
    image = Image.fromarray(pixels, mode="P")
    greys = [shade for level in range(_GREYS) for shade in [round(255 * level / (_GREYS - 1))] * 3]
    image.putpalette([*greys, *_OUTLINE])
    _write_directions(image)
    file = io.BytesIO()
    image.save(file, format="png", optimize=True)
    return file.getvalue()


def _write_directions(image: Image.Image) -> None:
    """Write the letters of left, right, bottom and top onto each slice; every slice is a square."""
    side, draw, font = image.height, ImageDraw.Draw(image), ImageFont.load_default(size=11)
    for column, (_, _, letters) in enumerate(PLANES):
        for letter, (x, y) in zip(letters, LETTERS_AT, strict=True):
            draw.text(((column + x) * side, (1 - y) * side), letter, fill=_GREYS - 1, font=font, anchor="mm")


def _paint(prepared: PreparedScan, axis: int, low: float, high: float) -> NDArray[np.uint8]:
    """Return the palette indices of a slice, with the outline around the brain."""
    middle = prepared.voxels.shape[axis] // 2
    values, brain = (np.take(volume, middle, axis=axis).T[::-1] for volume in (prepared.voxels, prepared.brain))
    grey = np.clip((values.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    pixels = np.where(brain, 1 + np.rint(grey * (_GREYS - 2)), 0).astype(np.uint8)
    pixels[ndimage.binary_dilation(brain) & ~brain] = _GREYS
    return pixels
