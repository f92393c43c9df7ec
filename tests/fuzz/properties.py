"""What must hold for any message and any answer, whether Hypothesis or atheris made it."""

import json
import re
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit

from opswatch.core import arm, webhook
from opswatch.core.deliveries import new_delivery
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.intake import MAX_CLIENT_STATE, MAX_MESSAGE, Registration, Rejection
from opswatch.core.keys import Key
from opswatch.core.observations import Ended, Missed, Running
from opswatch.core.policy import Policy
from opswatch.core.polls import Finish, Wait, after_poll, polled_url
from opswatch.core.texts import MAX_DEPTH, MAX_PROPERTY, utf16_length
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Result, Watch, begin, timeline_entry
from opswatch.rows.codec import Codec, Noun
from opswatch.rows.messages import decode_message
from opswatch.rows.tables import OUTBOX, REJECTIONS, RESULTS, TIMELINE, WATCHES
from tests.support.builders import ENDPOINT, HOOK, NOW, intake, watch
from tests.support.harness import wake_up_message

T = TypeVar("T", bound=Noun)

# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
_MAX_KEY = 512  # UTF-16 units: 1 KiB
_MAX_ENTITY = 512 * 1024  # UTF-16 units: 1 MiB
_NOT_IN_KEYS = frozenset("/\\#?%") | {chr(c) for c in (*range(0x20), *range(0x7F, 0xA0))}
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
_FIRST_YEAR = 1601
_MAX_DELAY = timedelta(days=7)  # of a queue message


def check_message(body: bytes) -> Registration | Rejection:
    """Read a message: it becomes a watch or a rejection, and either can be stored."""
    decode_message(body)
    posted = intake().read(body, NOW)
    assert intake().read(body, NOW) == posted
    if isinstance(posted, Rejection):
        check_row(REJECTIONS, posted)
        return posted
    assert isinstance(posted, Registration)
    assert posted.operation.url.startswith(f"{ENDPOINT}/")
    assert urlsplit(posted.operation.url).netloc == urlsplit(ENDPOINT).netloc
    if posted.client_state is not None:
        assert len(posted.client_state.encode()) <= MAX_CLIENT_STATE
        assert depth(json.loads(posted.client_state)) <= MAX_DEPTH
    check_watch(begin(posted, NOW, Policy()))
    return posted


def check_answer(answer: HttpResponse | NoAnswer) -> Running | Ended | Missed:
    """Read ARM's answer: it is an observation, and what follows from it can be stored and sent."""
    seen = arm.read(answer, polled_url(watch(), ENDPOINT), NOW)
    assert isinstance(seen, Running | Ended | Missed)
    if isinstance(seen, Running) and seen.next_url:
        assert urlsplit(seen.next_url).netloc == urlsplit(ENDPOINT).netloc
    match after_poll(watch(callbacks=(HOOK,), doubted="an empty 200"), seen, NOW, Policy()):
        case Wait(waiting):
            assert NOW < waiting.due_at <= NOW + _MAX_DELAY
            assert waiting.due_at - NOW >= timedelta(seconds=1)
            check_watch(waiting)
        case Finish(done):
            check_watch(done)
            check_end(done)
    return seen


def depth(value: object) -> int:
    """Return how many levels of objects and arrays `value` has."""
    match value:
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
        case list():
            return 1 + max(map(depth, value), default=0)
        case _:
            return 0


def check_watch(watch: Watch) -> None:
    percent = watch.facts.percent_complete
    assert percent is None or 0 <= percent <= 100
    check_row(WATCHES, watch)
    check_row(TIMELINE, timeline_entry(watch.facts, watch.end))
    check_wake_up(WakeUp(key=watch.key, seq=watch.seq))


def check_end(done: Watch) -> None:
    assert done.end is not None
    result = Result(facts=done.facts, end=done.end)
    check_row(RESULTS, result)
    delivery = new_delivery(result.key, HOOK, NOW, Policy())
    check_row(OUTBOX, delivery)
    check_wake_up(WakeUp(key=delivery.key, seq=delivery.seq))
    event = webhook.event(result, delivery.delivery_id)
    assert len(event) < webhook.MAX_BODY
    assert json.loads(event)["data"]["status"] == result.end.status


def check_wake_up(wake: WakeUp) -> None:
    """The message fits into a queue, through its XML, and leads back to the row."""
    body = wake_up_message(wake)
    assert decode_message(body) == (wake,)
    assert len(body) < MAX_MESSAGE
    assert not _NOT_IN_XML.search(body.decode())


def check_row(codec: Codec[T], noun: T) -> None:
    """The row is within the limits of Table Storage, and is read as it was written."""
    entity = codec.encode(noun)
    check_key(Key(entity["PartitionKey"], entity["RowKey"]))
    for value in entity.values():
        check_value(value)
    assert sum(utf16_length(str(value)) for value in entity.values()) < _MAX_ENTITY
    assert codec.decode(entity) == noun


def check_key(key: Key) -> None:
    for text in (key.partition, key.row):
        assert 0 < utf16_length(text) <= _MAX_KEY
        assert not _NOT_IN_KEYS & set(text)


def check_value(value: object) -> None:
    match value:
        case str():
            assert utf16_length(value) <= MAX_PROPERTY
            value.encode()  # no lone surrogates
        case bool() | float():
            json.dumps(value, allow_nan=False)
        case int():
            assert abs(value) < 2**31
        case datetime():
            assert value.year >= _FIRST_YEAR
            assert value.tzinfo is not None
        case _:
            raise AssertionError(f"{value!r} cannot be the value of a property")
