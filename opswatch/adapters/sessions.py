"""HTTP sessions to Azure's services, without cookies, and the environment's proxies for them."""

from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from opswatch.core.callback_policy import is_loopback_host

# Of a process to ARM, and to a storage account: an instance has 128 SNAT ports to one address, and
# the Functions host's own connections to the account need some of them. The queue and the table
# service of an account may be at one address, so they share this limit.
# https://learn.microsoft.com/azure/app-service/troubleshoot-intermittent-outbound-connection-errors
MAX_CONNECTIONS = 100


def azure_session(*, auto_decompress: bool = True) -> aiohttp.ClientSession:
    """Return a session without cookies, with at most `MAX_CONNECTIONS`.

    A request that waits for a connection does so in turn, and its time limits do not run yet.
    """
    return aiohttp.ClientSession(
        auto_decompress=auto_decompress,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
    )


def environment_proxies(url: str) -> dict[str, str]:
    """Return the environment's proxies for `url` by scheme; empty if the host is excluded.

    This machine is always excluded, and so are link-local addresses: identity endpoints are there,
    and emulators, which no proxy can reach.

    The clients that make every poll read them once. Azure-core's transport and aiohttp would read
    netrc and scan the environment at every request: about 0.5 ms of CPU each.
    """
    host = urlsplit(url).hostname or ""
    return {} if _is_on_this_machine(host) or proxy_bypass(host) else getproxies()


def environment_proxy(url: str) -> str | None:
    """Return the environment's proxy for `url`; None if there is none."""
    return environment_proxies(url).get(urlsplit(url).scheme)


def _is_on_this_machine(host: str) -> bool:
    if is_loopback_host(host):
        return True
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return False
