"""Rounds, receivers, stops, redeliveries and crashes in random order; then the books balance."""

import json
import random
from collections.abc import Awaitable
from contextlib import suppress

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.http import HttpResponse
from opswatch.steps.control import stop
from opswatch.steps.repair import repair
from tests.support.control import redeliver
from tests.support.harness import HOOK, KEY, OTHER, Harness, InterruptedStepError, ended, running
from tests.support.thorough import share

HOOKS = (None, HOOK, OTHER, "https://third.example.com/3")
ANSWERS = (HttpResponse(404, {}), HttpResponse(500, {}), running(), ended(), ended("Failed"))
# Effects before which another worker and a user act.
RACES = (
    "watches.delete", "watches.insert", "watches.replace", "results.insert", "results.replace",
    "timeline.insert", "timeline.put", "timeline.replace", "outbox.insert",
    "operations.send", "operations.send_wake_up", "watches.merge",
)  # fmt: skip


class Play:
    """A run of random actions."""

    def __init__(self, seed: int) -> None:
        self.random, self.harness = random.Random(seed), Harness()  # noqa: S311 - repeatable
        self.has_posted = False

    async def act(self) -> None:
        harness, choose = self.harness, self.random.choice
        match choose(["post", "post", "again", "again", "status", "pump", "pump", "pump",
                      "advance", "stop", "repair", "redeliver", "crash", "race"]):  # fmt: skip
            case "post" | "again" as kind:
                self.post(again=kind == "again")
            case "status":
                harness.status = choose(ANSWERS)
            case "pump":
                await harness.pump()
            case "advance":
                harness.advance(minutes=choose([0.1, 1, 5, 20, 70]))
            case "stop":
                await stop(harness.services, KEY)
            case "repair":
                await repair(harness.services)
            case "redeliver":
                await redeliver(harness.services, KEY)
            case "crash":
                await self.crash(harness.pump())
            case "race":
                harness.effects.before[choose(RACES)] = self.interfere

    def post(self, *, again: bool) -> None:
        callback_url = self.random.choice(HOOKS)
        ends = self.random.choice([None, None, ["Lost"], ["Succeeded", "Failed"]])
        self.harness.post(callback_url, callbackOn=callback_url and ends, again=again or None)
        self.has_posted = True

    async def crash(self, step: Awaitable[object]) -> None:
        """Cut the step off after some effects, and wait until its messages come again."""
        effects = self.harness.effects
        effects.cut_after = len(effects.names) + self.random.randint(1, 8)
        with suppress(InterruptedStepError):
            await step
        effects.cut_after = None
        self.harness.advance(minutes=11)

    async def interfere(self) -> None:
        self.harness.advance(milliseconds=1)  # no two workers act at the same instant
        self.harness.status = self.random.choice(ANSWERS)
        if self.random.random() < 0.2:
            await stop(self.harness.services, KEY)
        self.post(again=self.random.random() < 0.6)
        for _ in range(self.random.randint(1, 3)):
            await self.harness.pump()

    async def come_to_the_end(self) -> None:
        self.harness.effects.before.clear()
        self.harness.status = ended()
        for _ in range(6):
            await self.harness.settle()
            self.harness.advance(minutes=15)
            await repair(self.harness.services)

    def check(self) -> None:
        harness = self.harness
        assert not harness.store.watches.values()
        assert not harness.store.outbox.values()
        assert bool(harness.store.results.values()) is self.has_posted
        if not self.has_posted:
            return
        result = harness.result
        (entry,) = harness.store.timeline.values()
        assert (entry.status, entry.finished_at) == (result.end.status, result.end.finished_at)
        assert len(result.earlier_ends) == result.facts.round - 1
        assert {end.status.value for end in result.earlier_ends} <= {"Lost", "TimedOut", "Stopped"}
        states = {(d.callback_url, d.round): d.state for d in harness.store.deliveries.values()}
        for url in result.facts.callbacks:
            if result.facts.wants(url, result.end.status):
                assert states[url, result.facts.round] is DeliveryState.DELIVERED
        status_of: dict[str, str] = {}
        for request in harness.callbacks.requests:
            status = json.loads(request.body)["data"]["status"]
            assert status_of.setdefault(request.headers["webhook-id"], status) == status


@pytest.mark.parametrize("block", range(4))
async def test_books_balance_after_random_actions(block: int) -> None:
    for seed in range(block * 400, block * 400 + share(400)):
        play = Play(seed)
        try:
            for _ in range(play.random.randint(4, 25)):
                await play.act()
            await play.come_to_the_end()
            play.check()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
