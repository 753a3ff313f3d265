"""The configuration of a site: its name, its data, and settings that differ from the experiment's."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from fedtune3d._utils.names import known_name
from fedtune3d._utils.strict import StrictModel
from fedtune3d._utils.user_paths import UserPath
from fedtune3d.cohorts.formats import AUTO, format_names
from fedtune3d.cohorts.records import LabelMapping
from fedtune3d.config.policy import Policy

SITE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
SiteName = Annotated[str, Field(pattern=SITE_NAME)]


def _format(name: str) -> str:
    """Check the name of a data format."""
    return known_name(name, (AUTO, *format_names()))


class SiteSection(StrictModel):
    """A site: its name, its data, and settings that differ from the experiment's.

    `root` is a BIDS or CAPS folder or a table of paths; `participants` is its participants table, if that is elsewhere.
    `fingerprint_key` is a file with the sites' shared key for the leak audit (see docs/leaks.md).
    `cohort` names the public cohort that the data come from, such as ADNI.
    """

    name: SiteName
    root: UserPath | None = None
    fingerprint_key: UserPath | None = None
    format: Annotated[str, AfterValidator(_format)] = AUTO
    participants: UserPath | None = None
    labels: LabelMapping | None = None
    sessions: Literal["all", "first", "last"] | tuple[str, ...] = "all"
    cohort: str | None = None
    policy: Policy = Policy()

    def with_paths_from(self, folder: Path) -> Self:
        """Return a copy in which relative paths start from `folder`."""
        paths = {"root": self.root, "participants": self.participants, "fingerprint_key": self.fingerprint_key}
        return self.model_copy(update={key: path if path is None else folder / path for key, path in paths.items()})
