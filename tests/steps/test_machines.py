"""Any order of what users, ARM, receivers, time and the timer do, beside a model of it."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.config import Storage
from opswatch.core.deliveries import DeliveryState
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.watches import Result, Watch
from opswatch.local.azurite import Azurite
from opswatch.ports import Query, Row, Table
from opswatch.rows.tables import WATCHES
from opswatch.steps.control import StopOutcome, redeliver, stop
from opswatch.steps.maintenance import repair
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.wakeups import read_wake_up
from opswatch.testing import MemoryTable
from tests.support.builders import NOW, operation, watch
from tests.support.harness import (
    ENDPOINT,
    HOOK,
    OTHER,
    Harness,
    InterruptedStepError,
    ended,
    running,
    status_path,
)

T = TypeVar("T")
IDS = ("a", "b")
HOOKS = (HOOK, OTHER)
ends = st.sampled_from(["Succeeded", "Failed", "Canceled"])
ids, hooks = st.sampled_from(IDS), st.sampled_from(HOOKS)


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what comes of a step over twins in memory, which never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


def key_of(operation_id: str) -> Key:
    return operation_from_url(ENDPOINT + status_path(operation_id)).key


@dataclass
class Known:
    """What the model knows of an operation."""

    is_posted: bool = False
    receivers: set[str] = field(default_factory=set)
    status: str | None = None  # that ARM ended it with
    is_stopped: bool = False
    result: Result | None = None  # as first seen


class Life(RuleBasedStateMachine):
    """Operations from their post to the last callback."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness()
        self.known: dict[str, Known] = {}
        self.is_reconciled = False

    def _of(self, operation_id: str) -> Known:
        return self.known.setdefault(operation_id, Known())

    @initialize(is_reconciled=st.booleans())
    def begin(self, *, is_reconciled: bool) -> None:
        """Let the timer fire, which is needed where wake-ups get lost, and only there."""
        self.is_reconciled = is_reconciled

    @rule(operation_id=ids, callback_url=st.none() | hooks)
    def post(self, operation_id: str, callback_url: str | None) -> None:
        self.harness.statuses.setdefault(operation_id, running())
        self.harness.post(callback_url, operation=status_path(operation_id))
        known = self._of(operation_id)
        known.is_posted = True
        if callback_url:
            known.receivers.add(callback_url)

    @rule(operation_id=ids, status=ends)
    def end(self, operation_id: str, status: str) -> None:
        known = self._of(operation_id)
        known.status = known.status or status
        self.harness.statuses[operation_id] = ended(known.status)

    @rule(operation_id=ids, answer=st.sampled_from([404, 429, 500, None]))
    def become_unreadable(self, operation_id: str, answer: int | None) -> None:
        self.harness.statuses[operation_id] = (
            HttpResponse(answer, {}) if answer else NoAnswer("timeout", "no answer")
        )

    @rule(code=st.sampled_from([204, 401, 500]))
    def receivers_answer(self, code: int) -> None:
        self.harness.callbacks.answer = lambda _: HttpResponse(code, {})

    @rule(seconds=st.sampled_from([1, 7, 60, 200]))
    def messages_come(self, seconds: int) -> None:
        now(self.harness.pump())
        self.harness.advance(seconds=seconds)

    @rule(effects=st.sampled_from([1, 2, 3, 4, 6, 8]))
    def functions_die(self, effects: int) -> None:
        """Act on each message until so many effects have taken place; it stays where it is."""
        acts = (operations_message, deliveries_message)
        for queue, act in zip(self.queues, acts, strict=True):
            for message in list(queue.messages.values()):
                if message.visible_at <= self.harness.now:
                    self._cut_off(act(self.harness.services, message.body), effects)
                    self.harness.advance(seconds=1)

    def _cut_off(self, step: Coroutine[Any, Any, object], effects: int) -> None:
        self.harness.effects.cut_after = len(self.harness.effects.names) + effects
        with suppress(InterruptedStepError):
            now(step)
        self.harness.effects.cut_after = None

    @rule()
    @precondition(lambda self: sum(len(queue.messages) for queue in self.queues) < 20)
    def messages_come_twice(self) -> None:
        for queue in self.queues:
            for message in list(queue.messages.values()):
                if message.visible_at <= self.harness.now:
                    queue.post(message.body)

    @rule()
    @precondition(lambda self: self.is_reconciled)
    def wake_ups_get_lost(self) -> None:
        for queue in self.queues:
            for message in list(queue.messages.values()):
                if read_wake_up(message.body):
                    del queue.messages[message.message_id]

    @property
    def queues(self) -> Any:
        return (self.harness.operations, self.harness.deliveries)

    @rule()
    @precondition(lambda self: self.is_reconciled)
    def timer_fires(self) -> None:
        now(repair(self.harness.services))

    @rule(operation_id=ids)
    def user_stops(self, operation_id: str) -> None:
        outcome = now(stop(self.harness.services, key_of(operation_id)))
        known = self._of(operation_id)
        known.is_stopped |= outcome is StopOutcome.STOPPED

    @rule(operation_id=ids)
    def user_wants_it_again(self, operation_id: str) -> None:
        now(redeliver(self.harness.services, key_of(operation_id)))

    @invariant()
    def a_result_never_changes(self) -> None:
        for result in self.harness.store.results.values():
            known = self._of(result.facts.operation.operation_id)
            known.result = known.result or result
            assert result == known.result

    @invariant()
    def an_operation_is_listed_once(self) -> None:
        listed = [line.operation for line in self.harness.store.timeline.values()]
        assert len(listed) == len(set(listed))

    @invariant()
    def nobody_is_told_of_what_goes_on_or_was_stopped(self) -> None:
        told = [d.operation for d in self.harness.store.deliveries.values()]
        told += [d.operation for d in self.harness.store.outbox.values()]
        finished = {
            result.facts.operation.key
            for result in self.harness.store.results.values()
            if result.end.status != "Stopped"
        }
        assert set(told) <= finished

    @invariant()
    def an_id_belongs_to_one_delivery(self) -> None:
        seen = {
            (request.headers["webhook-id"], request.url, request.body)
            for request in self.harness.callbacks.requests
        }
        assert len({delivery_id for delivery_id, _, _ in seen}) == len(seen)

    def teardown(self) -> None:
        """Let everything become well, and everything come to its end."""
        self.harness.callbacks.answer = lambda _: HttpResponse(204, {})
        for operation_id, known in self.known.items():
            if known.status is None:
                known.status = "Succeeded"
            self.harness.statuses[operation_id] = ended(known.status)
        now(self.harness.settle(1000))
        for _ in range(3 if self.is_reconciled else 0):
            self.harness.advance(minutes=3)
            now(repair(self.harness.services))
            now(self.harness.settle(1000))
        assert not self.harness.store.watches.rows
        assert not self.harness.store.outbox.rows
        self._check_results()

    def _check_results(self) -> None:
        results = {r.facts.operation.operation_id: r for r in self.harness.store.results.values()}
        assert set(results) == {i for i, known in self.known.items() if known.is_posted}
        for operation_id, result in results.items():
            known = self.known[operation_id]
            allowed = {known.status, "Lost", "TimedOut"}
            assert result.end.status in ({"Stopped"} if known.is_stopped else allowed)
            records = [
                record
                for record in self.harness.store.deliveries.values()
                if record.operation == key_of(operation_id)
            ]
            told = set() if known.is_stopped else known.receivers
            assert {record.callback_url for record in records} == told
            assert all(record.state is not DeliveryState.PENDING for record in records)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


# --- rows: the twin in memory and the real table, side by side

ROWS = ("1", "2", "2~3")
rows, seqs = st.sampled_from(ROWS), st.integers(1, 3)


def row(name: str, seq: int) -> Watch:
    at = NOW + timedelta(seconds=seq)
    named = operation()
    return watch(operation=type(named)(**_fields(named, name)), seq=seq, due_at=at)


def _fields(named: Any, name: str) -> dict[str, Any]:
    fields = {slot: getattr(named, slot) for slot in named.__slots__}
    return fields | {"key": Key("p", name)}


class Tables(RuleBasedStateMachine):
    """The same effects on both tables have the same outcomes."""

    account: Account
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        client = self.account.table(f"t{uuid4().hex}")
        self.runner.run(_create(client))
        self.tables: tuple[Table[Watch], Table[Watch]] = (
            MemoryTable(WATCHES),
            AzureTable(self.account, WATCHES, client.table_name),
        )
        # For each table, the versions of each row that were ever seen, oldest first.
        self.versions: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})

    def _both(self, verb: str, *arguments: Any, versioned: str = "", age: int = 0) -> None:
        outcomes = []
        for table, versions in zip(self.tables, self.versions, strict=True):
            known = versions.get(versioned) or ["W/\"datetime'2020-01-01T00%3A00%3A00.0Z'\""]
            more = (known[max(0, len(known) - 1 - age)],) if versioned else ()
            outcome = self.runner.run(getattr(table, verb)(*arguments, *more))
            if isinstance(outcome, Row):
                seen = versions.setdefault(outcome.value.key.row, [])
                if outcome.etag not in seen:
                    seen.append(outcome.etag)
                outcome = outcome.value
            outcomes.append(outcome)
        assert outcomes[0] == outcomes[1]

    @rule(name=rows, seq=seqs)
    def insert(self, name: str, seq: int) -> None:
        self._both("insert", row(name, seq))

    @rule(name=rows, seq=seqs, age=st.integers(0, 3))
    def replace(self, name: str, seq: int, age: int) -> None:
        self._both("replace", row(name, seq), versioned=name, age=age)

    @rule(name=rows, seq=seqs)
    def put(self, name: str, seq: int) -> None:
        self._both("put", row(name, seq))

    @rule(name=rows, age=st.integers(0, 2))
    def delete_version(self, name: str, age: int) -> None:
        self._both("delete", Key("p", name), versioned=name, age=age)

    @rule(name=rows)
    def delete(self, name: str) -> None:
        self._both("delete", Key("p", name))

    @rule(name=rows)
    def get(self, name: str) -> None:
        self._both("get", Key("p", name))

    @rule(prefix=st.none() | st.sampled_from(["2", "2~", "3"]), due=st.none() | seqs)
    def find(self, prefix: str | None, due: int | None) -> None:
        before = None if due is None else NOW + timedelta(seconds=due)
        where = Query(partition="p", row_prefix=prefix, due_before=before)
        found = [self.runner.run(_all(table, where)) for table in self.tables]
        assert found[0] == found[1]


async def _create(client: Any) -> None:
    await client.create_table()


async def _all(table: Table[Watch], where: Query) -> list[Watch]:
    return [found.value async for found in table.find(where)]


@pytest.fixture
def beside(azurite: Azurite) -> Any:
    with asyncio.Runner() as runner:

        async def opened() -> Account:
            return Account(Storage(connection_string=azurite.connection_string))

        Tables.account, Tables.runner = runner.run(opened()), runner
        yield
        runner.run(Tables.account.close())


@pytest.mark.usefixtures("beside")
def test_the_twin_in_memory_does_as_the_real_table_does() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    run_state_machine_as_test(
        Tables,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=checks
        ),
    )
