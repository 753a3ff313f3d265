"""Three hospitals on one machine: a SuperLink and three SuperNodes over TLS, each a process of its own.

Simulates the hospitals, runs `server init`, `site key`, `site trust`, `site approve`, `site join` and `server run` as
people do, with secure aggregation, then runs the same experiment in one process under the same policy, and compares the
two: python examples/federation.py FOLDER
"""

import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

SITES, SCANS, ROUNDS = 3, 78, 5
POLICY = {"predictions_leave": False, "groups_leave": False, "pictures_leave": False, "min_people": 2}
POLICY |= {"secure_aggregation": "required"}
COMPARED = ("checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.json")


def call(*words: object) -> None:
    """Run a command of the project, shown as it is typed."""
    print("$ fedtune3d", *words, flush=True)
    subprocess.run(command(*words), check=True)


def command(*words: object) -> list[str]:
    """A command of this environment's fedtune3d."""
    return [sys.executable, "-m", "fedtune3d", *map(str, words)]


def write(path: Path, values: dict[str, Any]) -> Path:
    """Write YAML."""
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_experiments(folder: Path) -> tuple[Path, Path, dict[str, Path]]:
    """The server's experiment, which holds no path of a site; the same for one process; and each site's data."""
    values = yaml.safe_load((folder / "hospitals" / "experiment.yaml").read_text())
    roots = {site["name"]: (folder / "hospitals" / site["root"]).resolve() for site in values["sites"]}
    values |= {
        "model": {"encoder": "tiny", "head": "conv_s"},  # this is about the way, not the numbers
        "training": values["training"] | {"rounds": ROUNDS},
        "privacy": {"secure_aggregation": True},
        "baselines": [],
        "threads": 1,
        "workers": 1,
    }
    across = [{"name": name, "policy": POLICY} for name in roots]
    within = [site | {"root": str(roots[site["name"]])} for site in across]
    return (
        write(folder / "across.yaml", values | {"sites": across, "output": "across"}),
        write(folder / "within.yaml", values | {"sites": within, "output": "within"}),
        roots,
    )


def set_up(folder: Path, roots: dict[str, Path]) -> list[Path]:
    """The server's folder, and each site's with its site.yaml filled in."""
    shutil.rmtree(folder / "server", ignore_errors=True)
    address = f"localhost:{free_port()}"
    call(
        "server",
        "init",
        folder / "server",
        "--address",
        address,
        *(word for name in roots for word in ("--site", name)),
    )
    folders = [folder / "server" / "sites" / name for name in roots]
    for path, (name, root) in zip(folders, roots.items(), strict=True):
        write(path / "site.yaml", {"name": name, "server": address, "data": str(root), "policy": POLICY})
    return folders


def exchange_fingerprints(folders: list[Path]) -> None:
    """Each hospital makes its signing key and trusts the others', as people do by telephone."""
    fingerprints = {}
    for folder in folders:
        print("$ fedtune3d site key", folder, flush=True)
        made = subprocess.run(command("site", "key", folder), check=True, capture_output=True, text=True)
        fingerprints[folder] = made.stdout.split()
    for folder in folders:
        for other in folders:
            if other != folder:
                call("site", "trust", *fingerprints[other], folder)


def approve(folders: list[Path], experiment: Path) -> None:
    """Each hospital's yes to the experiment, by script."""
    for folder in folders:
        call("site", "approve", folder, experiment, "--yes")


def join(folders: list[Path]) -> list[subprocess.Popen[bytes]]:
    """Start the sites, each with a log next to its folder."""
    joined = []
    for folder in folders:
        print("$ fedtune3d site join", folder, "&", flush=True)
        with (folder / "join.log").open("wb") as log:
            joined.append(subprocess.Popen(command("site", "join", folder), stdout=log, stderr=log))
    return joined


def main() -> None:
    """Play the deployment and compare."""
    folder = Path(sys.argv[1])
    if not (folder / "hospitals" / "experiment.yaml").exists():
        call("simulate", folder / "hospitals", "--sites", SITES, "--scans", SCANS, "--seed", 1, "--no-next")
    across, within, roots = write_experiments(folder)
    folders = set_up(folder, roots)
    for run in ("across", "within"):
        shutil.rmtree(folder / run, ignore_errors=True)
    exchange_fingerprints(folders)
    approve(folders, across)
    joined = join(folders)
    try:
        call("server", "run", across, "--folder", folder / "server")
    finally:
        for process in joined:
            process.terminate()
        for process in joined:
            process.wait()
    call("run", within)
    runs = folder / "across", folder / "within"
    different = [name for name in COMPARED if len({(run / name).read_bytes() for run in runs}) > 1]
    if different:
        sys.exit(f"across hospitals and within one process differ in {', '.join(different)}")
    print("The same bits across three SuperNodes and within one process:", ", ".join(COMPARED))


if __name__ == "__main__":
    main()
