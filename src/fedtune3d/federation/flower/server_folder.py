"""The server's folder: its certificate, the sites' public keys, and a folder to hand over to each site."""

import ipaddress
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import yaml
from pydantic import ValidationError

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import ServerPaths
from fedtune3d._utils.strict import StrictModel, problems_of
from fedtune3d._utils.user_paths import UserPath
from fedtune3d._utils.yaml_files import read_yaml
from fedtune3d.config.privacy import MIN_SITES
from fedtune3d.config.site import NAME_WORDS, SITE_NAME
from fedtune3d.federation.flower.certificates import require_certificates
from fedtune3d.federation.flower.keys import call, make_site_key, set_site_key
from fedtune3d.federation.flower.site_folder import Address
from fedtune3d.models.encoders import install_encoder

CERTIFICATE_DAYS = 825

SITE_TEMPLATE = """\
# This site's settings and policy. Only the site can change them.
name: {name}
server: {address}
data: /path/to/bids      # this site's BIDS folder; no other file names it
work: work               # prepared scans, features, and this site's part of each run
# weights: /path/to/sam_med3d_turbo.pth
# encoders: [my_encoder.py]     # encoders that are not part of fedtune3d: code, which runs here; read it first
columns: [diagnosis]     # what labels may use; never ids
policy:
  secure_aggregation: {secure_aggregation}  # required: the server sees sums of updates only (site key, site trust)
  max_share: 0.6                # the greatest share of such a sum that one site may have
  predictions_leave: false      # per-scan test probabilities; if false, AUC and CIs are computed here
  groups_leave: false           # declared group_ids, as pseudonyms
  maps_leave: false             # a mean saliency map over people, if an experiment asks for one
  names_leave: false            # scan ids in the findings of the leak audit
  min_people: 5                 # fewest people (of each class, in the evaluation) behind a metric that leaves
  min_per_class: 5              # people of a class behind class sums, feature statistics, groups and mean maps
  tunings: [frozen, lora]
  heads: [linear, conv_s, conv_l]
  max_rounds: 100
  max_lora_rank: 64
  max_threads: 64
  max_payload_mb: 100
  max_epsilon: null             # epsilon about any person over all experiments; others are then refused
  max_delta: 0.001              # the delta of that epsilon; below 1 / people in training
  hours: null                   # for example 19:00-07:00, by this site's clock
"""


class ServerSettings(StrictModel):
    """`server.yaml`: the address that sites use, and where the server listens.

    Attributes:
        address: The address that sites use, ``host:port``.
        listen: The address on which this machine listens; ``0.0.0.0`` for all of its networks.
        insecure: Serve without TLS, for tests on one machine.
        encoders: Files of encoders that are not part of fedtune3d. They are code, which runs in the server's process.
    """

    address: Address
    listen: str = "0.0.0.0"
    insecure: bool = False
    encoders: tuple[UserPath, ...] = ()

    @property
    def port(self) -> int:
        """The port of the address."""
        return int(self.address.rpartition(":")[2])


class ServerFolder:
    """The server's folder: made once, read at each start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.paths = ServerPaths(path)

    def settings(self) -> ServerSettings:
        """Read `server.yaml`. Raises `InputError`."""
        path = self.paths.settings
        try:
            return ServerSettings.model_validate(
                read_yaml(path, if_missing="make the folder with `fedtune3d server init`")
            )
        except ValidationError as error:
            raise InputError("\n".join(problems_of(path, error, ServerSettings))) from None

    def install_encoders(self) -> None:
        """Load the encoders that `server.yaml` lists, in this process. Raises `InputError`."""
        for path in self.settings().encoders:
            install_encoder(self.path / path)

    def public_key(self, site: str) -> Path:
        """Return the path of a site's public key; without that file the site cannot join."""
        return self.paths.public_key(site)

    def set_key(self, site: str, key: Path) -> str:
        """Replace a site's public key by its new one; return the fingerprint. Raises as `set_site_key`."""
        _require_name(site)
        return set_site_key(self.public_key(site), key)

    @classmethod
    def make(cls, path: Path, address: str, sites: Sequence[str]) -> Self:
        """Create the folder, or add what is missing; a site that has a key keeps it.

        Raises:
            InputError: If openssl or ssh-keygen is missing or fails, the folder was made for another address, or its
                certificates are damaged or out of date.
        """
        folder = cls(path)
        settings = folder.paths.settings
        if settings.exists() and folder.settings().address != address:
            raise InputError(f"{settings}: the folder was made for {folder.settings().address}; choose another folder")
        for site in sites:
            _require_name(site)
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        if not settings.exists():
            folder._make_certificates(address.rpartition(":")[0].strip("[]"))
            write_text(settings, yaml.safe_dump({"address": address, "listen": "0.0.0.0"}, sort_keys=False))
        require_certificates(folder.paths)
        known = set(sites) | {path.stem for path in folder.public_key("x").parent.glob("*.pub")}
        for site in sites:
            folder._make_site(site, address, "required" if len(known) >= MIN_SITES else "allowed")
        return folder

    def _make_certificates(self, host: str) -> None:
        """Create the federation's certificate authority and the server's certificate for its host name or IP."""
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes"]
        call(
            *("openssl", "req", "-x509", *new_key, "-keyout", self.paths.authority_key, "-out", self.paths.authority),
            *("-days", 3650, "-subj", "/CN=fedtune3d federation CA"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        self._make_server_certificate(host)

    def renew_certificate(self) -> None:
        """Make a new key and certificate for the server, signed by the same authority: sites need nothing new.

        Raises:
            InputError: If the authority's private key is not in the folder, or openssl is missing or fails.
        """
        if not self.paths.authority_key.exists():
            raise InputError(f"{self.paths.authority_key}: no such file; put the authority's key back to renew")
        self._make_server_certificate(self.settings().address.rpartition(":")[0].strip("[]"))

    def _make_server_certificate(self, host: str) -> None:
        """Create the server's key, and its certificate for a host name or IP address."""
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes"]
        request, extensions = self.paths.request, self.paths.extensions
        names = {f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in (host, "localhost", "127.0.0.1")}
        extensions.write_text(
            f"subjectAltName={','.join(sorted(names))}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        call("openssl", "req", *new_key, "-keyout", self.paths.key, "-out", request, "-subj", f"/CN={host}"[:64])
        call(
            *(
                "openssl",
                "x509",
                "-req",
                "-in",
                request,
                "-CA",
                self.paths.authority,
                "-CAkey",
                self.paths.authority_key,
            ),
            *("-CAcreateserial", "-out", self.paths.certificate, "-days", CERTIFICATE_DAYS, "-extfile", extensions),
        )
        request.unlink()
        extensions.unlink()

    def _make_site(self, name: str, address: str, secure_aggregation: str) -> None:
        """Create a site's folder and key, unless the server already has a key for the site."""
        if self.public_key(name).exists():
            return
        site = self.paths.site(name)
        site.path.mkdir(parents=True, exist_ok=True)
        site.path.chmod(0o700)
        make_site_key(site, name)
        shutil.copyfile(self.paths.authority, site.certificate)
        if not site.settings.exists():
            values = {"name": name, "address": address, "secure_aggregation": secure_aggregation}
            write_text(site.settings, SITE_TEMPLATE.format(**values))
        self.public_key(name).parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(site.public_key, self.public_key(name))


def _require_name(site: str) -> None:
    """Refuse a name that could be a path, before anything is made of it. Raises `InputError`."""
    if not re.fullmatch(SITE_NAME, site):
        raise InputError(f"--site {site!r}: expected {NAME_WORDS}, as in an experiment file")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
