"""Where commands look: the same answers of the storage and over HTTP, and what a key may be."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from aiohttp import web
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import AccountSasPermissions, ResourceTypes, generate_account_sas

from opswatch.cli import source
from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from opswatch.core.arm_errors import ArmError
from opswatch.core.http import HttpResponse
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus
from opswatch.ports import Services
from opswatch.web.http import Request
from opswatch.web.router import Router
from tests.cli.conftest import Operations, Run

READ_KEY, WRITE_KEY = "read-key==", "write-key=="
READING = [
    ["show", "{key}", "--time", "iso"],
    ["show", "{key}", "-o", "json"],
    ["list", "--subscription", "{subscription}", "-o", "json"],
    ["list", "--subscription", "{subscription}", "--count"],
    ["wait", "{key}", "-o", "json"],
    ["tail", "{key}", "-o", "jsonl"],
    ["deliveries", "--state", "pending", "-o", "jsonl"],
    ["rejections", "-o", "json"],
    ["kinds", "-o", "json"],
    ["summary", "-o", "json"],
]


@dataclass
class App:
    """An app that asks for keys, as Azure does: each function has its own."""

    services: Services
    base: str = ""
    paths: list[str] = field(default_factory=list)
    link_host: str | None = None  # of links to next pages, if a proxy rewrites them
    body: bytes | None = None  # instead of the app's

    async def respond(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        if self.body is not None:
            return web.Response(body=self.body, content_type="text/html")
        function = "read" if request.method == "GET" else "write"
        wanted = READ_KEY if function == "read" else WRITE_KEY
        if request.headers.get("x-functions-key") != wanted:
            return web.Response(status=401)
        asked = Request(
            method=request.method,
            url=str(request.url),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )

        async def services() -> Services:
            return self.services

        answer = await Router(services).respond(asked, function)
        body = answer.body
        if self.link_host is not None:
            body = body.replace(self.base.encode(), self.link_host.encode())
        return web.Response(status=answer.status, body=body, headers=answer.headers)


@pytest.fixture
async def app(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    """An app at OPSWATCH_URL, with its keys in OPSWATCH_KEY; no storage is in the settings."""
    app = App(operations.services)
    server = web.Application()
    server.router.add_route("*", "/{path:.*}", app.respond)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    app.base = site.name
    monkeypatch.setenv("OPSWATCH_URL", app.base)
    monkeypatch.setenv("OPSWATCH_KEY", f"read={READ_KEY},write={WRITE_KEY}")
    monkeypatch.delenv("AzureWebJobsStorage")
    yield app
    await runner.cleanup()


async def failed_operation(operations: Operations, name: str = "1b2c") -> Key:
    body = {"operation": name, "callbackUrl": "https://hook.example/secret-path"}
    key = await operations.watch(json.dumps(body))
    await operations.end(key, FinalStatus.FAILED, ArmError(code="Conflict", json="{}"))
    await operations.attempt(key, HttpResponse(503, {}))
    return key


# --- over HTTP


@pytest.mark.parametrize("command", READING, ids=" ".join)
async def test_app_and_storage_give_the_same(
    run: Run,
    operations: Operations,
    app: App,
    command: list[str],
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = await failed_operation(operations)
    arguments = [part.format(key=key, subscription=key.partition) for part in command]
    over_http = await run(*arguments)
    assert app.paths
    monkeypatch.delenv("OPSWATCH_URL")
    monkeypatch.setenv("AzureWebJobsStorage", settings["AzureWebJobsStorage"])
    over_storage = await run(*arguments)
    assert over_http == over_storage
    assert over_http.code in (0, 1)
    assert over_http.out


async def test_stop_over_http_takes_the_other_key(
    run: Run, operations: Operations, app: App
) -> None:
    key = await operations.watch("1b2c")
    assert (await run("stop", str(key), "--url", app.base)).code == 0
    assert (await run("wait", str(key))).code == 3


async def test_doctor_prints_what_the_app_has_checked(run: Run, app: App) -> None:
    result = await run("doctor")
    assert (result.code, result.err) == (1, "")  # there is no ARM
    assert app.paths == ["/api/health/details"]
    assert "✓ table      watches: " in result.out
    assert "✗ " in result.out


@pytest.mark.parametrize("key", ["", "wrong", f"read={WRITE_KEY}"])
async def test_wrong_key_is_not_allowed(
    run: Run, app: App, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSWATCH_KEY", key)
    result = await run("list")
    assert (result.code, result.out) == (5, "")
    assert result.err.startswith("Not allowed: 401 Unauthorized; the key is missing or wrong: ")
    assert len(result.err.splitlines()) == 1
    assert WRITE_KEY not in result.err
    assert app.paths == ["/api/operations"]


async def test_key_may_be_in_another_variable(
    run: Run, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPSWATCH_KEY")
    monkeypatch.setenv("MINE", READ_KEY)
    assert (await run("kinds", "--key-env", "MINE")).code == 0
    assert app.paths == ["/api/kinds"]


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("url", ["http://app.example.com", "ftp://x", "https://u:p@x", "https://"])
async def test_key_is_sent_over_https_only(run: Run, url: str) -> None:
    result = await run("list", "--url", url)
    assert (result.code, result.out) == (2, "")
    assert "OPSWATCH_URL: an https URL, or http on this machine" in result.err


async def test_page_that_is_no_api_is_reported(run: Run, app: App) -> None:
    app.body = b"<html>hello</html>"
    result = await run("list")
    assert (result.code, result.out) == (2, "")
    assert result.err == "200 OK: this is not the API of opswatch; check the URL\n"


async def test_app_that_is_gone_cannot_be_looked_at(
    run: Run, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSWATCH_URL", "http://127.0.0.1:9")
    result = await run("list")
    assert (result.code, result.out) == (6, "")
    assert len(result.err.splitlines()) == 1
    assert not app.paths


async def test_key_does_not_follow_a_link_to_another_host(
    run: Run, operations: Operations, app: App
) -> None:
    for name in ("one", "two", "three"):
        await operations.watch(name)
    app.link_host = "http://127.0.0.1:9"
    result = await run("list", "--state", "watching", "--top", "1", "-o", "name")
    assert (result.code, len(result.lines)) == (0, 1)
    assert "1 of " in result.err
    assert len(app.paths) > 1


# --- a reader's signature


def signature(*, write: bool = False) -> str:
    return generate_account_sas(
        AzureNamedKeyCredential(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY),
        ResourceTypes(object=True, container=True),  # to Azurite a query is the latter's
        AccountSasPermissions(read=True, list=True, update=write, add=write, delete=write),
        datetime.now(UTC) + timedelta(hours=1),
    )


def endpoint(settings: dict[str, str], service: str) -> str:
    found = settings["AzureWebJobsStorage"].partition(f"{service}Endpoint=")[2].partition(";")[0]
    return f"{service}Endpoint={found};"


@pytest.fixture
def reader(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A connection string that permits to read the tables, and names no queues."""
    text = f"{endpoint(settings, 'Table')}SharedAccessSignature={signature()}"
    monkeypatch.setenv("AzureWebJobsStorage", text)
    return settings


@pytest.mark.parametrize("command", READING, ids=" ".join)
async def test_reader_of_the_tables_may_use_reading_commands(
    run: Run, operations: Operations, reader: dict[str, str], command: list[str]
) -> None:
    key = await failed_operation(operations)
    arguments = [part.format(key=key, subscription=key.partition) for part in command]
    result = await run(*arguments)
    assert (result.code, result.err.count("allowed")) in ((0, 0), (1, 0)), result.err
    assert result.out
    assert reader


async def test_reader_is_told_the_rights_that_stopping_takes(
    run: Run, operations: Operations, reader: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await operations.watch("1b2c")
    result = await run("stop", str(key))
    assert (result.code, result.out) == (2, "")  # no queues in the connection string
    text = f"{endpoint(reader, 'Queue')}{endpoint(reader, 'Table')}"
    monkeypatch.setenv("AzureWebJobsStorage", f"{text}SharedAccessSignature={signature()}")
    result = await run("stop", str(key))
    assert (result.code, result.out) == (5, "")
    assert (
        "the shared access signature in AzureWebJobsStorage has expired or does not" in result.err
    )
    assert "stopping and redelivering take `tq`, `co` and `rlaud`" in result.err
    assert "role" not in result.err
    assert len(result.err.splitlines()) == 1
    assert "sig=" not in result.err


async def test_wrong_key_of_the_account_is_not_allowed(
    run: Run, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = settings["AzureWebJobsStorage"].replace(DEVELOPMENT_KEY, "aGlkZGVu")
    monkeypatch.setenv("AzureWebJobsStorage", wrong)
    result = await run("list")
    assert (result.code, result.out) == (5, "")
    assert "the account key in AzureWebJobsStorage is wrong or was replaced" in result.err
    assert "role" not in result.err
    assert "aGlkZGVu" not in result.err


# --- no answer


@pytest.fixture
async def silent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A server that never answers is the storage account; a command may look for 0.2 s."""

    async def keep_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)

    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    uri = f"{url}/{DEVELOPMENT_ACCOUNT}"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        f"DefaultEndpointsProtocol=http;AccountName={DEVELOPMENT_ACCOUNT};"
        f"AccountKey={DEVELOPMENT_KEY};QueueEndpoint={uri};TableEndpoint={uri};",
    )
    monkeypatch.setattr(source, "LONGEST_LOOK", 0.2)
    yield url
    server.close()
    for writer in accepted:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.usefixtures("settings", "silent")
@pytest.mark.parametrize(
    "command", [["post", "abc"], ["list"], ["show", "abc"], ["wait", "abc"]], ids=" ".join
)
async def test_storage_that_never_answers_is_given_up(run: Run, command: list[str]) -> None:
    result = await asyncio.wait_for(run(*command), 8)
    assert (result.code, result.out) == (6, "")
    assert "from the storage account: no answer within 0.2 s; `opswatch doctor`" in result.err


@pytest.mark.usefixtures("settings", "silent")
async def test_timeout_of_a_wait_is_that_of_its_first_looks_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LONGEST_LOOK", 60)
    result = await asyncio.wait_for(run("wait", "abc", "--timeout", "1s"), 8)
    assert (result.code, result.err.count("no answer within 1 s")) == (6, 1)


async def test_app_that_never_answers_is_named(run: Run, silent: str) -> None:
    for command in (["list"], ["wait", f"{uuid4()}/x~y~z~k", "--timeout", "1s"]):
        result = await run(*command, "--url", silent)
        assert (result.code, result.out) == (6, "")
        assert result.err == (
            f"No answer from the app at {silent}/api: no answer within 0.2 s; "
            "check the URL, and whether the app runs\n"
        )


@pytest.mark.usefixtures("settings")
async def test_doctor_of_an_app_that_is_gone_has_a_line(run: Run) -> None:
    result = await run("doctor", "--url", "http://127.0.0.1:9")
    assert (result.code, result.err) == (6, "")
    (line,) = result.lines
    assert line.startswith("✗ app        the app at http://127.0.0.1:9/api: Cannot connect to host")
    assert line.endswith("; check the URL, and whether the app runs")
    assert "ssl" not in line
    assert "doctor" not in line


@pytest.mark.usefixtures("settings")
async def test_url_without_an_app_is_named_as_the_cause(run: Run) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    result = await run("list", "--url", site.name)
    await runner.cleanup()
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("404 Not Found: there is no opswatch at this URL")
