"""What a site remembers between rounds, kept per round, so that a lost answer leaves no one disagreeing."""

from pathlib import Path
from typing import Any

from fedtune3d.errors import InputError
from fedtune3d.states import State, load_info, load_state, save_state


class SiteMemory:
    """Versions of a site's memory: one file a round, named by the round that wrote it.

    A task names the version to start from, which is the last one that the server accepted. A version that was written
    but never accepted is overwritten when its round is trained again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, version: int | None) -> tuple[dict[str, Any], State]:
        """The values and tensors of a version; empty for None. Raises `InputError` when the version is gone."""
        if version is None:
            return {}, {}
        path = self._path(version)
        if not path.exists():
            raise InputError(f"{path}: the site's memory of round {version} is missing; start the run anew")
        return load_info(path), load_state(path)

    def save(self, version: int, values: dict[str, Any], tensors: State) -> None:
        """Keep a version, whole or not at all, over one that was never accepted."""
        save_state(self._path(version), tensors, values)

    def forget_before(self, version: int | None) -> None:
        """Remove what no task can name any more: all versions before the one just named."""
        for path in self.folder.glob("round-*.safetensors"):
            if version is not None and int(path.stem.removeprefix("round-")) < version:
                path.unlink()

    def _path(self, version: int) -> Path:
        return self.folder / f"round-{version:05d}.safetensors"
