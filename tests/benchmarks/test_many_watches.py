"""What `python -m benchmarks.many_watches` measures at 20,000 watches, held at a few."""

import gc
import sys
from datetime import UTC, datetime, timedelta

from benchmarks.many_watches.app import open_app
from benchmarks.many_watches.arm import RunningArm, url_of
from benchmarks.many_watches.simulated import simulate
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.support.storage import SimulatedClock, StandIn, running_stand_in

WATCHES = 200
START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
# The ages at which an operation is polled whose ARM asks for five minutes: seconds, up to an hour.
AGES = range(0, 3601, 300)


def rows(storage: StandIn) -> dict[str, int]:
    return {name: len(table) for name, table in storage.tables.tables.items() if len(table)}


def messages(storage: StandIn) -> dict[str, int]:
    return {name: len(queue) for name, queue in storage.queues.queues.items() if len(queue)}


async def test_an_hour_of_many_watches_is_punctual_and_leaves_nothing_behind() -> None:
    clock = SimulatedClock(START)
    late: set[float] = set()
    blocks: list[int] = []

    def note() -> None:
        if clock.now - START in (QUARTER, HOUR):
            gc.collect()
            blocks.append(sys.getallocatedblocks())

    async with running_stand_in(clock) as storage:
        arm = RunningArm(clock, [START] * WATCHES, [START] * WATCHES, late.add)
        async with open_app(storage.connection_string, arm, clock) as app:
            posts = storage.queues.queues[OPERATIONS_QUEUE]
            for number in range(WATCHES):
                posts.send(url_of(number), timedelta(0), None)
            await simulate(app, storage, clock, HOUR, note)
        assert rows(storage) == {"watches": WATCHES, "timeline": WATCHES}
        assert messages(storage) == {OPERATIONS_QUEUE: WATCHES}
    assert clock.now == START + HOUR
    assert list(arm.polls) == [len(AGES)] * WATCHES
    assert late == {0.0}, "a poll came at another instant than its schedule's"
    at_quarter, at_end = blocks
    polls_between = WATCHES * sum(age > QUARTER.total_seconds() for age in AGES)
    # Bounded caches of URLs still fill: some hundred blocks, and no more in a longer run.
    assert at_end - at_quarter < polls_between, "something is kept of every poll"
