"""Fixtures for tests of the pumps: a storage account, a new queue, and a function that records."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.config import Storage
from opswatch.local.azurite import Azurite


@pytest.fixture
async def account(azurite: Azurite) -> AsyncIterator[Account]:
    account = Account(Storage(connection_string=azurite.connection_string))
    yield account
    await account.close()


@pytest.fixture
async def queue(account: Account) -> QueueClient:
    """A new queue."""
    client = account.queue(f"q-{uuid4().hex}")
    await client.create_queue()
    return client
