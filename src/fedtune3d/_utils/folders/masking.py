"""Files that a site keeps while one of its updates is added up without anybody seeing it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MaskingPaths:
    """``sites/<name>/masking/``. It never leaves the site."""

    path: Path

    @property
    def task(self) -> Path:
        """The one training task of the last round."""
        return self.path / "task.json"

    @property
    def attempt(self) -> Path:
        """The secrets of the last attempt at a sum; readable by this user only."""
        return self.path / "attempt.json"

    @property
    def values(self) -> Path:
        """The values that the site adds to the sum, without masks."""
        return self.path / "values.safetensors"

    @property
    def signing_key(self) -> Path:
        """The signing key of a site of this process; a hospital's own is in its site's folder."""
        return self.path / "signing.key"
