"""Purges, receivers, rounds, replays and crashes in every order; then the books balance."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.watches import FinalStatus
from opswatch.ports import Query, Store
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.purge import purge
from opswatch.steps.repair import repair
from opswatch.testing import pump
from tests.steps.conftest import take_post
from tests.support.control import redeliver
from tests.support.harness import HOOK, KEY, OTHER, STORED, Harness, InterruptedStepError, ended
from tests.support.thorough import share

AGAIN, PURGED = "the operation has been watched again", "the result has been purged"


class ShuffledTable:
    """A table whose calls take a random time, and sometimes fail before or after their effect."""

    def __init__(self, inner: Any, play: "Play") -> None:
        self._inner, self._play = inner, play

    def __getattr__(self, verb: str) -> Any:
        method = getattr(self._inner, verb)

        async def called(*arguments: Any) -> Any:
            return await self._play.disturb(lambda: method(*arguments))

        return called

    async def find(self, query: Query) -> AsyncIterator[Any]:
        async def rows() -> list[Any]:
            return [row async for row in self._inner.find(query)]

        for row in await self._play.disturb(rows):
            yield row


class Play:
    """An old result, purges, and users who come at the same time."""

    def __init__(self, seed: int) -> None:
        self.random, self.harness = random.Random(seed), Harness()  # noqa: S311 - repeatable
        self.crashes_left = self.random.choice((0, 0, 1, 2))
        # Why a receiver may not be called: only a crash lets a purge take a result that is owed.
        self.reasons = (AGAIN, PURGED) if self.crashes_left else (AGAIN,)
        tables = {name: ShuffledTable(getattr(self.harness.store, name), self) for name in STORED}
        self.services = replace(self.harness.services, store=Store(**tables))
        self.owed: list[str] = []  # receivers that are to be called

    async def disturb(self, act: Callable[[], Awaitable[Any]]) -> Any:
        await self._take_time()
        has_effect = self.random.random() < 0.5
        is_cut = self.crashes_left > 0 and self.random.random() < 0.04
        if is_cut:
            self.crashes_left -= 1
            if not has_effect:
                raise InterruptedStepError
        answer = await act()
        if is_cut:
            raise InterruptedStepError
        await self._take_time()
        return answer

    async def _take_time(self) -> None:
        for _ in range(self.random.choice((0, 0, 1, 2, 5, 15))):
            await asyncio.sleep(0)

    async def _come_later(self) -> None:
        for _ in range(self.random.randrange(25)):
            await self._take_time()

    async def run(self) -> None:
        harness = self.harness
        await harness.watched(HOOK)
        harness.advance(hours=2)  # beyond its deadline: it ends as `TimedOut`
        await harness.settle()
        harness.advance(days=40)
        harness.callbacks.requests.clear()
        harness.status = ended()
        actors = [self.random.choice((self.post, self.again, self.redeliver)) for _ in range(3)]
        await asyncio.gather(
            self.purge(), self.purge(), self.deliver(), *(actor() for actor in actors[:2])
        )
        for _ in range(3):
            await harness.settle()
            harness.advance(minutes=10)
            await repair(harness.services)
        await harness.settle()

    async def purge(self) -> None:
        with suppress(ExceptionGroup):
            await purge(self.services)

    async def post(self) -> None:
        await self._register(self.random.choice((HOOK, OTHER)))

    async def again(self) -> None:
        await self._register(self.random.choice((HOOK, OTHER)), again=True)

    async def _register(self, url: str, **more: object) -> None:
        """Post, and process the message until that succeeds, as the queue does."""
        await self._come_later()
        body = take_post(self.harness, url, **more)
        if url == OTHER:
            self.owed.append(url)
        for _ in range(5):
            with suppress(InterruptedStepError):
                await operations_message(self.services, body)
                return

    async def redeliver(self) -> None:
        await self._come_later()
        with suppress(InterruptedStepError):
            if await redeliver(self.services, KEY) and OTHER not in self.owed:
                self.owed.append(HOOK)

    async def deliver(self) -> None:
        for _ in range(20):
            await self._take_time()
            with suppress(InterruptedStepError):
                await pump(
                    self.harness.deliveries, lambda body: deliveries_message(self.services, body)
                )

    def problems(self) -> list[str]:
        """Return what is wrong after the run."""
        harness, store = self.harness, self.harness.store
        found = [f"left behind: {row}" for row in store.watches.values() + store.outbox.values()]
        told = {d.callback_url for d in store.deliveries.values() if d.reason in self.reasons}
        found += [f"not called: {u}" for u in self.owed if u not in {*harness.called(), *told}]
        entries = {entry.key: entry for entry in store.timeline.values()}
        for result in store.results.values():
            statuses = [entry.status for entry in entries.values() if entry.operation == KEY]
            if result.end.status.value not in statuses:
                found.append(f"not listed: {result} in {statuses}")
            is_old = result.end.status is FinalStatus.TIMED_OUT
            for url in () if is_old else result.facts.callbacks:
                records = [d for d in store.deliveries.values() if d.callback_url == url]
                if not records or not any(self._is_settled(record) for record in records):
                    found.append(f"{url} is not told of {result}: {records}")
        return found

    def _is_settled(self, record: Any) -> bool:
        return record.state is DeliveryState.DELIVERED or record.reason in self.reasons

    async def purge_all(self) -> list[str]:
        """Purge what is old a year later; return what is left without a reason.

        A replay that is cut off before it has kept its result leaves a record that nothing lists.
        """
        self.harness.advance(days=365)
        for _ in range(2):
            await purge(self.harness.services)
        store = self.harness.store
        left: list[Any] = [*store.results.values(), *store.timeline.values()]
        is_cut_off = PURGED in self.reasons
        left += [d for d in store.deliveries.values() if not (is_cut_off and d.reason == PURGED)]
        return [f"not purged: {value}" for value in left]


@pytest.mark.parametrize("block", range(4))
async def test_books_balance_after_purges_in_any_order(block: int) -> None:
    for seed in range(block * 500, block * 500 + share(500)):
        play = Play(seed)
        try:
            await play.run()
            assert play.problems() == []
            assert await play.purge_all() == []
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
