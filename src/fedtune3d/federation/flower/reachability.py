"""Whether a site can reach its server: name, port, certificate, clock."""

import base64
import socket
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SitePaths, SiteWork
from fedtune3d.federation.flower.site_folder import SiteSettings

BEHIND_SECONDS, AHEAD_SECONDS = 300.0, 5.0
"""How far a site's clock may be behind and ahead of the server's before Flower refuses its signatures."""
CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Contact:
    """A site's contact with the server: the TLS version, and by how many seconds the site's clock is ahead (± 1)."""

    tls: str
    ahead_seconds: float


def contact_server(folder: Path, settings: SiteSettings) -> Contact:
    """Send the server a request over TLS, through the proxy that the environment names (`HTTPS_PROXY`), if any.

    Raises:
        InputError: With one line on what stands in the way.
    """
    host, _, port = settings.server.rpartition(":")
    certificate = SitePaths(folder).certificate
    try:
        trusted = ssl.create_default_context(cafile=str(certificate))
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{certificate}: expected the server's CA certificate; {error}") from None
    connection, way = _connection(host.strip("[]"), int(port), trusted)
    server = f"server {settings.server}{way}"
    try:
        connection.connect()
        tls = connection.sock.version() or "" if isinstance(connection.sock, ssl.SSLSocket) else ""
        connection.request("GET", "/v1/fleet/")
        answer = connection.getresponse()
        now = time.time()
        date = answer.headers.get("Date")
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate is not trusted ({error.verify_message}); is {certificate.name} this server's?"
        raise InputError(f"{server}: {why}") from None
    except ssl.SSLError as error:
        raise InputError(f"{server}: no TLS there ({error.reason}); check address and port") from None
    except socket.gaierror:
        raise InputError(f"{server}: this name is not known here; check `server` and DNS") from None
    except (OSError, HTTPException) as error:
        why = f"no answer ({error}); is it running, and does the firewall let this machine out to port {port}?"
        raise InputError(f"{server}: {why}") from None
    finally:
        connection.close()
    if date is None:
        raise InputError(f"{server}: answered without a date; is it this program's server?")
    return Contact(tls, now - parsedate_to_datetime(date).timestamp())


def _connection(host: str, port: int, trusted: ssl.SSLContext) -> tuple[HTTPSConnection, str]:
    """Make an unopened connection by the proxy that Flower would use, with a note on that proxy for messages."""
    proxies = {} if proxy_bypass(host) else getproxies()
    proxy = urlsplit(proxies.get("https") or proxies.get("all", ""))
    if proxy.hostname is None:
        return HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=trusted), ""
    connection = HTTPSConnection(proxy.hostname, proxy.port or 80, timeout=CONNECT_SECONDS, context=trusted)
    login = base64.b64encode(f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}".encode()).decode()
    connection.set_tunnel(host, port, {"Proxy-Authorization": f"Basic {login}"} if proxy.username else {})
    return connection, f" (by the proxy {proxy.hostname}:{proxy.port or 80})"


def clock_problem(ahead_seconds: float) -> str | None:
    """Describe in one line what is wrong with this machine's clock; None if Flower accepts it."""
    if -BEHIND_SECONDS < ahead_seconds < AHEAD_SECONDS + 1:
        return None
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return (
        f"clock: this machine's is {abs(ahead_seconds):.0f} s {direction} the server's, and Flower refuses more than "
        f"{BEHIND_SECONDS:.0f} s behind or {AHEAD_SECONDS:.0f} s ahead; set it (NTP)"
    )


def why_refused(folder: Path, settings: SiteSettings) -> str:
    """Give the likeliest reason why a SuperNode has just ended, in one line."""
    log = SiteWork(settings.work).log
    if settings.insecure:
        return f"the SuperNode ended; {log} says why"
    try:
        found = contact_server(folder, settings)
    except InputError as error:
        return str(error)
    refused = f"server {settings.server}: the connection ended, or it does not know this site's key (site.key.pub)"
    return clock_problem(found.ahead_seconds) or f"{refused}; {log} says more"
