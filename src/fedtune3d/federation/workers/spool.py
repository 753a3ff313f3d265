"""Messages between the processes of a run: state dicts in files that are mapped, everything else pickled."""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.state_dicts import State, load_safetensors, save_safetensors, state_crc32
from fedtune3d.federation.messages import Answer, Task

_ADVICE = "run again with --resume"
AnyMessage = TypeVar("AnyMessage", Task, Answer)


@dataclass(frozen=True)
class SpooledState:
    """A state dict in a file.

    Attributes:
        path: The file.
        names: Its names in their order, which the file does not keep.
        crc32: `state_crc32`; a stronger checksum takes longer than reading the file, which lives for one round.
    """

    path: Path
    names: Sequence[str]
    crc32: int

    def read(self) -> State:
        """Read it into memory of this process, aligned as that of a state dict that was computed here.

        Raises:
            DamagedFileError: If it is not what was written.
        """
        try:
            mapped = load_safetensors(self.path)
        except InputError as error:
            raise DamagedFileError(self.path, "cannot be read", _ADVICE) from error
        state = {name: mapped[name].clone() for name in self.names if name in mapped}
        if state_crc32(state) != self.crc32:
            raise DamagedFileError(self.path, "does not match its checksum", _ADVICE)
        return state


@dataclass(frozen=True)
class Packed(Generic[AnyMessage]):
    """A message whose state dicts are in files.

    Attributes:
        message: The message without its state dicts.
        files: Name of each state dict → where it is.
    """

    message: AnyMessage
    files: Mapping[str, SpooledState]

    def open(self) -> AnyMessage:
        """Return the message with its state dicts. Raises `DamagedFileError` if a file is not what was written."""
        return replace(self.message, parts={part: file.read() for part, file in self.files.items()})

    def discard(self) -> None:
        """Delete the files."""
        for file in self.files.values():
            file.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Spool:
    """The folder of the files; whatever a killed run left in it can be deleted."""

    folder: Path

    def pack(self, message: AnyMessage, packed: dict[int, SpooledState] | None = None) -> Packed[AnyMessage]:
        """Write the state dicts of a message.

        Args:
            message: The message.
            packed: Identity of a state dict → where it is, for state dicts that several messages share; is added to.
                The caller keeps the state dicts alive as long as it uses it.

        Raises:
            StorageError: If a file cannot be written.
        """
        files = {part: self._put(state, {} if packed is None else packed) for part, state in message.parts.items()}
        return Packed(replace(message, parts={}), files)

    def _put(self, state: State, packed: dict[int, SpooledState]) -> SpooledState:
        if id(state) not in packed:
            path = self.new_file(".safetensors")
            save_safetensors(path, state)
            packed[id(state)] = SpooledState(path, tuple(state), state_crc32(state))
        return packed[id(state)]

    def new_file(self, suffix: str) -> Path:
        """Return the path of a file that does not exist yet."""
        return self.folder / f"{uuid.uuid4().hex}{suffix}"

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
