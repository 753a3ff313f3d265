"""Released weights of all encoders: listing, verified download and recognition of files."""

import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import require_free_space, sha256_file
from fedtune3d.models.encoders import build_encoder, encoder_names, encoder_spec
from fedtune3d.models.encoders.contract import EncoderSpec, Release
from fedtune3d.models.packaged_weights import packaged_file
from fedtune3d.models.weights import load_encoder_weights

TIMEOUT_SECONDS = 60
_CHUNK = 1 << 20


@dataclass(frozen=True)
class KnownWeights:
    """The released weights of an encoder.

    Attributes:
        spec: Specification of the encoder, whose `release` is not None.
        release: Its release.
        path: The file on this machine; None if it was not found.
    """

    spec: EncoderSpec
    release: Release
    path: Path | None


def list_weights(folder: Path) -> list[KnownWeights]:
    """Return every encoder with released weights, sorted by name; files are looked for in `folder` and in packages."""
    return [
        KnownWeights(spec, spec.release, _find(spec.release, folder))
        for spec in map(encoder_spec, encoder_names())
        if spec.release is not None
    ]


def fetch_release(release: Release, folder: Path) -> Path:
    """Download a release into a folder and verify its SHA-256; on failure no file is left. An existing file is kept.

    Raises:
        InputError: If the page cannot be reached, the disk is full, the download does not match its checksum, or a
            different file of this name exists.
    """
    target = folder / release.file
    if target.exists():
        _require_sha256(target, release, "move it away, or choose another folder with --to")
        return target
    require_free_space(folder, release.size_bytes or 0, release.file)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        download = Path(scratch) / release.file
        try:
            with urllib.request.urlopen(release.source, timeout=TIMEOUT_SECONDS) as answer, download.open("wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
        except (urllib.error.URLError, OSError) as error:
            raise InputError(
                f"{release.file}: could not be downloaded ({error}); if this machine is offline, download it "
                f"elsewhere from {release.source}, put it at {target.absolute()}, and write its path under `model` as "
                "`weights`"
            ) from error
        _require_sha256(download, release, "the download was deleted; run the same command again")
        download.replace(target)
    return target


def recognise(path: Path) -> list[EncoderSpec]:
    """Return the encoders that the weights in a file fit, after checking all names, shapes and values.

    Raises:
        InputError: If the file fits no encoder, or is not a file of weights.
    """
    fitting, reason = [], ""
    for name in encoder_names():
        encoder = build_encoder(name)
        try:
            load_encoder_weights(encoder, path)
            fitting.append(encoder.spec)
        except InputError as error:
            reason = str(error)
    if not fitting:
        raise InputError(f"{path}: fits none of the encoders {', '.join(encoder_names())}; of the last: {reason}")
    return fitting


def _find(release: Release, folder: Path) -> Path | None:
    if release.package:
        return packaged_file(release)
    path = folder / release.file
    return path if path.is_file() else None


def _require_sha256(path: Path, release: Release, advice: str) -> None:
    sha256 = sha256_file(path)
    if sha256 != release.sha256:
        raise InputError(f"{path}: expected SHA-256 {release.sha256}, found {sha256}; {advice}")
