import errno
import gzip
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest

from fedtune3d._utils.errors import ScanError, StorageError
from fedtune3d.preparation.nifti import read_scan

SHAPE = (20, 24, 18)
AFFINE = np.array([[2.0, 0, 0, -20], [0, 3, 0, -30], [0, 0, 4, -40], [0, 0, 0, 1]])


def ramp(shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> np.ndarray:
    return (np.arange(np.prod(shape)) % 1000).reshape(shape).astype(dtype)


def save(folder: Path, voxels: np.ndarray, affine: np.ndarray | None = AFFINE, name: str = "scan.nii.gz") -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / name)
    return folder / name


def refusal(path: Path) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: expected ")
    return message


def test_reads_a_scan_into_canonical_axes(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ramp(), AFFINE)
    turned = image.as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt(tuple("RAS")), nibabel.orientations.axcodes2ornt(tuple("LIA"))
        )
    )
    nibabel.save(turned, tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii")
    np.testing.assert_array_equal(scan.voxels, ramp())
    np.testing.assert_allclose(scan.affine, AFFINE)
    assert scan.voxels.dtype == np.float32
    assert scan.source_shape == (20, 18, 24)
    np.testing.assert_allclose(scan.source_affine, turned.affine)


def test_one_volume_in_four_or_five_dimensions_is_a_scan(tmp_path: Path) -> None:
    for shape in ((*SHAPE, 1), (*SHAPE, 1, 1)):
        assert read_scan(save(tmp_path, ramp(shape))).voxels.shape == SHAPE


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ramp(), AFFINE)
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(read_scan(tmp_path / "scan.nii").voxels, ramp() * 0.5 + 3)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64", "uint16"])
def test_every_real_type_is_read(tmp_path: Path, dtype: str) -> None:
    np.testing.assert_array_equal(read_scan(save(tmp_path, ramp(dtype=dtype))).voxels, ramp(dtype=dtype))


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (ramp((24, 24)), "found 2D of shape (24, 24)"),
        (ramp((24, 24, 1)), "found shape (24, 24, 1); is it a slice?"),
        (ramp((*SHAPE, 5)), "one 3D volume, found 4D of shape (20, 24, 18, 5)"),
        (ramp((20, 24, 0)), "found shape (20, 24, 0)"),
        (np.zeros(SHAPE, "int16"), "all zero"),
        (np.full(SHAPE, 7, "int16"), "7 everywhere"),
        (np.where(ramp() == 5, np.nan, ramp()).astype("float32"), "found 9 NaN or infinite"),
        (np.where(ramp() == 5, np.inf, ramp()).astype("float32"), "found 9 NaN or infinite"),
        (np.where(ramp() == 5, 1e300, 1.0), "found 9 NaN or infinite"),
        (ramp(dtype="complex64"), "one real number per voxel, found type complex64"),
        (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), "RGB and complex are not supported"),
    ],
)
def test_wrong_voxels_are_refused(tmp_path: Path, voxels: np.ndarray, message: str) -> None:
    assert message in refusal(save(tmp_path, voxels))


def test_a_scan_without_an_orientation_is_refused(tmp_path: Path) -> None:
    assert "found sform and qform codes of 0" in refusal(save(tmp_path, ramp(), affine=None))


@pytest.mark.parametrize("code", ["sform_code", "qform_code"])
def test_one_of_the_two_codes_is_enough(tmp_path: Path, code: str) -> None:
    image = nibabel.Nifti1Image(ramp(), AFFINE)
    image.set_sform(AFFINE, code=int(code == "sform_code"))
    image.set_qform(AFFINE, code=int(code == "qform_code"))
    nibabel.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(read_scan(tmp_path / "scan.nii").affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "found"), [(0.01, "0.01 × 3 × 4 mm"), (40.0, "40 × 3 × 4 mm"), (0.0, "0 × 3 × 4 mm"), (np.nan, "nan")]
)
@pytest.mark.parametrize("form", ["sform", "qform"])
def test_absurd_spacing_is_refused(tmp_path: Path, size: float, found: str, form: str) -> None:
    path = save(tmp_path, ramp(), name="scan.nii")
    content = bytearray(path.read_bytes())
    value = np.float32(size).tobytes()
    if form == "sform":
        content[280:284] = value  # srow_x[0]
    else:
        content[254:256] = np.int16(0).tobytes()  # sform_code
        content[252:254] = np.int16(1).tobytes()  # qform_code
        content[80:84] = value  # pixdim[1]
    path.write_bytes(content)
    message = refusal(path)
    assert f"expected voxels of 0.2 to 6.5 mm, found {found}" in message


def test_a_sheared_affine_is_refused(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.5
    assert "found a sheared affine" in refusal(save(tmp_path, ramp(), affine=sheared))


def test_files_that_are_no_whole_nifti_are_refused(tmp_path: Path) -> None:
    whole = save(tmp_path, np.random.default_rng(0).integers(0, 999, SHAPE).astype("int16"))
    content = whole.read_bytes()
    cases = {
        "half.nii.gz": (content[: len(content) // 2], "cannot be read to its end"),
        "damaged.nii.gz": (content[:3000] + bytes(1000) + content[4000:], "cannot be read to its end"),
        "half.nii": (gzip.decompress(content)[:5000], "cannot be read to its end"),
        "header.nii": (gzip.decompress(content)[:200], "another kind"),
        "text.nii.gz": (gzip.compress(b"no image at all" * 100), "another kind"),
        "plain.nii.gz": (b"no image at all" * 100, "not a gzip file"),
        "empty.nii.gz": (b"", "another kind"),
        "magic.nii": (gzip.decompress(content)[:344] + b"bad\0" + gzip.decompress(content)[348:], "another kind"),
        "type.nii": (
            gzip.decompress(content)[:70] + b"\xff\x7f" + gzip.decompress(content)[72:],
            "data code 32767 not recognized",
        ),
    }
    for name, (damaged, message) in cases.items():
        (tmp_path / name).write_bytes(damaged)
        assert message in refusal(tmp_path / name), name
    assert "found no file" in refusal(tmp_path / "none.nii.gz")


def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path, ramp(), name="scan.nii")
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([32767] * 3, "int16").tobytes()
    path.write_bytes(content)
    assert "at most 500,000,000 in total" in refusal(path)


def test_a_header_that_is_not_the_files_is_refused(tmp_path: Path) -> None:
    packed = save(tmp_path, ramp())
    content = gzip.decompress(packed.read_bytes())
    for name, write in (("scan.nii", bytes), ("scan.nii.gz", gzip.compress), ("parts.nii.gz", in_parts)):
        path = tmp_path / name
        path.write_bytes(write(content + bytes(15)))  # padding
        assert read_scan(path).voxels.shape == SHAPE
        path.write_bytes(write(content + bytes(16)))
        assert "expected 17,632 bytes from its header, found 17,648; the header does not match" in refusal(path)


def in_parts(content: bytes) -> bytes:
    """Packed as several gzip members one after the other, as bgzip does."""
    return gzip.compress(content[:9000]) + gzip.compress(content[9000:])


FIELDS = (40, 42, 46, 70, 72, 76, 80, 88, 108, 112, 116, 252, 254, 256, 268, 280, 284, 292, 344, 348, 352, 356)


def test_any_header_gives_a_scan_or_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = nibabel.Nifti1Image(ramp(), AFFINE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(6, b"a comment"))
    nibabel.save(image, tmp_path / "scan.nii")
    good, rng = (tmp_path / "scan.nii").read_bytes(), np.random.default_rng(1)
    numbers = [np.float32(value).tobytes() for value in (np.nan, np.inf, -np.inf, 0, 1e38, -1e38)]
    refusals = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(150):
            content = bytearray(good)
            for place in rng.choice(FIELDS, 2):
                content[place : place + 4] = numbers[rng.integers(6)] if rng.random() < 0.6 else rng.bytes(4)
            (tmp_path / "scan.nii").write_bytes(content)
            try:
                voxels = read_scan(tmp_path / "scan.nii").voxels
            except ScanError as error:
                refusals.append(str(error))
            else:
                assert np.isfinite(voxels).all()
    assert 60 < len(refusals) < 150
    assert not any("\n" in message for message in refusals)
    assert capfd.readouterr() == ("", "")  # nibabel says nothing of its repairs


def test_other_formats_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.MGHImage(ramp(dtype="float32"), AFFINE), tmp_path / "scan.mgz")
    assert "expected a NIfTI file, found MGHImage" in refusal(tmp_path / "scan.mgz")
    for name in ("experiment.yaml", "scan.dcm"):
        (tmp_path / name).write_text("name: x\n")
        assert refusal(tmp_path / name).endswith(f'Cannot work out file type of "{name}"; convert it to .nii.gz')


def test_a_brain_image_survives_the_way_to_disk(save_brain: Callable[..., Path], phantom: SimpleNamespace) -> None:
    scan = read_scan(save_brain(image=phantom.image(axes="PSR")))
    expected = phantom.intensity(phantom.positions(scan.voxels.shape, scan.affine))
    np.testing.assert_allclose(scan.voxels, expected, rtol=1e-4, atol=1e-2)


def nibabel_test_files() -> list[Path]:
    folder = Path(nibabel.__file__).parent / "tests" / "data"
    return sorted(path for path in folder.iterdir() if path.is_file())


@pytest.mark.parametrize("path", nibabel_test_files(), ids=lambda path: path.name)
def test_whatever_nibabel_reads_is_read_or_refused_in_one_line(path: Path) -> None:
    problem = f"{path}: expected nothing"
    try:
        read_scan(path)
    except ScanError as error:
        problem = str(error)
    assert "\n" not in problem
    assert problem.startswith(f"{path}: expected ")


def test_a_gzip_file_that_is_named_nii_is_said(tmp_path: Path) -> None:
    path = save(tmp_path, ramp()).rename(tmp_path / "renamed_T1w.nii")
    with pytest.raises(ScanError, match=r"found a gzip file; rename it to \.nii\.gz"):
        read_scan(path)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_a_failing_disk_is_no_bad_scan(save_brain: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = save_brain()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(nibabel, "load", fail)
    with pytest.raises(StorageError, match=re.escape(f"{path}: {os.strerror(number)}")) as caught:
        read_scan(path)
    assert not isinstance(caught.value, ScanError)


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_a_disk_that_fails_is_never_taken_for_a_damaged_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, times: int
) -> None:
    path = save(tmp_path, ramp())
    left = times

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def fails(file: object, *arguments: object, **options: object) -> Any:
            nonlocal left
            if left > 0 and str(file) == str(path):
                left -= 1
                raise OSError(number, os.strerror(number), str(path))
            return real(file, *arguments, **options)

        return fails

    expected = read_scan(path)
    monkeypatch.setattr("fedtune3d.preparation.nifti.require_scan_file", lambda path: None)  # passed, and then:
    monkeypatch.setattr("builtins.open", failing(open))
    monkeypatch.setattr(Path, "open", failing(Path.open))
    if times == 1:
        assert np.array_equal(read_scan(path).voxels, expected.voxels)
        return
    with pytest.raises(StorageError, match=os.strerror(number)):
        read_scan(path)
