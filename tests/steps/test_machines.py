"""Users, ARM, receivers, time and the timer act in any order; a model says what must result."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
from opswatch.adapters.storage import AzureTable, create_missing
from opswatch.config import Storage
from opswatch.core.deliveries import DeliveryState
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.watches import Result, Watch
from opswatch.local.azurite import Azurite
from opswatch.ports import Query, Row, Table
from opswatch.rows.messages import decode_message
from opswatch.rows.tables import WATCHES
from opswatch.steps.control import StopOutcome, stop
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.repair import repair
from opswatch.testing import MemoryTable
from tests.support.builders import at, operation, watch
from tests.support.control import redeliver
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
from tests.support.thorough import share

T = TypeVar("T")
IDS = ("a", "b")
HOOKS = (HOOK, OTHER)
ends = st.sampled_from(["Succeeded", "Failed", "Canceled"])
ids, hooks = st.sampled_from(IDS), st.sampled_from(HOOKS)


def key_of(operation_id: str) -> Key:
    return operation_from_url(ENDPOINT + status_path(operation_id)).key


@dataclass
class Expected:
    """What the model expects of an operation."""

    is_posted: bool = False
    receivers: set[str] = field(default_factory=set)
    status: str | None = None  # ARM's final one
    is_stopped: bool = False
    result: Result | None = None  # the first that was stored


class Life(RuleBasedStateMachine):
    """Operations from their post to the last callback."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.harness = Harness()
        self.expected: dict[str, Expected] = {}
        self.has_timer = False
        self.was_interrupted = False

    def _of(self, operation_id: str) -> Expected:
        return self.expected.setdefault(operation_id, Expected())

    @initialize(has_timer=st.booleans())
    def begin(self, *, has_timer: bool) -> None:
        """Let the timer fire between: it is needed only if wake-ups get lost."""
        self.has_timer = has_timer

    @rule(operation_id=ids, callback_url=st.none() | hooks)
    def post(self, operation_id: str, callback_url: str | None) -> None:
        self.harness.statuses.setdefault(operation_id, running())
        self.harness.post(callback_url, operation=status_path(operation_id))
        expected = self._of(operation_id)
        expected.is_posted = True
        if callback_url:
            expected.receivers.add(callback_url)

    @rule(operation_id=ids, status=ends)
    def end(self, operation_id: str, status: str) -> None:
        expected = self._of(operation_id)
        expected.status = expected.status or status
        self.harness.statuses[operation_id] = ended(expected.status)

    @rule(operation_id=ids, answer=st.sampled_from([404, 429, 500, None]))
    def status_becomes_unreadable(self, operation_id: str, answer: int | None) -> None:
        self.harness.statuses[operation_id] = (
            HttpResponse(answer, {}) if answer else NoAnswer("timeout", "no answer")
        )

    @rule(code=st.sampled_from([204, 401, 500]))
    def receivers_answer(self, code: int) -> None:
        self.harness.callbacks.answer = lambda _: HttpResponse(code, {})

    @rule(seconds=st.sampled_from([1, 7, 60, 200]))
    def messages_arrive(self, seconds: int) -> None:
        self.runner.run(self.harness.pump())
        self.harness.advance(seconds=seconds)

    @rule(effects=st.sampled_from([1, 2, 3, 4, 6, 8]))
    def functions_are_interrupted(self, effects: int) -> None:
        """Process each message up to so many effects; it stays in its queue."""
        self.was_interrupted = True
        acts = (operations_message, deliveries_message)
        for queue, act in zip(self.queues, acts, strict=True):
            for message in list(queue.messages.values()):
                if message.visible_at <= self.harness.now:
                    self._interrupt(act(self.harness.services, message.body), effects)
                    self.harness.advance(seconds=1)

    def _interrupt(self, step: Coroutine[Any, Any, object], effects: int) -> None:
        self.harness.effects.cut_after = len(self.harness.effects.names) + effects
        with suppress(InterruptedStepError):
            self.runner.run(step)
        self.harness.effects.cut_after = None

    @rule()
    @precondition(lambda self: sum(len(queue.messages) for queue in self.queues) < 20)
    def messages_arrive_twice(self) -> None:
        for queue in self.queues:
            for message in list(queue.messages.values()):
                if message.visible_at <= self.harness.now:
                    queue.post(message.body)

    @rule()
    @precondition(lambda self: self.has_timer)
    def wake_ups_get_lost(self) -> None:
        for queue in self.queues:
            for message in list(queue.messages.values()):
                if decode_message(message.body):
                    del queue.messages[message.message_id]

    @property
    def queues(self) -> Any:
        return (self.harness.operations, self.harness.deliveries)

    @rule()
    @precondition(lambda self: self.has_timer)
    def timer_fires(self) -> None:
        self.runner.run(repair(self.harness.services))

    @rule(operation_id=ids)
    def user_stops(self, operation_id: str) -> None:
        outcome = self.runner.run(stop(self.harness.services, key_of(operation_id)))
        expected = self._of(operation_id)
        expected.is_stopped |= outcome is StopOutcome.STOPPED

    @rule(operation_id=ids)
    def user_redelivers(self, operation_id: str) -> None:
        self.runner.run(redeliver(self.harness.services, key_of(operation_id)))

    @invariant()
    def result_never_changes(self) -> None:
        for result in self.harness.store.results.values():
            expected = self._of(result.facts.operation.operation_id)
            expected.result = expected.result or result
            assert result == expected.result

    @invariant()
    def operation_is_listed_once(self) -> None:
        listed = [entry.operation for entry in self.harness.store.timeline.values()]
        assert len(listed) == len(set(listed))

    @invariant()
    def only_finished_operations_have_deliveries(self) -> None:
        called = [d.operation for d in self.harness.store.deliveries.values()]
        called += [d.operation for d in self.harness.store.outbox.values()]
        finished = {
            result.facts.operation.key
            for result in self.harness.store.results.values()
            if result.end.status != "Stopped"
        }
        assert set(called) <= finished

    @invariant()
    def id_belongs_to_one_delivery(self) -> None:
        seen = {
            (request.headers["webhook-id"], request.url, request.body)
            for request in self.harness.callbacks.requests
        }
        assert len({delivery_id for delivery_id, _, _ in seen}) == len(seen)

    def teardown(self) -> None:
        """End every operation and let every receiver accept; then check the results."""
        with self.runner:
            self._finish()

    def _finish(self) -> None:
        self.harness.callbacks.answer = lambda _: HttpResponse(204, {})
        for operation_id, expected in self.expected.items():
            if expected.status is None:
                expected.status = "Succeeded"
            self.harness.statuses[operation_id] = ended(expected.status)
        self.runner.run(self.harness.settle())
        # A look-ahead whose message was never sent leaves its far rows to the timer.
        is_dead = self.was_interrupted and bool(self.harness.store.lookahead.rows)
        left = [w for w in self.harness.store.watches.values() if not (is_dead and w.far)]
        assert self.has_timer or not left
        if left != self.harness.store.watches.values():
            return
        # Without a crash or a lost wake-up, no delivery needs the timer.
        for _ in range(3 if self.has_timer or self.was_interrupted else 0):
            self.harness.advance(minutes=3)
            self.runner.run(repair(self.harness.services))
            self.runner.run(self.harness.settle())
        assert not self.harness.store.watches.rows
        assert not self.harness.store.outbox.rows
        self._check_results()

    def _check_results(self) -> None:
        results = {r.facts.operation.operation_id: r for r in self.harness.store.results.values()}
        assert set(results) == {i for i, expected in self.expected.items() if expected.is_posted}
        for operation_id, result in results.items():
            expected = self.expected[operation_id]
            allowed = {expected.status, "Lost", "TimedOut"}
            assert result.end.status in ({"Stopped"} if expected.is_stopped else allowed)
            records = [
                record
                for record in self.harness.store.deliveries.values()
                if record.operation == key_of(operation_id)
            ]
            called = set() if expected.is_stopped else expected.receivers
            assert {record.callback_url for record in records} == called
            assert all(record.state is not DeliveryState.PENDING for record in records)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=share(200), stateful_step_count=40, deadline=None)


# --- the fake table and the real one, side by side

ROWS = ("1", "2", "2~3")
rows, seqs = st.sampled_from(ROWS), st.integers(1, 3)


def row(name: str, seq: int) -> Watch:
    named = replace(operation(), key=Key("p", name))
    return watch(operation=named, seq=seq, due_at=at(seq))


class Tables(RuleBasedStateMachine):
    """The same calls on both tables have the same outcomes."""

    account: Account
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        name = f"t{uuid4().hex}"
        self.runner.run(create_missing(self.account, [], [name]))
        self.tables: tuple[Table[Watch], Table[Watch]] = (
            MemoryTable(WATCHES),
            AzureTable(self.account, WATCHES, name),
        )
        # For each table, the ETags of each row so far, oldest first.
        self.etags: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})

    def _both(self, verb: str, *arguments: Any, etag_of: str = "", age: int = 0) -> None:
        outcomes = []
        for table, etags in zip(self.tables, self.etags, strict=True):
            known = etags.get(etag_of) or ["W/\"datetime'2020-01-01T00%3A00%3A00.0Z'\""]
            more = (known[max(0, len(known) - 1 - age)],) if etag_of else ()
            outcome = self.runner.run(getattr(table, verb)(*arguments, *more))
            if isinstance(outcome, Row):
                seen = etags.setdefault(outcome.value.key.row, [])
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
        self._both("replace", row(name, seq), etag_of=name, age=age)

    @rule(name=rows, seq=seqs)
    def put(self, name: str, seq: int) -> None:
        self._both("put", row(name, seq))

    @rule(name=rows, age=st.integers(0, 2))
    def delete_etag(self, name: str, age: int) -> None:
        self._both("delete", Key("p", name), etag_of=name, age=age)

    @rule(name=rows)
    def delete(self, name: str) -> None:
        self._both("delete", Key("p", name))

    @rule(name=rows)
    def get(self, name: str) -> None:
        self._both("get", Key("p", name))

    @rule(prefix=st.none() | st.sampled_from(["2", "2~", "3"]), due=st.none() | seqs)
    def find(self, prefix: str | None, due: int | None) -> None:
        before = None if due is None else at(due)
        query = Query(partition="p", row_prefix=prefix, due_before=before)
        found = [self.runner.run(_all(table, query)) for table in self.tables]
        assert found[0] == found[1]


async def _all(table: Table[Watch], query: Query) -> list[Watch]:
    return [found.value async for found in table.find(query)]


@pytest.fixture
def both_tables(azurite: Azurite) -> Any:
    with asyncio.Runner() as runner:

        async def opened() -> Account:
            return Account(Storage(connection_string=azurite.connection_string))

        Tables.account, Tables.runner = runner.run(opened()), runner
        yield
        runner.run(Tables.account.close())


@pytest.mark.usefixtures("both_tables")
def test_fake_table_behaves_as_the_real_one() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    run_state_machine_as_test(
        Tables,
        settings=settings(
            max_examples=share(25),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=checks,
        ),
    )
