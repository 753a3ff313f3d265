"""A site's part of a run folder, which never leaves the site."""

from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.folders.masking import MaskingPaths

_MEMORY = "round-"
_RELEASE = "release-"
SPENDING = "privacy.jsonl"
PEOPLE_KEY = "people.key"


@dataclass(frozen=True)
class SiteFolder:
    """``sites/<name>/`` of a run folder."""

    path: Path

    @property
    def inputs(self) -> Path:
        """The SHA-256 of each scan and table that the run was made from."""
        return self.path / "inputs.json"

    @property
    def splits(self) -> Path:
        """The split of each scan."""
        return self.path / "splits.tsv"

    @property
    def flow(self) -> Path:
        """The flow of participants with all counts, and the bad scans."""
        return self.path / "flow.json"

    @property
    def egress(self) -> Path:
        """One JSON line per message that left the site."""
        return self.path / "egress.jsonl"

    @property
    def answers(self) -> Path:
        """The folder of answers that left, to be sent again to the same tasks."""
        return self.path / "answers"

    @property
    def examples(self) -> Path:
        """The folder of example pictures."""
        return self.path / "examples"

    def example(self, scan: str) -> Path:
        """The picture of one scan."""
        return self.examples / f"{scan}.png"

    @property
    def saliency(self) -> Path:
        """The folder of saliency maps of single scans."""
        return self.path / "saliency"

    def predictions(self, method: str = "federated") -> Path:
        """The predictions of one method, a row per scan."""
        return self.path / ("predictions.tsv" if method == "federated" else f"predictions-{method}.tsv")

    @property
    def masking(self) -> MaskingPaths:
        """The folder of updates that are added up under masks."""
        return MaskingPaths(self.path / "masking")

    @property
    def spending(self) -> Path:
        """Ledger of the privacy spent on each person by a run in one process; hospitals have `SitePaths.spending`."""
        return self.path / SPENDING

    @property
    def people_key(self) -> Path:
        """The key of the hashes of people in that file."""
        return self.path / PEOPLE_KEY

    @property
    def releases(self) -> Path:
        """The folder of the last round's update under differential privacy, to be sent again but never drawn again."""
        return self.path / "releases"

    def memory(self, namespace: str = "") -> Path:
        """The folder of the site's memory between rounds: of the federation, or of a baseline's namespace."""
        return self.path / (f"memory-{namespace}" if namespace else "memory")


def memory_version(folder: Path, version: int) -> Path:
    """The file of one version in a memory folder."""
    return folder / f"{_MEMORY}{version:05d}.safetensors"


def release_of_round(folder: Path, round_: int, causes: str) -> Path:
    """The file of a round's release in a folder of releases, by the hash of what it follows from."""
    return folder / f"{_RELEASE}{round_:05d}-{causes[:32]}.safetensors"


def releases_of_rounds(folder: Path) -> list[tuple[int, Path]]:
    """Round and file of all releases in a folder."""
    found = folder.glob(f"{_RELEASE}*.safetensors")
    return [(int(path.stem.removeprefix(_RELEASE).partition("-")[0]), path) for path in found]


def memory_versions(folder: Path) -> dict[int, Path]:
    """Version → file, of all versions in a memory folder."""
    return {int(path.stem.removeprefix(_MEMORY)): path for path in folder.glob(f"{_MEMORY}*.safetensors")}
