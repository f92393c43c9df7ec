"""The stand-in for storage: its protocol and its clock, which no contract test covers."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from opswatch.adapters.account import Account
from opswatch.config import DEVELOPMENT_ACCOUNT, Storage
from tests.support.clock import SimulatedClock
from tests.support.harness import START as NOW
from tests.support.storage import StandIn, running_stand_in
from tests.support.storage.errors import RefusedError
from tests.support.storage.process import stand_in_process
from tests.support.storage.queues import MessageQueue
from tests.support.storage.tables import EntityTable

SECOND = timedelta(seconds=1)


@pytest.fixture
async def storage() -> AsyncIterator[StandIn]:
    async with running_stand_in(SimulatedClock(NOW)) as stand_in:
        yield stand_in


class Client:
    """Sends HTTP requests to one of the services."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._base = f"http://127.0.0.1:{port}/{DEVELOPMENT_ACCOUNT}/"

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
    ) -> tuple[int, Any, Any]:
        """Return the status, the headers and the body of an answer."""
        url = self._base + path
        async with self._session.request(method, url, headers=headers, **options) as response:
            is_json = response.content_type == "application/json"
            body = await (response.json() if is_json else response.text())
            return response.status, response.headers, body


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def queues(storage: StandIn, session: aiohttp.ClientSession) -> Client:
    client = Client(session, storage.ports[0])
    await client.ask("PUT", "q")
    return client


@pytest.fixture
async def tables(storage: StandIn, session: aiohttp.ClientSession) -> Client:
    client = Client(session, storage.ports[1])
    await client.ask("POST", "Tables", json={"TableName": "t"})
    return client


# --- tables

KEY = {"PartitionKey": "p", "RowKey": "r"}
SENT = KEY | {
    "at": "2026-11-23T03:00:00.120000Z",
    "at@odata.type": "Edm.DateTime",
    "big": "5000000000",
    "big@odata.type": "Edm.Int64",
    "ratio": 100,
    "ratio@odata.type": "Edm.Double",
    "name": "x",
    "name@odata.type": "Edm.String",
}
PLAIN = KEY | {"at": "2026-11-23T03:00:00.12Z", "big": "5000000000", "ratio": 100.0, "name": "x"}
TYPES = {"at@odata.type": "Edm.DateTime", "big@odata.type": "Edm.Int64"}
ENTITY = "t(PartitionKey='p',RowKey='r')"


@pytest.mark.parametrize(
    ("much", "expected"),
    [
        ("nometadata", PLAIN),
        ("minimalmetadata", PLAIN | TYPES),
        ("fullmetadata", PLAIN | TYPES | {"Timestamp@odata.type": "Edm.DateTime"}),
    ],
)
async def test_accept_header_decides_metadata(
    tables: Client, much: str, expected: dict[str, Any]
) -> None:
    accept = {"Accept": f"application/json;odata={much}"}
    await tables.ask("POST", "t", json=SENT)
    status, headers, body = await tables.ask("GET", ENTITY, accept)
    etag = body.pop("odata.etag", None)
    assert (status, etag) == (200, None if much == "nometadata" else headers["ETag"])
    assert body.pop("Timestamp").startswith("2026-11-23T03:00:00")
    assert {n: v for n, v in body.items() if not n.startswith("odata.")} == expected
    _, _, page = await tables.ask("GET", "t()?$select=at,RowKey", accept)
    (row,) = page["value"]
    assert {"at", "RowKey"} <= set(row)
    assert not {"big", "PartitionKey", "name"} & set(row)


@pytest.mark.parametrize(
    ("prefer", "status"), [("return-no-content", 204), ("return-content", 201)]
)
async def test_prefer_decides_insert_answer(tables: Client, prefer: str, status: int) -> None:
    answered, headers, body = await tables.ask("POST", "t", {"Prefer": prefer}, json=SENT)
    assert (answered, bool(body)) == (status, status == 201)
    assert headers["ETag"].startswith("W/\"datetime'2026-11-23T03%3A00%3A00")


async def test_query_continues_after_its_page(storage: StandIn, tables: Client) -> None:
    for number in range(2500):
        storage.tables.tables["t"].insert({"PartitionKey": "p+/=", "RowKey": f"{number:04}"})
    path, sizes = "t()?$filter=PartitionKey%20eq%20'p%2B/='", []
    more = ""
    while True:
        _, headers, body = await tables.ask("GET", path + more)
        sizes.append(len(body["value"]))
        if "x-ms-continuation-NextPartitionKey" not in headers:
            break
        more = "".join(
            f"&{name}={quote(headers[f'x-ms-continuation-{name}'], safe='')}"
            for name in ("NextPartitionKey", "NextRowKey")
        )
    assert sizes == [1000, 1000, 500]


async def test_merge_keeps_other_properties(tables: Client) -> None:
    await tables.ask("POST", "t", json=SENT)
    await tables.ask("PATCH", ENTITY, {"If-Match": "*"}, json={"at": "now", "more": 1})
    _, _, body = await tables.ask("GET", ENTITY, {"Accept": "application/json;odata=nometadata"})
    body.pop("Timestamp")
    assert body == PLAIN | {"at": "now", "more": 1}


@pytest.mark.parametrize(
    ("method", "path", "headers", "sent", "expected"),
    [
        ("POST", "Tables", {}, {"TableName": "t"}, "409 TableAlreadyExists"),
        ("POST", "t", {}, KEY, "409 EntityAlreadyExists"),
        ("POST", "t", {}, {"PartitionKey": "p"}, "400 PropertiesNeedValue"),
        ("POST", "t", {}, {"PartitionKey": "p", "RowKey": "a/b"}, "400 InvalidInput"),
        ("POST", "t", {}, KEY | {"x": "é" * 32_769}, "400 PropertyValueTooLarge"),
        ("POST", "u", {}, KEY, "404 TableNotFound"),
        ("GET", "t(PartitionKey='p',RowKey='s')", {}, None, "404 ResourceNotFound"),
        ("GET", "t()?$filter=startswith(a,'b')", {}, None, "400 InvalidInput"),
        ("PUT", ENTITY, {"If-Match": 'W/"1"'}, {}, "412 UpdateConditionNotSatisfied"),
        ("PUT", "t(PartitionKey='p',RowKey='s')", {"If-Match": "*"}, {}, "404 ResourceNotFound"),
        ("DELETE", ENTITY, {}, None, "400 MissingRequiredHeader"),
        ("DELETE", ENTITY, {"If-Match": 'W/"1"'}, None, "412 UpdateConditionNotSatisfied"),
        ("POST", "$batch", {}, {}, "400 InvalidInput"),
    ],
)
async def test_table_errors_are_the_real_ones(
    tables: Client,
    method: str,
    path: str,
    headers: dict[str, str],
    sent: dict[str, Any] | None,
    expected: str,
) -> None:
    await tables.ask("POST", "t", json=KEY)
    status, answered, body = await tables.ask(method, path, headers, json=sent)
    code = body["odata.error"]["code"]
    assert (f"{status} {code}", answered["x-ms-error-code"]) == (expected, code)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1", "2", "3"]),
        ("n gt 1", ["2", "3"]),
        ("n ge 1 and n lt 2.5", ["1", "2"]),
        ("n eq '1'", []),
        ("RowKey ne '2'", ["1", "3"]),
        ("at le datetime'2026-11-23T03:00:00Z'", ["1"]),
        ("at gt datetime'2026-11-23T03:00:00.0000000Z'", ["2"]),
        ("is eq true", ["1"]),
        ("name eq 'it''s and 1'", ["2"]),
    ],
)
async def test_filter_selects(tables: Client, text: str, expected: list[str]) -> None:
    kind = {"at@odata.type": "Edm.DateTime"}
    rows = [
        {"n": 1, "is": True, "at": "2026-11-23T03:00:00Z"} | kind,
        {"n": 2, "name": "it's and 1", "at": "2026-11-23T03:00:00.1Z"} | kind,
        {"n": 3, "at": "2026-11-23T04:00:00Z"},
    ]
    for row in rows:
        await tables.ask("POST", "t", json=row | {"PartitionKey": "p", "RowKey": str(row["n"])})
    _, _, body = await tables.ask("GET", f"t()?$filter={quote(text)}")
    assert [row["RowKey"] for row in body["value"]] == expected


def test_writes_at_one_instant_have_different_etags() -> None:
    table = EntityTable(lambda: NOW)
    assert len({table.replace(KEY, None).etag for _ in range(100)}) == 100


# --- queues


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "none/messages", 404, "QueueNotFound"),
        ("GET", "none?comp=metadata", 404, "QueueNotFound"),
        ("GET", "q/messages?numofmessages=33", 400, "OutOfRangeQueryParameterValue"),
        ("GET", "q/messages?visibilitytimeout=0", 400, "OutOfRangeQueryParameterValue"),
        ("POST", "q/messages?visibilitytimeout=604801", 400, "OutOfRangeQueryParameterValue"),
        (
            "POST",
            "q/messages?visibilitytimeout=9&messagettl=9",
            400,
            "OutOfRangeQueryParameterValue",
        ),
        ("POST", "q/messages", 400, "InvalidXmlDocument"),
        ("DELETE", "q/messages/x?popreceipt=y", 404, "MessageNotFound"),
        ("PUT", "q/messages/x?popreceipt=y", 400, "OutOfRangeQueryParameterValue"),
    ],
)
async def test_queue_errors_are_the_real_ones(
    queues: Client, method: str, path: str, status: int, code: str
) -> None:
    answered, headers, body = await queues.ask(method, path)
    assert (answered, headers["x-ms-error-code"]) == (status, code)
    assert f"<Code>{code}</Code>" in body


async def test_queue_is_created_once(queues: Client) -> None:
    assert (await queues.ask("PUT", "q"))[0] == 204
    assert (await queues.ask("PUT", "other"))[0] == 201


def test_message_is_visible_until_it_expires() -> None:
    clock = SimulatedClock(NOW)
    queue = MessageQueue(clock)
    queue.send("later", 5 * SECOND, None)
    queue.send("brief", 2 * SECOND, 4 * SECOND)
    seen = []
    for _ in range(7):
        seen.append([message.text for message in queue.peek(32)])
        clock.now += SECOND
    assert seen == [[], [], ["brief"], ["brief"], [], ["later"], ["later"]]
    assert [len(queue), queue.next_visible_at()] == [1, NOW + 5 * SECOND]


def test_latest_receiver_holds_message() -> None:
    clock = SimulatedClock(NOW)
    queue = MessageQueue(clock)
    queue.send("x", timedelta(0), None)
    (first,) = [message.receipt for message in queue.receive(1, SECOND)]
    assert queue.receive(1, SECOND) == []
    clock.now += SECOND
    (again,) = queue.receive(1, SECOND)
    assert again.dequeue_count == 2
    with pytest.raises(RefusedError, match="PopReceiptMismatch"):
        queue.delete(again.message_id, first)
    queue.delete(again.message_id, again.receipt)
    with pytest.raises(RefusedError, match="MessageNotFound"):
        queue.delete(again.message_id, again.receipt)


def test_queue_forgets_removed_messages() -> None:
    queue = MessageQueue(lambda: NOW)
    for _ in range(5000):
        queue.send("x", timedelta(0), None)
        (message,) = queue.receive(1, timedelta(minutes=10))
        queue.delete(message.message_id, message.receipt)
    assert len(queue) == 0
    assert len(queue._agenda) < 1100


# --- in another process


async def test_stand_in_process_has_simulated_time() -> None:
    async with stand_in_process(NOW) as storage:
        assert await storage.jump(NOW + 9 * SECOND) == NOW + 9 * SECOND
        account = Account(Storage(connection_string=storage.connection_string))
        queue = account.queue("q")
        await queue.create_queue()
        await queue.send_message("x", visibility_timeout=20)
        assert await storage.jump(NOW + 60 * SECOND) == NOW + 29 * SECOND
        assert await storage.jump(NOW) == NOW + 29 * SECOND
        assert (await queue.receive_message()) is not None
        await account.close()
