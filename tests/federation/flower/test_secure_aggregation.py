"""Secure aggregation over TLS between real processes, one of which is killed in each step of the protocol."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dying_site
import pytest

from fedtune3d._utils.state_dicts import load_state, state_sha256
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answer, Answering, Fault, Task
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.secure_aggregation.key_files import add_trusted, make_identity
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.workflows.run import run_experiment

pytestmark = pytest.mark.slow

SECURE = {
    "privacy": {"secure_aggregation": True},
    "participation": {"deadline_seconds": 25, "retries": 3},
    "training": {"rounds": 12, "batch_size": 3},
}


ALLOWED = {"min_people": 1, "min_per_class": 1, "maps_leave": True}
REQUIRED = ALLOWED | {"secure_aggregation": "required"}
REFUSED = "policy.secure_aggregation is required, but the experiment would show"


class Following(InProcess):
    """Sites of one process, each of which is lost in the step in which a ledger says that it was."""

    def __init__(self, sites: Mapping[str, Answering], sums: Mapping[int, dict[str, Any]]) -> None:
        super().__init__(sites)
        self.sums = sums

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        lost = {site for site, task in tasks.items() if self._is_lost(site, task)}
        yield from (Fault(site, "lost") for site in sorted(lost))
        yield from super().ask({site: task for site, task in tasks.items() if site not in lost})

    def _is_lost(self, site: str, task: Task) -> bool:
        reached = {"train": "offered", "share_secrets": "dealt", "mask_update": "summed"}.get(task.kind)
        return reached is not None and site not in self.sums[task.round][reached]


@pytest.fixture(scope="module")
def hospitals(
    tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None], deploy: Callable[..., Any]
) -> Any:
    """Four sites, whose keys were made at the sites and compared."""
    folder = tmp_path_factory.mktemp("four")
    for seed, name in enumerate("ABCD"):
        write_small_site(folder / name, people=6, seed=seed)
    deployment = deploy({name: folder / name for name in "ABCD"})
    fingerprints = {}
    for name in deployment.roots:
        deployment.configure(name, policy=REQUIRED)
        fingerprints[name] = make_identity(deployment.site_folder(name) / "signing.key").fingerprint
    for name in deployment.roots:
        for other, fingerprint in fingerprints.items():
            if other != name:
                add_trusted(deployment.site_folder(name) / "trusted.yaml", other, fingerprint)
    return deployment


def test_a_run_whose_sites_are_killed_in_each_step_ends_in_the_exact_sums(
    hospitals: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    deaths = tmp_path / "deaths"
    path = hospitals.write("secure", **SECURE)
    for name in "ABC":
        hospitals.join(name)

    def join_d() -> Any:
        return hospitals.join("D", str(Path(dying_site.__file__)), environment={"DEATHS": str(deaths)})

    join_d()
    server = hospitals.serve(path)

    def ended() -> bool:
        join_d()  # again, when it has died
        return server.process.poll() is not None

    until(ended, "the run to end", seconds=1500, pause_seconds=1)
    assert server.process.returncode == 0, server.text
    assert len(deaths.read_text()) == len(dying_site.STEPS)
    rounds = [line for line in hospitals.ledger(path) if line["kind"] == "train"]
    assert [line["round"] for line in rounds] == list(range(1, 13))
    sums = {line["round"]: line["secure"] for line in rounds}
    assert {len(found["summed"]) for found in sums.values()} == {3, 4}

    here = Experiment.from_yaml(hospitals.write("secure", in_process=True, **SECURE))
    alone = run_experiment(here, report=False, reach=lambda sites: Following(sites, sums))
    across = RoundsFolder(path.with_suffix("")).last
    assert state_sha256(load_state(RoundsFolder(alone.path).last)) == state_sha256(load_state(across))


def test_a_site_that_requires_it_refuses_a_run_that_shows_updates(hospitals: Any) -> None:
    visible: dict[str, Any] = {"training": {"rounds": 1, "batch_size": 3}}
    with pytest.raises(Refusal, match=REFUSED):
        hospitals.write("visible", **visible)
    for name in "ABCD":
        hospitals.configure(name, policy=ALLOWED)
    path = hospitals.write("visible", **visible)  # which is approved, before the policy becomes stricter
    for name in "ABCD":
        hospitals.configure(name, policy=REQUIRED)
        hospitals.join(name)
    server = hospitals.serve(path)
    assert server.wait() == 2
    assert REFUSED in server.text
