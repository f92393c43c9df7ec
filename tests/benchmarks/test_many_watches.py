"""The assertions behind `python -m benchmarks.many_watches`, with few watches."""

import gc
import sys
from datetime import timedelta

from benchmarks.many_watches.arm import RunningArm, url_of
from benchmarks.many_watches.measures import open_app
from opswatch.rows.messages import OPERATIONS_QUEUE
from opswatch.steps.repair import repair
from tests.support.clock import SimulatedClock
from tests.support.harness import START
from tests.support.storage import StandIn, running_stand_in
from tests.support.trigger import simulate

WATCHES = 100
# Until the bounded caches of URLs are full, with a look every five seconds; then until the end.
WARM_UP, SPAN = timedelta(minutes=75), timedelta(hours=2)
# The ages at which an operation is polled whose ARM asks for five minutes: seconds.
AGES = range(0, int(SPAN.total_seconds()) + 1, 300)


def rows(storage: StandIn) -> dict[str, int]:
    return {name: len(table) for name, table in storage.tables.tables.items() if len(table)}


def messages(storage: StandIn) -> dict[str, int]:
    return {name: len(queue) for name, queue in storage.queues.queues.items() if len(queue)}


async def test_two_hours_of_watches_are_punctual_without_residue() -> None:
    clock = SimulatedClock(START)
    late: set[float] = set()
    blocks: list[int] = []

    async def each_minute() -> None:
        await repair(services)
        if clock.now - START in (WARM_UP, SPAN):
            gc.collect()
            blocks.append(sys.getallocatedblocks())

    async with running_stand_in(clock) as storage:
        arm = RunningArm(clock, [START] * WATCHES, [START] * WATCHES, late.add)
        async with open_app(storage.connection_string, arm, clock) as (services, trigger):
            posts = storage.queues.queues[OPERATIONS_QUEUE]
            for number in range(WATCHES):
                posts.send(url_of(number), timedelta(0), None)
            await simulate(trigger, storage.jump, clock, SPAN, each_minute)
        assert rows(storage) == {
            "watches": WATCHES,
            "timeline": WATCHES + 1,  # the summary's row
            "lookahead": 1,
        }
        assert messages(storage) == {OPERATIONS_QUEUE: 1}  # the following look
    assert clock.now == START + SPAN
    assert list(arm.polls) == [len(AGES)] * WATCHES
    assert late == {0.0}, "a poll was not made at its scheduled instant"
    after_warm_up, at_end = blocks
    polls_between = WATCHES * sum(age > WARM_UP.total_seconds() for age in AGES)
    assert at_end - after_warm_up < polls_between, "every poll leaves something in memory"
