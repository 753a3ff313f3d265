"""A site's folder: its key, the server's certificate, and `site.yaml` with the data path and the policy."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SIGNING_KEY, TRUSTED, SitePaths
from fedtune3d._utils.ranges import Whole
from fedtune3d._utils.strict import StrictModel, problems_of, text_field
from fedtune3d._utils.user_paths import UserPath
from fedtune3d._utils.yaml_files import read_yaml
from fedtune3d.cohorts.records import DIAGNOSIS
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.config.site import SiteName, SiteSection
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.models.encoders import OwnEncoder, install_encoder

Address = Annotated[
    str,
    text_field(
        r"^[A-Za-z0-9.-]+:\d{1,5}$|^\[[0-9A-Fa-f:]+\]:\d{1,5}$",
        "the server's HOST:PORT without https://, such as fl.example.org:9092",
    ),
]


class SitePolicy(Policy):
    """The policy of a site in a deployment; anything not stated is not allowed."""

    predictions_leave: bool = False
    pictures_leave: Literal[False] = False
    groups_leave: bool = False
    maps_leave: bool = False
    names_leave: bool = False
    min_people: Annotated[Whole, Field(ge=1)] = 5


class SiteSettings(StrictModel):
    """`site.yaml`.

    Attributes:
        name: The site's name, as in the experiment and at the server.
        server: The server's address, ``host:port``.
        data: The BIDS or CAPS folder, or a table of paths.
        participants: The participants table, if it is not in the data folder.
        exclude: A table of scans to exclude, with the columns participant_id, session_id and reason.
        work: Folder for prepared scans, features and the site's part of each run.
        weights: The encoder's checkpoint at this site, for experiments that start from one.
        encoders: Files of encoders that are not part of fedtune3d. They are code, which runs at this site.
        fingerprint_key: The sites' shared key for the leak audit; without it the site is not audited.
        columns: The columns of its table that labels may use; never ids, nor columns that differ for every person.
        runtime_port: A free port of this machine, used only by the site's own processes.
        insecure: Connect to the server without TLS, for tests on one machine.
        signing_key: The key with which the site signs in secure aggregation (`fedtune3d site key`).
        trusted: Fingerprints of the other sites' signing keys (`fedtune3d site trust`).
        policy: What the site allows.
    """

    name: SiteName
    server: Address
    data: UserPath
    participants: UserPath | None = None
    exclude: UserPath | None = None
    work: UserPath = Path("work")
    weights: UserPath | None = None
    encoders: tuple[UserPath, ...] = ()
    fingerprint_key: UserPath | None = None
    columns: tuple[str, ...] = (DIAGNOSIS,)
    signing_key: UserPath = Path(SIGNING_KEY)
    trusted: UserPath = Path(TRUSTED)
    runtime_port: Annotated[Whole, Field(ge=1, le=65535)] | None = None
    insecure: bool = False
    policy: SitePolicy = SitePolicy()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the settings in a site's folder; paths are relative to it. Raises `InputError`."""
        path = SitePaths(folder).settings
        try:
            settings = cls.model_validate(read_yaml(path, if_missing="`fedtune3d server init` writes one"))
        except ValidationError as error:
            raise InputError("\n".join(problems_of(path, error, cls))) from None
        paths = ("data", "participants", "exclude", "work", "weights", "fingerprint_key", "signing_key", "trusted")
        relative = {name: getattr(settings, name) for name in paths}
        resolved: dict[str, Path | tuple[Path, ...]]
        resolved = {name: folder / path for name, path in relative.items() if path is not None}
        resolved["encoders"] = tuple(folder / path for path in settings.encoders)
        return settings.model_copy(update=resolved)

    def install_encoders(self) -> tuple[OwnEncoder, ...]:
        """Load the site's own encoders in this process; nothing else here loads any. Raises `InputError`."""
        return tuple(install_encoder(path) for path in self.encoders)

    def section_of(self, experiment: Experiment) -> SiteSection:
        """Return the site's section of an experiment, with its own data and policy. Raises `Refusal` if it has none."""
        section = next((part for part in experiment.sites if part.name == self.name), None)
        if section is None:
            raise Refusal(f"the experiment has no site {self.name}")
        local = {
            "root": self.data,
            "participants": self.participants,
            "exclude": self.exclude,
            "policy": self.policy,
            "fingerprint_key": self.fingerprint_key,
        }
        return section.model_copy(update=local)
