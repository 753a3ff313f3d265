"""The folders of a deployment across hospitals: the server's, a site's, and where a site works."""

from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.folders.cache import CacheFolder
from fedtune3d._utils.folders.run import RunFolder
from fedtune3d._utils.folders.site import PEOPLE_KEY, SPENDING

SIGNING_KEY, TRUSTED = "signing.key", "trusted.yaml"
_RUNTIME_SECRET = "runtime.secret"


@dataclass(frozen=True)
class SitePaths:
    """The folder that a hospital gets from the server's operator."""

    path: Path

    @property
    def settings(self) -> Path:
        """Settings with the site's data paths and its policy."""
        return self.path / "site.yaml"

    @property
    def certificate(self) -> Path:
        """The certificate of the federation's own authority."""
        return self.path / "ca.crt"

    @property
    def key(self) -> Path:
        """The site's private key."""
        return self.path / "site.key"

    @property
    def public_key(self) -> Path:
        """The public half of the site's key."""
        return self.path / "site.key.pub"

    @property
    def approvals(self) -> Path:
        """Ledger of the decisions of people at the site, one JSON line each."""
        return self.path / "approvals.jsonl"

    @property
    def charges(self) -> Path:
        """Ledger of the tasks under each approval, one JSON line each."""
        return self.path / "charges.jsonl"

    @property
    def people_key(self) -> Path:
        """The key of the hashes of people in these files."""
        return self.path / PEOPLE_KEY

    @property
    def hashed(self) -> tuple[Path, Path]:
        """The ledgers that name people by hashes made with that key."""
        return self.approvals, self.spending

    @property
    def spending(self) -> Path:
        """Ledger of what was released about people under differential privacy, over all experiments."""
        return self.path / SPENDING

    @property
    def signing_key(self) -> Path:
        """The key with which the site signs in secure aggregation, made at the site."""
        return self.path / SIGNING_KEY

    @property
    def trusted(self) -> Path:
        """The other sites' signing keys, by fingerprints that people have compared."""
        return self.path / TRUSTED


@dataclass(frozen=True)
class SiteWork:
    """The folder that a site works in, `work` of ``site.yaml``."""

    path: Path

    @property
    def cache(self) -> CacheFolder:
        """Prepared scans and features."""
        return CacheFolder(self.path / "cache")

    @property
    def egress(self) -> Path:
        """One JSON line per refusal or fault that was sent in an answer's place."""
        return self.path / "egress.jsonl"

    @property
    def flower(self) -> Path:
        """The folder of the SuperNode's own files."""
        return self.path / "flower"

    @property
    def secret(self) -> Path:
        """The secret between the SuperNode and this program."""
        return self.flower / _RUNTIME_SECRET

    @property
    def log(self) -> Path:
        """The log of the SuperNode."""
        return self.flower / "supernode.log"

    @property
    def alive(self) -> Path:
        """Its time is the last sign of life of ``site join``."""
        return self.path / "alive"

    @property
    def answered(self) -> Path:
        """Its time is that of the last task that was answered."""
        return self.path / "answered"

    def run(self, experiment: str, sha256: str) -> RunFolder:
        """The run folder of an experiment, which holds this site's half only."""
        return RunFolder(self.path / "runs" / f"{experiment}-{sha256[:12]}")


@dataclass(frozen=True)
class ServerPaths:
    """The server's folder."""

    path: Path

    @property
    def settings(self) -> Path:
        """The address that sites are given, and where the server listens."""
        return self.path / "server.yaml"

    @property
    def authority(self) -> Path:
        """The certificate of the federation's own authority."""
        return self.path / "ca.crt"

    @property
    def authority_key(self) -> Path:
        """The private key of that authority."""
        return self.path / "ca.key"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.path / "server.crt"

    @property
    def key(self) -> Path:
        """The server's private key."""
        return self.path / "server.key"

    @property
    def request(self) -> Path:
        """The signing request, while the certificate is made."""
        return self.path / "server.csr"

    @property
    def extensions(self) -> Path:
        """The extensions of the certificate, while it is made."""
        return self.path / "server.ext"

    def public_key(self, site: str) -> Path:
        """A site's public key, without which it cannot connect."""
        return self.path / "keys" / f"{site}.pub"

    def site(self, name: str) -> SitePaths:
        """The folder to hand over to a site."""
        return SitePaths(self.path / "sites" / name)

    @property
    def flower(self) -> Path:
        """The folder of the SuperLink's own files."""
        return self.path / "flower"

    @property
    def log(self) -> Path:
        """The log of the SuperLink."""
        return self.path / "superlink.log"

    @property
    def secret(self) -> Path:
        """The secret between the SuperLink and this program."""
        return self.path / _RUNTIME_SECRET

    @property
    def door(self) -> Path:
        """Present while the SuperLink admits sites."""
        return self.path / "open"
