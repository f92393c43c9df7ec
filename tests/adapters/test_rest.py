"""A storage service over REST: authentication, retries, errors, and requests as the SDK's."""

import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from azure.core import MatchConditions
from azure.core.credentials import AccessTokenInfo, AzureNamedKeyCredential, TokenRequestOptions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.data.tables import TableSasPermissions, UpdateMode, generate_table_sas
from azure.storage.queue import QueueSasPermissions, generate_queue_sas

from opswatch.adapters.account import Account
from opswatch.adapters.rest import Service
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, AzureTable, create_missing
from opswatch.adapters.transactions import Change, check_transaction
from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, Storage
from opswatch.core.keys import Key
from opswatch.core.wakeups import WakeUp
from opswatch.local.azurite import Azurite, running_azurite
from opswatch.ports import Poisoned, Query, Sent
from opswatch.rows.codec import Codec
from opswatch.rows.tables import PENDING, RUNNING, WATCHES
from tests.support.builders import NOW, operation, watch
from tests.support.harness import wake_up_message
from tests.support.receivers import certified
from tests.support.servers import (
    TOKEN,
    Credential,
    Server,
    answer,
    breaks_off_after,
    says,
    serving,
)

WAKE = WakeUp(key=Key("subscription", "row"), seq=1)
FINE = b"HTTP/1.1 204 No Content\r\n\r\n"


@asynccontextmanager
async def opened(storage: Storage, credential: Credential | None = None) -> AsyncIterator[Account]:
    account = Account(storage, credential)
    try:
        yield account
    finally:
        await account.close()


# --- authentication, by a real emulator


OTHER = Key(watch().key.partition, "other")


async def use(account: Account, queue: str, table: str) -> None:
    """Make each kind of call, and check its effect."""
    await AzureQueue(account, queue).send(wake_up_message(WAKE), timedelta(seconds=1))
    rows = AzureTable(account, WATCHES, table)
    written = await rows.insert(watch())
    assert written is not None
    replaced = await rows.replace(watch(seq=2), written.etag)
    assert replaced is not None
    assert await rows.get(watch().key) == replaced
    await rows.put(watch(seq=3))
    assert not await rows.delete(watch().key, replaced.etag)
    assert await rows.delete(watch().key)
    assert await rows.get(watch().key) is None


async def use_transactions(account: Account, table: str) -> None:
    """Change two rows together, and check the effect."""
    rows = AzureTable(account, WATCHES, table)
    await rows.put(watch())
    other = await rows.insert(watch(operation=replace(operation(), key=OTHER)))
    assert other is not None
    columns = WATCHES.encode(watch(seq=4))
    await rows.transact(
        [Change(key=watch().key, etag="*", entity=columns), Change(key=OTHER, etag=other.etag)]
    )
    assert await rows.get(OTHER) is None


@pytest.fixture
async def names(azurite: Azurite) -> tuple[str, str]:
    """A queue and a table."""
    queue, table = f"q{uuid4().hex}", f"t{uuid4().hex}"
    async with opened(Storage(connection_string=azurite.connection_string)) as account:
        await create_missing(account, [queue], [table])
    return queue, table


async def test_account_key_opens_both_services(azurite: Azurite, names: tuple[str, str]) -> None:
    async with opened(Storage(connection_string=azurite.connection_string)) as account:
        await use(account, *names)
        await use_transactions(account, names[1])


async def test_wrong_key_opens_no_service(azurite: Azurite, names: tuple[str, str]) -> None:
    other = base64.b64encode(b"x" * 64).decode()
    text = azurite.connection_string.replace(DEVELOPMENT_KEY, other)
    async with opened(Storage(connection_string=text)) as account:
        with pytest.raises(HttpResponseError) as queue:
            await AzureQueue(account, names[0]).send(wake_up_message(WAKE))
        with pytest.raises(HttpResponseError) as table:
            await AzureTable(account, WATCHES, names[1]).get(watch().key)
    assert (queue.value.status_code, table.value.status_code) == (403, 403)


async def test_malformed_key_is_reported_as_such() -> None:
    async with opened(Storage(connection_string="AccountName=a;AccountKey=abcde")) as account:
        for service in (account.queues, account.tables):
            with pytest.raises(ClientAuthenticationError, match="not base64"):
                await service.call("GET", "x")


def signed_storage(azurite: Azurite, signature: str) -> Storage:
    ends = ";".join(
        f"{service}Endpoint=http://127.0.0.1:{azurite.ports[service.lower()]}/{DEVELOPMENT_ACCOUNT}"
        for service in ("Queue", "Table")
    )
    return Storage(connection_string=f"{ends};SharedAccessSignature={signature}")


async def test_shared_access_signature_opens_its_service(
    azurite: Azurite, names: tuple[str, str]
) -> None:
    queue, table = names
    until = datetime.now(UTC) + timedelta(hours=1)
    for_queue = generate_queue_sas(
        DEVELOPMENT_ACCOUNT,
        queue,
        DEVELOPMENT_KEY,
        permission=QueueSasPermissions(add=True, process=True),
        expiry=until,
    )
    for_table = generate_table_sas(
        AzureNamedKeyCredential(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY),
        table,
        permission=TableSasPermissions(read=True, add=True, update=True, delete=True),
        expiry=until,
    )
    async with (
        opened(signed_storage(azurite, for_queue)) as first,
        opened(signed_storage(azurite, f"?{for_table}")) as second,
    ):
        first._tables = second.tables
        await use(first, queue, table)
        with pytest.raises(HttpResponseError):
            await AzureQueue(second, queue).send(wake_up_message(WAKE))


class Entra(Credential):
    """Issues unsigned tokens of Entra's form, which the emulator accepts."""

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        await super().get_token_info(*scopes, options=options)
        now = int(time.time())
        facts = {
            "aud": scopes[0].removesuffix("/.default"),
            "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
            "iat": now,
            "nbf": now - 60,
            "exp": now + 3600,
        }
        parts = [{"alg": "none", "typ": "JWT"}, facts, "signature"]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
        text = b".".join(part.rstrip(b"=") for part in encoded).decode()
        return AccessTokenInfo(text, now + 3600)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Azurite, ssl.SSLContext]]:
    """An emulator that accepts tokens, and a context that trusts its certificate."""
    trusting = certified(tmp_path).client
    pem = str(tmp_path / "server.pem")
    with running_azurite(more=("--oauth", "basic", "--cert", pem, "--key", pem)) as azurite:
        yield azurite, trusting


async def test_identity_opens_both_services(secure: tuple[Azurite, ssl.SSLContext]) -> None:
    azurite, trusting = secure
    uris = {
        service: f"https://localhost:{azurite.ports[service]}/{DEVELOPMENT_ACCOUNT}"
        for service in ("queue", "table")
    }
    entra = Entra()
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with (
        opened(Storage(queue_uri=uris["queue"], table_uri=uris["table"]), entra) as account,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        account._queues = replace(account.queues, session=session)
        account._tables = replace(account.tables, session=session)
        await create_missing(account, ["letters"], ["books"])
        await use(account, "letters", "books")
        await use_transactions(account, "books")
    assert entra.asked == [(("https://storage.azure.com/.default",), None)]  # for both


# --- retries


@asynccontextmanager
async def service_of(server: Server, reading: float = 5) -> AsyncIterator[Service]:
    storage = Storage(queue_uri=server.endpoint, table_uri=server.endpoint)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=reading)
    async with opened(storage, Credential()) as account:
        yield replace(account.tables, pauses=(0, 0), timeout=timeout)


async def put(*responders: Any, reading: float = 5) -> int:
    """PUT once to a server with these responders; return how many requests it received."""
    async with serving(*responders) as server, service_of(server, reading) as service:
        try:
            await service.call("PUT", "x", body=b"{}")
        finally:
            requests = len(server.heads)
    return requests


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_passing_failure_is_retried(code: int) -> None:
    trouble = says(answer(f"{code} Trouble", b"oops"))
    assert await put(trouble, trouble, says(FINE)) == 3


async def test_passing_failure_within_a_transaction_is_retried() -> None:
    busy, fine = (
        says(answer("202 Accepted", b"HTTP/1.1 " + status))
        for status in (b"503 Busy", b"204 No Content")
    )
    async with serving(busy, fine) as server, service_of(server) as service:
        await service.call("POST", "$batch", check=check_transaction)
    assert server.targets == ["/$batch"] * 2


@pytest.mark.parametrize("code", [301, 400, 403, 404, 409, 412, 413, 501])
async def test_lasting_refusal_is_not_retried(code: int) -> None:
    moved = says(answer(f"{code} No", Location="/y"))
    async with serving(moved) as server, service_of(server) as service:
        with pytest.raises(HttpResponseError) as error:
            await service.call("PUT", "x")
    assert error.value.status_code == code
    assert len(server.heads) == 1


async def test_refused_token_is_replaced() -> None:
    credential = Credential()
    async with serving(says(answer("401 No")), says(FINE)) as server:
        storage = Storage(queue_uri=server.endpoint, table_uri="http://x")
        async with opened(storage, credential) as account:
            for _ in range(2):
                await account.queues.call("GET", "x")
    assert len(credential.asked) == 2
    assert server.header("authorization") == [f"Bearer {TOKEN}", *[f"Bearer {TOKEN}2"] * 2]


async def test_token_that_is_always_refused_is_an_error() -> None:
    credential = Credential()
    async with serving(says(answer("401 No"))) as server:
        storage = Storage(queue_uri=server.endpoint, table_uri="http://x")
        async with opened(storage, credential) as account:
            for _ in range(3):
                with pytest.raises(ClientAuthenticationError):
                    await account.queues.call("GET", "x")
    assert len(credential.asked) == 2  # it is replaced once
    assert len(server.heads) == 4


async def test_lasting_failure_is_an_error() -> None:
    with pytest.raises(HttpResponseError) as error:
        await put(says(answer("503 Busy", x_ms_error_code="ServerBusy")))
    assert error.value.status_code == 503


async def test_truncated_answer_is_retried() -> None:
    half = breaks_off_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    assert await put(half, half, says(FINE)) == 3
    with pytest.raises(ServiceResponseError):
        await put(half)


async def test_missing_answer_is_retried() -> None:
    assert await put(says(b""), says(FINE), reading=0.1) == 2
    with pytest.raises(ServiceResponseTimeoutError):
        await put(says(b""), reading=0.1)


async def test_closed_port_is_an_error() -> None:
    async with serving() as server:
        pass
    async with service_of(server) as service:
        with pytest.raises(ServiceRequestError):
            await service.call("GET", "x")


@pytest.mark.parametrize("status", ["429 Busy", "500 Oops", "503 Busy"])
async def test_retry_after_holds_no_call(status: str) -> None:
    """Neither of the calls that the SDK makes nor of those that go past it."""
    busy = says(answer(status, Retry_After="61", retry_after_ms="61000"))
    async with serving(busy) as server, service_of(server) as service:
        with pytest.raises(HttpResponseError):
            await service.call("GET", "x")
    async with account_of(busy) as (account, server):
        began = time.monotonic()
        for call in (
            AzureTable(account, WATCHES).find_page(Query(), 1),
            AzureQueue(account, "operations").depth(),
        ):
            with pytest.raises(HttpResponseError):
                await call
        assert len(server.heads) >= 4  # each was tried again
    assert time.monotonic() - began < 20


# --- errors


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("401 No", "NoAuthenticationInformation", ClientAuthenticationError),
        ("404 No", "ResourceNotFound", ResourceNotFoundError),
        ("409 No", "EntityAlreadyExists", ResourceExistsError),
        ("412 No", "UpdateConditionNotSatisfied", ResourceModifiedError),
        ("403 No", "AuthorizationPermissionMismatch", HttpResponseError),
    ],
)
async def test_error_is_the_sdks(status: str, code: str, kind: type[HttpResponseError]) -> None:
    with pytest.raises(HttpResponseError) as raised:
        await put(says(answer(status, x_ms_error_code=code, x_ms_request_id="7")))
    error = raised.value
    assert type(error) is kind
    assert (error.status_code, error.reason) == (int(status[:3]), "No")
    assert getattr(error, "error_code", None) == code
    assert str(error) == f"{status[:3]} {code}: (7)"


@pytest.mark.parametrize(
    "body",
    [
        b'{"odata.error": {"code": "X", "message": {"lang": "en-US", "value": "Not so."}}}',
        b"<?xml version='1.0'?><Error><Code>X</Code><Message>Not so.</Message></Error>",
    ],
)
async def test_error_holds_the_code_and_message_of_the_body(body: bytes) -> None:
    with pytest.raises(HttpResponseError, match=r"400 X: Not so\. \(None\)"):
        await put(says(answer("400 No", body)))


async def test_error_holds_no_signature_of_a_url() -> None:
    body = b"<Error><Code>X</Code><Message>See https://a.example/b?sv=1&amp;sig=c2VjcmV0</Message>"
    with pytest.raises(HttpResponseError, match="400 X: See https://a") as raised:
        await put(says(answer("400 No", body)))
    assert "c2VjcmV0" not in str(raised.value)


@pytest.mark.parametrize("is_in_header", [True, False])
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("409 No", "EntityAlreadyExists", ResourceExistsError),
        ("409 No", "TableAlreadyExists", ResourceExistsError),
        ("409 No", "TableBeingDeleted", HttpResponseError),
        ("409 No", "QueueBeingDeleted", HttpResponseError),
        ("409 No", "AccountBeingCreated", HttpResponseError),
        ("404 No", "ResourceNotFound", ResourceNotFoundError),
        ("404 No", "TableNotFound", HttpResponseError),
        ("404 No", "QueueNotFound", ResourceNotFoundError),
    ],
)
async def test_code_is_read_from_header_or_body(
    status: str, code: str, kind: type[HttpResponseError], *, is_in_header: bool
) -> None:
    text = f'{{"odata.error": {{"code": "{code}", "message": {{"value": "No."}}}}}}'
    if code.startswith("Queue"):
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>No.</Message></Error>"
    body, headers = (b"", {"x_ms_error_code": code}) if is_in_header else (text.encode(), {})
    with pytest.raises(HttpResponseError) as raised:
        await put(says(answer(status, body, **headers)))
    assert type(raised.value) is kind
    assert getattr(raised.value, "error_code", None) == code


async def test_missing_table_is_not_a_missing_row(azurite: Azurite) -> None:
    async with opened(Storage(connection_string=azurite.connection_string)) as account:
        rows = AzureTable(account, WATCHES, f"t{uuid4().hex}")
        for call in (
            rows.get(watch().key),
            rows.replace(watch(), "*"),
            rows.delete(watch().key),
        ):
            with pytest.raises(HttpResponseError, match="404 TableNotFound"):
                await call


# --- requests, compared with those of the SDK's clients

SENT = answer(
    "201 Created",
    b"<?xml version='1.0'?><QueueMessagesList><QueueMessage><MessageId>m+/=</MessageId>"
    b"<PopReceipt>p+/=&amp;</PopReceipt></QueueMessage></QueueMessagesList>",
    Content_Type="application/xml",
)
ODD_KEYS = [
    Key("p", "r"),
    Key("it's", '50% + <&> = "x" (y), ;:@!$*[]|^`{}'),
    Key("ünï ~.-_", "\U0001f600\u200d"),
]


@asynccontextmanager
async def account_of(*responders: Any) -> AsyncIterator[tuple[Account, Server]]:
    async with serving(*responders) as server:
        key = base64.b64encode(b"key").decode()
        ends = f"QueueEndpoint={server.endpoint}/a;TableEndpoint={server.endpoint}/a"
        storage = Storage(connection_string=f"AccountName=a;AccountKey={key};{ends}")
        async with opened(storage) as account:
            yield account, server


def requests(server: Server) -> list[tuple[str, str, str | None]]:
    """Return the verb, the target, decoded, and the condition of each request."""
    verbs = [head.split(" ")[0] for head in server.heads]
    targets = [unquote(target) for target in server.targets]
    return list(zip(verbs, targets, server.header("if-match"), strict=True))


IMPLIED_TYPES = {str: "Edm.String", bool: "Edm.Boolean", int: "Edm.Int32"}


def properties(body: bytes) -> dict[str, tuple[str, Any]]:
    """Return each property of an entity with its type, which JSON may imply."""
    entity = json.loads(body)
    found = {}
    for name, value in entity.items():
        if not name.endswith("@odata.type"):
            implied = {str: "Edm.String", bool: "Edm.Boolean", int: "Edm.Int32"}.get(
                type(value), ""
            )
            kind = entity.get(f"{name}@odata.type", implied)
            found[name] = kind, datetime.fromisoformat(value) if "Date" in kind else value
    return found


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_rows_are_written_as_the_sdk_does(key: Key) -> None:
    value = watch(operation=replace(operation(), key=key), percent_complete=1.0, due_at=NOW)
    row = WATCHES.encode(value)
    async with account_of(says(answer("204 No", ETag='W/"1"'))) as (account, server):
        rows, client = AzureTable(account, WATCHES), account.table("watches")
        await rows.insert(value)
        await rows.replace(value, 'W/"1"')
        await rows.put(value)
        await rows.delete(key, 'W/"1"')
        await rows.delete(key)
        ours, bodies = requests(server), server.bodies[:]
        server.heads.clear()
        server.bodies.clear()
        condition: dict[str, Any] = {
            "etag": 'W/"1"',
            "match_condition": MatchConditions.IfNotModified,
        }
        await client.create_entity(row)
        await client.update_entity(row, mode=UpdateMode.REPLACE, **condition)
        await client.upsert_entity(row, mode=UpdateMode.REPLACE)
        await client.delete_entity(key.partition, key.row, **condition)
        await client.delete_entity(key.partition, key.row)
        assert ours == requests(server)
        written = [properties(body) for body in bodies if body]
        assert written == [properties(body) for body in server.bodies if body]
        assert len(written) == 3


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_row_is_read_as_the_sdk_does(key: Key) -> None:
    missing = answer("404 No", b'{"odata.error": {"code": "ResourceNotFound"}}')
    async with account_of(says(missing)) as (account, server):
        assert await AzureTable(account, WATCHES).get(key) is None
        with pytest.raises(ResourceNotFoundError):
            await account.table("watches").get_entity(key.partition, key.row)
    ours, theirs = requests(server)
    assert ours == theirs
    assert ours[1].endswith(")")
    for name in ("accept", "dataserviceversion"):
        assert len({*server.header(name)}) == 1
    assert None not in server.header("x-ms-date")


@pytest.mark.parametrize(
    ("codec", "columns"),
    [
        (RUNNING, "PartitionKey,RowKey,dueAt,kind,slow"),
        (PENDING, "PartitionKey,RowKey,roundAttempts"),
    ],
)
async def test_rows_that_are_counted_are_read_in_part(codec: Codec[Any], columns: str) -> None:
    async with serving(says(answer("200 OK", b'{"value": []}'))) as server:
        storage = Storage(queue_uri=server.endpoint, table_uri=server.endpoint)
        async with opened(storage, Credential()) as account:
            assert [row async for row in AzureTable(account, codec, "t").find(Query())] == []
    (target,) = server.targets
    assert f"$select={columns}" in unquote(target)


async def test_messages_are_sent_as_the_sdk_does() -> None:
    wake = WakeUp(key=Key("p", 'x~<&>"'), seq=1)
    async with account_of(says(SENT), says(SENT), says(FINE), says(FINE)) as (account, server):
        queue = AzureQueue(account, "operations")
        await queue.send(wake_up_message(wake), timedelta(seconds=7))
        client = account.queue("operations")
        message = await client.send_message(
            wake_up_message(wake).decode(), visibility_timeout=7, time_to_live=-1
        )
        sent = Sent(message.id, message.pop_receipt or "")
        await AzurePoisonQueue(account, "operations").remove(Poisoned(b"", sent))
        await client.delete_message(message.id, message.pop_receipt)
    send, their_send, removal, their_removal = [
        (head.split(" ")[0], unquote(urlsplit(target).path), parse_qs(urlsplit(target).query))
        for head, target in zip(server.heads, server.targets, strict=True)
    ]
    assert (send, removal) == (their_send, their_removal)
    ours, theirs = (ET.fromstring(server.bodies[index]) for index in (0, 1))  # noqa: S314
    assert [(e.tag, e.text) for e in ours.iter()] == [(e.tag, e.text) for e in theirs.iter()]


@pytest.mark.parametrize(
    "text", [" {}\t ", "a\r\nb\rc\n", "\ufeff{}", "<a>&amp;]]>\"'</a>", "\xe9"]
)
async def test_message_survives_a_strict_parser(text: str) -> None:
    """XML makes a line feed of a carriage return that is not escaped."""
    async with account_of(says(SENT)) as (account, server):
        await AzureQueue(account, "operations").send(text.encode())
    assert ET.fromstring(server.bodies[0]).findtext("MessageText") == text  # noqa: S314 - ours


# --- proxies


async def test_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(says(FINE)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        far = Storage(queue_uri="http://q.example.com", table_uri="http://t.example.com")
        monkeypatch.setenv("no_proxy", "q.example.com")
        async with opened(far, Credential()) as account:
            await account.tables.call("GET", "x")
            assert proxy.targets == ["http://t.example.com/x"]
        key = "AccountName=a;AccountKey=a2V5;QueueEndpoint=http://q.example.com/a;"
        key += "TableEndpoint=http://t.example.com/a"
        async with opened(Storage(connection_string=key)) as sdk:
            await sdk.table("x").delete_entity("p", "r")
            assert proxy.targets[1].startswith("http://t.example.com/a/x(")
    assert account.queues.proxy is None
