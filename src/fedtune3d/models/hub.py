"""Download of the released SAM-Med3D weights from the Hugging Face hub, verified and with a record of their origin."""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import require_free_space, sha256_file, write_json

REPOSITORY = "blueyo0/SAM-Med3D"
FILE = "sam_med3d_turbo.pth"
PAGE = f"https://huggingface.co/{REPOSITORY}/blob/main/{FILE}"


@dataclass(frozen=True)
class HubOrigin:
    """Origin of a file; kept next to it as ``<file>.json``.

    Attributes:
        repository: Repository on the Hugging Face hub.
        file: Name of the file in the repository.
        revision: Commit of the repository.
        sha256: SHA-256 of the file as stated by the hub for that commit; the download was checked against it.
    """

    repository: str
    file: str
    revision: str
    sha256: str


def fetch_weights(folder: Path, endpoint: str | None = None) -> tuple[Path, HubOrigin]:
    """Download `FILE` into a folder, verify it and write its origin next to it; on failure no file is left.

    An existing file is kept if it has the hub's checksum.

    Args:
        folder: Target folder; created if needed.
        endpoint: Address of the hub; by default the environment variable HF_ENDPOINT, or the public hub.

    Raises:
        InputError: If huggingface_hub is missing, the hub cannot be reached or states no SHA-256, the download does not
            match it, the disk is full, or a different file of this name exists.
    """
    hub = _import_hub()
    target = folder / FILE
    try:
        origin, size_bytes = _ask_for_origin(hub.HfApi(endpoint=endpoint, token=False))
    except InputError:
        raise
    except Exception as error:  # the hub's, the HTTP layer's and the JSON parser's errors share no base
        raise InputError(_by_hand(target, error)) from error
    if not target.exists():
        _download(hub, origin, size_bytes, target, endpoint)
    elif sha256_file(target) != origin.sha256:
        raise InputError(
            f"{target}: is there already and is another file than {PAGE} (SHA-256 {origin.sha256}); move it away, or "
            "choose another folder with --to"
        )
    write_json(_note(target), asdict(origin))
    return target, origin


def read_origin(path: Path, sha256: str) -> HubOrigin | None:
    """Return the origin recorded next to a file; None if there is none, or it belongs to another SHA-256."""
    try:
        origin = HubOrigin(**json.loads(_note(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return origin if origin.sha256 == sha256 else None


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _ask_for_origin(api: Any) -> tuple[HubOrigin, int]:
    """Return the origin of the file at the repository's current commit, and the file's size in bytes."""
    info = api.model_info(REPOSITORY, files_metadata=True, timeout=30)
    files = [sibling for sibling in info.siblings or () if sibling.rfilename == FILE]
    if not files or not files[0].lfs or not info.sha:
        raise InputError(
            f"{REPOSITORY}: expected the hub to state a SHA-256 for {FILE}, but it states none; look at {PAGE}"
        )
    return HubOrigin(REPOSITORY, FILE, info.sha, files[0].lfs["sha256"]), int(files[0].lfs["size"])


def _download(hub: Any, origin: HubOrigin, size_bytes: int, target: Path, endpoint: str | None) -> None:
    """Download next to the target, and rename the file once its checksum is verified."""
    require_free_space(target.parent, size_bytes, FILE)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
        try:
            download = Path(
                hub.hf_hub_download(
                    origin.repository,
                    origin.file,
                    revision=origin.revision,
                    local_dir=scratch,
                    endpoint=endpoint,
                    token=False,
                )
            )
        except Exception as error:  # as above; errors of the Xet layer as well
            raise InputError(_by_hand(target, error)) from error
        sha256 = sha256_file(download)
        if sha256 != origin.sha256:
            raise InputError(
                f"{FILE}: expected SHA-256 {origin.sha256}, as stated by the hub, got {sha256}; the "
                "download was deleted; run the same command again"
            )
        os.replace(download, target)


def _by_hand(target: Path, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return (
        f"{FILE}: could not be downloaded from the hub ({reason}); if this machine is offline, download it "
        f"elsewhere from {PAGE}, put it at {target.absolute()}, and write under `model` in the experiment file: "
        f"weights: {target.absolute()}"
    )


def _import_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(
            "weights fetch needs the package huggingface_hub; install it with: pip install 'fedtune3d[hub]'"
        ) from error
    return huggingface_hub
