"""What is written at about the same time goes together, and nothing waits for nothing."""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import TypeVar

import pytest

from opswatch.adapters.gatherer import DELAY, Gatherer, InFlight

T = TypeVar("T")
Outcomes = list[str | Exception]


class Writer:
    """Keeps the groups that were written, and answers with the items."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, list[str]]] = []
        self.written = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, key: str, items: list[str]) -> Outcomes:
        self.groups.append((key, items))
        self.written.set()
        await self.gate.wait()
        if "all fail" in items:
            raise ConnectionError
        return [ValueError(item) if item == "bad" else f"{item}!" for item in items]


class Clock:
    """Of the event loop: what it has waited for."""

    def __init__(self) -> None:
        self.began = asyncio.get_running_loop().time()

    def passed(self) -> float:
        return asyncio.get_running_loop().time() - self.began


@pytest.fixture
async def writer() -> Writer:
    return Writer()


@pytest.fixture
def in_flight() -> InFlight:
    return InFlight()


@pytest.fixture
def gatherer(in_flight: InFlight, writer: Writer) -> Gatherer[str, str, str]:
    return Gatherer(in_flight, writer, most=5)


async def working(in_flight: InFlight, work: Awaitable[T]) -> T:
    with in_flight.enter():
        return await work


async def test_work_alone_writes_at_once(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    clock = Clock()
    for _ in range(3):
        assert await working(in_flight, gatherer.submit("p", "a")) == "a!"
    assert clock.passed() < DELAY
    assert writer.groups == [("p", ["a"])] * 3


async def test_work_that_begins_in_time_is_waited_for(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    first = asyncio.create_task(working(in_flight, gatherer.submit("p", "a")))
    await asyncio.sleep(0)
    with in_flight.enter():
        for _ in range(5):
            await asyncio.sleep(0)
        assert writer.groups == []
        assert await gatherer.submit("p", "b") == "b!"
    assert await first == "a!"
    assert writer.groups == [("p", ["a", "b"])]


async def test_work_that_failed_is_no_longer_counted(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    for _ in range(3):
        with pytest.raises(ValueError, match="bad"):
            await working(in_flight, gatherer.submit("p", "bad"))
    writer.groups.clear()
    with in_flight.enter():
        waiting = asyncio.create_task(working(in_flight, gatherer.submit("p", "a")))
        for _ in range(5):
            await asyncio.sleep(0)
        assert writer.groups == []
    assert await waiting == "a!"


async def test_all_work_that_waits_is_written_together(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    clock = Clock()
    submits = [working(in_flight, gatherer.submit("p", item)) for item in "abc"]
    assert await asyncio.gather(*submits) == ["a!", "b!", "c!"]
    assert clock.passed() < DELAY
    assert writer.groups == [("p", ["a", "b", "c"])]


async def test_other_work_is_waited_for_twenty_milliseconds(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    clock = Clock()
    with in_flight.enter():
        await working(in_flight, gatherer.submit("p", "a"))
    assert clock.passed() >= DELAY
    assert writer.groups == [("p", ["a"])]


async def test_work_that_ends_lets_the_others_go(
    gatherer: Gatherer[str, str, str], in_flight: InFlight
) -> None:
    clock = Clock()
    ended = asyncio.Event()
    other = asyncio.create_task(working(in_flight, ended.wait()))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(working(in_flight, gatherer.submit("p", "a")))
    await asyncio.sleep(0)
    ended.set()
    assert await waiting == "a!"
    assert clock.passed() < DELAY
    await other


async def test_full_group_is_written_at_once(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    with in_flight.enter():
        submits = [asyncio.create_task(gatherer.submit("p", str(n))) for n in range(7)]
        await asyncio.gather(*submits)
    assert [len(items) for _, items in writer.groups] == [5, 2]


async def test_keys_are_written_apart(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    submits = [working(in_flight, gatherer.submit(key, key)) for key in "abab"]
    await asyncio.gather(*submits)
    assert sorted(writer.groups) == [("a", ["a", "a"]), ("b", ["b", "b"])]


async def test_error_of_one_is_its_own(
    gatherer: Gatherer[str, str, str], in_flight: InFlight
) -> None:
    submits = [working(in_flight, gatherer.submit("p", item)) for item in ("a", "bad", "c")]
    outcomes = await asyncio.gather(*submits, return_exceptions=True)
    assert outcomes[::2] == ["a!", "c!"]
    assert isinstance(outcomes[1], ValueError)


async def test_error_of_the_whole_is_everyones(
    gatherer: Gatherer[str, str, str], in_flight: InFlight
) -> None:
    submits = [working(in_flight, gatherer.submit("p", item)) for item in ("a", "all fail")]
    outcomes = await asyncio.gather(*submits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 2
    assert await working(in_flight, gatherer.submit("p", "again")) == "again!"


async def test_cancelled_work_is_written_all_the_same(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    """Its group is that of others, too."""
    writer.gate.clear()
    first, second = (
        asyncio.create_task(working(in_flight, gatherer.submit("p", item))) for item in "ab"
    )
    await writer.written.wait()
    first.cancel()
    await asyncio.wait([first])
    writer.gate.set()
    assert await second == "b!"
    assert writer.groups == [("p", ["a", "b"])]
    assert await working(in_flight, gatherer.submit("p", "c")) == "c!"


async def test_cancelled_group_leaves_none_waiting(in_flight: InFlight) -> None:
    """A client may cancel its own requests, such as when a session is closed."""

    async def write(*_: object) -> Outcomes:
        raise asyncio.CancelledError

    gatherer: Gatherer[str, str, str] = Gatherer(in_flight, write, most=5)
    async with asyncio.timeout(5):
        submits = [working(in_flight, gatherer.submit("p", item)) for item in "ab"]
        outcomes = await asyncio.gather(*submits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2


async def test_groups_written_while_another_is_under_way_are_separate(
    gatherer: Gatherer[str, str, str], in_flight: InFlight, writer: Writer
) -> None:
    writer.gate.clear()
    first = asyncio.create_task(working(in_flight, gatherer.submit("p", "a")))
    await writer.written.wait()
    second = asyncio.create_task(working(in_flight, gatherer.submit("p", "b")))
    writer.gate.set()
    assert [await first, await second] == ["a!", "b!"]
    assert [items for _, items in writer.groups] == [["a"], ["b"]]


async def test_submit_outside_of_any_work_is_written(
    gatherer: Gatherer[str, str, str],
) -> None:
    """The terminal and HTTP requests write without saying that work is under way."""
    clock = Clock()
    assert await gatherer.submit("p", "a") == "a!"
    assert clock.passed() < 1


async def test_group_has_the_context_of_none(in_flight: InFlight) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[str] = []

    async def write(_: str, items: list[str]) -> Outcomes:
        seen.append(variable.get())
        return list(items)

    variable.set("a span")
    await working(in_flight, Gatherer(in_flight, write, most=5).submit("p", "a"))
    assert seen == ["none"]
