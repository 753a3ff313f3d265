"""Errors that are not caused by the code: the command line prints their one line and exits with code 2."""

import errno
from pathlib import Path


class InputError(ValueError):
    """The user's input is invalid.

    The message is one line: which file or key, what was expected, what was found, what to do. The command line prints
    it and exits with code 2; no file is left half-written.
    """

    def __reduce__(self) -> tuple[object, ...]:
        """Let the error pass from a worker process to the one that prints it, whatever its class is created with."""
        return _recreate, (type(self), *self.args), self.__dict__


def _recreate(kind: type[InputError], *message: object) -> InputError:
    """Recreate an error with its message, without calling ``__init__``, which may take other arguments."""
    return kind.__new__(kind, *message)


class ScanError(InputError):
    """A scan is bad; with ``on_bad_scan: skip`` it is excluded, counted and listed instead."""


class MachineError(InputError):
    """This machine failed, not the user's input: a run stops, and can continue with --resume.

    In one process, such an error never counts as a site's fault: without that site, the result would be different.
    """


class StorageError(MachineError):
    """A disk error, or missing permissions. The message names the file; `reason` does not."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.reason = error.strerror or str(error)
        super().__init__(f"{path}: {self.reason}; {_REMEDIES.get(error.errno or 0, 'fix this and run again')}")
        self.path = path


class DamagedFileError(MachineError):
    """A file written by the program has changed.

    Args:
        path: The file.
        how: What is wrong with it, such as ``does not match its checksum``.
        advice: What to do; by default to copy the file again, or to ask `fedtune3d verify`.
    """

    def __init__(self, path: Path, how: str, advice: str = "") -> None:
        self.path, self.how = path, how
        advice = advice or f"copy it again, or see `fedtune3d verify {path.parent}`"
        super().__init__(f"{path}: the file {how}, so it is damaged; {advice}")


def raise_if_machine(error: BaseException, path: Path) -> None:
    """Raise `StorageError` if reading an input failed because of this machine, not because of the file.

    A failing disk or too many open files must not count as a bad scan, which a run may leave out.
    """
    if isinstance(error, OSError) and error.errno in _MACHINE:
        raise StorageError(path, error) from error


_MACHINE = frozenset(
    {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.ETIMEDOUT}
)

_REMEDIES = {
    errno.ENOSPC: "free some space and run again with --resume",
    errno.EDQUOT: "free some space and run again with --resume",
    errno.EACCES: "change the permissions or choose another folder",
    errno.EPERM: "change the permissions or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOTDIR: "choose another folder",
    errno.EEXIST: "choose another folder",
    errno.EISDIR: "choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk is failing: copy the data elsewhere and run again with --resume",
    errno.EMFILE: "too many files are open: raise the limit (`ulimit -n`) and run again with --resume",
    errno.ENFILE: "too many files are open: close programs and run again with --resume",
}
