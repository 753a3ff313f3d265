"""A site's memory between rounds, one version per round, so that site and server agree even if an answer is lost."""

from collections.abc import Mapping
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import memory_version, memory_versions
from fedtune3d._utils.state_dicts import State, load_state, save_state

SEPARATOR = "/"


class SiteMemory:
    """Versions of a site's memory: one file of named state dicts per round, named after the round that wrote it.

    A task names the version to start from: the last one that the server accepted. A version that was written but never
    accepted is overwritten when its round is trained again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, version: int | None) -> dict[str, State]:
        """Load one version; an empty dict if `version` is None. Raises `InputError` if its file is missing."""
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
        """Save a version atomically, replacing one of the same round that was never accepted."""
        flat = {f"{part}{SEPARATOR}{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        save_state(memory_version(self.folder, version), flat)

    def forget_before(self, version: int | None) -> None:
        """Delete all versions before `version`, the oldest one still needed; none if it is None."""
        for saved, path in memory_versions(self.folder).items():
            if version is not None and saved < version:
                path.unlink()
