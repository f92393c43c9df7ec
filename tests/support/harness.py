"""The app over in-memory fakes: a clock to advance, and effects that can be interrupted."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from opswatch.adapters.no_telemetry import NoTelemetry
from opswatch.adapters.read_budget import ReadBudget
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.deliveries import Delivery, new_delivery
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.intake import Defaults, Intake, Registration
from opswatch.core.keys import Key, Operation, operation_from_url
from opswatch.core.lookahead import REACH, Look
from opswatch.core.policy import Policy
from opswatch.core.summary import PARTITION
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import End, FinalStatus, OperationFacts, Result, Watch
from opswatch.core.webhook import Secret
from opswatch.ports import (
    Arm,
    Budget,
    Callbacks,
    Counts,
    Durations,
    PoisonQueue,
    Queue,
    Services,
    Store,
    Telemetry,
)
from opswatch.rows.messages import decode_message, encode_wake_ups
from opswatch.rows.tables import TABLES
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.wakeups import delivery_chain, send_wake_up
from opswatch.testing import (
    MemoryArm,
    MemoryCallbacks,
    MemoryCounts,
    MemoryDurations,
    MemoryPoisonQueue,
    MemoryQueue,
    MemoryStore,
    pump,
)
from tests.support.clock import Clock, SimulatedClock

ENDPOINT = "https://management.azure.com"
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
SECRET = Secret(b"k" * 32)
START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
HOOK = "https://hooks.example.com/1"
OTHER = "https://other.example.com/2"
OPERATION = "6432a8f9-0fe6-4339-9303-772c92f35d02"
POLICY = Policy(
    timeout=timedelta(hours=1),
    callback_schedule=tuple(timedelta(seconds=s) for s in (0, 5, 300)),
)
# The tables that ports name, of which some share one of the storage.
STORED = tuple(field.name for field in fields(Store))
_NO_EFFECTS = {"summary"}  # what a timer counts again each minute
_EFFECTS = {
    "insert",
    "replace",
    "merge",
    "put",
    "delete",
    "delete_all",
    "send",
    "send_wake_up",
    "post",
}


def status_path(operation_id: str = OPERATION) -> str:
    """Return the path that a status body has as its `id`."""
    return (
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Cache/locations/westus"
        f"/operationsStatus/{operation_id}"
    )


KEY = operation_from_url(ENDPOINT + status_path()).key


def wake_up_message(*wakes: WakeUp) -> bytes:
    """Return the message that carries `wakes`."""
    (body,) = encode_wake_ups(wakes)
    return body


def make_services(  # noqa: PLR0913 - there are so many ports
    *,
    operations: Queue,
    deliveries: Queue,
    arm: Arm,
    clock: Clock,
    poison: tuple[PoisonQueue, ...] = (),
    store: Store | None = None,
    budget: Budget | None = None,
    durations: Durations | None = None,
    counts: Counts | None = None,
    callbacks: Callbacks | None = None,
    policy: Policy | None = None,
    telemetry: Telemetry | None = None,
    under_way: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Services:
    """Return services; a port that is left out is a fake."""
    return Services(
        store=store or MemoryStore(),
        operations=operations,
        deliveries=deliveries,
        poison=poison,
        arm=arm,
        budget=budget or ReadBudget(),
        durations=durations or MemoryDurations(policy),
        counts=counts or MemoryCounts(),
        callbacks=callbacks or MemoryCallbacks(),
        under_way=under_way,
        trusted_looks={},
        telemetry=telemetry or NoTelemetry(),
        clock=clock,
        intake=Intake(
            endpoint=ENDPOINT,
            defaults=Defaults(subscription_id=SUBSCRIPTION, location="westus"),
            rules=CallbackRules(),
        ),
        policy=policy or Policy(),
        secrets=(SECRET,),
    )


def running(**headers: str) -> HttpResponse:
    return HttpResponse(200, headers, b'{"status": "InProgress"}')


def ended(status: str = "Succeeded") -> HttpResponse:
    return HttpResponse(200, {}, json.dumps({"status": status}).encode())


async def enqueue_delivery(services: Services, number: int, url: str) -> Operation:
    """End an operation, and enqueue the delivery of its result to `url`; return the operation."""
    now = services.clock()
    operation = operation_from_url(f"{ENDPOINT}{status_path(f'op{number}')}?api-version=1")
    facts = OperationFacts(operation=operation, registered_at=now, deadline_at=now)
    await services.store.results.insert(
        Result(facts=facts, end=End(status=FinalStatus.SUCCEEDED, finished_at=now))
    )
    delivery = new_delivery(operation.key, url, now, services.policy)
    await services.store.outbox.insert(delivery)
    await send_wake_up(services, delivery_chain(services), delivery)
    return operation


async def enqueue_not_due(services: Services, count: int) -> None:
    """Enqueue `count` messages that are not due for an hour."""
    for number in range(count):
        wake = WakeUp(key=Key("p", f"{number}"), seq=1)
        await services.deliveries.send_wake_up(wake, timedelta(hours=1))


class InterruptedStepError(Exception):
    """The function is interrupted: a crash, a time-out, an outage."""


@dataclass(slots=True)
class Effects:
    """The writes, messages and requests of steps, in order; a test can interrupt after any."""

    names: list[str] = field(default_factory=list)
    cut_after: int | None = None  # effects
    before: dict[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)

    async def run(self, name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        if name in self.before:  # once
            await self.before.pop(name)()
        outcome = await act()
        self.names.append(name)
        if self.cut_after is not None and len(self.names) >= self.cut_after:
            raise InterruptedStepError(name)
        return outcome


class RecordingPort:
    """A port whose effects are recorded, and whose requests take `latency` seconds."""

    def __init__(self, name: str, inner: Any, effects: Effects, latency: float = 0) -> None:
        self._name, self._inner, self._effects, self._latency = name, inner, effects, latency

    def __getattr__(self, verb: str) -> Any:
        method = getattr(self._inner, verb)
        is_effect = (verb in _EFFECTS and self._name not in _NO_EFFECTS) or self._name == "arm"
        if not is_effect and (verb != "get" or not self._latency):
            return method

        async def called(*arguments: Any) -> Any:
            if self._latency:
                await asyncio.sleep(self._latency)
            if not is_effect:
                return await method(*arguments)
            return await self._effects.run(f"{self._name}.{verb}", lambda: method(*arguments))

        return called


class Harness:
    """The app over fakes: in simulated time, unless it gets another clock."""

    def __init__(
        self,
        policy: Policy = POLICY,
        *,
        clock: Clock | None = None,
        callbacks: Callbacks | None = None,
        latency: float = 0,  # seconds, of each request to the storage
    ) -> None:
        self.simulated = SimulatedClock(START)
        self.clock = clock or self.simulated
        self.effects = Effects()
        self.store = MemoryStore()
        self.operations, self.deliveries = MemoryQueue(self.clock), MemoryQueue(self.clock)
        self.poison = MemoryQueue(self.clock)
        self.status: HttpResponse | NoAnswer = running()
        self.statuses: dict[str, HttpResponse | NoAnswer] = {}  # of operations, by their IDs
        self.arm = MemoryArm(self._answer)
        self.callbacks = MemoryCallbacks()

        def recording(name: str, inner: object, latency: float = latency) -> Any:
            return RecordingPort(name, inner, self.effects, latency)

        self.services = make_services(
            store=Store(**{name: recording(name, getattr(self.store, name)) for name in STORED}),
            operations=recording("operations", self.operations),
            deliveries=recording("deliveries_queue", self.deliveries),
            poison=(MemoryPoisonQueue(self.poison),),
            arm=recording("arm", self.arm, 0),
            callbacks=recording("callbacks", callbacks or self.callbacks, 0),
            clock=self.clock,
            policy=policy,
        )

    def _answer(self, url: str) -> HttpResponse | NoAnswer:
        return self.statuses.get(url.partition("?")[0].rpartition("/")[2], self.status)

    @property
    def now(self) -> datetime:
        return self.clock()

    @now.setter
    def now(self, now: datetime) -> None:
        self.simulated.now = now

    def advance(self, **span: float) -> None:
        self.simulated.advance(**span)

    # --- rows and messages

    @property
    def watch(self) -> Watch:
        (watch,) = self.store.watches.values()
        return watch

    @property
    def result(self) -> Result:
        (result,) = self.store.results.values()
        return result

    @property
    def pending(self) -> Delivery:
        (pending,) = self.store.outbox.values()
        return pending

    @property
    def settled(self) -> Delivery:
        (settled,) = self.store.deliveries.values()
        return settled

    @staticmethod
    def wake_ups(queue: MemoryQueue) -> list[WakeUp]:
        read = [decode_message(message.body) for message in queue.messages.values()]
        return [wake for wakes in read if isinstance(wakes, tuple) for wake in wakes]

    def seqs(self, queue: MemoryQueue) -> list[int]:
        return [wake.seq for wake in self.wake_ups(queue)]

    def called(self) -> list[str]:
        return [request.url for request in self.callbacks.requests]

    def rows(self) -> dict[str, dict[Key, Any]]:
        """Return the rows of each table, but for what a timer has counted."""
        return {
            name: {
                key: row
                for key, (row, _) in getattr(self.store, name).rows.items()
                if key.partition != PARTITION
            }
            for name in TABLES
        }

    # --- running

    def post(self, callback_url: str | None = None, **more: object) -> bytes:
        """Post `OPERATION`, or the one that is given."""
        posted = {"operation": status_path(), "callbackUrl": callback_url} | more
        body = json.dumps({name: value for name, value in posted.items() if value}).encode()
        self.operations.post(body)
        return body

    def registration_body(self, callback_url: str | None = None) -> bytes:
        """Return a post of `OPERATION`, which is in no queue."""
        body = self.post(callback_url)
        self.operations.messages.popitem()
        return body

    def registration(self, callback_url: str | None = None) -> Registration:
        """Return what a post of `OPERATION` asks for."""
        posted = self.services.intake.read(self.registration_body(callback_url), self.now)
        assert isinstance(posted, Registration)
        return posted

    async def pump(self) -> int:
        """Act on every visible message of both queues, once."""
        count = await pump(self.operations, lambda body: operations_message(self.services, body))
        return count + await self.pump_deliveries()

    async def pump_all(self) -> None:
        """Act until no message is visible."""
        while await self.pump():
            pass

    async def pump_deliveries(self) -> int:
        """Act on every visible message of the queue `deliveries`, once."""
        return await pump(self.deliveries, lambda body: deliveries_message(self.services, body))

    async def settle(self, most: int = 1000) -> None:
        """Advance to the next message until there is none."""
        for _ in range(most):
            await self.pump_all()
            following = self.next_event_at()
            if following is None:
                return
            self.now = max(self.now, following)
        raise AssertionError("there are still messages")

    def next_event_at(self) -> datetime | None:
        """Return when the next message is visible; None if there is none.

        Looks that would find no row wait until one of them does: a look may be late.
        """
        messages = (*self.operations.messages.values(), *self.deliveries.messages.values())
        if not messages:
            return None
        work = [
            message.visible_at
            for message in messages
            if not isinstance(decode_message(message.body), Look)
        ]
        found = [watch.due_at - REACH for watch in self.store.watches.values() if watch.far]
        found += [
            delivery.next_attempt_at - REACH
            for delivery in self.store.outbox.values()
            if delivery.far and delivery.next_attempt_at is not None
        ]
        first = min(message.visible_at for message in messages)
        return max(first, min([*work, *found], default=first))

    async def watched(self, *callback_urls: str) -> Watch:
        """Register the operation and poll it once."""
        self.post(*callback_urls[:1])
        await self.pump()
        for callback_url in callback_urls[1:]:
            self.post(callback_url)
        await self.pump()
        return self.watch

    async def ended(self, *callback_urls: str, status: str = "Succeeded") -> None:
        """Run the operation to its end, and settle every delivery."""
        await self.watched(*callback_urls)
        self.status = ended(status)
        await self.settle()
