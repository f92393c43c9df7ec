"""Entity group transactions: as text, and over the emulator and the stand-in."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import HttpResponseError

from opswatch.adapters.account import Account
from opswatch.adapters.rest import Answer
from opswatch.adapters.storage import AzureTable
from opswatch.adapters.transactions import (
    MOST_BYTES,
    MOST_CHANGES,
    Change,
    TransactionConflictError,
    check_transaction,
    encode_transaction,
    estimate_size,
    read_etags,
)
from opswatch.config import Storage
from opswatch.core.keys import Key
from opswatch.local.azurite import Azurite
from opswatch.rows.tables import WATCHES
from tests.support.builders import operation, watch
from tests.support.storage import running_stand_in

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
KEYS = '"PartitionKey":"p","RowKey":"r"}'
KEY = Key("p", "it's {a} #1")


# --- the text of a request


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            Change(key=KEY, etag="*", entity={"seq": 1}),
            [
                "PUT https://host/t(PartitionKey='p',RowKey='it%27%27s%20%7Ba%7D%20%231') HTTP/1.1",
                "If-Match: *",
                '{"seq":1,"PartitionKey":"p","RowKey":"it\'s {a} #1"}',
            ],
        ),
        (
            Change(key=Key("p", "r"), etag='W/"1"', entity={"at": NOW}, merges=True),
            [
                "MERGE https://host/t(PartitionKey='p',RowKey='r') HTTP/1.1",
                'If-Match: W/"1"',
                '{"at":"2026-11-23T03:00:00Z","at@odata.type":"Edm.DateTime",' + KEYS,
            ],
        ),
        (
            Change(key=Key("p", "r"), etag='W/"1"'),
            ["DELETE https://host/t(PartitionKey='p',RowKey='r') HTTP/1.1", 'If-Match: W/"1"', ""],
        ),
    ],
)
def test_change_is_a_part(change: Change, expected: list[str]) -> None:
    body = encode_transaction("https://host", "t", [change, change]).decode()
    begin, *parts, end = body.split("--changeset_opswatch")
    assert begin == (
        "--batch_opswatch\r\nContent-Type: multipart/mixed; boundary=changeset_opswatch\r\n\r\n"
    )
    assert (len(parts), end) == (2, "--\r\n--batch_opswatch--\r\n")
    for part in parts:
        outer, head, content = part.split("\r\n\r\n")
        assert outer == ("\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary")
        assert head.split("\r\n")[:2] == expected[:2]
        assert content == expected[2] + "\r\n"


@pytest.mark.parametrize(
    "entity",
    [
        None,
        {},
        {"a" * 255: "x"},
        {"text": '\0"é\U0001f600' * 1000},
        {"i": 2**62, "f": 1.7976931348623157e308, "b": True, "at": NOW.replace(microsecond=123456)},
        WATCHES.encode(watch()),
    ],
)
@pytest.mark.parametrize("key", [Key("p", "r"), Key("\U0001f600" * 64, "'é\x7f" * 64)])
def test_size_is_not_exceeded(key: Key, entity: dict[str, Any] | None) -> None:
    change = Change(key=key, etag="W/\"datetime'2026-11-23T03%3A00%3A00.1234567Z'\"", entity=entity)
    uri = f"https://{'a' * 24}.table.core.windows.net"
    empty = len(encode_transaction(uri, "a" * 63, []))
    size = len(encode_transaction(uri, "a" * 63, [change])) - empty
    assert size <= estimate_size(change)
    assert MOST_BYTES + empty <= 4 * 1024 * 1024


def test_size_is_no_wild_guess() -> None:
    change = Change(key=watch().key, etag='W/"1"', entity=WATCHES.encode(watch()))
    empty = len(encode_transaction("https://host", "t", []))
    size = len(encode_transaction("https://host", "t", [change])) - empty
    assert estimate_size(change) < 2 * size


# --- the text of an answer

SUCCEEDED = (
    b"--batchresponse_x\r\nContent-Type: multipart/mixed; boundary=changesetresponse_x\r\n\r\n"
    b"--changesetresponse_x\r\nContent-Type: application/http\r\n"
    b"Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 204 No Content\r\n"
    b"X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nDataServiceVersion: 3.0;\r\n"
    b"ETag: W/\"datetime'2026-11-26T05%3A50%3A27.8388793Z'\"\r\n\r\n\r\n"
    b"--changesetresponse_x\r\nContent-Type: application/http\r\n"
    b"Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 204 No Content\r\n"
    b"DataServiceVersion: 1.0;\r\n\r\n\r\n--changesetresponse_x--\r\n--batchresponse_x--\r\n"
)  # as Azurite answers a replacement and a removal
OF_SERVICE = (
    b"--batchresponse_4a5d0bd0\r\nContent-Type: multipart/mixed; "
    b"boundary=changesetresponse_a6253244\r\n\r\n"
    b"--changesetresponse_a6253244\r\nContent-Type: application/http\r\n"
    b"Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 204 No Content\r\n"
    b"Content-ID: 1\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\n"
    b"Preference-Applied: return-no-content\r\nDataServiceVersion: 3.0;\r\n"
    b"Location: https://a.table.core.windows.net/t(PartitionKey='p',RowKey='1')\r\n"
    b"ETag: W/\"datetime'2013-08-15T21%3A01%3A41.4Z'\"\r\n\r\n\r\n"
    b"--changesetresponse_a6253244\r\nContent-Type: application/http\r\n"
    b"Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 204 No Content\r\n"
    b'etag: W/"2"\r\nDataServiceVersion: 3.0;\r\n\r\n\r\n'
    b"--changesetresponse_a6253244--\r\n--batchresponse_4a5d0bd0--\r\n"
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (SUCCEEDED, ["W/\"datetime'2026-11-26T05%3A50%3A27.8388793Z'\"", None]),
        (OF_SERVICE, ["W/\"datetime'2013-08-15T21%3A01%3A41.4Z'\"", 'W/"2"']),
        (
            OF_SERVICE.replace(b"\r\n", b"\n"),
            ["W/\"datetime'2013-08-15T21%3A01%3A41.4Z'\"", 'W/"2"'],
        ),
    ],
)
def test_etags_come_in_the_order_of_changes(body: bytes, expected: list[str | None]) -> None:
    check_transaction(Answer({}, body))
    assert read_etags(body, 2) == expected


def test_answer_without_a_part_a_change_is_an_error() -> None:
    with pytest.raises(HttpResponseError, match="2 parts for 3 changes"):
        read_etags(SUCCEEDED, 3)
    with pytest.raises(HttpResponseError, match="no parts"):
        check_transaction(Answer({}, b""))


def failed(status: str, code: str, message: str) -> bytes:
    return (
        "--batchresponse_x\r\nContent-Type: multipart/mixed; boundary=changesetresponse_x\r\n\r\n"
        "--changesetresponse_x\r\nContent-Type: application/http\r\n"
        f"Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 {status}\r\n"
        "Content-ID: 4\r\nDataServiceVersion: 3.0;\r\n"
        "Content-Type: application/json;odata=minimalmetadata;charset=utf-8\r\n\r\n"
        f'{{"odata.error":{{"code":"{code}","message":{{"lang":"en-US","value":"{message}"}}}}}}'
        "\r\n--changesetresponse_x--\r\n--batchresponse_x--\r\n"
    ).encode()


UNMET = "The update condition specified in the request was not satisfied.\\nRequestId:3:1"


@pytest.mark.parametrize(
    ("status", "code", "message", "index"),
    [
        ("412 Precondition Failed", "UpdateConditionNotSatisfied", f"3:{UNMET}", 3),
        ("412 Precondition Failed", "UpdateConditionNotSatisfied", f"99:{UNMET}", 99),
        ("412 Precondition Failed", "UpdateConditionNotSatisfied", UNMET, None),
        ("412", "ConditionNotMet", "", None),
        ("404 Not Found", "ResourceNotFound", "0:The specified resource does not exist.", 0),
        ("404 Not Found", "EntityNotFound", "7:The specified entity does not exist.", 7),
    ],
)
def test_failed_condition_is_a_conflict(
    status: str, code: str, message: str, index: int | None
) -> None:
    with pytest.raises(TransactionConflictError, match=code) as raised:
        check_transaction(Answer({}, failed(status, code, message)))
    assert raised.value.index == index
    assert raised.value.status_code == int(status[:3])


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404 Not Found", "TableNotFound"),
        ("400 Bad Request", "InvalidDuplicateRow"),
        ("503 Service Unavailable", "ServerBusy"),
    ],
)
def test_other_failure_is_no_conflict(status: str, code: str) -> None:
    with pytest.raises(HttpResponseError, match=f"{status[:3]} {code}: 1:No") as raised:
        check_transaction(Answer({}, failed(status, code, "1:No.")))
    assert not isinstance(raised.value, TransactionConflictError)


# --- over HTTP


@pytest.fixture(params=["Azurite", "stand-in"])
async def account(request: pytest.FixtureRequest) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        if request.param == "Azurite":
            azurite: Azurite = request.getfixturevalue("azurite")
            connection = azurite.connection_string
        else:
            connection = (await stack.enter_async_context(running_stand_in())).connection_string
        account = Account(Storage(connection_string=connection))
        stack.push_async_callback(account.close)
        yield account


class Table(AzureTable[Any]):
    """A table of watches in the partition `p`, and what it holds."""

    def __init__(self, account: Account, name: str) -> None:
        super().__init__(account, WATCHES, name)

    async def add(self, *names: str) -> list[str]:
        """Insert a row of each name; return the ETags."""
        rows = [await self.insert(row(name)) for name in names]
        return [added.etag for added in rows if added is not None]

    async def seqs(self, *names: str) -> list[int | None]:
        rows = [await self.get(Key("p", name)) for name in names]
        return [found.value.seq if found else None for found in rows]


def row(name: str, seq: int = 1, partition: str = "p") -> Any:
    return watch(operation=replace(operation(), key=Key(partition, name)), seq=seq)


def write(name: str, etag: str = "*", seq: int = 2, partition: str = "p") -> Change:
    columns = WATCHES.encode(row(name, seq, partition))
    return Change(key=Key(partition, name), etag=etag, entity=columns)


def remove(name: str, etag: str = "*") -> Change:
    return Change(key=Key("p", name), etag=etag)


@pytest.fixture
async def table(account: Account) -> Table:
    client = account.table(f"t{uuid4().hex}")
    await client.create_table()
    return Table(account, client.table_name)


async def test_no_change_is_no_request(table: Table) -> None:
    assert await table.transact([]) == []


async def test_changes_are_applied_together(table: Table) -> None:
    first = await table.add("a", "it's %7B{b}", "c")
    merged = Change(key=Key("p", "c"), etag=first[2], entity={"seq": 5}, merges=True)
    changes = [write("a", first[0]), remove("it's %7B{b}", first[1]), merged]
    etags = await table.transact(changes)
    assert await table.seqs("a", "it's %7B{b}", "c") == [2, None, 5]
    current = [await table.get(Key("p", name)) for name in ("a", "c")]
    assert [found.etag for found in current if found] == [etags[0], etags[2]]
    assert (etags[1], first[0] != etags[0]) == (None, True)


async def test_replacement_leaves_no_old_column_and_merge_does(table: Table) -> None:
    for name in "ab":
        await table.insert(watch(operation=replace(operation(), key=Key("p", name)), kind="create"))
    merged = Change(key=Key("p", "b"), etag="*", entity={"seq": 2}, merges=True)
    await table.transact([write("a"), merged])
    replaced, kept = [await table.get(Key("p", name)) for name in "ab"]
    assert replaced
    assert kept
    assert (replaced.value.facts.kind, kept.value.facts.kind) == (None, "create")


async def test_single_change_needs_no_group(table: Table) -> None:
    (first,) = await table.add("a")
    (second,) = await table.transact([write("a", first)])
    (third,) = await table.transact(
        [Change(key=Key("p", "a"), etag=second or "", entity={"seq": 3}, merges=True)]
    )
    current = await table.get(Key("p", "a"))
    assert current
    assert (current.etag, current.value.seq) == (third, 3)
    assert await table.transact([remove("a", third or "")]) == [None]
    assert await table.seqs("a") == [None]


@pytest.mark.parametrize("failing", [write("c", 'W/"other"'), remove("c", 'W/"other"')])
async def test_one_conflict_refuses_the_group(table: Table, failing: Change) -> None:
    first = await table.add("a", "b", "c", "d")
    changes = [write("a", first[0]), remove("b", first[1]), failing, write("d", first[3])]
    with pytest.raises(TransactionConflictError) as raised:
        await table.transact(changes)
    assert raised.value.index == 2
    assert await table.seqs("a", "b", "c", "d") == [1, 1, 1, 1]
    assert await table.transact([*changes[:2], changes[3]])


@pytest.mark.parametrize(
    "failing", [write("gone"), remove("gone"), write("gone", 'W/"1"'), remove("gone", 'W/"1"')]
)
@pytest.mark.parametrize("others", [0, 1])
async def test_missing_row_is_a_conflict(table: Table, failing: Change, others: int) -> None:
    await table.add("a")
    with pytest.raises(TransactionConflictError) as raised:
        await table.transact([write("a"), failing][1 - others :])
    assert raised.value.index == others
    assert await table.seqs("a", "gone") == [1, None]


async def test_missing_table_is_no_conflict(account: Account) -> None:
    table = Table(account, f"t{uuid4().hex}")
    for changes in ([write("a")], [write("a"), write("b")]):
        with pytest.raises(HttpResponseError, match="TableNotFound") as raised:
            await table.transact(changes)
        assert not isinstance(raised.value, TransactionConflictError)


async def test_group_holds_a_hundred_changes(table: Table) -> None:
    names = [f"{number:03}" for number in range(MOST_CHANGES + 1)]
    await table.add(*names)
    with pytest.raises(HttpResponseError, match="InvalidInput"):
        await table.transact([write(name) for name in names])
    assert await table.seqs(*names) == [1] * 101
    etags = await table.transact([write(name) for name in names[:-1]])
    assert len(etags) == 100
    assert await table.seqs(*names) == [*[2] * 100, 1]


# The account refuses what is too large while it is still being sent: what is left of it keeps the
# connection from closing until the loop ends.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
async def test_group_holds_four_mebibytes(table: Table) -> None:
    names = [f"{number:02}" for number in range(90)]
    await table.add(*names)
    changes = [
        Change(key=Key("p", name), etag="*", entity={"seq": 2, "kind": "x" * 32_000}, merges=True)
        for name in names
    ]
    big = {f"text{number}": "x" * 32_000 for number in range(40)}
    over = [Change(key=Key("p", name), etag="*", entity=big, merges=True) for name in names[:4]]
    assert sum(map(estimate_size, changes)) < MOST_BYTES < sum(map(estimate_size, over))
    await table.transact(changes)
    assert await table.seqs(*names) == [2] * 90
    with pytest.raises(HttpResponseError, match="RequestBodyTooLarge"):
        await table.transact(over)


async def test_row_twice_refuses_the_group(table: Table) -> None:
    await table.add("a", "b")
    with pytest.raises(HttpResponseError, match="InvalidDuplicateRow"):
        await table.transact([write("b"), write("a"), write("b")])
    assert await table.seqs("a", "b") == [1, 1]


async def test_other_partition_refuses_the_group(table: Table) -> None:
    await table.add("a", "b")
    with pytest.raises(HttpResponseError):
        await table.transact([write("a"), write("b", partition="q")])
    assert await table.seqs("a", "b") == [1, 1]
