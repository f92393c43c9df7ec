"""When a wait looks again, and what ends it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from opswatch.client.errors import (
    NotAllowedError,
    OperationNotFoundError,
    RejectedError,
    UnreachableError,
)
from opswatch.client.source import Posted
from opswatch.client.waiting import PATIENCE, Watched, next_look
from tests.client.support import (
    KEY,
    NOW,
    Clock,
    Read,
    Response,
    ScriptedSource,
    finished,
    row,
)

RUNNING = row(status="InProgress", dueAt=NOW + timedelta(seconds=5))
DOWN = ServiceRequestError("no route to host")
POSTED = Posted(key=KEY, at=NOW, digests=("digest",))


def failure(code: int) -> HttpResponseError:
    return HttpResponseError(response=Response(status_code=code))


def watched(clock: Clock, source: ScriptedSource, **more: Any) -> Watched:
    return Watched(source=source, timing=clock.timing(), patience=PATIENCE, key=KEY, **more)


async def statuses(clock: Clock, *reads: Read, within: Any = None) -> list[str | None]:
    looks = watched(clock, ScriptedSource(*reads)).looks(within)
    return [seen.status async for seen in looks]


@pytest.mark.parametrize(
    ("due_in", "looks", "seconds"),
    [
        (5, 0, 6.0),  # after the poll that is due
        (5, 9, 6.0),
        (0.5, 0, 1.5),
        (300, 0, 30.0),  # a stop by a user would not be seen for long otherwise
        (-1, 0, 1.0),  # it is being polled
        (-1, 2, 4.0),
        (-1, 99, 15.0),
        (None, 0, 1.0),  # there is no row
        (None, 3, 8.0),
        (None, 99, 15.0),
    ],
)
def test_next_look_follows_the_next_poll(due_in: float | None, looks: int, seconds: float) -> None:
    seen = None if due_in is None else row(dueAt=NOW + timedelta(seconds=due_in))
    assert next_look(seen, looks, NOW) == seconds


async def test_wait_ends_with_the_operation() -> None:
    clock = Clock()
    assert await statuses(clock, None, RUNNING, RUNNING, finished()) == [
        "InProgress",
        "InProgress",
        "Succeeded",
    ]
    assert clock.slept == [2.0, 6.0, 6.0]


@pytest.mark.parametrize(
    "error", [DOWN, ServiceResponseError("cut off"), failure(503), failure(429)]
)
async def test_outage_of_minutes_ends_no_wait(error: Any) -> None:
    clock = Clock()
    outage = [error] * 30
    assert await statuses(clock, RUNNING, *outage, finished()) == ["InProgress", "Succeeded"]
    assert 300 < clock.seconds < 600


async def test_long_outage_ends_a_wait() -> None:
    clock = Clock()
    with pytest.raises(UnreachableError, match="no answer for 6"):
        await statuses(clock, RUNNING, DOWN)
    assert clock.seconds > 600


async def test_each_outage_counts_from_its_own_beginning() -> None:
    clock = Clock()
    outage = [DOWN] * 28
    seen = await statuses(clock, *outage, RUNNING, *outage, finished())
    assert seen == ["InProgress", "Succeeded"]
    assert clock.seconds > 600
    assert clock.slept[0] == clock.slept[29] == 1.0  # the first delay of each


async def test_looks_stay_frequent_while_something_changes() -> None:
    clock = Clock()
    polled = [row(status="InProgress", dueAt=NOW, percentComplete=percent) for percent in range(5)]
    await statuses(clock, *polled, polled[-1], polled[-1], finished())
    assert clock.slept == [1.0] * 5 + [2.0, 4.0]


async def test_read_that_hangs_is_a_hiccup() -> None:
    class Hanging(ScriptedSource):
        async def read(self, _: Any) -> Any:
            self.read_count += 1
            if self.read_count == 2:
                await asyncio.Event().wait()
            return await super().read(_)

    async def within(read: Any, _: float) -> Any:
        return await asyncio.wait_for(read, 0.01)

    clock = Clock()
    timing = replace(clock.timing(), within=within)
    waiting = Watched(
        source=Hanging(RUNNING, finished()), timing=timing, patience=PATIENCE, key=KEY
    )
    assert [seen.status async for seen in waiting.looks(None)] == ["InProgress", "Succeeded"]


@pytest.mark.parametrize(
    "error", [NotAllowedError("needs a role"), failure(400), failure(404), failure(403)]
)
async def test_refusal_ends_a_wait_at_once(error: Any) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        await statuses(clock, RUNNING, error)
    assert clock.slept == [6.0]


async def test_sign_in_must_work_once() -> None:
    """A developer without a sign-in is told at once; a managed identity may have a hiccup."""
    no_sign_in = ClientAuthenticationError("no credential")
    with pytest.raises(ClientAuthenticationError):
        await statuses(Clock(), no_sign_in, finished())
    assert await statuses(Clock(), RUNNING, no_sign_in, finished()) == ["InProgress", "Succeeded"]


@pytest.mark.parametrize("reads", [(RUNNING,), (RUNNING, None)])
async def test_timeout_ends_the_wait_and_names_the_status(reads: tuple[Read, ...]) -> None:
    clock = Clock()
    with pytest.raises(TimeoutError, match="InProgress; the watch goes on"):
        await statuses(clock, *reads, within=timedelta(seconds=20))
    assert clock.seconds == 20


async def test_no_time_is_one_look() -> None:
    clock = Clock()
    assert await statuses(clock, finished(), within=0) == ["Succeeded"]
    with pytest.raises(TimeoutError, match="it has no status"):
        await statuses(clock, None, within=0)
    assert clock.slept == []


async def test_key_without_a_row_ends_the_wait_after_minutes() -> None:
    clock = Clock()
    with pytest.raises(OperationNotFoundError, match=str(KEY)):
        await statuses(clock, None)
    assert 300 < clock.seconds < 330


async def test_row_that_is_missed_once_ends_no_wait() -> None:
    """A row is looked for anew when it was seen last."""
    clock = Clock()
    seen = await statuses(clock, *[RUNNING] * 60, None, finished())
    assert seen[-1] == "Succeeded"
    assert clock.seconds > 300


async def test_rejected_post_ends_the_wait_at_once() -> None:
    rejected = RejectedError("ForeignHost", "not ARM")
    source = ScriptedSource(None, rejected=rejected)
    looks = watched(Clock(), source, posted=POSTED).looks(None)
    with pytest.raises(RejectedError, match="ForeignHost: not ARM"):
        await anext(looks)
    assert source.read_count == 1


async def test_end_that_is_to_be_replaced_ends_no_wait() -> None:
    """Until the app has read the post that watches an operation again, the old end stands."""
    lost, again = finished("Lost", round=2), row(status="InProgress", round=3)
    source = ScriptedSource(lost, again, finished(round=3))
    posted = Posted(key=KEY, at=NOW, digests=("digest",), replaces=2)
    looks = watched(Clock(), source, posted=posted).looks(None)
    assert [seen.status async for seen in looks] == ["InProgress", "Succeeded"]
