"""From variables of the environment to a source: alone here it imports azure-identity."""

import os
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from opswatch.api import api_keys
from opswatch.client.connection import intake_from
from opswatch.client.http import HttpSource, open_http
from opswatch.client.storage import StorageSource
from opswatch.config import QUEUES, STORAGE, TABLES, Storage, connection_parts
from opswatch.core.callback_policy import is_loopback_host
from opswatch.core.errors import ConfigError
from opswatch.rows.messages import OPERATIONS_QUEUE
from opswatch.rows.tables import REJECTIONS, RESULTS, WATCHES

_IMPORTING = threading.Lock()
# Of a call, in seconds. `Connection` tries again itself: the SDK's own retries take minutes.
_CALL: Mapping[str, Any] = {"retry_total": 0, "connection_timeout": 10, "read_timeout": 20}
URL, KEY = "OPSWATCH_URL", "OPSWATCH_KEY"  # of the HTTP API


def open_env(env: Mapping[str, str] | None, *, is_async: bool) -> StorageSource | HttpSource:
    """Return the source that `env` names; no request is made. Raise `ConfigError`.

    A connection to the queues alone posts, and one to the tables alone reads.
    """
    env = os.environ if env is None else env
    if env.get(URL):
        keys = api_keys(env.get(KEY, ""))
        try:
            return open_http(env[URL], keys.get("read"), keys.get("write"), is_async=is_async)
        except ValueError as error:
            raise ConfigError([f"{URL}: {error}"]) from error
    storage = Storage.from_env(env, needs=())
    text = storage.connection_string
    queues, tables = _client_types(is_async=is_async)
    credential = None if text else _credential(storage, is_async=is_async)
    parts = connection_parts(text)
    ends = [urlsplit(parts.get(f"{service}endpoint", "")).hostname for service in (QUEUES, TABLES)]
    options: dict[str, Any] = {**_CALL}
    if any(is_loopback_host(host or "") for host in ends):
        # An emulator: no proxy of the environment can reach it.
        options["use_env_settings"] = False

    def table(name: str) -> Any:
        if credential is None:
            return tables.from_connection_string(text, name, **options)
        return tables(storage.table_uri, name, credential=credential, **options)

    queue = results = watches = rejections = None
    if storage.has_queues and credential is None:
        queue = queues.from_connection_string(text, OPERATIONS_QUEUE, **options)
    elif storage.has_queues:
        queue = queues(storage.queue_uri, OPERATIONS_QUEUE, credential=credential, **options)
    if storage.has_tables:
        results, watches, rejections = map(table, (RESULTS.table, WATCHES.table, REJECTIONS.table))
    source = StorageSource(queue, results, watches, rejections, intake_from(env))
    owned = (queue, results, watches, rejections, credential)
    source.owned = [each for each in owned if each is not None]
    return source


def _client_types(*, is_async: bool) -> tuple[Any, Any]:
    """Return the SDK's clients of queues and tables, which not every program needs: 0.2 s.

    The modules of these packages import each other. If two threads import them at the same time,
    one may see a module that is half done.
    """
    with _IMPORTING:
        from azure.data import tables  # noqa: PLC0415
        from azure.data.tables import aio as async_tables  # noqa: PLC0415
        from azure.storage import queue  # noqa: PLC0415
        from azure.storage.queue import aio as async_queue  # noqa: PLC0415
    if is_async:
        return async_queue.QueueClient, async_tables.TableClient
    return queue.QueueClient, tables.TableClient


def _credential(storage: Storage, *, is_async: bool) -> Any:
    """Return the identity that the app would use: managed if the settings say so."""
    with _IMPORTING:
        try:
            from azure import identity as sync_identity  # noqa: PLC0415 - 0.3 s
            from azure.identity import aio as async_identity  # noqa: PLC0415 - 0.3 s
        except ImportError as error:
            problem = f"{STORAGE}: without a connection string it needs azure-identity: install it"
            raise ConfigError([problem]) from error
    identity: Any = async_identity if is_async else sync_identity
    if storage.managed_identity:
        return identity.ManagedIdentityCredential(client_id=storage.client_id)
    return identity.DefaultAzureCredential(managed_identity_client_id=storage.client_id)
