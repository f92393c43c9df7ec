"""Faults that last, under 50 watches: what was posted ends and is told soon after their end.

The Functions host and its timer run in simulated time; tables, queues and the identity fail.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import msgspec
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
)

from opswatch.adapters.gathered_queue import GatheredQueue
from opswatch.adapters.gatherer import InFlight
from opswatch.core import lookahead
from opswatch.core.deliveries import new_delivery
from opswatch.core.errors import Reason
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.intake import rejection
from opswatch.core.keys import Key, host_key, operation_from_url
from opswatch.core.policy import Policy
from opswatch.ports import Services, Store
from opswatch.rows import tables
from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import TABLES
from opswatch.testing import MemoryPoisonQueue, MemoryQueue
from tests.support.builders import seconds
from tests.support.harness import ENDPOINT, START, STORED, Harness, ended, status_path
from tests.support.simulated_host import SimulatedHost
from tests.support.thorough import some

FAR, NEAR, DURING = range(25), range(25, 45), range(45, 50)  # watches, by how long they run
ALL = [*FAR, *NEAR, *DURING]
MINUTE = timedelta(minutes=1)
MOST_RUNS = 100  # of functions in a minute, on average, while a fault lasts
READS = {"get", "find", "find_page"}
WRITES = {"insert", "replace", "merge", "put", "delete", "delete_all"}
SENDS = {"send", "send_wake_up"}
QUEUE_READS = {"peek", "depth", "take"}
Refuses = Callable[[str, str], bool]  # of a table or a queue, and a verb
REFUSED = HttpResponseError("refused")
REFUSED.status_code = 503


class Faulty:
    """A port of the storage that raises `error` on the calls that are refused."""

    def __init__(self, inner: Any, name: str, refuses: Refuses, error: Exception) -> None:
        self._inner, self._name, self._refuses, self._error = inner, name, refuses, error

    def __getattr__(self, verb: str) -> Any:
        method, error = getattr(self._inner, verb), self._error
        if verb not in READS | WRITES | SENDS | QUEUE_READS or not self._refuses(self._name, verb):
            return method

        async def fail(*_: object, **__: object) -> None:
            raise error

        async def find(*_: object, **__: object) -> AsyncIterator[Any]:
            raise error
            yield

        return find if verb == "find" else fail


def hook(number: int) -> str:
    """Return the receiver of a watch: each has a host of its own, and so a circuit."""
    return f"https://h{number}.example.com/hook"


def post(harness: Harness, *numbers: int) -> None:
    for number in numbers:
        posted = {"operation": status_path(f"op{number}"), "callbackUrl": hook(number)}
        harness.operations.post(json.dumps(posted).encode())


def answers_later() -> Callable[[CallbackRequest], HttpResponse]:
    """Return receivers of which each third one refuses the first two attempts: near, then far."""
    attempts: Counter[str] = Counter()

    def answer(request: CallbackRequest) -> HttpResponse:
        attempts[request.url] += 1
        is_late = request.url in {hook(number) for number in ALL[::3]}
        return HttpResponse(503 if is_late and attempts[request.url] <= 2 else 204, {})

    return answer


@pytest.fixture
def harness() -> Harness:
    schedule = tuple(seconds(gap) for gap in (0, 5, 45, 45, 45, 45, 45, 45))
    harness = Harness(Policy(timeout=timedelta(hours=2), callback_schedule=schedule))
    poison = tuple(MemoryPoisonQueue(MemoryQueue(harness.clock)) for _ in QUEUES)
    harness.services = gathering(replace(harness.services, poison=poison))
    harness.callbacks.answer = answers_later()
    return harness


def gathering(services: Services) -> Services:
    """Return services whose wake-ups share messages, as a process has them."""
    in_flight = InFlight()
    return replace(
        services,
        operations=GatheredQueue(services.operations, services.clock, in_flight),
        deliveries=GatheredQueue(services.deliveries, services.clock, in_flight),
        under_way=in_flight.enter,
        trusted_looks={},
    )


def broken(
    harness: Harness, refuses: Refuses, error: Exception = REFUSED, **ports: Any
) -> Services:
    """Return the services of a process that is refused some calls of the storage."""

    def faulty(name: str, inner: object) -> Any:
        return Faulty(inner, name, refuses, error)

    plain, store = harness.services, harness.services.store
    names = {name: getattr(tables, name.upper()).table for name in STORED}
    services = replace(
        plain,
        store=Store(**{name: faulty(names[name], getattr(store, name)) for name in STORED}),
        operations=faulty("operations queue", harness.operations),
        deliveries=faulty("deliveries queue", harness.deliveries),
        poison=tuple(faulty("poison queue", queue) for queue in plain.poison),
        **ports,
    )
    return gathering(services)


async def run_until_watched(harness: Harness, host: SimulatedHost) -> None:
    """Run until half of the watches wait far, and nearly all others near."""
    post(harness, *FAR)
    await host.run(harness.services, 20 * MINUTE)
    post(harness, *NEAR)
    await host.run(harness.services, seconds(12))
    waits = Counter(watch.far for watch in harness.store.watches.values())
    assert waits[True] >= len(FAR)
    assert waits[False] >= len(NEAR) / 2


async def last_through(harness: Harness, host: SimulatedHost, services: Services) -> None:
    """Let a fault last for ten minutes; the operations end after three of them."""
    await host.run(services, 3 * MINUTE)
    post(harness, *DURING)
    harness.status = ended()
    await host.run(services, 7 * MINUTE)


def assert_all_told(harness: Harness) -> None:
    assert len(harness.store.results.rows) == len(harness.store.deliveries.rows) == len(ALL)
    assert {*harness.called()} == {hook(number) for number in ALL}
    assert harness.store.watches.rows == harness.store.outbox.rows == {}
    assert_no_poison(harness)


def assert_no_poison(harness: Harness) -> None:
    for poison in harness.services.poison:
        assert isinstance(poison, MemoryPoisonQueue)
        assert not poison.queue.messages


def of_table(table: str, verbs: set[str]) -> Refuses:
    return lambda name, verb: name == table and verb in verbs


OUTAGES: dict[str, Refuses] = {
    "all writes": lambda _, verb: verb in WRITES | SENDS,
    "writes of all tables": lambda _, verb: verb in WRITES,
    "reads": lambda _, verb: verb in READS | QUEUE_READS,
    **{f"table {table}": of_table(table, READS | WRITES) for table in TABLES},
    **{f"writes of table {table}": of_table(table, WRITES) for table in TABLES},
    **{f"sends to {queue}": of_table(f"{queue} queue", SENDS) for queue in QUEUES},
}


@pytest.mark.parametrize("outage", some(OUTAGES, of=2))
async def test_all_is_told_five_minutes_after_an_outage(harness: Harness, outage: str) -> None:
    host = SimulatedHost(harness)
    await run_until_watched(harness, host)
    before = host.runs
    await last_through(harness, host, broken(harness, OUTAGES[outage]))
    assert host.runs - before <= MOST_RUNS * 10
    await host.run(harness.services, 5 * MINUTE)
    assert_all_told(harness)


async def test_all_is_told_five_minutes_after_the_identity_hung(harness: Harness) -> None:
    error = ClientAuthenticationError("no token within 5 s")
    no_token = NoAnswer("token", "no token within 5 s")
    host = SimulatedHost(harness)
    await run_until_watched(harness, host)
    harness.status = no_token
    services = broken(harness, lambda *_: True, error)
    await host.run(services, 3 * MINUTE)
    post(harness, *DURING)
    await host.run(services, 7 * MINUTE)
    harness.status = ended()
    await host.run(harness.services, 5 * MINUTE)
    assert_all_told(harness)


@pytest.mark.parametrize("age", [seconds(12), 20 * MINUTE], ids=["near", "far"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared messages", "a message each"])
async def test_outage_of_writes_runs_few_functions(
    harness: Harness, age: timedelta, *, shared: bool
) -> None:
    """A message each is what many instances with a wake-up or two at a time would send."""
    host = SimulatedHost(harness)
    post(harness, *ALL)
    await host.run(harness.services, age)
    services = broken(harness, OUTAGES["writes of all tables"])
    if not shared:
        queues = (harness.operations, harness.deliveries)
        services = replace(services, operations=queues[0], deliveries=queues[1])
    before = host.runs
    await host.run(services, 10 * MINUTE)
    assert host.runs - before <= (MOST_RUNS if shared else 2 * MOST_RUNS) * 10


# --- rubbish


def key_of(number: int) -> Key:
    return operation_from_url(ENDPOINT + status_path(f"op{number}")).key


NO_POST = b"neither a post nor a wake-up of ours"
OWN = {"watches", "results", "outbox", "deliveries"}  # what such a row is about cannot be done


def keys_of_rubbish(harness: Harness, table: str) -> list[Key]:
    """Return the keys of rows in the way of the first watch, or of everything."""
    now, policy = harness.now, harness.services.policy
    delivery = new_delivery(key_of(0), hook(0), now, policy).key
    rejected = rejection(NO_POST, Reason.INVALID_OPERATION, "", now)
    return [
        Key("", "rubbish"),
        *{
            "watches": [key_of(0)],
            "results": [key_of(0)],
            "outbox": [delivery],
            "deliveries": [delivery],
            "timeline": list(harness.store.timeline.rows),
            "rejections": [rejected.key],
            "hosts": [host_key(hook(number)) for number in ALL],
            "durations": [],
            "lookahead": [lookahead.key_of(name) for name in ("watches", "outbox")],
        }[table],
    ]


def rubbish(codec: Any, key: Key, value: object) -> dict[str, Any]:
    """Return an entity whose columns have one value, or none; it is due, as far as it can be."""
    names = codec.column_names if value is not None else ()
    columns = dict.fromkeys(names, value) | {"far": True, codec.due: START}
    return columns | {"PartitionKey": key.partition, "RowKey": key.row}


@pytest.mark.parametrize(("table", "value"), some(product(TABLES, ["rubbish", 7.5, None])))
async def test_row_of_rubbish_stops_only_what_it_is_about(
    harness: Harness, table: str, value: object
) -> None:
    host = SimulatedHost(harness)
    await run_until_watched(harness, host)
    stored, codec = getattr(harness.store, table), getattr(tables, table.upper())
    for key in keys_of_rubbish(harness, table):
        stored.rows[key] = (rubbish(codec, key, value), '"rubbish"')
    harness.operations.post(NO_POST)
    post(harness, *DURING)
    harness.status = ended()
    before = host.runs
    await host.run(harness.services, 5 * MINUTE)
    assert host.runs - before <= MOST_RUNS * 5

    affected = {0} if table in OWN else set()
    assert {hook(number) for number in ALL if number not in affected} <= {*harness.called()}
    assert host.poison == []
    (rejected,) = (row for key, (row, _) in harness.store.rejections.rows.items() if key.partition)
    assert rejected["count"] == 1
    live = [key for name in ("watches", "outbox") for key in getattr(harness.store, name).rows]
    of_affected = tuple(key_of(number).row for number in affected)
    assert all(key.row.startswith(of_affected) for key in live if key.partition)
    assert stored.unreadable or table in ("timeline", "durations")  # written over, or never read
    after = host.runs
    await host.run(harness.services, 20 * MINUTE)
    assert host.runs - after <= 15 * 20  # one rescue a minute, and looks of a row that waits
    assert host.failed_repairs == 0
    # When somebody has removed the row, all goes on.
    for key in keys_of_rubbish(harness, table) if table != "watches" else ():
        if stored.rows.get(key, ("", ""))[1] == '"rubbish"':
            del stored.rows[key]
    await host.run(harness.services, 4 * MINUTE)
    assert {hook(n) for n in ALL if n or table != "watches"} == {*harness.called()}


def wake(**fields: object) -> bytes:
    return msgspec.json.encode({"wake": [{"partition": "p", "row": "r", "seq": 1} | fields]})


def look(seq: int, due: str) -> bytes:
    return f'{{"look":{{"seq":{seq},"due":"{due}"}}}}'.encode()


SOON, LAST_DAY = "2026-11-23T03:20:00Z", "9999-12-31T23:59:59Z"
WAKING = [
    b'{"wake":[]}',
    wake(seq=-1),
    wake(seq=2**62, due=SOON),
    wake(due=SOON).replace(b":1,", b":1" + b"0" * 30 + b","),
    wake(due=LAST_DAY),
    wake(due="0001-01-01T00:00:00Z"),
    wake(row="a/b?c#d" + chr(1), due=SOON),
    wake(row="r" * 30_000),
    wake(etag="*", due=SOON, copy={"url": "https://example.com/"}),
    wake(etag='"1"', due=SOON, copy={"url": 7, "end": "Failed"}),
    wake(partition=key_of(1).partition, row=key_of(1).row, seq=2**62, due=SOON),
    wake(partition=key_of(1).partition, row=key_of(1).row, seq=0),
    look(-1, SOON),
    look(2**62, SOON),
    look(2**70, SOON),
    look(2**62, LAST_DAY),
]
POSTED = [
    b"",
    b"{",
    b"[" * 30_000,
    bytes(range(256)),
    b'{"wake":[{"partition":7}]}',
    b'{"wake":"up"}',
    b'{"look":{"seq":1e99,"due":"never"}}',
    wake(copy=[1]),
]


async def test_messages_of_rubbish_stop_nothing(harness: Harness) -> None:
    host = SimulatedHost(harness)
    await run_until_watched(harness, host)
    poison: list[Any] = [queue.queue for queue in harness.services.poison]  # type: ignore[attr-defined]
    for queue in (harness.operations, harness.deliveries, *poison):
        for body in [*WAKING, *POSTED]:
            queue.post(body)
    post(harness, *DURING)
    harness.status = ended()
    before = host.runs
    await host.run(harness.services, 5 * MINUTE)
    assert host.runs - before <= MOST_RUNS * 5 + 4 * len([*WAKING, *POSTED])
    assert_all_told(harness)
    assert host.poison == []
    counts = [row["count"] for row, _ in harness.store.rejections.rows.values()]
    assert sum(counts) == 4 * len(POSTED)
    await host.run(harness.services, 5 * MINUTE)
    assert harness.operations.messages == harness.deliveries.messages == {}
