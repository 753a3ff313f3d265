"""The page of quality control, written from prepared scans and opened in a browser."""

import base64
import csv
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.rejected import RejectedScan, read_rejected
from fedtune3d.preparation.pictures import LETTERS_AT, PLANES
from fedtune3d.preparation.prepare_all import prepare_all
from fedtune3d.preparation.quality.page import write_quality
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.preparation.template import load_template

pytestmark = pytest.mark.ci

SECRET = "Erika^Mustermann"
SCALES = {"sub-01": 1.0, "sub-02": 0.7, "sub-03": 0.85}


def save_brain(path: Path, scale: float) -> None:
    """The template's brain in another size, in a file whose header is full of a person's name."""
    template = load_template(128, 1.5)
    affine = template.affine @ np.diag([scale ** (1 / 3)] * 3 + [1.0])
    image = nib.Nifti1Image((1000 * template.voxels).astype(np.int16), affine)
    image.set_sform(affine, code=1)
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = SECRET.encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", SECRET.encode()))
    path.parent.mkdir(parents=True)
    nib.save(image, path)


def record_of(path: Path) -> ScanRecord:
    person = path.name.split("_")[0]
    return ScanRecord("A", person, "", path, 1, person, False, None, None, "AD")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality")
    records = []
    for person, scale in SCALES.items():
        path = folder / "site" / person / f"{person}_T1w.nii.gz"
        save_brain(path, scale)
        records.append(record_of(path))
    bad = folder / "site" / "sub-09_T1w.nii.gz"
    bad.write_bytes(b"no scan")
    records.append(record_of(bad))
    store = PreparedStore(folder / "cache" / "prepared")
    write_quality(folder / "cache", "A", "small", prepare_all(records, store, on_bad_scan="skip"))
    return folder / "cache" / "qc.html"


def test_no_spreadsheet_evaluates_the_table_and_no_browser_runs_a_name(page: Path, tmp_path: Path) -> None:
    """A folder that somebody else filled may hold any names."""
    record = record_of(page.parent.parent / "site" / "sub-01" / "sub-01_T1w.nii.gz")
    hostile = replace(record, participant_id="=cmd|' /C calc'!A0", session_id="<script>alert(1)</script>\x1b[2J")
    bad = replace(record, participant_id="-2+3", session_id="@x", path=tmp_path / "none.nii.gz")
    store = PreparedStore(page.parent / "prepared")
    write_quality(tmp_path, "A", "small", prepare_all([hostile, bad], store, on_bad_scan="skip"))
    (row,) = csv.DictReader((tmp_path / "qc.tsv").open(encoding="utf-8"), delimiter="\t")
    assert row["participant_id"] == "'=cmd|' /C calc'!A0"
    assert row["session_id"].isprintable()
    assert "<script>alert" not in (tmp_path / "qc.html").read_text()


def test_the_table_has_a_row_a_scan(page: Path) -> None:
    rows = list(csv.DictReader((page.parent / "qc.tsv").open(encoding="utf-8"), delimiter="\t"))
    assert [row["participant_id"] for row in rows] == ["sub-01", "sub-02", "sub-03"]
    assert "3 prepared for the experiment small" in page.read_text()
    volumes = [float(row["brain_ml"]) for row in rows]
    assert volumes[1] / volumes[0] == pytest.approx(0.7, rel=0.01)
    assert {(row["session_id"], row["space"], row["steps"]) for row in rows} == {("n/a", "scan", "n/a")}


def test_no_file_names_the_person_in_the_header(page: Path) -> None:
    files = [path for path in page.parent.rglob("*") if path.is_file()]
    assert len(files) == 2 + 3 * 3
    for path in files:
        assert b"Mustermann" not in path.read_bytes(), path
        assert "sub-" not in path.name
    for path in page.parent.glob("prepared/*"):
        assert b"sub-" not in path.read_bytes(), path


def test_the_page_needs_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert "sub-09: expected a NIfTI file" in text


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    api = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def order(tab: object) -> list[str]:
    return tab.eval_on_selector_all("#scans > li", "nodes => nodes.map(node => node.id)")  # type: ignore[attr-defined]


def test_a_click_sorts_by_a_measure_and_keys_do_too(page: Path, browser: object) -> None:
    tab = browser.new_page()  # type: ignore[attr-defined]
    problems: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url.split(":")[0]))
    tab.goto(page.as_uri())
    button = tab.get_by_role("button", name="Brain volume (mL)")
    button.click()
    assert order(tab) == ["sub-02", "sub-03", "sub-01"]
    assert button.get_attribute("aria-pressed") == "true"
    assert tab.locator("#order").inner_text() == "lowest first"
    tab.keyboard.press("Enter")
    assert order(tab) == ["sub-01", "sub-03", "sub-02"]
    tab.get_by_role("button", name="Name").focus()
    tab.keyboard.press("Space")
    assert order(tab) == ["sub-01", "sub-02", "sub-03"]
    sizes = "images => images.map(image => [image.naturalWidth, image.naturalHeight])"
    shown = tab.eval_on_selector_all("#scans img", sizes)
    assert shown == [[384, 128]] * 3
    assert problems == []
    assert set(asked) <= {"file", "data"}


def test_a_rejected_scan_goes_into_a_file_that_excludes_it(page: Path, browser: object, tmp_path: Path) -> None:
    tab = browser.new_page()  # type: ignore[attr-defined]
    tab.goto(page.as_uri())
    download = tab.get_by_role("button", name="Download the list")
    assert download.is_disabled()
    scan = tab.get_by_role("group", name="sub-02")
    scan.get_by_label("reject", exact=True).check()
    reason = tab.get_by_label("Reason to reject sub-02")
    reason.fill("")
    assert download.is_disabled()  # without a reason
    assert tab.locator("#decided").inner_text() == "1 rejected, 1 without a reason"
    reason.fill("motion\tartefact")
    with tab.expect_download() as found:
        download.click()
    assert found.value.suggested_filename == "exclude-A.tsv"
    found.value.save_as(tmp_path / "exclude.tsv")
    assert read_rejected(tmp_path / "exclude.tsv") == [RejectedScan("sub-02", "", "motion artefact")]
    scan.get_by_label("accept", exact=True).check()
    assert download.is_disabled()


def test_what_is_excluded_already_stays_in_the_file(page: Path, browser: object, tmp_path: Path) -> None:
    record = record_of(page.parent.parent / "site" / "sub-01" / "sub-01_T1w.nii.gz")
    before = [RejectedScan("sub-07", "ses-M00", "wrap-around")]
    write_quality(tmp_path, "A", "small", prepare_all([record], PreparedStore(page.parent / "prepared")), before)
    tab = browser.new_page()  # type: ignore[attr-defined]
    tab.goto((tmp_path / "qc.html").as_uri())
    assert "1 excluded already" in tab.inner_text("body")
    with tab.expect_download() as found:
        tab.get_by_role("button", name="Download the list").click()
    found.value.save_as(tmp_path / "exclude.tsv")
    assert read_rejected(tmp_path / "exclude.tsv") == before


def test_left_and_right_and_limits_are_marked(page: Path, browser: object) -> None:
    """Letters are as bright as the brightest grey and lie outside the brain; limits stand next to their number."""
    tab = browser.new_page()  # type: ignore[attr-defined]
    tab.goto(page.as_uri())
    shown = tab.locator("#sub-02 dt, #sub-02 dd").all_inner_texts()
    volume = shown.index("Brain volume (mL)")
    assert shown[volume + 2] == "800–2000"
    picture = base64.b64decode(tab.locator("#sub-02 img").get_attribute("src").partition(",")[2])
    pixels = np.array(Image.open(io.BytesIO(picture)))
    side = pixels.shape[0]
    for column, (_, _, letters) in enumerate(PLANES):
        for letter, (x, y) in zip(letters, LETTERS_AT, strict=True):
            middle = int((column + x) * side), int((1 - y) * side)
            around = pixels[max(0, middle[1] - 5) : middle[1] + 6, max(0, middle[0] - 4) : middle[0] + 5]
            assert (around == 30).any(), letter


def test_nothing_is_cut_off_and_no_fault_of_accessibility(
    page: Path, browser: object, faults_of_access: Callable[[object], list[tuple[str, list[str]]]]
) -> None:
    for width in (1280, 390):
        tab = browser.new_page(viewport={"width": width, "height": 844})  # type: ignore[attr-defined]
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert faults_of_access(tab) == []
