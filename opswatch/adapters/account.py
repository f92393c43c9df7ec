"""The storage account of the settings: one HTTP session, a client for each queue and table."""

from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableClient
from azure.storage.queue.aio import QueueClient

from opswatch.config import Storage

# A function never sleeps longer than a second or two in a retry: the queue waits instead.
_QUEUE_RETRIES: dict[str, Any] = {
    "retry_total": 2,
    "initial_backoff": 0,
    "increment_base": 1,
    "random_jitter_range": 1,
}
_TABLE_RETRIES: dict[str, Any] = {
    "retry_total": 2,
    "retry_backoff_factor": 0.25,
    "retry_backoff_max": 1,
}
_TIMEOUTS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 15}


def environment_proxies(url: str) -> dict[str, str] | None:
    """Return the environment's proxies for `url`; None where it is to be reached directly.

    Read once for a client. With its transport's own environment settings on, azure-core reads
    netrc and scans the environment at every request: about 0.5 ms of CPU each.
    """
    host = urlsplit(url).hostname or ""
    return None if proxy_bypass(host) else (getproxies() or None)


def plain_session() -> aiohttp.ClientSession:
    """Return a session for azure-core: no cookies, nothing from the environment, no limit."""
    return aiohttp.ClientSession(
        auto_decompress=False,  # azure-core does that
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
    )


class Account:
    """Clients of one storage account: made inside a running event loop, closed by `close`."""

    def __init__(self, storage: Storage, credential: AsyncTokenCredential | None = None) -> None:
        self._storage = storage
        self._credential = credential
        self._session = plain_session()

    def queue(self, name: str) -> QueueClient:
        """Return a client of the queue `name`, which sends and receives texts as they are."""
        options = self._options(self._storage.queue_uri) | _QUEUE_RETRIES
        if self._storage.connection_string:
            return QueueClient.from_connection_string(
                self._storage.connection_string, name, **options
            )
        return QueueClient(self._storage.queue_uri, name, credential=self._credential, **options)

    def table(self, name: str) -> TableClient:
        """Return a client of the table `name`."""
        options = self._options(self._storage.table_uri) | _TABLE_RETRIES
        if self._storage.connection_string:
            return TableClient.from_connection_string(
                self._storage.connection_string, name, **options
            )
        return TableClient(self._storage.table_uri, name, credential=self._credential, **options)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def _options(self, uri: str) -> dict[str, Any]:
        transport = AioHttpTransport(session=self._session, session_owner=False)
        return {"transport": transport, "proxies": environment_proxies(uri), **_TIMEOUTS}
