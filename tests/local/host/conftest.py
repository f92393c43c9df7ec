"""Fixtures for tests of the local host: small apps, and a module that connects them to a test."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.config import Storage

QUEUES = {"maxPollingInterval": "00:00:00.1", "messageEncoding": "none"}

MakeApp = Callable[..., Path]


class Probe(ModuleType):
    """The module `probe`: it stays the same when an app that imports it is loaded again."""

    def __init__(self) -> None:
        super().__init__("probe")
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.loads = 0


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    module = Probe()
    monkeypatch.setitem(sys.modules, "probe", module)
    return module


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    def make(code: str, **host: Any) -> Path:
        document = {"version": "2.0", "extensions": {"queues": QUEUES}} | host
        (tmp_path / "host.json").write_text(json.dumps(document))
        header = "import asyncio\nimport azure.functions as func\napp = func.FunctionApp()\n"
        (tmp_path / "function_app.py").write_text(header + dedent(code))
        return tmp_path

    yield make
    assert "function_app" not in sys.modules
    assert str(tmp_path) not in sys.path


@pytest.fixture
async def account(azurite: Any) -> AsyncIterator[Account]:
    account = Account(Storage(connection_string=azurite.connection_string))
    yield account
    await account.close()


@pytest.fixture
async def queue(account: Account) -> QueueClient:
    """A new queue."""
    client = account.queue(f"q-{uuid4().hex}")
    await client.create_queue()
    return client
