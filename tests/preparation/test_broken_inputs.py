"""What hospitals' folders hold in fact, through the command line: one clear line and exit code 2, or a listed skip.

Each case spoils one thing of a good site. After it no traceback is printed, nothing is half-written, and no file of the
site has changed.
"""

import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from fedtune3d.cli.app import main

FIRST = Path("sub-00/anat/sub-00_T1w.nii.gz")
TABLE = Path("participants.tsv")
SFORM_X, QFORM_CODE, SFORM_CODE, PIXDIM, DIM, SLOPE, MAGIC = 280, 252, 254, 76, 40, 112, 344


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The one line that says what is wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("fedtune3d: ")]
        assert len(lines) == 1, self.err
        return lines[0]


@dataclass(frozen=True)
class Bench:
    """A good site to spoil, in a folder of its own."""

    folder: Path
    cache: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def site(self) -> Path:
        return self.folder / "A"

    def prepare(self, root: str = "A", **changes: object) -> Outcome:
        """Run `prepare` over the site."""
        values = {
            "name": "broken",
            "sites": [{"name": "A", "root": root}],
            "labels": {"positive": ["AD"], "negative": ["CN"]},
            "threads": 1,
            "cache": str(self.cache),
            "output": "run",
        }
        path = self.folder / "experiment.yaml"
        path.write_text(yaml.safe_dump(values | changes))
        with pytest.raises(SystemExit) as caught:
            main(["prepare", str(path), "--workers", "1"])
        printed = self.capsys.readouterr()
        return Outcome(int(caught.value.code or 0), printed.out, printed.err)

    def prepare_and_look(self, **changes: object) -> Outcome:
        """The same, and nothing is half-written, changed or printed beside what should be."""
        before = listing(self.site)
        outcome = self.prepare(**changes)
        assert "Traceback" not in outcome.out + outcome.err
        assert all(line.startswith(("fedtune3d: ", "A: ")) for line in outcome.err.splitlines() if line.strip())
        assert listing(self.site) == before
        assert not list(self.cache.rglob("*.partial*"))
        assert not list(self.folder.rglob("*.partial*"))
        return outcome


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time, links not followed."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(place, name))
            found[os.path.join(place, name)] = (status.st_size, status.st_mtime_ns)
    return found


@pytest.fixture(scope="module")
def good_site(tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None]) -> Path:
    """A folder with a site A of four people, and a cache that the tests share."""
    folder = tmp_path_factory.mktemp("good")
    write_small_site(folder / "A", people=4, seed=1)
    return folder


@pytest.fixture
def bench(good_site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    shutil.copytree(good_site / "A", tmp_path / "A")
    return Bench(tmp_path, good_site / "cache", capsys)


def raw_bytes(path: Path) -> bytearray:
    """The bytes of a scan, unpacked."""
    return bytearray(gzip.decompress(path.read_bytes()))


def put(path: Path, offset: int, value: np.ndarray) -> None:
    """Write a value over the header of a scan."""
    content = raw_bytes(path)
    content[offset : offset + value.nbytes] = value.tobytes()
    path.write_bytes(gzip.compress(content, 1))


def resave(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Save a scan with other voxels."""
    image = nib.load(path)
    nib.save(nib.Nifti1Image(change(np.asarray(image.dataobj)), image.affine), path)


def with_one_nan(voxels: np.ndarray) -> np.ndarray:
    changed = voxels.copy()
    changed[30, 30, 30] = np.nan
    return changed


def as_rgb(voxels: np.ndarray) -> np.ndarray:
    return np.zeros(voxels.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])


def as_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def as_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.nii.gz")


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "slice.dcm").touch()


def as_dropped_content(path: Path) -> None:
    path.unlink()
    path.symlink_to("../../.git/annex/objects/xx/MD5E-s1--0.nii.gz")


def as_pointer(path: Path) -> None:
    path.write_text("/annex/objects/MD5E-s1--0.nii.gz\n")


def flip_a_bit(path: Path) -> None:
    """Of a voxel that stays finite: only the checksum knows. Stored without compression, so that the stream stays."""
    content = gzip.decompress(path.read_bytes())
    packed = bytearray(gzip.compress(content, compresslevel=0, mtime=0))
    packed[len(packed) // 2] ^= 1
    path.write_bytes(packed)


def append_text(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"<html>")


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def halved_header(path: Path) -> None:
    """A header of half as many slices as the file has."""
    content = raw_bytes(path)
    put(path, DIM + 6, np.frombuffer(content[DIM + 6 : DIM + 8], np.int16) // 2)


SCANS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated gzip": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "cannot be read to its end"),
    "gzip without its end": (lambda path: path.write_bytes(path.read_bytes()[:-4]), "cannot be read to its end"),
    "damaged gzip": (
        lambda path: path.write_bytes(path.read_bytes()[:9000] + bytes(2000) + path.read_bytes()[11000:]),
        "cannot be read to its end",
    ),
    "empty file": (lambda path: path.write_bytes(b""), "found another kind or a damaged header"),
    "unpacked, but named .gz": (lambda path: path.write_bytes(raw_bytes(path)), "is not a gzip file"),
    "another kind of file": (lambda path: path.write_bytes(gzip.compress(b"DICM" * 500)), "found another kind"),
    "wrong magic": (lambda path: put(path, MAGIC, np.frombuffer(b"bad\0", np.uint8)), "found another kind"),
    "axis of no voxels": (lambda path: put(path, DIM + 2, np.int16(0)), "at least 16 voxels per axis"),
    "negative axis": (lambda path: put(path, DIM + 2, np.int16(-60)), "expected"),
    "more voxels than bytes": (lambda path: put(path, DIM + 2, np.int16(600)), "cannot be read to its end"),
    "fewer voxels than bytes": (halved_header, "the header does not match the data"),
    "absurd size": (lambda path: put(path, DIM + 2, np.int16([32767] * 3)), "at most 500,000,000 in total"),
    "offset of NaN": (lambda path: put(path, 108, np.float32(np.nan)), "damaged header"),
    "4D": (lambda path: resave(path, lambda voxels: np.stack([voxels] * 2, -1)), "expected one 3D volume, found 4D"),
    "a slice": (lambda path: resave(path, lambda voxels: voxels[:, :, 30:31]), "is it a slice?"),
    "RGB": (lambda path: resave(path, as_rgb), "RGB and complex are not supported"),
    "complex": (
        lambda path: resave(path, lambda voxels: voxels.astype("complex64")),
        "RGB and complex are not supported",
    ),
    "NaN": (lambda path: resave(path, with_one_nan), "found 1 NaN or infinite"),
    "slope that overflows": (lambda path: put(path, SLOPE, np.float32([3e38, 0])), "NaN or infinite"),
    "infinite intercept": (lambda path: put(path, SLOPE, np.float32([1, np.inf])), "expected"),
    "constant": (lambda path: resave(path, lambda voxels: voxels * 0 + 7), "found a volume that is 7 everywhere"),
    "all zero": (lambda path: resave(path, lambda voxels: voxels * 0), "found a volume that is all zero"),
    "a mask": (lambda path: resave(path, lambda voxels: (voxels > 0).astype("uint8")), "is it a mask?"),
    "neither sform nor qform": (lambda path: put(path, QFORM_CODE, np.int16([0, 0])), "sform and qform codes of 0"),
    "absurd spacing": (lambda path: put(path, SFORM_X, np.float32(250)), "expected voxels of 0.2 to 6.5 mm, found 250"),
    "spacing of metres": (
        lambda path: (
            put(path, SFORM_CODE, np.int16(0)),
            put(path, QFORM_CODE, np.int16(1)),
            put(path, PIXDIM + 4, np.float32([0.0025] * 3)),
        ),
        "expected voxels of 0.2 to 6.5 mm, found 0.0025",
    ),
    "infinite affine": (
        lambda path: put(path, SFORM_X + 12, np.float32(np.inf)),
        "expected a position within 100,000 mm, found inf, ",
    ),
    "affine of NaN": (lambda path: put(path, SFORM_X, np.float32(np.nan)), "expected voxels of 0.2 to 6.5 mm"),
    "singular affine": (
        lambda path: put(path, SFORM_X, np.float32([2.5, 2.5, 0, 0, 0, 0, 2.5, 0, 0, 0, 2.5, 0])),
        "found a sheared affine",
    ),
    "sheared affine": (lambda path: put(path, SFORM_X + 4, np.float32(1.2)), "found a sheared affine"),
    "impossible rotation": (
        lambda path: (put(path, QFORM_CODE, np.int16([1, 0])), put(path, 256, np.float32([5, 5, 5]))),
        "damaged header",
    ),
    "a spike": (
        lambda path: resave(
            path, lambda voxels: voxels + 1e6 * (np.arange(voxels.size).reshape(voxels.shape) == 130_030)
        ),
        "expected",
    ),
    "folder in place of the file": (as_folder, "expected a scan, found a folder"),
    "link to itself": (as_link_to_itself, "Too many levels of symbolic links"),
    "link to nothing": (as_broken_link, "found a link to nowhere.nii.gz, which does not exist"),
    "far away": (lambda path: put(path, SFORM_X + 12, np.float32(1e16)), "found 1e+16, "),
    "link of git-annex": (as_dropped_content, "found a link of git-annex, whose content is missing; fetch it with"),
    "pointer of git-annex": (as_pointer, "found a pointer of git-annex, whose content is missing; fetch it with"),
    "one bit": (flip_a_bit, "cannot be read to its end; Error -3 while decompressing data: incorrect data check"),
    "text after the end": (append_text, "cannot be read to its end; Error -3 while decompressing data: incorrect h"),
    "pipe": (as_pipe, "expected a scan, found a named pipe"),
}


@pytest.mark.parametrize("case", SCANS)
def test_a_broken_scan_stops_or_is_skipped_and_listed(bench: Bench, case: str) -> None:
    spoil, message = SCANS[case]
    spoil(bench.site / FIRST)
    stopped = bench.prepare_and_look()
    assert stopped.code == 2
    assert str(FIRST) in stopped.problem
    assert message in stopped.problem
    skipped = bench.prepare_and_look(on_bad_scan="skip")
    assert skipped.code == 0
    assert "A: 3 scans prepared, 1 excluded" in skipped.out
    listed = [line for line in skipped.out.splitlines() if line.startswith("  sub-00: ")]
    assert len(listed) == 1
    assert message in listed[0]
    assert [line.split()[-2:] for line in skipped.out.splitlines() if "scan at fault" in line] == [["1", "(1)"]]


@pytest.mark.parametrize(
    "content",
    [b"{'SkullStripped': true}\xff", b"[" * 100_000, b'{"EchoTime": ' + b"9" * 5000 + b"}", b"", b"[1]", b"\0\xff"],
    ids=["no JSON", "deep", "5,000 digits", "empty", "a list", "bytes"],
)
def test_a_sidecar_that_cannot_be_read_is_passed_over_and_counted(bench: Bench, content: bytes) -> None:
    (bench.site / FIRST).with_name("sub-00_T1w.json").write_bytes(content)
    prepared = bench.prepare_and_look()
    assert prepared.code == 0
    assert "A: 4 scans prepared" in prepared.out
    assert "warning: 1 sidecar was ignored; sub-00_T1w.json: expected a JSON object" in prepared.err


@pytest.mark.parametrize(
    ("content", "encoding"), [('{"InstitutionName": "Hôpital"}', "latin-1"), ('{"EchoTime": 3}', "utf-8-sig")]
)
def test_a_sidecar_is_read_in_any_encoding(bench: Bench, content: str, encoding: str) -> None:
    (bench.site / FIRST).with_name("sub-00_T1w.json").write_bytes(content.encode(encoding))
    prepared = bench.prepare_and_look()
    assert prepared.code == 0
    assert "warning" not in prepared.err


@pytest.mark.parametrize("age", ["60-65", "unknown", "-60", "1943", "sixty", "Y"])
def test_an_age_that_cannot_be_read_is_missing_and_counted(bench: Bench, age: str) -> None:
    in_place_of_first_age(age)(bench.site)
    prepared = bench.prepare_and_look()
    assert prepared.code == 0
    line = f"age: 1 value treated as missing; expected years (0 to 120), got {age!r} in line 2"
    assert f"A: warning: participants.tsv: {line}" in prepared.err.splitlines()


@pytest.mark.parametrize("age", ["090Y", ">89", "89+", " 70 y", "0,5", "006M"])
def test_ages_are_read_as_they_are_written(bench: Bench, age: str) -> None:
    in_place_of_first_age(age)(bench.site)
    assert "warning" not in bench.prepare_and_look().err


def edit(change: Callable[[str], str]) -> Callable[[Path], object]:
    """Change the text of the site's table."""
    return lambda site: (site / TABLE).write_text(change((site / TABLE).read_text()), newline="")


def with_row(row: str) -> Callable[[Path], object]:
    return edit(lambda text: text + row)


def in_place_of_first_age(age: str) -> Callable[[Path], object]:
    return edit(lambda text: text.replace("\tCN\t60\t", f"\tCN\t{age}\t", 1))


def name_no_utf8(site: Path) -> None:
    scan = os.fsencode(site / FIRST)
    os.rename(scan, scan.replace(b"sub-00_T1w", b"sub-00_acq-\xff_T1w"))


def without_scans(site: Path) -> None:
    for folder in site.glob("sub-*"):
        shutil.rmtree(folder)


TABLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no participants.tsv": (lambda site: (site / TABLE).unlink(), "expected a table of participants, found none"),
    "empty": (lambda site: (site / TABLE).write_text(""), "found an empty file"),
    "header only": (edit(lambda text: text.splitlines()[0]), "found no participant"),
    "Latin-1": (
        lambda site: (site / TABLE).write_bytes("participant_id\tdiagnosis\nsub-00\tDémence\n".encode("latin-1")),
        "found diagnosis Démence: 1",
    ),
    "UTF-16": (lambda site: (site / TABLE).write_text((site / TABLE).read_text(), encoding="utf-16"), "expected UTF-8"),
    "UTF-16 without BOM": (
        lambda site: (site / TABLE).write_text((site / TABLE).read_text(), encoding="utf-16-le"),
        "as in UTF-16",
    ),
    "spreadsheet": (lambda site: (site / TABLE).write_bytes(b"PK\x03\x04\x14\x00\x06\x00\xe9"), "expected UTF-8"),
    "commas for tabs": (edit(lambda text: text.replace("\t", ",")), "is it tab-separated"),
    "no column of diagnoses": (edit(lambda text: text.replace("diagnosis", "group")), "expected a column diagnosis"),
    "no column of ids": (edit(lambda text: text.replace("participant_id", "id")), "expected a column participant_id"),
    "a column twice": (edit(lambda text: text.replace("sex", "age")), "expected each column once, found age twice"),
    "a row twice": (with_row("sub-00\tCN\t60\tM\n"), "but sub-00 is in lines 2 and 6; keep one"),
    "one person in both classes": (with_row("00\tAD\t60\tM\n"), "but sub-00 is in lines 2 and 6; keep one"),
    "a row too short": (with_row("sub-09\tCN\n"), "line 6: expected 4 fields as in the header, got 2"),
    "a tab in a field": (with_row('sub-09\t"C\tN"\t60\tM\n'), "line 6: expected 4 fields as in the header, got 5"),
    "no id": (with_row("n/a\tCN\t60\tM\n"), "line 6: expected a participant_id, got none"),
    "an id that leads elsewhere": (with_row("../x\tCN\t60\tM\n"), "line 6: expected a participant_id of letters"),
    "diagnoses that are not in the labels": (
        edit(lambda text: text.replace("\tAD\t", "\tMCI\t").replace("\tCN\t", "\tSCD\t")),
        "found diagnosis MCI: 2, diagnosis SCD: 2; correct the labels",
    ),
    "ids of other folders": (edit(lambda text: text.replace("sub-", "sub-9")), "not in the table: 4"),
    "no scan at all": (without_scans, "expected at least one usable scan"),
    "table is a folder": (lambda site: ((site / TABLE).unlink(), (site / TABLE).mkdir()), "found a folder"),
    "name that is no UTF-8": (name_no_utf8, r"expected names in UTF-8, found sub-00_acq-\udcff_T1w.nii.gz; rename it"),
    "description that is no JSON": (
        lambda site: (site / "dataset_description.json").write_text("{'Name': 'A'}"),
        "dataset_description.json: expected a JSON object",
    ),
    "escape codes in a table": (
        edit(lambda text: text.replace("diagnosis", "\x1b[31mdiagnosis")),
        r"\x1b[31mdiagnosis",
    ),
}


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("on_bad_scan", ["stop", "skip"])
def test_a_broken_table_or_folder_stops_whatever_is_done_with_scans(bench: Bench, case: str, on_bad_scan: str) -> None:
    spoil, message = TABLES[case]
    spoil(bench.site)
    outcome = bench.prepare_and_look(on_bad_scan=on_bad_scan)
    assert outcome.code == 2
    assert message in outcome.problem
    assert str(bench.site) in outcome.problem
    assert outcome.out == ""


def second_scan(site: Path) -> None:
    shutil.copy(site / FIRST, (site / FIRST).with_name("sub-00_run-2_T1w.nii.gz"))


def link_to_the_root(site: Path) -> None:
    (site / "sub-00" / "ses-loop").symlink_to(site, target_is_directory=True)
    (site / "sub-00" / "anat" / "loop").symlink_to(site / "sub-00", target_is_directory=True)


def stray_files(site: Path) -> None:
    for name in (".DS_Store", "sub-00/anat/._sub-00_T1w.nii.gz", "sub-00/anat/sub-00_T2w.json", "Thumbs.db"):
        (site / name).write_bytes(b"\0\1")


SOUND: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "as it is": (lambda site: None, {}),
    "CRLF": (edit(lambda text: text.replace("\n", "\r\n")), {}),
    "CR": (edit(lambda text: text.replace("\n", "\r")), {}),
    "BOM": (edit(lambda text: "\ufeff" + text), {}),
    "quotes": (edit(lambda text: text.replace("AD", '"AD"').replace("diagnosis", '"diagnosis"')), {}),
    "blank lines and blanks": (edit(lambda text: text.replace("\n", " \n\n")), {}),
    "ids without sub-": (edit(lambda text: text.replace("sub-", "")), {}),
    "slope of NaN, which is none": (lambda site: put(site / FIRST, SLOPE, np.float32([np.nan, np.nan])), {}),
    "stray files": (stray_files, {}),
    "links in a circle": (link_to_the_root, {}),
    "participant without a scan": (with_row("sub-09\tCN\t60\tM\n"), {"no T1w scan": "1 (0)"}),
    "scan without a row": (
        lambda site: shutil.copytree(site / "sub-00", site / "sub-09"),
        {"not in the table": "1 (1)"},
    ),
    "two scans for one session": (second_scan, {"further T1w scan of a session": "0 (1)"}),
    "diagnosis missing": (
        with_row("sub-09\tn/a\t60\tM\n"),
        {"no T1w scan": "1 (0)"},
    ),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_can_be_read_is_read_and_what_is_left_out_is_counted(bench: Bench, case: str) -> None:
    spoil, left_out = SOUND[case]
    spoil(bench.site)
    outcome = bench.prepare_and_look()
    assert outcome.code == 0
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert lines[0] == "A: 4 scans prepared"
    assert "Included 4 (4)" in lines
    first = next(number for number, line in enumerate(lines) if line.startswith("Excluded"))
    assert lines[first + 1 : lines.index("Included 4 (4)")] == [
        f"{reason} {count}" for reason, count in left_out.items()
    ]


PATHS = "path\tparticipant_id\tsession_id\tdiagnosis\n"
TABLES_OF_PATHS = {
    "path above the table": ("../elsewhere.nii.gz\t1\tn/a\tAD\n", "expected a path below the table's folder"),
    "absolute path elsewhere": ("/etc/hostname\t1\tn/a\tAD\n", "expected a path below the table's folder"),
    "no path": ("\t1\tn/a\tAD\n", "line 2: expected a path, got none"),
    "absent file": ("nowhere.nii.gz\t1\tn/a\tAD\n", "nowhere.nii.gz: expected a readable scan; No such file"),
    "a folder": ("sub-00\t1\tn/a\tAD\n", "sub-00: expected a scan, found a folder"),
    "no scan but text": ("participants.tsv\t1\tn/a\tAD\n", "participants.tsv: expected a NIfTI file"),
    "one scan for two people": (f"{FIRST}\t1\tn/a\tAD\n{FIRST}\t2\tn/a\tCN\n", "is in lines 2 and 3; keep one"),
    "two labels for one session": (
        f"{FIRST}\t1\tn/a\tAD\n{str(FIRST).replace('00', '01')}\t1\tn/a\tCN\n",
        "line 3: expected the same values as an earlier row of sub-1, found others",
    ),
}


@pytest.mark.parametrize("case", TABLES_OF_PATHS)
def test_a_broken_table_of_paths_stops(bench: Bench, case: str) -> None:
    rows, message = TABLES_OF_PATHS[case]
    (bench.site / "scans.tsv").write_text(PATHS + rows)
    outcome = bench.prepare_and_look(root="A/scans.tsv")
    assert outcome.code == 2
    assert message in outcome.problem


def test_an_absent_file_of_a_table_can_be_skipped(bench: Bench) -> None:
    (bench.site / "scans.tsv").write_text(PATHS + f"{FIRST}\t1\tn/a\tAD\nnowhere.nii.gz\t2\tn/a\tCN\n")
    outcome = bench.prepare_and_look(root="A/scans.tsv", on_bad_scan="skip")
    assert outcome.code == 0
    assert "A: 1 scans prepared, 1 excluded" in outcome.out
    assert "  sub-2: expected a readable scan; No such file" in outcome.out


LABELS = {
    "a value in both lists": ({"positive": ["AD", "CN"], "negative": ["CN"]}, "CN is in both positive and negative"),
    "an expression that is none": (
        {"positive": "cdr => 1", "negative": ["CN"]},
        "labels.positive: label expression 'cdr => 1'",
    ),
    "a rule on a column that is not there": ({"positive": "cdr >= 1", "negative": "cdr == 0"}, "expected a column cdr"),
    "a rule that nothing meets": ({"positive": "age > 100", "negative": "age < 20"}, "found neither positive nor"),
    "rules that everything meets": (
        {"positive": "age > 20", "negative": "age > 30"},
        "found both positive and negative: 4",
    ),
    "a word for a list": ({"positive": 3, "negative": ["CN"]}, "expected a list of diagnoses such as [AD]"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_cannot_be_told_stop(bench: Bench, case: str) -> None:
    labels, message = LABELS[case]
    outcome = bench.prepare_and_look(labels=labels)
    assert outcome.code == 2
    assert message in outcome.problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("place", [Path("sub-00"), FIRST])
def test_what_may_not_be_read_is_said(bench: Bench, place: Path) -> None:
    (bench.site / place).chmod(0)
    try:
        outcome = bench.prepare()
    finally:
        (bench.site / place).chmod(0o755)
    assert outcome.code == 2
    assert "Permission denied" in outcome.problem
