"""A house full of twins: a world in memory, a clock to turn, and effects to cut off."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opswatch.core.keys import operation_from_url
from opswatch.rows.tables import TABLES
from opswatch.testing import (
    MemoryArm,
    MemoryCallbacks,
    MemoryPoisonQueue,
    MemoryQueue,
    MemoryStore,
    pump,
)
from opswatch.core.deliveries import Delivery
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import Key, WakeUp
from opswatch.core.policy import Policy
from opswatch.core.watches import Result, Watch
from opswatch.steps.wakeups import read_wake_up
from opswatch.ports import Services, Store
from opswatch.steps.messages import deliveries_message, operations_message
from tests.worlds import ENDPOINT, make_services, status_path

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
HOOK = "https://hooks.example.com/1"
OTHER = "https://other.example.com/2"
OPERATION = "6432a8f9-0fe6-4339-9303-772c92f35d02"
KEY = operation_from_url(ENDPOINT + status_path(OPERATION)).key
POLICY = Policy(
    timeout=timedelta(hours=1),
    callback_schedule=tuple(timedelta(seconds=s) for s in (0, 5, 300)),
)
_WRITES = {"insert", "replace", "put", "delete", "send", "take_back", "get_status", "post"}


class CutOffError(Exception):
    """The function ends here: a crash, a time-out, an outage."""


def running(**headers: str) -> HttpResponse:
    return HttpResponse(200, headers, b'{"status": "InProgress"}')


def ended(status: str = "Succeeded") -> HttpResponse:
    return HttpResponse(200, {}, json.dumps({"status": status}).encode())


@dataclass(slots=True)
class Effects:
    """What a step has written, sent and asked, in this order."""

    names: list[str] = field(default_factory=list)
    cut_after: int | None = None  # effects
    before: dict[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)

    async def happen(self, name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        if name in self.before:  # once
            await self.before.pop(name)()
        outcome = await act()
        self.names.append(name)
        if self.cut_after is not None and len(self.names) >= self.cut_after:
            raise CutOffError(name)
        return outcome


class Noted:
    """A port whose effects are noted."""

    def __init__(self, name: str, inner: Any, effects: Effects) -> None:
        self._name, self._inner, self._effects = name, inner, effects

    def __getattr__(self, verb: str) -> Any:
        method = getattr(self._inner, verb)
        if verb not in _WRITES and self._name != "arm":
            return method

        async def noted(*arguments: Any) -> Any:
            return await self._effects.happen(f"{self._name}.{verb}", lambda: method(*arguments))

        return noted


class House:
    """A world of twins."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.now = START
        self.effects = Effects()
        self.store = MemoryStore()
        self.operations, self.deliveries = MemoryQueue(self.clock), MemoryQueue(self.clock)
        self.poison = MemoryQueue(self.clock)
        self.status: HttpResponse | NoAnswer = running()
        self.statuses: dict[str, HttpResponse | NoAnswer] = {}  # of operations, by their IDs
        self.arm = MemoryArm(self._answer)
        self.callbacks = MemoryCallbacks()
        self.services = self._world(policy)

    def _world(self, policy: Policy) -> Services:
        def noted(name: str, inner: object) -> Any:
            return Noted(name, inner, self.effects)

        return make_services(
            store=Store(**{name: noted(name, getattr(self.store, name)) for name in TABLES}),
            operations=noted("operations", self.operations),
            deliveries=noted("deliveries_queue", self.deliveries),
            poison=(MemoryPoisonQueue(self.poison),),
            arm=noted("arm", self.arm),
            callbacks=noted("callbacks", self.callbacks),
            clock=self.clock,
            policy=policy,
        )

    def _answer(self, url: str) -> HttpResponse | NoAnswer:
        return self.statuses.get(url.partition("?")[0].rpartition("/")[2], self.status)

    def clock(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)

    # --- what stands

    @property
    def watch(self) -> Watch:
        (watch,) = self.store.watches.values()
        return watch

    @property
    def result(self) -> Result:
        (result,) = self.store.results.values()
        return result

    @property
    def owed(self) -> Delivery:
        (owed,) = self.store.outbox.values()
        return owed

    @property
    def settled(self) -> Delivery:
        (settled,) = self.store.deliveries.values()
        return settled

    @staticmethod
    def wakes(queue: MemoryQueue) -> list[WakeUp]:
        woken = [read_wake_up(message.body) for message in queue.messages.values()]
        return [wake for wake in woken if wake is not None]

    def seqs(self, queue: MemoryQueue) -> list[int]:
        return [wake.seq for wake in self.wakes(queue)]

    def called(self) -> list[str]:
        return [request.url for request in self.callbacks.requests]

    # --- what happens

    def post(self, callback_url: str | None = None, **more: object) -> bytes:
        """Post `OPERATION`, or the one that is given."""
        posted = {"operation": status_path(OPERATION), "callbackUrl": callback_url} | more
        body = json.dumps({name: value for name, value in posted.items() if value}).encode()
        self.operations.post(body)
        return body

    async def pump(self) -> int:
        """Act on every visible message of both queues, once."""
        count = await pump(self.operations, lambda body: operations_message(self.services, body))
        return count + await pump(
            self.deliveries, lambda body: deliveries_message(self.services, body)
        )

    async def settle(self, most: int = 100) -> None:
        """Go on, from message to message, until nothing is left to do."""
        for _ in range(most):
            while await self.pump():
                pass
            waiting = (*self.operations.messages.values(), *self.deliveries.messages.values())
            if not waiting:
                return
            self.now = max(self.now, min(message.visible_at for message in waiting))
        raise AssertionError("it goes on and on")

    async def watched(self, *callback_urls: str) -> Watch:
        """Register the operation and poll it once."""
        self.post(*callback_urls[:1])
        await self.pump()
        for callback_url in callback_urls[1:]:
            self.post(callback_url)
        await self.pump()
        return self.watch

    async def ended(self, *callback_urls: str, status: str = "Succeeded") -> None:
        """Bring the operation to its end, and every delivery to its own."""
        await self.watched(*callback_urls)
        self.status = ended(status)
        await self.settle()

    def rows(self) -> dict[str, dict[Key, Any]]:
        """Return what stands in each table."""
        return {
            name: {key: row for key, (row, _) in getattr(self.store, name).rows.items()}
            for name in TABLES
        }
