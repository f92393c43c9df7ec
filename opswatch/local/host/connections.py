"""Storage connections by the name of their app setting, opened on first use."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import Self

from opswatch.adapters.account import Account
from opswatch.adapters.credentials import credential_for
from opswatch.config import Storage
from opswatch.local.host.leases import LEASE, LeasedQueue


class Connections:
    """The storage accounts of the triggers; closed together."""

    def __init__(self, env: Mapping[str, str], lease: timedelta = LEASE) -> None:
        self._env = env
        self._lease = lease
        self._accounts: dict[str, Account] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    def account(self, name: str) -> Account:
        """Return the account of the connection `name`; raise `ConfigError`."""
        if name in self._accounts:
            return self._accounts[name]
        storage, credential = Storage.from_env(self._env, name), None
        if not storage.connection_string:
            credential = credential_for(
                managed_identity=storage.managed_identity, client_id=storage.client_id
            )
            self._open.push_async_callback(credential.close)
        account = self._accounts[name] = Account(storage, credential)
        self._open.push_async_callback(account.close)
        return account

    def queue(self, name: str, connection: str) -> LeasedQueue:
        """Return the queue `name` of the account of `connection`; raise `ConfigError`."""
        return LeasedQueue(self.account(connection), name, self._lease)
