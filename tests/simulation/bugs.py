"""Bugs to be planted: each breaks one rule of the design, and the simulation must find it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from typing import Any, cast

from opswatch.core.decide import Fence
from opswatch.steps.wake import send_wake_up

from opswatch.core.deliveries import Delivery, new_delivery
from opswatch.core.intake import Registration
from opswatch.core.keys import Key, WakeUp
from opswatch.core.watches import FinalStatus, Finish, Result, Wait, Watch, after_poll
from opswatch.ports import Poisoned, Query, Row, Sent, Services
from opswatch.testing import MemoryTable
from tests.simulation.faults import FaultyQueue, FaultyTable

# By name: in the package, each function hides the module of its name.
deliver, finish, gate, messages, poll, repair, register = (
    cast("Any", import_module(f"opswatch.steps.{name}"))
    for name in ("deliver", "finish", "gate", "messages", "poll", "reconcile", "register")
)
Plant = tuple[Any, str, Any]  # a module or a class, the name of one of its functions, the mutant


@contextmanager
def planted(plants: tuple[Plant, ...]) -> Iterator[None]:
    """Put mutants in the place of functions, for a while."""
    originals = [(where, name, getattr(where, name)) for where, name, _ in plants]
    for where, name, mutant in plants:
        setattr(where, name, mutant)
    try:
        yield
    finally:
        for where, name, original in originals:
            setattr(where, name, original)


# --- the chain of a watch


def _decided(services: Services, stored: Row[Watch], answer: Any) -> tuple[Any, datetime]:
    now = services.clock()
    seen = poll.arm.read(answer, endpoint=services.intake.endpoint, now=now)
    return after_poll(stored.value, seen, now, services.policy), now


async def _commit_before_send(services: Services, stored: Row[Watch], wake: WakeUp) -> None:
    action, now = _decided(
        services, stored, await services.arm.get(stored.value.facts.operation.url)
    )
    standing = await poll._commit(services, stored, action.watch)
    if isinstance(action, Wait) and poll._is_kept(action.watch, standing):
        await services.operations.send(
            replace(wake, seq=action.watch.seq), action.watch.due_at - now
        )
    if standing is not None and standing.value.end is not None:
        await poll.finish(services, standing)


async def _end_not_kept(services: Services, stored: Row[Watch], wake: WakeUp) -> None:
    action, now = _decided(
        services, stored, await services.arm.get(stored.value.facts.operation.url)
    )
    if isinstance(action, Finish):
        await poll.finish(services, replace(stored, value=action.watch))
        return
    sent = await services.operations.send(
        replace(wake, seq=action.watch.seq), action.watch.due_at - now
    )
    standing = await poll._commit(services, stored, action.watch)
    if not poll._is_kept(action.watch, standing):
        await services.operations.take_back(sent)


def _not_yet_is_dropped(message_seq: int, row_seq: int) -> Fence:
    return Fence.WORK if message_seq == row_seq else Fence.DROP


def _fence_is_ignored(_message_seq: int, _row_seq: int) -> Fence:
    return Fence.WORK


async def _replace_without_etag(self: MemoryTable[Any], value: Any, _version: str) -> Any:
    key = self._codec.key(value)
    return self._write(key, value) if key in self.rows else None


async def _commit_forgets_receivers(
    services: Services, stored: Row[Watch], watch: Watch
) -> Row[Watch] | None:
    version = stored.version
    while True:
        committed = await services.store.watches.replace(watch, version)
        if committed is not None:
            return committed
        standing = await services.store.watches.get(watch.key)
        if standing is None or standing.value.end or standing.value.seq != stored.value.seq:
            return standing
        version = standing.version


async def _not_taken_back(_self: FaultyQueue, _sent: Sent) -> None:
    return


# --- registration


async def _not_restarted(services: Services, registration: Registration, now: datetime) -> None:
    begun = register.begin(registration, now, services.policy)
    while True:
        inserted = await services.store.watches.insert(begun)
        stored = inserted or await services.store.watches.get(begun.key)
        watch = stored and await register._joined(services, stored, registration, now)
        if watch is not None:
            break
    ended = await services.store.results.get(begun.key)
    if ended is not None:
        await finish.finish_with(services, watch, ended.value)
    elif inserted is not None:
        await register._start(services, watch.value)


async def _result_looked_for_first(
    services: Services, registration: Registration, now: datetime
) -> None:
    begun = register.begin(registration, now, services.policy)
    while True:
        ended = await services.store.results.get(begun.key)
        stored = await services.store.watches.insert(begun) or await services.store.watches.get(
            begun.key
        )
        watch = stored and await register._joined(services, stored, registration, now)
        if watch is not None:
            break
    if ended is not None:
        await finish.finish_with(services, watch, ended.value)
    elif watch.value.facts.polls == 0:
        await register._start(services, watch.value)


async def _late_receiver_forgotten(services: Services, watch: Any, _ended: Result) -> None:
    await services.store.watches.delete(watch.value.key, watch.version)


# --- the end, and deliveries


async def _message_before_row(
    services: Services, result: Result, callback_url: str, since: datetime
) -> None:
    if result.end.status is FinalStatus.STOPPED:
        return
    delivery = new_delivery(result.facts.operation.key, callback_url, since, services.policy)
    if await services.store.deliveries.get(delivery.key) is None:
        await send_wake_up(services, delivery)
        await services.store.outbox.insert(delivery)


async def _row_not_started_again(
    services: Services, result: Result, callback_url: str, since: datetime
) -> None:
    if result.end.status is FinalStatus.STOPPED:
        return
    delivery = new_delivery(result.facts.operation.key, callback_url, since, services.policy)
    if await services.store.outbox.get(delivery.key) is not None:
        return
    if await services.store.deliveries.get(delivery.key) is None:
        await services.store.outbox.insert(delivery)
        await send_wake_up(services, delivery)


_delete = FaultyTable.delete


async def _deleted_unconditionally(
    self: FaultyTable[Any], key: Key, _version: str | None = None
) -> bool:
    return await _delete(self, key)


async def _row_removed_before_record(
    services: Services, stored: Row[Delivery], delivery: Delivery
) -> None:
    await deliver._remove(services, stored)
    await deliver._record(services, stored.value, delivery)


def _never_settled(_owed: Delivery, _record: Delivery) -> bool:
    return False


async def _second_end_wins(services: Services, _owed: Delivery, delivery: Delivery) -> None:
    await services.store.deliveries.put(delivery)


async def _rewoken_without_a_message(
    table: Any, _queue: Any, due_now: Callable[[Any, datetime], Any], now: datetime
) -> int:
    found = [row async for row in table.find(Query(due_before=now))]
    for row in found:
        await table.replace(due_now(row.value, now), row.version)
    return len(found)


async def _poisoned_posts_dropped(_world: Services, _poisoned: Poisoned) -> bool:
    return True


BUGS: dict[str, tuple[Plant, ...]] = {
    "a poll commits before it sends its successor": ((poll, "_poll_once", _commit_before_send),),
    "an end is acted on before it is kept": ((poll, "_poll_once", _end_not_kept),),
    "a message that is early is dropped": ((gate, "fence", _not_yet_is_dropped),),
    "the fence is ignored": ((gate, "fence", _fence_is_ignored),),
    "rows are replaced without their ETag": ((MemoryTable, "replace", _replace_without_etag),),
    "a poll forgets receivers that join": ((poll, "_commit", _commit_forgets_receivers),),
    "a successor is not taken back": ((FaultyQueue, "take_back", _not_taken_back),),
    "a repeated registration does not start": ((messages, "register", _not_restarted),),
    "the result is looked for before the watch": (
        (messages, "register", _result_looked_for_first),
    ),
    "a receiver after the end is forgotten": ((register, "finish_with", _late_receiver_forgotten),),
    "a delivery's message goes before its row": ((finish, "_call_back", _message_before_row),),
    "a delivery cut off is not started": ((finish, "_call_back", _row_not_started_again),),
    "watches are deleted unconditionally": ((FaultyTable, "delete", _deleted_unconditionally),),
    "what is owed goes before its record": ((deliver, "_settle", _row_removed_before_record),),
    "a settled delivery is sent again": ((deliver, "is_settled", _never_settled),),
    "a second end of a delivery wins": ((deliver, "_record", _second_end_wins),),
    "what is overdue gets no message": ((repair, "_rewake", _rewoken_without_a_message),),
    "poisoned posts are dropped": ((repair, "_taken_in", _poisoned_posts_dropped),),
}
