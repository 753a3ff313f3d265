"""Errors that end a command are one line that names the file and what to do."""

import errno
import pickle
from pathlib import Path

import pytest

from fedtune3d._utils.errors import DamagedFileError, InputError, MachineError, StorageError


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EACCES, "change the permissions"), (errno.EMFILE, "ulimit -n")],
)
def test_a_storage_error_names_the_file_the_cause_and_the_remedy(number: int, remedy: str) -> None:
    error = StorageError(Path("run/metrics.json"), OSError(number, "the cause"))
    assert str(error).startswith("run/metrics.json: the cause; ")
    assert remedy in str(error)
    assert "metrics" not in error.reason  # the reason may leave the site, the path may not


def test_an_unknown_cause_has_a_remedy_too() -> None:
    assert str(StorageError(Path("a"), OSError("odd"))) == "a: odd; fix this and run again"


def test_a_damaged_file_is_named_with_what_is_wrong() -> None:
    error = DamagedFileError(Path("run/rounds.jsonl"), "has lost lines", advice="copy it again")
    assert str(error) == "run/rounds.jsonl: the file has lost lines, so it is damaged; copy it again"


def test_faults_of_the_machine_are_told_apart_from_those_of_the_input() -> None:
    assert issubclass(StorageError, MachineError)
    assert issubclass(DamagedFileError, MachineError)
    assert issubclass(MachineError, InputError)
    assert not isinstance(InputError("a key"), MachineError)


class _WithTwo(InputError):
    """An error that is created with more than its message."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(f"{name}: {count}")
        self.count = count


@pytest.mark.parametrize(
    "error",
    [
        InputError("a key"),
        StorageError(Path("run/metrics.json"), OSError(errno.ENOSPC, "No space left on device")),
        DamagedFileError(Path("run/rounds.jsonl"), "has lost lines"),
        _WithTwo("sites", 3),
    ],
)
def test_an_error_passes_between_processes_whatever_it_is_created_with(error: InputError) -> None:
    error.add_note("a note")
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert vars(received).keys() == vars(error).keys()
    assert received.__notes__ == ["a note"]
