"""A sample of fuzzed input, written to a real table and sent through a real queue."""

import json
from collections.abc import AsyncIterator
from typing import TypeVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureQueue, AzureTable
from opswatch.config import Storage
from opswatch.core import arm
from opswatch.core.intake import Registration, Rejection
from opswatch.core.policy import Policy
from opswatch.core.polls import after_poll, polled_url
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Result, Watch, begin
from opswatch.local.azurite import Azurite
from opswatch.rows.codec import Codec, Noun
from opswatch.rows.messages import decode_message
from opswatch.rows.tables import REJECTIONS, RESULTS, WATCHES
from tests.fuzz.strategies import ANSWERS, CONTROLS, MESSAGES, ODD
from tests.support.builders import ENDPOINT, NOW, PATH, answer, intake, watch
from tests.support.harness import wake_up_message

T = TypeVar("T")
N = TypeVar("N", bound=Noun)

# Every character that some format cannot carry, in every value that can hold it.
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
    return [
        after_poll(watch(doubted="an empty 200"), seen, NOW, Policy()).watch
        for response in ANSWERED + drawn(ANSWERS, 150)
        for seen in (arm.read(response, polled_url(watch(), ENDPOINT), NOW),)
    ]


@pytest.fixture
async def account(azurite: Azurite) -> AsyncIterator[Account]:
    account = Account(Storage(connection_string=azurite.connection_string))
    yield account
    await account.close()


def watches_of(posted: list[Registration | Rejection]) -> list[Watch]:
    return [begin(read, NOW, Policy()) for read in posted if isinstance(read, Registration)]


async def check_survival(account: Account, codec: Codec[N], nouns: list[N]) -> None:
    """Write the nouns and read them back; there must be some."""
    client = account.table(f"t{uuid4().hex}")
    await client.create_table()
    table = AzureTable(account, codec, client.table_name)
    for noun in nouns:
        await table.put(noun)
        stored = await table.get(noun.key)
        assert stored is not None
        assert stored.value == noun
    assert len(nouns) >= 10


async def test_posts_survive_the_table(
    account: Account, posted: list[Registration | Rejection]
) -> None:
    await check_survival(account, WATCHES, watches_of(posted))
    await check_survival(
        account, REJECTIONS, [read for read in posted if isinstance(read, Rejection)]
    )


async def test_polls_survive_the_table(account: Account, polled: list[Watch]) -> None:
    await check_survival(account, WATCHES, polled)
    ended = [Result(facts=watch.facts, end=watch.end) for watch in polled if watch.end]
    await check_survival(account, RESULTS, ended)


async def test_wake_ups_survive_the_queue(
    account: Account, posted: list[Registration | Rejection], polled: list[Watch]
) -> None:
    wakes = {WakeUp(key=watch.key, seq=watch.seq) for watch in watches_of(posted) + polled}
    assert len({wake.key for wake in wakes}) > 5
    client = account.queue(f"q-{uuid4().hex}")
    await client.create_queue()
    queue = AzureQueue(account, client.queue_name)
    for wake in wakes:
        await queue.send(wake_up_message(wake))
    received = {
        decode_message(message.content.encode()) async for message in client.receive_messages()
    }
    assert received == {(wake,) for wake in wakes}
