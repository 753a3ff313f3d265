"""Read a NIfTI scan, or report in one line what is wrong with it."""

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.imageglobals import logger
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

from fedtune3d._utils.errors import ScanError, StorageError, raise_if_machine
from fedtune3d._utils.input_files import obstacle
from fedtune3d.preparation.arrays import Affine, Numbers, Volume
from fedtune3d.preparation.gzip_files import MAGIC, read_gzip

SPACING_RANGE_MM = (0.2, 6.5)
MIN_VOXELS_PER_AXIS = 16
MAX_POSITION_MM = 100_000.0
MAX_VOXELS = 500_000_000
_MAX_PADDING = 15  # bytes after the voxels, up to the next multiple of 16
_MAX_SHEAR = 0.01  # the cosine between two voxel axes; rounding in headers stays below 1e-4


@dataclass(frozen=True)
class Scan:
    """A scan in its closest canonical orientation.

    Attributes:
        voxels: float32 (x, y, z), finite, not constant; axes run roughly right, anterior, superior.
        affine: (4, 4) float64, voxel indices of `voxels` → world millimetres, RAS.
        source_shape: The file's three axes.
        source_affine: (4, 4) float64, the file's affine.
    """

    voxels: Volume
    affine: Affine
    source_shape: tuple[int, ...]
    source_affine: Affine


def read_scan(path: Path) -> Scan:
    """Read a 3D NIfTI scan (or a 4D one with a single volume), oriented to the closest canonical axes.

    Raises:
        ScanError: If the file is incomplete or longer than its header says, does not have three axes of at least 16
            voxels, has no orientation (sform and qform codes of 0), a spacing outside 0.2 to 6.5 mm, a position 100 m
            or more from the origin, a shear, voxels that are not real numbers, NaN or infinite values, a constant
            value, or a wrong checksum (uncompressed files have none). One line with the file's name.
    """
    try:
        require_scan_file(path)
        return _read(path)
    except (ScanError, StorageError):
        raise
    except FileNotFoundError as error:
        raise ScanError(f"{path}: expected a scan, found no file; check the path") from error
    except (OSError, EOFError, zlib.error) as error:
        raise_if_machine(error, path)
        raise ScanError(
            f"{path}: expected a whole NIfTI file, but it cannot be read to its end; {_line(path, error)}"
        ) from error
    # What nibabel does not check itself, such as an infinite offset, ends in plain errors.
    except (nibabel.filebasedimages.ImageFileError, HeaderDataError, ValueError, ArithmeticError) as error:
        raise ScanError(
            f"{path}: expected a NIfTI file, found another kind or a damaged header; {_line(path, error)}; convert it "
            "to .nii.gz"
        ) from error


def require_scan_file(path: Path) -> None:
    """Check that a path is a regular file with content, before it is read to its end.

    Raises:
        ScanError: For a folder, a pipe, a device, dropped DataLad content, or a gzip file named .nii.
        OSError: If there is no such file, or it cannot be read.
    """
    if reason := obstacle(path):
        raise ScanError(f"{path}: expected a scan, {reason}")
    if path.suffix.lower() == ".nii":
        with path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                raise ScanError(f"{path}: expected an uncompressed file, found a gzip file; rename it to .nii.gz")


def _read(path: Path) -> Scan:
    with _quiet_nibabel():
        image = open_image(path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise ScanError(f"{path}: expected a NIfTI file, found {type(image).__name__}; convert it to .nii.gz")
        _check_header(path, image)
        image = _read_to_end(path, image)
        shape = image.shape[:3]
        if image.ndim > 3:
            image = nibabel.funcs.squeeze_image(image)
        canonical = nibabel.as_closest_canonical(image)
        voxels = canonical.get_fdata(dtype=np.float32, caching="unchanged")
    _check_voxels(path, voxels)
    return Scan(voxels, canonical.affine, shape, image.affine)


@contextmanager
def _quiet_nibabel() -> Iterator[None]:
    """Silence nibabel's messages about header repairs, and NumPy's warnings on numbers that are checked here anyway."""
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            yield
    finally:
        logger.disabled = before


def open_image(path: Path) -> nibabel.filebasedimages.FileBasedImage:
    """Read the header of any file that nibabel can read.

    Raises:
        ScanError: If the file is of a kind that nibabel cannot read.
        StorageError: If this machine cannot read the file: nibabel takes it for one of an unknown kind.
    """
    try:
        try:
            return _open(path)
        except nibabel.filebasedimages.ImageFileError:
            with path.open("rb") as file:
                file.read(1)
            return _open(path)  # the same error again, unless the file could not be read just then
    except OSError as error:
        raise_if_machine(error, path)
        raise


def _open(path: Path) -> nibabel.filebasedimages.FileBasedImage:
    try:
        return nibabel.load(path)
    except (OSError, EOFError, zlib.error, MemoryError, nibabel.filebasedimages.ImageFileError, HeaderDataError):
        raise
    except Exception as error:  # nibabel's readers of other formats can raise anything on a foreign file
        reason = _line(path, error) or type(error).__name__
        raise ScanError(
            f"{path}: expected a NIfTI file, found another kind or a damaged header; {reason}; convert it to .nii.gz"
        ) from error


def _check_header(path: Path, image: nibabel.Nifti1Image) -> None:
    """Check everything that is known before the voxels are read."""
    shape = image.shape
    if len(shape) < 3 or any(size != 1 for size in shape[3:]):
        raise ScanError(
            f"{path}: expected one 3D volume, found {len(shape)}D of shape {shape}; save each volume in its own file"
        )
    if min(shape[:3]) < MIN_VOXELS_PER_AXIS or np.prod(shape, dtype=float) > MAX_VOXELS:
        raise ScanError(
            f"{path}: expected a 3D volume of at least {MIN_VOXELS_PER_AXIS} voxels per axis and at most "
            f"{MAX_VOXELS:,} in total, found shape {shape[:3]}; is it a slice?"
        )
    kind = image.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iufb":
        raise ScanError(
            f"{path}: expected one real number per voxel, found type {kind}; RGB and complex are not supported"
        )
    if image.header["sform_code"] == 0 and image.header["qform_code"] == 0:
        raise ScanError(
            f"{path}: expected an orientation, found sform and qform codes of 0; left and right cannot be "
            "distinguished; convert the scan from DICOM again"
        )
    _check_grid(path, image)


def _check_grid(path: Path, image: nibabel.Nifti1Image) -> None:
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    if image.header["sform_code"] == 0:
        spacing = _raw_spacing(path, image)  # nibabel would change a spacing of 0 to 1 mm
    low, high = SPACING_RANGE_MM
    position = image.affine[:3, 3]
    if not np.all(np.abs(position) < MAX_POSITION_MM):
        written = ", ".join(f"{coordinate:g}" for coordinate in position)
        raise ScanError(
            f"{path}: expected a position within {MAX_POSITION_MM:,.0f} mm, found {written} mm; correct the header"
        )
    if not np.all((spacing >= low) & (spacing <= high)):
        written = " × ".join(f"{size:g}" for size in spacing)
        raise ScanError(f"{path}: expected voxels of {low} to {high} mm, found {written} mm; correct the header")
    directions = image.affine[:3, :3] / spacing
    if np.abs(directions.T @ directions - np.eye(3)).max() > _MAX_SHEAR:
        raise ScanError(f"{path}: expected voxel axes at right angles, found a sheared affine; resample the scan first")


def _raw_spacing(path: Path, image: nibabel.Nifti1Image) -> Numbers:
    """Read the three spacings from the file, without nibabel's repairs."""
    with ImageOpener(str(path)) as file:
        spacing: np.ndarray = np.abs(type(image.header).from_fileobj(file, check=False)["pixdim"][1:4]).astype(
            np.float64
        )
        return spacing


def _read_to_end(path: Path, image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    """Read a compressed file completely, with its checksums, and refuse a file that is longer than its header says.

    Only a part of such a file, or shifted voxels, would be read. A file that is too short fails when its voxels are
    read.
    """
    assert isinstance(image.dataobj, ArrayProxy)  # it was read from a file
    expected = image.dataobj.offset + int(np.prod(image.shape, dtype=np.int64)) * image.get_data_dtype().itemsize
    if path.suffix.lower() == ".gz":
        content, length = read_gzip(path, expected)
        image = type(image).from_bytes(content) if length >= expected else image
    else:
        length = path.stat().st_size
    if length - expected > _MAX_PADDING:
        raise ScanError(
            f"{path}: expected {expected:,} bytes from its header, found {length:,}; the header does not match the "
            "data, convert the scan again"
        )
    return image


def _check_voxels(path: Path, voxels: Volume) -> None:
    if not np.isfinite(voxels.sum(dtype=np.float64)):
        count = voxels.size - np.count_nonzero(np.isfinite(voxels))
        raise ScanError(f"{path}: expected finite voxels, found {count:,} NaN or infinite; mask or convert it again")
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        content = "all zero" if low == 0 else f"{low:g} everywhere"
        raise ScanError(f"{path}: expected a T1-weighted image, found a volume that is {content}; exclude it")


def _line(path: Path, error: Exception) -> str:
    """Return the error in one line; without the folder if it names the file, as folders must not leave the site."""
    return " ".join(str(error).replace(str(path), path.name).split())
