"""The configuration of a site: its name, its data, and settings that differ from the experiment's."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator

from fedtune3d._utils.json_values import Json
from fedtune3d._utils.names import known_name
from fedtune3d._utils.strict import StrictModel, text_field
from fedtune3d._utils.user_paths import UserPath
from fedtune3d.cohorts.formats import AUTO, format_names
from fedtune3d.cohorts.inclusion import Criterion
from fedtune3d.config.outcome import LabelsSection
from fedtune3d.config.policy import Policy

LATER_POLICY_KEYS = ("secure_aggregation", "max_share", "max_lora_rank", "max_threads", "max_epsilon", "max_delta")
"""Left out of the identity of an experiment where they have their defaults, so that it stays what it was."""
SITE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
NAME_WORDS = "at most 64 letters, digits, - and _, beginning with a letter or digit"
SiteName = Annotated[str, text_field(SITE_NAME, NAME_WORDS)]


def _format(name: str) -> str:
    """Check the name of a data format."""
    return known_name(name, (AUTO, *format_names()))


class SiteSection(StrictModel):
    """A site: its name, its data, and settings that differ from the experiment's.

    Attributes:
        name: The site's name, in the report and across hospitals.
        root: A BIDS or CAPS folder, or a table of paths (docs/data.md).
        fingerprint_key: A file with the sites' shared key for the leak audit (docs/leaks.md).
        format: Format of the data; ``auto`` recognises it.
        participants: The participants table, if it is not in `root`.
        labels: The diagnoses of the classes at this site, if they differ from the experiment's.
        include: An expression that scans at this site must meet, in the place of the experiment's.
        exclude: A table of scans to exclude, with the columns participant_id, session_id and reason, as the page of
            quality control writes it (docs/how-to/exclude.md).
        sessions: Sessions to use: ``all``, each person's ``first`` or ``last``, or a list such as ``[ses-M00]``.
        cohort: The public cohort that the data come from, such as ADNI, to warn of encoders that were trained on it.
        policy: What the site carries out, and what may leave it.
    """

    name: SiteName
    root: UserPath | None = None
    fingerprint_key: UserPath | None = None
    format: Annotated[str, AfterValidator(_format)] = AUTO
    participants: UserPath | None = None
    exclude: UserPath | None = None
    labels: LabelsSection | None = None
    include: Criterion | None = None
    sessions: Literal["all", "first", "last"] | tuple[str, ...] = "all"
    cohort: str | None = None
    policy: Policy = Policy()

    def with_paths_from(self, folder: Path) -> Self:
        """Return a copy in which relative paths start from `folder`."""
        keys = ("root", "participants", "exclude", "fingerprint_key")
        paths = {key: getattr(self, key) for key in keys}
        return self.model_copy(update={key: path if path is None else folder / path for key, path in paths.items()})

    def public(self) -> dict[str, Json]:
        """Return the section without paths, as JSON, for `Experiment.public`."""
        values = self.model_dump(mode="json", exclude={"root", "participants", "exclude", "fingerprint_key"})
        for key in ("cohort", "include"):
            if values[key] is None:
                del values[key]
        for key in LATER_POLICY_KEYS:
            if values["policy"][key] == Policy.model_fields[key].default:
                del values["policy"][key]
        return values
