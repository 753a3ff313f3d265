"""The output folder of `export` and `explain`."""

from dataclasses import dataclass
from pathlib import Path

MODEL, HEAD, ENCODER, ADAPTER = "model.safetensors", "head.safetensors", "encoder.safetensors", "adapter"


@dataclass(frozen=True)
class AdapterPaths:
    """LoRA adapters in PEFT's format, whose file names are PEFT's."""

    path: Path

    @property
    def weights(self) -> Path:
        """The tensors."""
        return self.path / "adapter_model.safetensors"

    @property
    def config(self) -> Path:
        """Rank, scaling and adapted layers."""
        return self.path / "adapter_config.json"


@dataclass(frozen=True)
class ExportFolder:
    """A run's model as files for others."""

    path: Path

    @property
    def model(self) -> Path:
        """The whole model; its header says how to rebuild it."""
        return self.path / MODEL

    @property
    def head(self) -> Path:
        """The head alone."""
        return self.path / HEAD

    @property
    def encoder(self) -> Path:
        """The encoder alone, where all of it was trained."""
        return self.path / ENCODER

    @property
    def adapter(self) -> AdapterPaths:
        """The adapters, where these were trained."""
        return AdapterPaths(self.path / ADAPTER)

    @property
    def card(self) -> Path:
        """The model card."""
        return self.path / "README.md"

    def explanation(self, scan: str, method: str) -> Path:
        """The saliency map of a scan by a method, on the scan's own grid."""
        return self.path / f"{scan_stem(scan)}_{method}.nii.gz"

    def explanation_picture(self, scan: str) -> Path:
        """The picture of a scan's saliency maps."""
        return self.path / f"{scan_stem(scan)}_saliency.png"


def scan_stem(scan: str) -> str:
    """A scan's name as part of a file name."""
    return scan.replace("/", "_").removesuffix(".gz").removesuffix(".nii")
