"""What a site remembers between rounds, kept per round, so that a lost answer leaves no one disagreeing."""

from collections.abc import Mapping
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import memory_version, memory_versions
from fedtune3d._utils.state_dicts import State, load_state, save_state

SEPARATOR = "/"


class SiteMemory:
    """Versions of a site's memory: one file a round, named by the round that wrote it, with states by part.

    A task names the version to start from, which is the last one that the server accepted. A version that was written
    but never accepted is overwritten when its round is trained again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, version: int | None) -> dict[str, State]:
        """The parts of a version; none for None. Raises `InputError` when the version is gone."""
        if version is None:
            return {}
        path = memory_version(self.folder, version)
        if not path.exists():
            raise InputError(f"{path}: the site's memory of round {version} is missing; start the run again")
        parts: dict[str, State] = {}
        for name, tensor in load_state(path).items():
            part, _, inner = name.partition(SEPARATOR)
            parts.setdefault(part, {})[inner] = tensor
        return parts

    def save(self, version: int, parts: Mapping[str, State]) -> None:
        """Keep a version, whole or not at all, over one that was never accepted."""
        flat = {f"{part}{SEPARATOR}{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        save_state(memory_version(self.folder, version), flat)

    def forget_before(self, version: int | None) -> None:
        """Remove the versions that no task will name any more: all before the oldest one still needed."""
        for kept, path in memory_versions(self.folder).items():
            if version is not None and kept < version:
                path.unlink()
