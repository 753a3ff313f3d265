"""One site of an experiment: its name, its scans, and where it differs from the rest."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from fedtune3d._utils.names import known_name
from fedtune3d._utils.strict import StrictModel
from fedtune3d._utils.user_paths import UserPath
from fedtune3d.cohorts.formats import AUTO, format_names
from fedtune3d.cohorts.records import LabelMapping
from fedtune3d.config.policy import Policy

SiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


def _format(name: str) -> str:
    """The name of a format of a site's data."""
    return known_name(name, (AUTO, *format_names()))


class SiteSection(StrictModel):
    """One site: its name, its scans, and where it differs from the rest.

    `root` is a BIDS or CAPS folder or a table of paths; `participants` its table, where that stands elsewhere.
    `fingerprint_key` is a file with the key that the sites share for the leak audit (see docs/leaks.md).
    """

    name: SiteName
    root: UserPath | None = None
    fingerprint_key: UserPath | None = None
    format: Annotated[str, AfterValidator(_format)] = AUTO
    participants: UserPath | None = None
    labels: LabelMapping | None = None
    sessions: Literal["all", "first", "last"] | tuple[str, ...] = "all"
    policy: Policy = Policy()

    def with_paths_from(self, folder: Path) -> Self:
        """The same with its relative paths counted from a folder."""
        paths = {"root": self.root, "participants": self.participants, "fingerprint_key": self.fingerprint_key}
        return self.model_copy(update={key: path if path is None else folder / path for key, path in paths.items()})
