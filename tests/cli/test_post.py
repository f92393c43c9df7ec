"""The command post: what is sent, one or many, to the queue or to an app, and waiting for it."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from azure.storage.queue import QueueSasPermissions, generate_queue_sas
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.adapters.storage import create_missing
from opswatch.cli import waiting
from opswatch.cli.operations import get_operation
from opswatch.cli.source import Source
from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, Storage, connection_parts
from opswatch.core.http import HttpResponse
from opswatch.core.intake import Registration
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.cli.api import serving_api
from tests.cli.conftest import CommandResult, Operations, Run

GUID = "d0c7a9e4-0fe6-4339-9303-772c92f35d02"  # of this file: others look for beginnings
SIGNED = (
    "https://management.azure.com/subscriptions/s/providers/p/locations/l/operationStatuses/1b2c"
    "?api-version=2024-07-01&t=638&c=a%2Bb&s=x%2fy+z&h=q"
)


@pytest.fixture
async def queue(settings: dict[str, str]) -> AsyncIterator[QueueClient]:
    """The queue `operations`, empty."""
    account = Account(Storage.from_env(settings))
    queue = account.queue(OPERATIONS_QUEUE)
    await create_missing(account, [OPERATIONS_QUEUE], [])
    await queue.clear_messages()
    yield queue
    await account.close()


async def bodies(queue: QueueClient) -> list[str]:
    return [message.content async for message in queue.receive_messages()]


@pytest.fixture
def path(settings: dict[str, str]) -> Callable[[str], str]:
    """Return the path that the settings make of a bare ID."""

    def make(operation_id: str) -> str:
        subscription = settings["OPSWATCH_SUBSCRIPTION_ID"]
        return (
            f"/subscriptions/{subscription}/providers/Microsoft.Cache/locations/West%20US"
            f"/operationsStatus/{operation_id}?api-version=2024-10-01"
        )

    return make


@pytest.fixture
def key(settings: dict[str, str]) -> Callable[[str], str]:
    """Return the key that a bare ID has by the settings."""
    subscription = settings["OPSWATCH_SUBSCRIPTION_ID"]
    return lambda name: f"{subscription}/microsoft.cache~westus~operationsstatus~{name}"


Named = Callable[[str], str]


# --- what is sent


async def test_operation_is_posted_as_its_path(
    run: Run, queue: QueueClient, path: Named, key: Named
) -> None:
    result = await run("post", "1b2c")
    assert (result.code, result.lines, result.err) == (0, [key("1b2c")], "")
    assert await bodies(queue) == [path("1b2c")]


async def test_settings_of_the_app_do_not_matter(
    run: Run, queue: QueueClient, operations: Operations
) -> None:
    result = await run("post", GUID)
    (body,) = await bodies(queue)
    intake = operations.services.intake
    of_app = replace(intake, defaults=replace(intake.defaults, subscription_id=None, location=None))
    read = of_app.read(body.encode(), operations.services.clock())
    assert isinstance(read, Registration)
    assert result.lines == [str(read.operation.key)]


async def test_absolute_url_is_posted_byte_for_byte(run: Run, queue: QueueClient) -> None:
    assert (await run("post", SIGNED)).code == 0
    assert await bodies(queue) == [SIGNED]


async def test_base64_is_posted_as_it_is(run: Run, queue: QueueClient, key: Named) -> None:
    packed = "eyJvcGVyYXRpb24iOiAiMWIyYyIsICJraW5kIjogIngifQ=="  # {"operation": "1b2c", …}
    result = await run("post", packed)
    assert (result.code, result.lines) == (0, [key("1b2c")])
    assert await bodies(queue) == [packed]


async def test_options_are_posted_with_operation(
    run: Run, queue: QueueClient, operations: Operations, path: Named
) -> None:
    result = await run(
        *("post", GUID, "--callback", "https://hook.example/a?b=c", "--timeout", "PT6H"),
        *("--callback-on", "failed, Lost", "--resource", "/subscriptions/s/x", "--again"),
        *("--kind", "create", "--client-state", '{"ticket": [42]}'),
    )
    assert result.code == 0, result.err
    (body,) = await bodies(queue)
    assert json.loads(body) == {
        "operation": path(GUID),
        "callbackUrl": "https://hook.example/a?b=c",
        "callbackOn": ["Failed", "Lost"],
        "resourceId": "/subscriptions/s/x",
        "timeout": "PT6H",
        "kind": "create",
        "clientState": {"ticket": [42]},
        "again": True,
    }
    services = operations.services
    assert isinstance(services.intake.read(body.encode(), services.clock()), Registration)


async def test_options_replace_properties_of_json(
    run: Run, queue: QueueClient, path: Named
) -> None:
    posted = {"id": "1b2c", "kind": "create", "apiVersion": "2024-10-01", "own": 1}
    result = await run("post", f" {json.dumps(posted)}", "--kind", "update")
    assert result.code == 0
    (body,) = await bodies(queue)
    assert json.loads(body) == {"operation": path("1b2c"), "kind": "update", "own": 1}


async def test_parts_of_json_become_its_path(run: Run, queue: QueueClient) -> None:
    parts = {"subscriptionId": "S", "location": "East US", "operationId": "1", "kind": "x"}
    assert (await run("post", json.dumps(parts))).lines == [
        "s/microsoft.cache~eastus~operationsstatus~1"
    ]
    (body,) = await bodies(queue)
    assert json.loads(body) == {
        "operation": "/subscriptions/S/providers/Microsoft.Cache/locations/East%20US"
        "/operationsStatus/1?api-version=2024-10-01",
        "kind": "x",
    }


# --- what is refused

REFUSED: list[tuple[list[str], str]] = [
    (["please watch my cache!"], "InvalidOperation: "),
    (["https://attacker.example/subscriptions/s/x/y"], "ForeignHost: "),
    (["1b2c", "--callback", "https://169.254.169.254/"], "InvalidCallback: "),
    (["1b2c", "--timeout", "soon"], "InvalidTimeout: "),
    (["1b2c", "--client-state", '"' + "x" * 5000 + '"'], "TooLarge: "),
    (["1b2c", "--client-state", "{"], "Invalid value for '--client-state': not JSON: "),
    (["1b2c", "--callback-on", "Stopped"], "Invalid value for '--callback-on': 'Stopped' is none"),
    (["{", "--kind", "create"], "NotJson: "),
    (['{"kind": "create"}'], "UnknownShape: "),
    (["s/a~b~c~d"], "s/a~b~c~d is unknown"),
    (["1b2c", "--wait-timeout", "1h"], "--wait-timeout needs --wait"),
    (["1b2c", "--callbacks"], "--callbacks needs --wait"),
    (["caf\udce9"], "NotUtf8: "),
    (["caf\udce9", "--kind", "x"], "NotUtf8: "),
]


@pytest.mark.parametrize(("arguments", "error"), REFUSED)
@pytest.mark.usefixtures("operations")  # creates the tables
async def test_rejected_operation_is_not_posted(
    run: Run, queue: QueueClient, arguments: list[str], error: str
) -> None:
    result = await run("post", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(error)
    assert len(result.err.splitlines()) == 1
    assert await bodies(queue) == []


async def test_force_posts_rejected_operation(run: Run, queue: QueueClient) -> None:
    result = await run("post", "please watch my cache!", "--force")
    assert (result.code, result.lines) == (0, ["sent"])
    assert result.err.startswith("it will be rejected: InvalidOperation: ")
    assert await bodies(queue) == ["please watch my cache!"]


# --- several at once


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Let a command read bytes from its standard input."""

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


async def test_good_ones_are_sent_and_bad_ones_are_named(
    run: Run, queue: QueueClient, key: Named
) -> None:
    result = await run("post", "one", "not two", "three")
    assert (result.code, result.lines) == (2, [key("one"), key("three")])
    assert result.err.startswith("'not two': InvalidOperation: ")
    assert len(await bodies(queue)) == 2


async def test_lines_of_input_are_posted(
    run: Run,
    queue: QueueClient,
    key: Named,
    path: Named,
    typed: Callable[[bytes], None],
) -> None:
    typed(b'\xef\xbb\xbfone\r\n\r\n{"id": "two", "again": true}\r\nnot three\ncaf\xe9\n' + b"four")
    result = await run("post", "zero", "-", "--kind", "create")
    assert (result.code, result.lines) == (2, [key(n) for n in ("zero", "one", "two", "four")])
    refused = result.err.splitlines()
    assert [line.split(": ")[:2] for line in refused] == [
        ["line 4", "InvalidOperation"],
        ["line 5", "NotUtf8"],
    ]
    sent = [json.loads(body) for body in await bodies(queue)]
    by_path = {message["operation"]: message for message in sent}
    assert by_path[path("two")] == {"operation": path("two"), "kind": "create", "again": True}
    assert len(sent) == 4


async def test_hundreds_of_lines_keep_their_order(
    run: Run, queue: QueueClient, key: Named, typed: Callable[[bytes], None]
) -> None:
    names = [f"n{number}" for number in range(40)]
    typed("\n".join(names).encode())
    result = await run("post", "-")
    assert (result.code, result.lines) == (0, [key(name) for name in names])
    assert len(await bodies(queue)) == 40


async def test_outage_says_from_where_to_post_again(
    run: Run, queue: QueueClient, typed: Callable[[bytes], None]
) -> None:
    await queue.delete_queue()
    typed(b"one\ntwo\n")
    try:
        result = await run("post", "-")
        assert (result.code, result.out) == (6, "")
        assert "has never run on this account" in result.err
        assert "0 of 2 were sent. Post all of them again from line 1 on" in result.err
    finally:
        for _ in range(100):  # Azurite may take a while to forget the deleted queue
            try:
                await queue.create_queue()
                break
            except HttpResponseError:
                await asyncio.sleep(0.1)


# --- an operation that is known


async def test_known_operation_is_posted_by_its_key(
    run: Run, queue: QueueClient, operations: Operations
) -> None:
    known = await operations.watch(SIGNED)
    result = await run("post", str(known))
    assert (result.code, result.lines) == (0, [str(known)])
    assert await bodies(queue) == [SIGNED]


async def test_beginning_names_what_is_watched_again(
    run: Run, queue: QueueClient, operations: Operations, path: Named
) -> None:
    known = await operations.watch(GUID)
    await operations.end(known, FinalStatus.LOST)
    result = await run("post", GUID[:9], "--again")
    assert (result.code, result.lines) == (0, [str(known)])
    (body,) = await bodies(queue)
    posted = json.loads(body)
    assert posted["again"] is True
    assert posted["operation"].partition("?")[0].endswith(path(GUID).partition("?")[0])
    result = await run("post", "no-such", "--again")
    assert (result.code, result.out) == (2, "")
    assert "'no-such' is unknown" in result.err


# --- no right but to post


@pytest.fixture
def poster(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection string whose signature permits to add messages to the queue, and no more."""
    signature = generate_queue_sas(
        DEVELOPMENT_ACCOUNT,
        OPERATIONS_QUEUE,
        DEVELOPMENT_KEY,
        QueueSasPermissions(add=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    queues = connection_parts(settings["AzureWebJobsStorage"])["queueendpoint"]
    text = f"QueueEndpoint={queues};SharedAccessSignature={signature}"
    monkeypatch.setenv("AzureWebJobsStorage", text)
    return text


@pytest.mark.usefixtures("poster")
@pytest.mark.parametrize("options", [(), ("--again",), ("--callback", "https://hook.example/a")])
async def test_poster_needs_the_queue_alone(
    run: Run, queue: QueueClient, key: Named, path: Named, options: tuple[str, ...]
) -> None:
    result = await run("post", GUID, *options)
    assert (result.code, result.lines, result.err) == (0, [key(GUID)], "")
    (body,) = await bodies(queue)
    assert path(GUID) in body


async def test_refused_tables_do_not_stop_a_post(
    run: Run,
    queue: QueueClient,
    poster: str,
    key: Named,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = connection_parts(settings["AzureWebJobsStorage"])["tableendpoint"]
    monkeypatch.setenv("AzureWebJobsStorage", f"TableEndpoint={tables};{poster}")
    result = await run("post", GUID, "--again")
    assert (result.code, result.lines, result.err) == (0, [key(GUID)], "")
    assert len(await bodies(queue)) == 1


@pytest.mark.usefixtures("poster")
@pytest.mark.parametrize(
    "arguments",
    [
        ["post", GUID, "--wait"],
        ["post", "s/a~b~c~d"],
        ["post", "1b2c", "--again"],
        ["list"],
        ["show", GUID],
        ["wait", GUID],
        ["stop", GUID],
        ["redeliver", GUID],
        ["summary"],
    ],
    ids=" ".join,
)
async def test_command_that_needs_tables_says_so(
    run: Run, queue: QueueClient, arguments: list[str]
) -> None:
    result = await run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "AzureWebJobsStorage: it names no tables, which everything but posting" in result.err
    assert await bodies(queue) == []


# --- over HTTP


async def test_app_registers_a_post(run: Run, operations: Operations, key: Named) -> None:
    async with serving_api(operations.services) as url:
        result = await run("post", "1b2c", "--url", url, "--kind", "create", "--client-state", "7")
        assert (result.code, result.lines) == (0, [key("1b2c")])
        subscription, name = key("1b2c").split("/")
        assert result.err == f"{url}/api/dashboard#/operations/{subscription}/{name}\n"
        result = await run("post", "not good", "1b2d", "--url", url)
        assert (result.code, result.lines) == (2, [key("1b2d")])
        assert result.err.startswith("'not good': InvalidOperation: ")
    row = await operations.services.store.watches.get(await operations.watch("1b2c"))
    assert row is not None
    assert (row.value.facts.kind, row.value.facts.client_state) == ("create", "7")


async def test_app_decides_what_the_terminal_cannot(
    run: Run, operations: Operations, key: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AzureWebJobsStorage", "OPSWATCH_SUBSCRIPTION_ID", "OPSWATCH_LOCATION"):
        monkeypatch.delenv(name)
    monkeypatch.delenv("OPSWATCH_CALLBACK_NETWORKS")
    async with serving_api(operations.services) as url:
        result = await run("post", "1b2c", "--url", url, "--callback", "http://127.0.0.1:8080/x")
        assert (result.code, result.lines) == (0, [key("1b2c")])


async def test_missing_key_is_named(
    run: Run, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"read": "r", "write": "w"}
    async with serving_api(operations.services, keys) as url:
        result = await run("post", "1b2c", "--url", url)
        assert (result.code, result.out) == (5, "")
        assert "Not allowed: 401" in result.err
        monkeypatch.setenv("OPSWATCH_KEY", "w")
        assert (await run("post", "1b2c", "--url", url)).code == 0


async def test_operation_is_watched_again_over_http(run: Run, operations: Operations) -> None:
    known = await operations.watch(SIGNED)
    await operations.end(known, FinalStatus.LOST)
    async with serving_api(operations.services) as url:
        result = await run("post", str(known), "--again", "--url", url)
    assert (result.code, result.lines) == (0, [str(known)])
    row = await operations.services.store.watches.get(known)
    assert row is not None
    assert row.value.facts.round == 2
    assert row.value.facts.operation.url.endswith("/1b2c?api-version=2024-07-01")


# --- waiting

WAITED = {
    FinalStatus.SUCCEEDED: 0,
    FinalStatus.FAILED: 1,
    FinalStatus.CANCELED: 3,
    FinalStatus.TIMED_OUT: 4,
    FinalStatus.LOST: 4,
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again sooner than after a second."""
    monkeypatch.setattr(waiting, "_SHORTEST", 0.05)


waits = pytest.mark.usefixtures("impatient")


async def posting(
    run: Run, queue: QueueClient, *arguments: str
) -> tuple[asyncio.Future[CommandResult], str]:
    """Begin a post; return its task and the message that it sends."""
    task = asyncio.ensure_future(run("post", *arguments))
    while not (sent := await bodies(queue)):
        assert not task.done(), task.result()
        await asyncio.sleep(0.02)
    return task, sent[0]


@waits
@pytest.mark.parametrize("status", WAITED)
async def test_wait_ends_with_the_code_of_the_end(
    run: Run, queue: QueueClient, operations: Operations, status: FinalStatus
) -> None:
    task, body = await posting(run, queue, f"w-{status.value.lower()}", "--wait")
    known = await operations.watch(body)
    await operations.end(known, status)
    result = await task
    assert (result.code, result.lines) == (WAITED[status], [str(known)])
    assert status.value in result.err


@waits
async def test_wait_has_a_timeout_of_its_own(
    run: Run, queue: QueueClient, operations: Operations
) -> None:
    task, body = await posting(
        run, queue, "w-long", "--timeout", "PT6H", "--wait", "--wait-timeout", "1s"
    )
    await operations.watch(body)
    assert json.loads(body)["timeout"] == "PT6H"
    assert (await task).code == 8


@waits
async def test_wait_for_another_round_passes_over_the_old_end(
    run: Run, queue: QueueClient, operations: Operations
) -> None:
    known = await operations.watch("w-again")
    await operations.end(known, FinalStatus.LOST)
    task, body = await posting(run, queue, str(known), "--again", "--wait")
    ended, _ = await asyncio.wait({task}, timeout=0.5)  # it looks, and sees the old end
    assert not ended
    assert await operations.watch(body) == known
    await operations.end(known)
    assert (await task).code == 0


@waits
async def test_callback_of_a_known_operation_is_waited_for(
    run: Run, queue: QueueClient, operations: Operations
) -> None:
    known = await operations.watch("w-hook")
    await operations.end(known)
    hook = ("--callback", "http://127.0.0.1:9000/hook")
    task, body = await posting(run, queue, "w-hook", *hook, "--wait", "--callbacks")
    ended, _ = await asyncio.wait({task}, timeout=0.5)  # it looks, and sees the end
    assert not ended
    await operations.watch(body)
    assert len(await operations.attempt(known, HttpResponse(204, {}))) == 1
    assert (await task).code == 0


@waits
async def test_outage_after_the_post_is_ridden_out(
    run: Run, queue: QueueClient, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Key] = []

    async def fail_at_first(source: Source, key: Key) -> dict[str, Any] | None:
        looks.append(key)
        if len(looks) <= 2:
            raise ServiceRequestError("Cannot connect to host 127.0.0.1:10002")
        return await get_operation(source, key)

    monkeypatch.setattr(waiting, "get_operation", fail_at_first)
    task, body = await posting(run, queue, "w-hiccup", "--wait")
    await operations.end(await operations.watch(body))
    result = await task
    assert (result.code, result.err.count("trying again")) == (0, 1)


@waits
async def test_refused_post_decides_the_code_of_a_wait(
    run: Run, queue: QueueClient, operations: Operations
) -> None:
    task, body = await posting(run, queue, "w-good", "not good", "--wait")
    await operations.end(await operations.watch(body))
    assert (await task).code == 2
