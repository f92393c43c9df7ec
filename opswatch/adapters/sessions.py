"""HTTP sessions to Azure's services: nothing kept, nothing from the environment but its proxies."""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp


def plain_session(*, auto_decompress: bool = True) -> aiohttp.ClientSession:
    """Return a session without cookies and without a limit of connections."""
    return aiohttp.ClientSession(
        auto_decompress=auto_decompress,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
    )


def environment_proxies(url: str) -> dict[str, str]:
    """Return the environment's proxies for `url` by scheme: none where it needs none.

    Read once for a client. Left to azure-core's transport or to aiohttp, netrc is read and the
    environment scanned at every request: about 0.5 ms of CPU each.
    """
    host = urlsplit(url).hostname or ""
    return {} if proxy_bypass(host) else getproxies()


def environment_proxy(url: str) -> str | None:
    """Return the environment's proxy for `url`; None where it needs none."""
    return environment_proxies(url).get(urlsplit(url).scheme)
