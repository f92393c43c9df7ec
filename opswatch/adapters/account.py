"""The configured storage account: its services over REST, and the SDK's clients of it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from opswatch.adapters import signing
from opswatch.adapters.rest import Service
from opswatch.adapters.sessions import azure_session, environment_proxy
from opswatch.adapters.signing import Signer
from opswatch.adapters.tokens import Identity, SharedCredential, Tokens
from opswatch.config import QUEUES, STORAGE, TABLES, Storage, absent_service, connection_parts
from opswatch.core.errors import ConfigError

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient
    from azure.storage.queue.aio import QueueClient

_NO_CREDENTIALS = "neither a connection string nor an identity"
_SCOPE = "https://storage.azure.com/.default"  # in every cloud
_CONNECTING, _READING = 5, 15  # seconds at the most, of one try
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECTING, sock_read=_READING)
_TIMEOUTS: dict[str, Any] = {"connection_timeout": _CONNECTING, "read_timeout": _READING}
_HEADERS = {"User-Agent": "opswatch", "Accept-Encoding": "identity"}
# https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services
_QUEUE_HEADERS: Final = MappingProxyType({**_HEADERS, "x-ms-version": "2021-02-12"})
_TABLE_HEADERS: Final = MappingProxyType(
    {
        **_HEADERS,
        "x-ms-version": "2020-12-06",  # the first that takes Entra's tokens
        "DataServiceVersion": "3.0",
        "Accept": "application/json;odata=minimalmetadata",
    }
)
# A function never sleeps longer than a second or two in a retry: the schedule waits instead.
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


class Account:
    """One storage account: created inside a running event loop, closed by `close`.

    `queues` and `tables` are its services over REST, for the calls of every poll; `queue` and
    `table` return the SDK's clients, whose packages are imported when the first one is needed. The
    former raise `ConfigError` if the connection does not name the service: a poster may have queues
    alone.
    """

    def __init__(self, storage: Storage, identity: Identity | None = None) -> None:
        self._storage = storage
        self._tokens = Tokens(identity, _SCOPE) if identity else None
        self._session = azure_session(auto_decompress=False)  # azure-core does that itself
        parts = connection_parts(storage.connection_string)
        queues = signing.shared_key_for_queues, _QUEUE_HEADERS
        tables = signing.shared_key_for_tables, _TABLE_HEADERS
        self._queues = self._service(_uri(parts, QUEUES) or storage.queue_uri, parts, *queues)
        self._tables = self._service(_uri(parts, TABLES) or storage.table_uri, parts, *tables)

    @property
    def queues(self) -> Service:
        """The queue service over REST."""
        if not self._queues.uri:
            raise ConfigError([f"{STORAGE}: {absent_service(QUEUES)}"])
        return self._queues

    @property
    def tables(self) -> Service:
        """The table service over REST."""
        if not self._tables.uri:
            raise ConfigError([f"{STORAGE}: {absent_service(TABLES)}"])
        return self._tables

    def queue(self, name: str) -> "QueueClient":
        """Return the SDK's client of the queue `name`: it neither encodes nor decodes messages."""
        from azure.storage.queue.aio import QueueClient  # noqa: PLC0415 - 0.1 s

        options = self._options() | _QUEUE_RETRIES
        if self._storage.connection_string:
            return QueueClient.from_connection_string(
                self._storage.connection_string, name, **options
            )
        return QueueClient(self._storage.queue_uri, name, credential=self._shared(), **options)

    def table(self, name: str) -> "TableClient":
        """Return the SDK's client of the table `name`."""
        from azure.data.tables.aio import TableClient  # noqa: PLC0415 - 0.1 s

        options = self._options() | _TABLE_RETRIES
        if self._storage.connection_string:
            return TableClient.from_connection_string(
                self._storage.connection_string, name, **options
            )
        return TableClient(self._storage.table_uri, name, credential=self._shared(), **options)

    async def close(self) -> None:
        """Close every connection."""
        if self._tokens is not None:
            await self._tokens.close()
        await self._session.close()

    def _shared(self) -> SharedCredential:
        if self._tokens is None:
            raise ValueError(_NO_CREDENTIALS)
        return SharedCredential(self._tokens)

    def _service(
        self,
        uri: str,
        parts: Mapping[str, str],
        shared_key: Callable[[str, str], Signer],
        headers: Mapping[str, str],
    ) -> Service:
        return Service(
            session=self._session,
            uri=uri,
            signer=_signer(parts, shared_key, self._tokens),
            headers=headers,
            timeout=_TIMEOUT,
            proxy=environment_proxy(uri),
        )

    def _options(self) -> dict[str, Any]:
        from opswatch.adapters.sdk_transport import SdkTransport  # noqa: PLC0415 - as the clients

        transport = SdkTransport(session=self._session, session_owner=False)
        return {"transport": transport, **_TIMEOUTS}


def _uri(parts: Mapping[str, str], service: str) -> str:
    """Return the URI of a service in a connection string; empty if it is not in there."""
    account, endpoint = parts.get("accountname"), parts.get(f"{service}endpoint")
    if account and not endpoint:
        protocol = parts.get("defaultendpointsprotocol", "https")
        suffix = parts.get("endpointsuffix", "core.windows.net")
        endpoint = f"{protocol}://{account}.{service}.{suffix}"
    return (endpoint or "").rstrip("/")


def _signer(
    parts: Mapping[str, str],
    shared_key: Callable[[str, str], Signer],
    tokens: Tokens | None,
) -> Signer:
    if signature := parts.get("sharedaccesssignature"):
        return signing.access_signature(signature)
    if parts:
        return shared_key(parts["accountname"], parts["accountkey"])
    if tokens is None:
        raise ValueError(_NO_CREDENTIALS)
    return signing.bearer(tokens)
