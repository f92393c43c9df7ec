"""Wake-up messages: they survive the queue, and no user's post is one."""

import json
from collections.abc import Iterable
from dataclasses import replace
from html import escape
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.intake import Rejection
from opswatch.core.keys import Key
from opswatch.core.lookahead import Look
from opswatch.core.wakeups import WakeUp
from opswatch.rows.messages import QUEUES, decode_message, encode_look, encode_wake_ups
from tests.rows.test_tables import COUNTS, INSTANTS, KEYS, WATCH
from tests.support.builders import HOOK, ID, KEY, NOW, PATH, URL, end, post, watch
from tests.support.harness import wake_up_message

TRACEPARENTS = st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True)
ETAG = "W/\"datetime'2026-11-23T03%3A05%3A40.1234567Z'\""
# What the Functions host binds beside a message: a property of the same name would replace it.
# https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#message-metadata
METADATA = {
    "id", "dequeuecount", "expirationtime", "insertiontime", "nextvisibletime", "popreceipt",
    "queuetrigger",
}  # fmt: skip


def test_queues_have_the_contracts_names() -> None:
    assert QUEUES == ("operations", "deliveries")


wake_ups = st.builds(
    WakeUp,
    key=KEYS,
    seq=COUNTS,
    due_at=st.none() | INSTANTS,
    traceparent=st.none() | TRACEPARENTS,
)
copied = st.builds(
    lambda watch: WakeUp(key=watch.key, seq=watch.seq, due_at=watch.due_at, copy=watch, etag=ETAG),
    WATCH,
)


def decoded(bodies: Iterable[bytes]) -> list[WakeUp]:
    found: list[WakeUp] = []
    for body in bodies:
        wakes = decode_message(body)
        assert isinstance(wakes, tuple)
        found += wakes
    return found


def as_copied(wake: WakeUp) -> WakeUp:
    """Return a wake-up as its message has it: the copy without what a poll does not need."""
    if wake.copy is None or wake.copy.end is not None:
        return replace(wake, copy=None, etag=None)
    facts = replace(
        wake.copy.facts, callbacks=(), callback_on=None, client_state=None, last_miss=None
    )
    return replace(wake, copy=replace(wake.copy, facts=facts))


@given(wake_ups)
def test_wake_up_survives_its_message(wake: WakeUp) -> None:
    body = wake_up_message(wake)
    assert decode_message(body) == (wake,)
    assert len(body) < 4096


@given(st.lists(wake_ups | copied, max_size=40))
def test_wake_ups_survive_their_messages(wakes: list[WakeUp]) -> None:
    bodies = list(encode_wake_ups(wakes))
    assert decoded(bodies) == [as_copied(wake) for wake in wakes]
    assert all(len(body) <= 64 * 1024 for body in bodies)


@pytest.mark.parametrize(("count", "messages"), [(0, 0), (1, 1), (32, 1), (33, 2), (65, 3)])
def test_message_has_at_most_thirty_two(count: int, messages: int) -> None:
    wakes = [WakeUp(key=KEY, seq=seq) for seq in range(count)]
    bodies = list(encode_wake_ups(wakes))
    assert len(bodies) == messages
    assert decoded(bodies) == wakes


def test_copies_take_the_room_that_is_left() -> None:
    """The wake-ups come first: a message of 32 is never too long for its copies."""
    large = watch(kind="k" * 12_000, due_at=NOW, callbacks=(HOOK,))
    small = watch(kind="small", due_at=NOW)
    wakes = [
        WakeUp(key=KEY, seq=1, due_at=NOW, copy=copy, etag=ETAG)
        for copy in (*[large] * 6, *[small] * 3)
    ]
    (body,) = encode_wake_ups(wakes)
    assert len(body) <= 56 * 1024
    kinds = [wake.copy and wake.copy.facts.kind for wake in decoded([body])]
    assert kinds == [large.facts.kind] * 4 + [None] * 2 + ["small"] * 3


def test_copy_that_fits_no_message_is_left_out() -> None:
    wake = WakeUp(key=KEY, seq=1, due_at=NOW, copy=watch(kind="k" * 60_000), etag=ETAG)
    assert decode_message(wake_up_message(wake)) == (replace(wake, copy=None, etag=None),)


def test_wake_ups_and_copies_fit_together() -> None:
    """Of 32 with long keys, the wake-ups themselves take a good part of the message."""
    copy = watch(kind="k" * 1000, due_at=NOW)
    wakes = [
        WakeUp(
            key=Key("p" * 64, "r" * 400),
            seq=1,
            due_at=NOW,
            traceparent="t" * 55,
            copy=copy,
            etag=ETAG,
        )
        for _ in range(32)
    ]
    (body,) = encode_wake_ups(wakes)
    assert 50 * 1024 < len(body) <= 56 * 1024


def test_copy_leaves_out_what_a_poll_does_not_need() -> None:
    known = watch(callbacks=(HOOK,), client_state='{"secret":1}', last_miss="500")
    wake = WakeUp(key=KEY, seq=1, due_at=NOW, copy=known, etag=ETAG)
    body = wake_up_message(wake)
    assert not [text for text in (HOOK, "secret", "500") if text.encode() in body]
    assert decode_message(body) == (as_copied(wake),)


@pytest.mark.parametrize("character", ["\ufffe", "\uffff", "\x00", "\x7f", "\U0001ffff", "&<\r"])
def test_message_has_only_characters_of_xml(character: str) -> None:
    """The queue would refuse it, with the wake-ups of 31 others, each time that it is sent."""
    key = Key("p", character)
    wake = WakeUp(key=key, seq=1, due_at=NOW, copy=watch(kind=character), etag=ETAG)
    body = wake_up_message(wake)
    ET.fromstring(f"<t>{escape(body.decode())}</t>")  # noqa: S314 - of this test
    (read,) = decoded([body])
    assert read.key == key
    assert read.copy is not None
    assert read.copy.facts.kind == character


def test_end_is_not_copied() -> None:
    wake = WakeUp(key=KEY, seq=1, due_at=NOW, copy=watch(end=end()), etag=ETAG)
    assert decode_message(wake_up_message(wake)) == (replace(wake, copy=None, etag=None),)


def forged(**changes: object) -> WakeUp:
    """Return the wake-up of a message whose fields were changed; None removes one."""
    wake = WakeUp(key=KEY, seq=1, due_at=NOW, copy=watch(kind="k"), etag=ETAG)
    fields = json.loads(wake_up_message(wake))["wake"][0] | changes
    given = {name: value for name, value in fields.items() if value is not None}
    body = json.dumps({"wake": [given]}, separators=(",", ":")).encode()
    (read,) = decoded([body])
    return read


def test_copy_is_read() -> None:
    assert forged().copy == watch(kind="k")
    assert forged().etag == ETAG


@pytest.mark.parametrize(
    "changes",
    [
        {"etag": "*"}, {"etag": ""}, {"etag": None}, {"etag": "garbage"}, {"etag": '"1"\r\nX: y'},
        {"etag": '"1\r\nX: y"'},
        {"due": None}, {"copy": {}}, {"copy": {"polls": "x"}}, {"copy": {"registeredAt": 5}},
        {"copy": {"polls": 1}}, {"copy": {"Odd": [[]]}},
    ],
)  # fmt: skip
def test_forged_copy_is_no_copy(changes: dict[str, object]) -> None:
    read = forged(**changes)
    assert (read.key, read.seq, read.copy, read.etag) == (KEY, 1, None, None)


def test_copy_cannot_be_of_another_row() -> None:
    """Its keys, seq and due time are those of the wake-up."""
    fields = json.loads(
        wake_up_message(WakeUp(key=KEY, seq=1, due_at=NOW, copy=watch(kind="k"), etag=ETAG))
    )["wake"][0]
    columns = fields["copy"] | {
        "PartitionKey": "p", "RowKey": "r", "seq": 9, "dueAt": "2030-01-01T00:00:00Z",
    }  # fmt: skip
    assert forged(copy=columns).copy == watch(kind="k")


def test_message_of_before_is_read() -> None:
    body = b'{"wake":{"partition":"p","row":"r","seq":7,"traceparent":"00-0-0-0"}}'
    expected = WakeUp(key=Key("p", "r"), seq=7, traceparent="00-0-0-0")
    assert decode_message(body) == (expected,)


@given(st.builds(Look, COUNTS, INSTANTS))
def test_look_survives_its_message(look: Look) -> None:
    assert decode_message(encode_look(look)) == look


def test_wake_up_hides_no_trigger_metadata() -> None:
    for body in (wake_up_message(WakeUp(key=KEY, seq=1)), encode_look(Look(1, NOW))):
        message = json.loads(body)
        assert isinstance(message, dict)
        assert not {name.lower() for name in message} & METADATA


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b"\xff", ID.encode(), PATH.encode(), b'{"wake":1}',
        b'{"wake":{}}', b'{"wake":[1]}', b'{"wake":[{}]}', b'{"wake":[],"x":1}', b'{"look":{}}',
        b'{"look":{"seq":1}}', b'{"look":{"seq":1,"due":"2026-11-23T03:00:00"}}',
        b'{"wake":[{"partition":"a","row":"b","seq":1,"due":"2026-11-23T03:00:00"}]}',
        b'{"wake":{"partition":"a","row":"b"}}',
        b'{"wake":{"partition":"a","row":"b","seq":"1"}}',
        b'{"wake":{"partition":"a","row":"b","seq":1.5}}', b'{"Wake":{}}',
        b'{"wake":' + b"[" * 100_000,
        b'{"wake":[{"partition":"a","row":"b","seq":1,"copy":{"a":' + b"[" * 50_000,
        json.dumps({"operation": URL}).encode(),
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
