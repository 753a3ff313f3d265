"""Nothing that stands in a scan's header, or beside it, is in anything that preparing and training leave behind.

The scans' headers, their sidecars and further columns of the table are stuffed with names; then every byte of every
file that is written is looked through, unpacked where it is packed.
"""

import base64
import gzip
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from fedtune3d.cli.app import main

pytestmark = pytest.mark.ci

SECRETS = (
    "DOE^JANE",
    "Jane Doe",
    "1943-07-12",
    "MRN0012345",
    "Dr. Whoknows",
    "St. Elsewhere",
    "1.2.840.113619.2.55",
    "wardseven",  # the folder of the site
    "retaken for",  # a free text in the table
)
PEOPLE = 6


def stuff(path: Path) -> None:
    """Fill every text field of a scan's header, and add extensions and a sidecar, with names."""
    image = nib.load(path)
    header = image.header
    header["descrip"] = b"DOE^JANE 1943-07-12 MRN0012345 St. Elsewhere"
    header["aux_file"] = b"MRN0012345"
    header["db_name"] = b"DOE^JANE"
    header["intent_name"] = b"Dr. Whoknows"
    header["data_type"] = b"1943-07-12"
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe, St. Elsewhere"))
    header.extensions.append(nib.nifti1.Nifti1Extension("afni", b"<note>1.2.840.113619.2.55 Dr. Whoknows</note>"))
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, header), path)
    sidecar = {"PatientName": "DOE^JANE", "PatientBirthDate": "1943-07-12", "StudyInstanceUID": "1.2.840.113619.2.55"}
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))


def unpacked(content: bytes) -> Iterator[bytes]:
    """The bytes themselves, and what is packed in them: gzip, zip (.npz), PNG and what a page holds in base64."""
    yield content
    if content[:2] == b"\x1f\x8b":
        yield from unpacked(gzip.decompress(content))
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from unpacked(archive.read(name))
    if content[:4] == b"\x89PNG":
        yield from (text for text in map(inflated, content.split(b"zTXt")[1:]) if text)
    for part in re.findall(rb";base64,([A-Za-z0-9+/=]{40,})", content):
        yield from unpacked(base64.b64decode(part))


def inflated(chunk: bytes) -> bytes:
    return zlib.decompressobj().decompress(chunk.partition(b"\0\0")[2])


def spellings(secret: str) -> Iterator[bytes]:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        yield secret.encode(encoding).lower()
    yield secret.replace(" ", "_").encode().lower()
    yield base64.b64encode(secret.encode()).lower()


def files_with(folder: Path, secrets: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each file below a folder that has a secret in its name or anywhere in its bytes."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            whole = b"\0".join([str(path.relative_to(folder)).encode(), *unpacked(path.read_bytes())]).lower()
            found += [(str(path), secret) for secret in secrets if any(one in whole for one in spellings(secret))]
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None]) -> Path:
    """A folder with a site full of names (``wardseven``), one scan of which is broken, prepared and trained on."""
    folder = tmp_path_factory.mktemp("identity")
    root = folder / "wardseven"
    write_small_site(root, people=PEOPLE, seed=2)
    table = (root / "participants.tsv").read_text().splitlines()
    rows = [
        f"{table[0]}\tname\tbirth_date\tremark",
        *(f"{row}\tJane Doe\t1943-07-12\tretaken for" for row in table[1:]),
    ]
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")
    scans = sorted(root.rglob("*.nii.gz"))
    for scan in scans:
        stuff(scan)
    scans[0].write_bytes(gzip.compress(gzip.decompress(scans[0].read_bytes())[:3000]))
    scans[1].write_bytes(gzip.decompress(scans[1].read_bytes()))  # unpacked, but named .gz
    values = {
        "name": "identity",
        "sites": [{"name": "A", "root": "wardseven"}],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "on_bad_scan": "skip",
        "model": {"encoder": "tiny", "head": "linear"},
        "training": {"rounds": 1},
        "threads": 1,
        "cache": "out/cache",
        "output": "out/run",
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(values))
    for command in ("prepare", "run"):
        with pytest.raises(SystemExit) as caught:
            main([command, str(folder / "experiment.yaml")])
        assert caught.value.code == 0
    return folder


def test_what_is_searched_for_is_there_to_find(finished: Path) -> None:
    found = {secret for _, secret in files_with(finished / "wardseven", SECRETS)}
    assert found == set(SECRETS) - {"wardseven"}


def test_no_byte_that_is_written_names_anyone(finished: Path) -> None:
    written = [path for path in (finished / "out").rglob("*") if path.is_file()]
    assert {".npy", ".json", ".png", ".html", ".tsv", ".safetensors"} <= {path.suffix for path in written}
    assert files_with(finished / "out", SECRETS) == []


def test_prepared_scans_bear_no_id_and_no_name_more_than_the_id(finished: Path) -> None:
    ids = tuple(f"sub-{number:02d}" for number in range(PEOPLE))
    assert files_with(finished / "out" / "cache" / "A" / "prepared", ids) == []
    names = {path.name for path in (finished / "out" / "run").rglob("*") if "sub-" in path.name}
    assert names
    assert all(re.fullmatch(r"sub-\d\d\.\w+", name) for name in names)
    leaving = [path for path in (finished / "out" / "run").iterdir() if path.name != "sites"]
    assert len(leaving) > 5
    assert [place for place, _ in files_with(finished / "out" / "run", ids) if "/sites/" not in place] == [
        str(finished / "out" / "run" / "report.html")  # lists the broken scans, as the site's policy lets it
    ] * 2
