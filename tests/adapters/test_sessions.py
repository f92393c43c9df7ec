"""Connections to Azure: how many there are, who waits for one, and which proxies they pass."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from opswatch.adapters import arm as arm_module
from opswatch.adapters import sessions
from opswatch.adapters.account import Account
from opswatch.adapters.arm import HttpArm
from opswatch.adapters.sessions import MAX_CONNECTIONS, environment_proxies, environment_proxy
from opswatch.config import Storage
from opswatch.core.http import HttpResponse
from tests.support.servers import OK, Credential, serving

LIMIT, CALLS = 3, 12
SNAT_PORTS = 128  # of an instance, to one address
ANSWERS_AFTER = 0.1  # seconds
PATIENCE = 0.25  # of one call, less than the last one waits


@pytest.fixture
def _few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_CONNECTIONS", LIMIT)
    monkeypatch.setattr(arm_module, "MAX_CONNECTIONS", LIMIT)


class SlowServer:
    """Answers each request after a while, and counts its connections."""

    def __init__(self) -> None:
        self.open = self.most = 0

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(ANSWERS_AFTER)
        self.open -= 1
        writer.write(OK)


@asynccontextmanager
async def arm_at(endpoint: str) -> AsyncIterator[HttpArm]:
    arm = HttpArm(endpoint, "scope", Credential(), timedelta(seconds=PATIENCE))
    try:
        yield arm
    finally:
        await arm.close()


@pytest.mark.usefixtures("_few_connections")
async def test_poll_that_waits_for_connection_is_no_miss() -> None:
    slow = SlowServer()
    async with serving(slow.answer) as server, arm_at(server.endpoint) as arm:
        got = await asyncio.gather(*(arm.get(f"{server.endpoint}/{n}") for n in range(CALLS)))
    assert all(isinstance(answer, HttpResponse) for answer in got)
    assert slow.most == LIMIT


@pytest.mark.usefixtures("_few_connections")
async def test_storage_call_that_waits_for_connection_does_not_fail() -> None:
    slow = SlowServer()
    async with serving(slow.answer) as server:
        account = Account(
            Storage(queue_uri=server.endpoint, table_uri=server.endpoint), Credential()
        )
        services = account.queues, account.tables
        try:
            await asyncio.gather(*(services[n % 2].call("GET", f"{n}") for n in range(CALLS)))
        finally:
            await account.close()
    assert slow.most == LIMIT  # of both services together


async def test_connections_leave_ports_for_the_functions_host() -> None:
    async with serving() as server, arm_at(server.endpoint) as arm:
        account = Account(Storage(queue_uri="https://q", table_uri="https://t"), Credential())
        limits = [account._session.connector, arm._session.connector]
        await account.close()
    assert [connector and connector.limit for connector in limits] == [MAX_CONNECTIONS] * 2
    assert 64 <= MAX_CONNECTIONS <= SNAT_PORTS - 16


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")
        monkeypatch.setenv(name.upper(), "http://proxy.example.com:3128")
    return "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:10001/devstoreaccount1",
        "http://127.8.9.10/",
        "http://localhost:7080",
        "http://LOCALHOST.:7080",
        "https://arm.localhost/x",
        "http://[::1]:7080/",
        "http://169.254.129.3:8081/msi/token",
        "http://169.254.169.254/metadata/identity/oauth2/token",
    ],
)
@pytest.mark.usefixtures("proxy")
def test_this_machine_is_never_behind_a_proxy(url: str) -> None:
    assert environment_proxies(url) == {}


@pytest.mark.parametrize(
    "url", ["https://management.azure.com", "http://10.0.0.1/", "http://localhost.example.com"]
)
def test_others_are_behind_the_environments_proxy(url: str, proxy: str) -> None:
    assert environment_proxy(url) == proxy
