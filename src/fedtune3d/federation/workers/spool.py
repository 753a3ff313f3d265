"""Messages between the processes of a run: state dicts in files that are mapped, everything else pickled."""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from fedtune3d._utils.files import remove_file
from fedtune3d._utils.state_dicts import State, load_state, save_state
from fedtune3d.federation.messages import Answer, Task

AnyMessage = TypeVar("AnyMessage", Task, Answer)


@dataclass(frozen=True)
class Packed(Generic[AnyMessage]):
    """A message whose state dicts are in files.

    Attributes:
        message: The message without its state dicts.
        files: Name of each state dict → its file.
        names: Name of each state dict → its names in their order, which a file does not keep.
    """

    message: AnyMessage
    files: Mapping[str, Path]
    names: Mapping[str, Sequence[str]]

    def open(self) -> AnyMessage:
        """Return the message with its state dicts. Raises `DamagedFileError` if a file is not what was written."""
        parts = {part: _read(path, self.names[part]) for part, path in self.files.items()}
        return replace(self.message, parts=parts)

    def discard(self) -> None:
        """Delete the files."""
        for path in self.files.values():
            remove_file(path)


@dataclass(frozen=True)
class Spool:
    """The folder of the files; whatever a killed run left in it can be deleted."""

    folder: Path

    def pack(self, message: AnyMessage, packed: dict[int, Path] | None = None) -> Packed[AnyMessage]:
        """Write the state dicts of a message.

        Args:
            message: The message.
            packed: Identity of a state dict → its file, for state dicts that several messages share; is added to. The
                caller keeps the state dicts alive as long as it uses it.

        Raises:
            StorageError: If a file cannot be written.
        """
        files = {part: self._put(state, {} if packed is None else packed) for part, state in message.parts.items()}
        names = {part: tuple(state) for part, state in message.parts.items()}
        return Packed(replace(message, parts={}), files, names)

    def _put(self, state: State, packed: dict[int, Path]) -> Path:
        if id(state) not in packed:
            path = self.new_file(".safetensors")
            save_state(path, state, durable=False)
            packed[id(state)] = path
        return packed[id(state)]

    def new_file(self, suffix: str) -> Path:
        """Return the path of a file that does not exist yet."""
        return self.folder / f"{uuid.uuid4().hex}{suffix}"

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: Path, names: Sequence[str]) -> State:
    """Read a state dict into memory of this process, aligned as that of a state dict that was computed here."""
    state = load_state(path)
    return {name: state[name].clone() for name in names}
