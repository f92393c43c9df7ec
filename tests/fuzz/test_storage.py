"""A sample of what fuzzing makes, written to a real table and sent through a real queue."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opswatch.core.decide import result_of

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureQueue, AzureTable
from opswatch.config import Storage
from opswatch.core import arm
from opswatch.core.intake import Registration, Rejection
from opswatch.core.keys import WakeUp
from opswatch.core.policy import Policy
from opswatch.core.watches import Result, Watch, after_poll, begin
from opswatch.local.azurite import Azurite
from opswatch.rows.codec import Codec
from opswatch.rows.tables import REJECTIONS, RESULTS, WATCHES
from opswatch.steps.wakeups import read_wake_up
from tests.fuzz.strategies import ANSWERS, CONTROLS, MESSAGES, ODD
from tests.support.builders import ENDPOINT, NOW, PATH, answer, intake, watch

T = TypeVar("T")

# Every character that some format somewhere cannot carry, in every value that can hold it.
STRANGE = CONTROLS + ODD.encode("utf-8", "ignore").decode() + "\U0001f469\u200d\U0001f680 <&>]]>"
STRANGE_ID = "a<&>'\"é\U0001f600]]>"
POSTS = [
    json.dumps({"id": PATH, "kind": STRANGE, "clientState": {STRANGE: [STRANGE, 1e300]}}).encode(),
    f"{PATH.rpartition('/')[0]}/{STRANGE_ID}".encode(),
    f"{PATH}\ufffe\uffff".encode(),
    STRANGE.encode(),
    STRANGE.encode("utf-16"),
    b"\x00" * 40_000,
    "\U0001f600".encode() * 16_000,
]
ANSWERED = [
    answer({"status": "Failed", "error": {"code": STRANGE, "message": STRANGE * 5000}}),
    answer({"status": "Succeeded", "properties": {STRANGE: STRANGE}}),
    answer({"status": STRANGE}),
    answer({"error": {"code": STRANGE, "message": STRANGE}}, 500),
]


def drawn(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """Return the same examples of `strategy` each time."""
    examples: list[T] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(example: T) -> None:
        examples.append(example)

    keep()
    return examples


@pytest.fixture(scope="module")
def posted() -> list[Registration | Rejection]:
    return [intake().read(body, NOW) for body in POSTS + drawn(MESSAGES, 150)]


@pytest.fixture(scope="module")
def polled() -> list[Watch]:
    return list(after_polls())


@pytest.fixture
async def account(azurite: Azurite) -> AsyncIterator[Account]:
    account = Account(Storage(connection_string=azurite.connection_string))
    yield account
    await account.close()


def after_polls() -> Iterator[Watch]:
    for response in ANSWERED + drawn(ANSWERS, 150):
        seen = arm.read(response, endpoint=ENDPOINT, now=NOW)
        yield after_poll(watch(is_doubted=True), seen, NOW, Policy()).watch


def watches_of(posted: list[Registration | Rejection]) -> list[Watch]:
    return [begin(one, NOW, Policy()) for one in posted if isinstance(one, Registration)]


def results_of(polled: list[Watch]) -> list[Result]:
    return [result_of(one, one.end) for one in polled if one.end]


async def survive(account: Account, codec: Codec[T], values: list[T]) -> None:
    """Write and read back; the sample has to be one."""
    client = account.table(f"t{uuid4().hex}")
    await client.create_table()
    table = AzureTable(account, codec, client.table_name)
    for value in values:
        await table.put(value)
        stored = await table.get(codec.key(value))
        assert stored is not None
        assert stored.value == value
    assert len(values) >= 10


async def test_posts_survive_the_table(
    account: Account, posted: list[Registration | Rejection]
) -> None:
    await survive(account, WATCHES, watches_of(posted))
    await survive(account, REJECTIONS, [one for one in posted if isinstance(one, Rejection)])


async def test_what_polls_show_survives_the_table(account: Account, polled: list[Watch]) -> None:
    await survive(account, WATCHES, polled)
    await survive(account, RESULTS, results_of(polled))


async def test_wake_ups_survive_the_queue(
    account: Account, posted: list[Registration | Rejection], polled: list[Watch]
) -> None:
    wakes = {WakeUp(one.key, one.seq) for one in watches_of(posted) + polled}
    assert any("\U0001f600" in wake.key.row for wake in wakes)
    client = account.queue(f"q-{uuid4().hex}")
    await client.create_queue()
    queue = AzureQueue(account, client.queue_name)
    for wake in wakes:
        await queue.send(wake)
    received = {
        read_wake_up(message.content.encode()) async for message in client.receive_messages()
    }
    assert received == wakes
