"""HTTP sessions to Azure's services, without cookies, and the environment's proxies for them."""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp


def azure_session(*, auto_decompress: bool = True) -> aiohttp.ClientSession:
    """Return a session without cookies and without a limit of connections."""
    return aiohttp.ClientSession(
        auto_decompress=auto_decompress,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
    )


def environment_proxies(url: str) -> dict[str, str]:
    """Return the environment's proxies for `url` by scheme; empty if the host is excluded.

    They are read once for each client. Azure-core's transport and aiohttp would read netrc and scan
    the environment at every request: about 0.5 ms of CPU each.
    """
    host = urlsplit(url).hostname or ""
    return {} if proxy_bypass(host) else getproxies()


def environment_proxy(url: str) -> str | None:
    """Return the environment's proxy for `url`; None if there is none."""
    return environment_proxies(url).get(urlsplit(url).scheme)
