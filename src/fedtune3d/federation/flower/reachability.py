"""Check that a site can reach its server: name, port, certificate, clock."""

import base64
import math
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
"""Maximum difference between the clocks of site and server, beyond which Flower rejects signatures."""
CONNECT_SECONDS = 10
DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Contact:
    """A connection to the server.

    Attributes:
        tls: Its TLS version.
        ahead_seconds: How far the site's clock is ahead (± 1).
        certificate_days: Days until the server's certificate expires; infinite without TLS.
    """

    tls: str
    ahead_seconds: float
    certificate_days: float


def contact_server(folder: Path, settings: SiteSettings) -> Contact:
    """Send the server a request over TLS, through the environment's proxy (`HTTPS_PROXY`) if there is one.

    Raises:
        InputError: If the server cannot be reached, with the cause in one line.
    """
    host, _, port = settings.server.rpartition(":")
    certificate = SitePaths(folder).certificate
    try:
        trusted = ssl.create_default_context(cafile=str(certificate))
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{certificate}: expected the server's CA certificate; {error}") from None
    connection, proxy_note = _connection(host.strip("[]"), int(port), trusted)
    server = f"server {settings.server}{proxy_note}"
    try:
        connection.connect()
        tls, expires = _secured(connection.sock)
        connection.request("GET", "/v1/fleet/")
        answer = connection.getresponse()
        now = time.time()
        date = answer.headers.get("Date")
    except ssl.SSLCertVerificationError as error:
        reason = f"its certificate is not trusted ({error.verify_message}); is {certificate.name} from this server?"
        raise InputError(f"{server}: {reason}") from None
    except ssl.SSLError as error:
        raise InputError(f"{server}: does not speak TLS ({error.reason}); check address and port") from None
    except socket.gaierror:
        raise InputError(f"{server}: the host name cannot be resolved; check `server` and DNS") from None
    except (OSError, HTTPException) as error:
        reason = f"no answer ({error}); is it running, and does the firewall allow this machine to reach port {port}?"
        raise InputError(f"{server}: {reason}") from None
    finally:
        connection.close()
    if date is None:
        raise InputError(f"{server}: answered without a date; is it a server of fedtune3d?")
    return Contact(tls, now - parsedate_to_datetime(date).timestamp(), (expires - now) / DAY_SECONDS)


def _connection(host: str, port: int, trusted: ssl.SSLContext) -> tuple[HTTPSConnection, str]:
    """Create an unopened connection through the proxy that Flower would use, and a note on that proxy for messages."""
    proxies = {} if proxy_bypass(host) else getproxies()
    proxy = urlsplit(proxies.get("https") or proxies.get("all", ""))
    if proxy.hostname is None:
        return HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=trusted), ""
    connection = HTTPSConnection(proxy.hostname, proxy.port or 80, timeout=CONNECT_SECONDS, context=trusted)
    login = base64.b64encode(f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}".encode()).decode()
    connection.set_tunnel(host, port, {"Proxy-Authorization": f"Basic {login}"} if proxy.username else {})
    return connection, f" (through the proxy {proxy.hostname}:{proxy.port or 80})"


def _secured(connection: socket.socket) -> tuple[str, float]:
    """The TLS version of a connection, and when the other side's certificate expires, in seconds since 1970."""
    if not isinstance(connection, ssl.SSLSocket):
        return "", math.inf
    until = (connection.getpeercert() or {}).get("notAfter")
    return connection.version() or "", ssl.cert_time_to_seconds(until) if isinstance(until, str) else math.inf


def clock_problem(ahead_seconds: float) -> str | None:
    """Describe in one line what is wrong with this machine's clock; None if Flower accepts it."""
    if -BEHIND_SECONDS < ahead_seconds < AHEAD_SECONDS + 1:
        return None
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return (
        f"clock: this machine's clock is {abs(ahead_seconds):.0f} s {direction} the server's, and Flower allows at "
        f"most {BEHIND_SECONDS:.0f} s behind and {AHEAD_SECONDS:.0f} s ahead; synchronise it (NTP)"
    )


def why_refused(folder: Path, settings: SiteSettings) -> str:
    """Return the most likely reason why a SuperNode has just exited, in one line."""
    log = SiteWork(settings.work).log
    if settings.insecure:
        return f"the SuperNode exited; see {log} for the cause"
    try:
        contact = contact_server(folder, settings)
    except InputError as error:
        return str(error)
    refused = (
        f"server {settings.server}: the connection was closed, or the server has no key of this site (site.key.pub)"
    )
    return clock_problem(contact.ahead_seconds) or f"{refused}; see {log} for details"
