"""Logging to TensorBoard: event files in the run folder."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from fedtune3d._utils.json_values import Json
from fedtune3d.report.logs.values import Value


class TensorBoardLog:
    """Event files in a folder, rewritten from the ledger when a run is resumed, so that no step appears twice."""

    def __init__(self, folder: Path, config: dict[str, Json]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for path in folder.glob("events.out.tfevents.*"):
            path.unlink()
        self.writer = SummaryWriter(str(folder))
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        self.writer.add_text(
            "config", "".join(f"    {line}\n" for line in text.splitlines())
        )  # a code block in Markdown

    def describe(self, text: str) -> None:
        """Write a caveat as text."""
        self.writer.add_text("caveat", text)

    def add(self, values: Sequence[Value]) -> None:
        """Write values."""
        for value in values:
            self.writer.add_scalar(value.name, value.value, value.step)
        self.writer.flush()

    def close(self, ended_well: bool) -> None:
        """Flush and close the event file."""
        self.writer.close()

    def describe_error(self, error: Exception) -> str:
        """Return one line on an error."""
        return str(error)
