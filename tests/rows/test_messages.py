"""Wake-up messages: they survive the queue, and no user's post is one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.intake import Rejection
from opswatch.core.wakeups import WakeUp
from opswatch.rows.messages import QUEUES, decode_message
from tests.rows.test_tables import COUNTS, KEYS
from tests.support.builders import ID, KEY, PATH, URL, post
from tests.support.harness import wake_up_message

TRACEPARENTS = st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True)
# What the Functions host binds beside a message: a property of the same name would replace it.
# https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#message-metadata
METADATA = {
    "id", "dequeuecount", "expirationtime", "insertiontime", "nextvisibletime", "popreceipt",
    "queuetrigger",
}  # fmt: skip


def test_queues_have_the_contracts_names() -> None:
    assert QUEUES == ("operations", "deliveries")


@given(st.builds(WakeUp, KEYS, COUNTS, st.none() | TRACEPARENTS))
def test_wake_up_survives_its_message(wake: WakeUp) -> None:
    body = wake_up_message(wake)
    assert decode_message(body) == (wake,)
    assert len(body) < 4096


def test_wake_up_hides_no_trigger_metadata() -> None:
    message = json.loads(wake_up_message(WakeUp(key=KEY, seq=1, traceparent="00-0-0-0")))
    assert isinstance(message, dict)
    assert not {name.lower() for name in message} & METADATA


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b"\xff", ID.encode(), PATH.encode(), b'{"wake":1}',
        b'{"wake":{}}', b'{"wake":{"partition":"a","row":"b"}}',
        b'{"wake":{"partition":"a","row":"b","seq":"1"}}',
        b'{"wake":{"partition":"a","row":"b","seq":1.5}}', b'{"Wake":{}}',
        b'{"wake":' + b"[" * 100_000, json.dumps({"operation": URL}).encode(),
    ],
)  # fmt: skip
def test_post_is_not_a_wake_up(body: bytes) -> None:
    assert decode_message(body) is None


@pytest.mark.parametrize("name", ["operation", "id", "operationId"])
def test_post_may_have_a_wake_property(name: str) -> None:
    body = {name: ID, "wake": {"partition": KEY.partition, "row": KEY.row, "seq": 1}}
    assert decode_message(json.dumps(body).encode()) is None
    assert not isinstance(post(body), Rejection)


@given(st.binary())
def test_any_bytes_are_read_without_error(body: bytes) -> None:
    assert decode_message(body) is None
