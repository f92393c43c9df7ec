"""The client over a storage account: real clients of the SDK on Azurite, both faces."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import (
    AccountSasPermissions,
    EdmType,
    EntityProperty,
    ResourceTypes,
    TableClient,
    generate_account_sas,
)
from azure.data.tables.aio import TableClient as AsyncTableClient
from azure.storage.queue import (
    QueueClient,
    QueueSasPermissions,
    TextBase64EncodePolicy,
    generate_queue_sas,
)
from azure.storage.queue.aio import QueueClient as AsyncQueueClient

from opswatch.client import (
    NotAllowedError,
    OperationFailedError,
    OperationNotFoundError,
    RejectedError,
    Watcher,
)
from opswatch.client.environment import open_env
from opswatch.client.source import Posted
from opswatch.client.storage import StorageSource
from opswatch.client.sync import Watcher as SyncWatcher
from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, Settings, connection_parts
from opswatch.core.arm_errors import read_error
from opswatch.core.errors import ConfigError, OpswatchError, Reason
from opswatch.core.intake import Defaults, Intake, rejection
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.texts import to_json
from opswatch.core.watches import End, FinalStatus, OperationFacts, Result, Watch, begin
from opswatch.local.azurite import Azurite, free_ports, running_azurite
from opswatch.rows import tables
from tests.client.support import ID, KEY, SIGNED, STATUS_PATH, SUBSCRIPTION, Response
from tests.support.servers import answer, says, serving

NOW = datetime(2026, 11, 23, 3, 0, 0, 123456, tzinfo=UTC)
ENV = {"OPSWATCH_SUBSCRIPTION_ID": SUBSCRIPTION, "OPSWATCH_LOCATION": "westus"}
NAMES = ("results", "watches", "rejections")
ERROR = {"code": "Outer", "message": "no", "details": [{"code": "Quota", "message": "full"}]}


@pytest.fixture(scope="module")
def storage() -> Iterator[Azurite]:
    """A storage account of this module alone, with the app's tables and its queue."""
    with running_azurite() as azurite:
        text = azurite.connection_string
        for name in NAMES:
            TableClient.from_connection_string(text, name).create_table()
        QueueClient.from_connection_string(text, "operations").create_queue()
        yield azurite


@pytest.fixture
def account(storage: Azurite) -> Iterator[dict[str, Any]]:
    """The sync clients, by name; what a test writes is removed."""
    text = storage.connection_string
    clients: dict[str, Any] = {n: TableClient.from_connection_string(text, n) for n in NAMES}
    clients["operations"] = QueueClient.from_connection_string(text, "operations")
    yield clients
    for name in NAMES:
        for entity in clients[name].list_entities(select=["PartitionKey", "RowKey"]):
            clients[name].delete_entity(entity)
    clients["operations"].clear_messages()


@pytest.fixture
async def watcher(storage: Azurite) -> AsyncIterator[Watcher]:
    """The async client, over clients of a user's own."""
    text = storage.connection_string
    async with AsyncExitStack() as stack:
        queue: Any = AsyncQueueClient.from_connection_string(text, "operations")
        opened: list[Any] = [AsyncTableClient.from_connection_string(text, n) for n in NAMES]
        for client in (queue, *opened):
            await stack.enter_async_context(client)
        results, watches, rejections = opened
        yield Watcher(queue, results, watches, rejections=rejections, settings=ENV)


def facts(**more: Any) -> OperationFacts:
    return OperationFacts(
        operation=operation_from_url(SIGNED),
        registered_at=NOW,
        deadline_at=NOW + timedelta(hours=1),
        client_state=to_json({"ticket": 42}),
        **more,
    )


def write_watch(account: dict[str, Any], **more: Any) -> None:
    watch = Watch(facts=facts(status="InProgress", **more), due_at=NOW)
    large = {"polls": EntityProperty(2**40, EdmType.INT64)}  # as a pair with its type
    account["watches"].upsert_entity({**tables.WATCHES.encode(watch), **large})


def write_result(account: dict[str, Any], status: FinalStatus, **more: Any) -> None:
    error = read_error({"error": ERROR}) if status is FinalStatus.FAILED else None
    end = End(status=status, finished_at=NOW, error=error, result='{"provisioned":true}')
    result = Result(facts=facts(**more), end=end)
    account["results"].upsert_entity(tables.RESULTS.encode(result))


# --- posting


async def test_post_is_a_message_that_the_app_accepts(
    account: dict[str, Any], watcher: Watcher
) -> None:
    handle = await watcher.submit(
        SIGNED,
        callback_url="https://hooks.example.com/1",
        callback_on=["Failed"],
        timeout=timedelta(hours=6),
        client_state={"ticket": 42},
        again=True,
    )
    (message,) = account["operations"].receive_messages()
    assert (handle.id, message.expires_on.year) == (str(KEY), 9999)
    assert json.loads(message.content) == {
        "operation": SIGNED,
        "callbackUrl": "https://hooks.example.com/1",
        "callbackOn": ["Failed"],
        "timeout": "PT21600S",
        "clientState": {"ticket": 42},
        "again": True,
    }


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("form", [ID, STATUS_PATH, SIGNED, f" {SIGNED}\n"])
def test_every_form_has_the_same_key(storage: Azurite, form: str) -> None:
    env = {**ENV, "AzureWebJobsStorage": storage.connection_string}
    with SyncWatcher.from_env(env) as sync:
        assert sync.submit(form).id == sync.get(form).id == sync.get(str(KEY)).id == str(KEY)


@pytest.mark.parametrize(
    ("operation", "options", "reason"),
    [
        ("https://attacker.example/a/b/c", {}, "ForeignHost"),
        ("not an operation!", {}, "InvalidOperation"),
        (SIGNED, {"callback_url": "http://10.0.0.1/"}, "InvalidCallback"),
        (SIGNED, {"timeout": timedelta(seconds=1)}, "InvalidTimeout"),
    ],
)
async def test_rejection_is_heard_at_once(
    account: dict[str, Any], watcher: Watcher, operation: str, options: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        await watcher.submit(operation, **options)
    assert [*account["operations"].receive_messages()] == []


async def test_emulator_is_reached_past_a_proxy(
    account: dict[str, Any], storage: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_watch(account)
    for name in ("http_proxy", "https_proxy", "all_proxy"):  # one that answers nothing
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports(1)[0]}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    env = {"AzureWebJobsStorage": storage.connection_string}
    async with Watcher.from_env(env) as watcher:
        assert (await watcher.submit(SIGNED)).id == str(KEY)
        assert (await watcher.get(SIGNED).row()).status == "InProgress"
    with SyncWatcher.from_env(env) as sync:
        assert sync.submit(SIGNED).id == str(KEY)
        assert sync.get(SIGNED).row().status == "InProgress"


# --- rights to one service alone


def signed(storage: Azurite, service: str) -> dict[str, str]:
    """Return settings with the least signature to post, or to read."""
    end = connection_parts(storage.connection_string)[f"{service}endpoint"]
    expiry = datetime.now(UTC) + timedelta(hours=1)
    if service == "queue":
        signature = generate_queue_sas(
            *(DEVELOPMENT_ACCOUNT, "operations", DEVELOPMENT_KEY),
            *(QueueSasPermissions(add=True), expiry),
        )
    else:
        signature = generate_account_sas(
            AzureNamedKeyCredential(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY),
            *(ResourceTypes(object=True), AccountSasPermissions(read=True), expiry),
        )
    text = f"{service.capitalize()}Endpoint={end};SharedAccessSignature={signature}"
    return {**ENV, "AzureWebJobsStorage": text}


async def test_poster_needs_the_queue_alone(account: dict[str, Any], storage: Azurite) -> None:
    env = signed(storage, "queue")
    async with Watcher.from_env(env) as watcher:
        handle = await watcher.submit(ID, again=True)
        with pytest.raises(OpswatchError, match="only posts: it has no tables"):
            await handle.result(timeout=5)
    with SyncWatcher.from_env(env) as sync:
        assert sync.submit(ID, again=True).id == handle.id == str(KEY)
    queue = AsyncQueueClient.from_connection_string(env["AzureWebJobsStorage"], "operations")
    async with queue:
        await Watcher(queue, settings=ENV).submit(ID)
    assert len([*account["operations"].receive_messages()]) == 3


# azure-data-tables tests the XML of a refusal for truth, of which Python 3.12 and later warn.
@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")
async def test_refused_tables_do_not_stop_a_post(account: dict[str, Any], storage: Azurite) -> None:
    text = signed(storage, "queue")["AzureWebJobsStorage"]
    tables = connection_parts(storage.connection_string)["tableendpoint"]
    env = {**ENV, "AzureWebJobsStorage": f"TableEndpoint={tables};{text}"}
    async with Watcher.from_env(env) as watcher:
        handle = await watcher.submit(ID, again=True)
        with pytest.raises(NotAllowedError, match="Storage Table Data Reader"):
            await handle.result(timeout=5)
    assert len([*account["operations"].receive_messages()]) == 1


async def test_reader_needs_the_tables_alone(account: dict[str, Any], storage: Azurite) -> None:
    write_watch(account)
    async with Watcher.from_env(signed(storage, "table")) as watcher:
        assert (await watcher.get(SIGNED).row()).status == "InProgress"
        with pytest.raises(OpswatchError, match="only reads: it has no queue 'operations'"):
            await watcher.submit(SIGNED)


def test_one_table_of_operations_is_not_enough(account: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="`results` and `watches` go together"):
        SyncWatcher(account["operations"], account["results"])


async def test_id_alone_needs_settings(storage: Azurite) -> None:
    env = {"AzureWebJobsStorage": storage.connection_string}
    async with Watcher.from_env(env) as watcher:
        with pytest.raises(RejectedError, match="OPSWATCH_SUBSCRIPTION_ID"):
            await watcher.submit(ID)


# --- reading


async def test_watch_is_read_with_its_columns(account: dict[str, Any], watcher: Watcher) -> None:
    write_watch(account, kind="redisEnterprise/create", percent_complete=50.0, misses=1)
    row = await watcher.get(SIGNED).row()
    assert (row.id, row.state, row.status, row.is_finished) == (
        str(KEY),
        "watching",
        "InProgress",
        False,
    )
    assert (row.kind, row.percent_complete, row.misses, row.polls) == (
        "redisEnterprise/create",
        50.0,
        1,
        2**40,
    )
    assert (row.client_state, row.url) == ({"ticket": 42}, SIGNED)
    assert (row.registered_at, row.due_at) == (NOW, NOW)


async def test_result_wins_over_its_watch(account: dict[str, Any], watcher: Watcher) -> None:
    write_watch(account)
    write_result(account, FinalStatus.SUCCEEDED)
    row = await watcher.get(SIGNED).result()
    assert (row.status, row.result_json, row.is_succeeded) == (
        "Succeeded",
        {"provisioned": True},
        True,
    )


async def test_later_round_wins_over_the_result(account: dict[str, Any], watcher: Watcher) -> None:
    write_result(account, FinalStatus.LOST)
    write_watch(account, round=2)
    row = await watcher.get(SIGNED).row()
    assert (row.state, row.round) == ("watching", 2)


def test_failure_brings_the_whole_error(storage: Azurite, account: dict[str, Any]) -> None:
    write_result(account, FinalStatus.FAILED)
    env = {"AzureWebJobsStorage": storage.connection_string}
    with SyncWatcher.from_env(env) as watcher:
        handle = watcher.get(SIGNED)
        with pytest.raises(OperationFailedError, match=r"\(Outer\) no .*Quota: full") as caught:
            handle.result(timeout=5)
    error = caught.value
    assert (error.code, error.message, error.details) == ("Outer", "no", tuple(ERROR["details"]))


async def test_unknown_operation_is_an_error(watcher: Watcher) -> None:
    with pytest.raises(OperationNotFoundError, match="never posted"):
        await watcher.get(SIGNED).row()


@pytest.mark.parametrize("encoding", [None, TextBase64EncodePolicy()], ids=["text", "base64"])
async def test_post_that_the_app_rejects_ends_the_wait(
    account: dict[str, Any], storage: Azurite, encoding: Any
) -> None:
    """The app's settings are stricter than those that the client knows."""
    text = storage.connection_string
    async with AsyncExitStack() as clients:
        queue: Any = AsyncQueueClient.from_connection_string(
            text, "operations", message_encode_policy=encoding
        )
        opened: list[Any] = [AsyncTableClient.from_connection_string(text, n) for n in NAMES]
        for client in (queue, *opened):
            await clients.enter_async_context(client)
        watcher = Watcher(queue, *opened[:2], rejections=opened[2])
        handle = await watcher.submit(SIGNED)
        (message,) = account["operations"].receive_messages()
        body, now = message.content.encode(), datetime.now(UTC)
        rejected = rejection(body, Reason.FOREIGN_HOST, "not ARM", now)
        account["rejections"].upsert_entity(tables.REJECTIONS.encode(rejected))
        with pytest.raises(RejectedError, match="ForeignHost: not ARM"):
            await handle.result(timeout=5)


async def test_stop_and_redeliver_need_the_api(watcher: Watcher) -> None:
    handle = watcher.get(SIGNED)
    with pytest.raises(OpswatchError, match="over_http"):
        await handle.stop()
    with pytest.raises(OpswatchError, match="over_http"):
        await handle.redeliver()


@pytest.mark.parametrize(
    ("status", "statuses"),
    [
        (FinalStatus.LOST, ["InProgress", "Succeeded"]),
        (FinalStatus.CANCELED, ["Canceled"]),  # an end of ARM's own stays
    ],
)
async def test_watching_again_waits_for_the_new_end(
    account: dict[str, Any], watcher: Watcher, status: FinalStatus, statuses: list[str]
) -> None:
    write_result(account, status)
    handle = await watcher.submit(SIGNED, again=True)
    if status is FinalStatus.LOST:
        write_watch(account, round=2)
    seen = []
    async for row in handle.changes(timeout=10):
        seen.append(row.status)
        if not row.is_finished:
            write_result(account, FinalStatus.SUCCEEDED, round=2)
    assert seen == statuses


async def test_wait_rides_out_a_storage_that_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(facts=facts(status="InProgress"), due_at=NOW)
    ended = Result(facts=facts(), end=End(status=FinalStatus.SUCCEEDED, finished_at=NOW))
    is_noticed = asyncio.Event()

    class Noticing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "does not answer" in record.getMessage():
                is_noticed.set()

    logger = logging.getLogger("opswatch.client")
    handler = Noticing()
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, "opswatch.client"):
        async with AsyncExitStack() as clients:
            with running_azurite(tmp_path) as azurite:
                text = azurite.connection_string
                opened: dict[str, Any] = {}
                for name in NAMES[:2]:
                    table = AsyncTableClient.from_connection_string(text, name, retry_total=0)
                    opened[name] = await clients.enter_async_context(table)
                    await opened[name].create_table()
                await opened["watches"].create_entity(tables.WATCHES.encode(watch))
                queue: Any = AsyncQueueClient.from_connection_string(text, "operations")
                await clients.enter_async_context(queue)
                handle = Watcher(queue, opened["results"], opened["watches"]).get(SIGNED)
                changes = handle.changes(timeout=60)
                assert (await anext(changes)).status == "InProgress"
                following = asyncio.ensure_future(anext(changes))
            await is_noticed.wait()
            with running_azurite(tmp_path, azurite.ports):
                await opened["results"].create_entity(tables.RESULTS.encode(ended))
                assert (await following).status == "Succeeded"
    logger.removeHandler(handler)
    assert "opswatch answers again" in caplog.text


# --- what the account refuses


@pytest.mark.parametrize("code", [401, 403])
async def test_refusal_names_the_role(code: int) -> None:
    class Refusing:
        async def get_entity(self, *_: object) -> Any:
            raise HttpResponseError(response=Response(status_code=code))

        async def send_message(self, *_: object, **__: object) -> Any:
            raise HttpResponseError(response=Response(status_code=code))

    intake: Any = Intake(
        endpoint="https://management.azure.com",
        defaults=Defaults(),
        rules=Settings.read({}).rules,
    )
    client = Refusing()
    source = StorageSource(client, client, client, None, intake)
    with pytest.raises(NotAllowedError, match="Storage Table Data Reader"):
        await source.read(KEY)
    with pytest.raises(NotAllowedError, match="Storage Queue Data Message Sender"):
        await source.post(SIGNED.encode(), NOW)


@pytest.mark.parametrize("day", ["2026-11-23", "2026-11-24"])
async def test_rejection_is_found_on_the_day_of_the_post_and_the_next(day: str) -> None:
    """A message that is posted before midnight may be read after it."""

    class Rejections:
        async def get_entity(self, partition: str, digest: str) -> dict[str, str]:
            if (partition, digest) != (day, "second"):
                raise ResourceNotFoundError
            return {"reason": "ForeignHost", "detail": "not ARM"}

    intake: Any = None
    source = StorageSource(None, None, None, Rejections(), intake)
    at = datetime(2026, 11, 24, 1, 59, tzinfo=timezone(timedelta(hours=2)))
    rejected = await source.rejection(Posted(key=KEY, at=at, digests=("first", "second")))
    assert "ForeignHost: not ARM" in str(rejected)


async def test_account_without_the_app_is_named() -> None:
    with running_azurite() as empty:
        env = {"AzureWebJobsStorage": empty.connection_string}
        async with Watcher.from_env(env) as watcher:
            with pytest.raises(OpswatchError, match="has never run there"):
                await watcher.submit(SIGNED)
            with pytest.raises(OperationNotFoundError):
                await watcher.get(SIGNED).row()


async def test_call_is_repeated_by_the_client_alone() -> None:
    """The SDK's own repetitions of a post take minutes."""
    async with serving(says(answer("503 Busy"))) as server:
        uris = "".join(f"{kind}Endpoint={server.endpoint}/a;" for kind in ("Queue", "Table"))
        env = {"AzureWebJobsStorage": f"AccountName=a;AccountKey=YQ==;{uris}"}
        source = open_env(env, is_async=True)
        with pytest.raises(HttpResponseError):
            await source.post(SIGNED.encode(), NOW)
        with pytest.raises(HttpResponseError):
            await source.read(KEY)
        await source.close()
        assert len(server.heads) == 2


# --- clients and settings


def test_mixed_up_clients_are_refused(account: dict[str, Any], storage: Azurite) -> None:
    queue, results, watches = (account[name] for name in ("operations", "results", "watches"))
    with pytest.raises(TypeError, match=r"async clients \(azure\.….aio\)"):
        Watcher(queue, results, watches)
    with pytest.raises(ValueError, match="expected the client of 'results', got that of 'watches'"):
        SyncWatcher(queue, watches, results)
    with pytest.raises(TypeError, match="no send_message"):
        SyncWatcher(results, queue, watches)
    text = storage.connection_string
    async_queue: Any = AsyncQueueClient.from_connection_string(text, "operations")
    with pytest.raises(TypeError, match=r"opswatch\.client\.sync\.Watcher takes"):
        SyncWatcher(async_queue, results, watches)


def test_wrong_settings_are_reported() -> None:
    with pytest.raises(ConfigError, match="AzureWebJobsStorage: missing"):
        SyncWatcher.from_env({})
    with pytest.raises(ConfigError, match="OPSWATCH_CLOUD"):
        SyncWatcher.from_env({"AzureWebJobsStorage__accountName": "a", "OPSWATCH_CLOUD": "moon"})


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, "DefaultAzureCredential"),
        ({"__credential": "managedidentity"}, "ManagedIdentityCredential"),
    ],
)
async def test_account_name_brings_an_identity(more: dict[str, str], kind: str) -> None:
    settings = {"__accountName": "ops", **more}
    env = {f"AzureWebJobsStorage{name}": value for name, value in settings.items()}
    source = open_env(env, is_async=True)
    assert isinstance(source, StorageSource)
    assert type(source.owned[-1]).__name__ == kind
    assert source.owned[0].url == "https://ops.queue.core.windows.net/operations"
    await source.close()


def test_account_name_without_azure_identity_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ConfigError, match="needs azure-identity: install it"):
        SyncWatcher.from_env({"AzureWebJobsStorage__accountName": "ops"})


def test_begun_watch_is_what_a_reader_expects(account: dict[str, Any], storage: Azurite) -> None:
    """A watch of the app's own making, before its first poll."""
    registration: Any = Intake(
        endpoint="https://management.azure.com", defaults=Defaults(), rules=Settings.read({}).rules
    ).read(SIGNED.encode(), NOW)
    watch = begin(registration, NOW, Policy())
    account["watches"].upsert_entity(tables.WATCHES.encode(watch))
    env = {"AzureWebJobsStorage": storage.connection_string}
    with SyncWatcher.from_env(env) as watcher:
        row = watcher.get(SIGNED).row()
        assert (row.status, row.polls, row.round) == (None, 0, 1)
        with pytest.raises(TimeoutError):
            watcher.get(SIGNED).result(timeout=0)
    assert Key(row.subscription_id, row.key) == KEY
