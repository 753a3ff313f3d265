"""What keeps two processes out of one folder, and a proxy out of this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.flower.engine import keep_proxies_out_of_this_machine, only_one_in

SECOND = """
import sys
from pathlib import Path
from fedtune3d._utils.errors import InputError
from fedtune3d.federation.flower.engine import only_one_in
try:
    with only_one_in(Path(sys.argv[1]), "site join"):
        print("in")
except InputError as error:
    print(error)
"""


def second(folder: Path) -> str:
    """What another process says that wants the folder."""
    return subprocess.run([sys.executable, "-c", SECOND, folder], capture_output=True, text=True, check=True).stdout


def test_one_process_a_folder(tmp_path: Path) -> None:
    with only_one_in(tmp_path / "work", "site join"):
        assert (
            second(tmp_path / "work") == f"{tmp_path / 'work'}: another `site join` uses this folder; stop it first\n"
        )
    assert second(tmp_path / "work") == "in\n"
    with pytest.raises(InputError, match="inside"), only_one_in(tmp_path, "site join"):
        raise InputError("inside")


@pytest.mark.parametrize("known", ["", "hospital.example.org"])
def test_loopback_never_goes_by_a_proxy(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", known)
    keep_proxies_out_of_this_machine()
    assert os.environ["no_proxy"].split(",") == [*filter(None, [known]), "127.0.0.1"]
