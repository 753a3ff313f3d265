"""What a hospital's monitoring reads of a site."""

import time
from pathlib import Path

import pytest
import yaml
from command_line import call

pytest.importorskip("flwr")

from fedtune3d.federation.flower.server_folder import ServerFolder
from fedtune3d.federation.flower.site_health import CRITICAL, OK, WARNING, days_left, site_health


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site's folder, whose server does not run."""
    made = ServerFolder.make(tmp_path / "server", "localhost:1", ["A"])
    folder = made.paths.site("A").path
    settings = yaml.safe_load((folder / "site.yaml").read_text())
    (folder / "site.yaml").write_text(yaml.safe_dump(settings | {"data": "bids"}))
    (folder / "work").mkdir()
    return folder


def levels(folder: Path, now: float | None = None) -> dict[str, int]:
    """Level by the first words of each line."""
    report = site_health(folder, lambda: time.time() if now is None else now)
    return {line.text.partition(":")[0]: line.level for line in report}


def test_a_site_that_does_not_run(site: Path) -> None:
    found = levels(site)
    assert found["process"] == CRITICAL
    assert found["certificate of the authority"] == OK
    assert found["server localhost"] == WARNING


def test_a_site_that_runs_and_one_that_stopped(site: Path) -> None:
    (site / "work" / "alive").touch()
    (site / "work" / "answered").touch()
    assert levels(site)["process"] == levels(site)["last contact"] == OK
    assert levels(site, time.time() + 600)["process"] == CRITICAL


def test_an_authority_that_expires(site: Path) -> None:
    assert levels(site, time.time() + 3640 * 86_400)["certificate of the authority"] == WARNING
    assert [days_left("x", days).level for days in (31, 29, 6, -1)] == [OK, WARNING, CRITICAL, CRITICAL]


def test_unusable_settings_are_critical(site: Path) -> None:
    (site / "site.yaml").write_text("name: [")
    assert [line.level for line in site_health(site)] == [CRITICAL]


def test_the_exit_code_is_the_worst_level(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = call(capsys, "site", "health", site)
    assert code == CRITICAL
    assert "CRITICAL process: `fedtune3d site join` has not run here" in printed
