"""The ports as a hostile world offers them: every effect may be cut off, lost, repeated, slow."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from opswatch.core.hosts import Acquired, Busy, Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import Key, WakeUp
from opswatch.ports import Poisoned, Query, Row, Sent
from opswatch.testing import MemoryPoisonQueue, MemoryQueue, MemoryTable
from tests.simulation.clockwork import Clockwork, CrashError, LostAnswerError, pause

T = TypeVar("T")
Answer = TypeVar("Answer")
Act = Callable[[], Awaitable[T]]
_STALLS = (2.0, 20.0, 45.0, 130.0, 700.0)  # seconds: within a lease, and beyond it


@dataclass(slots=True)
class Faults:
    """Strikes at effects, at a rate and up to a number that are drawn for each run."""

    clockwork: Clockwork
    rate: float
    left: int
    struck: int = 0

    def strikes(self) -> bool:
        """Draw whether something goes wrong here; each time counts as one fault."""
        if self.left and self.clockwork.random.random() < self.rate:
            self.left -= 1
            self.struck += 1
            return True
        return False

    async def effect(
        self, name: str, about: Any, act: Act[Answer], *, writes: bool = True
    ) -> Answer:
        """Bring about an effect upon storage, unless something strikes."""
        await self.breathe()
        if not self.strikes():
            answer = await act()
            self.clockwork.note(name, about, "->", answer)
            await self.breathe()
            return answer
        kinds = [self._crash_before, self._crash_after, self._fail, self._stall_before]
        if writes:
            kinds += [self._lose_answer, self._repeat, self._repeat, self._stall_after]
        return await self.clockwork.random.choice(kinds)(name, about, act)

    async def breathe(self) -> None:
        """Take the short while that every effect takes."""
        await pause(0.002 + 0.06 * self.clockwork.random.random() ** 2)

    async def _crash_before(self, name: str, about: Any, _: Act[Answer]) -> Answer:
        self.clockwork.note(name, about, "-> crash before")
        raise CrashError

    async def _crash_after(self, name: str, about: Any, act: Act[Answer]) -> Answer:
        self.clockwork.note(name, about, "->", await act(), "then crash")
        raise CrashError

    async def _fail(self, name: str, about: Any, _: Act[Answer]) -> Answer:
        self.clockwork.note(name, about, "-> fails")
        raise LostAnswerError

    async def _lose_answer(self, name: str, about: Any, act: Act[Answer]) -> Answer:
        self.clockwork.note(name, about, "->", await act(), "but the answer is lost")
        raise LostAnswerError

    async def _repeat(self, name: str, about: Any, act: Act[Answer]) -> Answer:
        """Do as an SDK that sends a request once more when its answer is lost."""
        self.clockwork.note(name, about, "->", await act(), "and repeats it")
        await pause(self.clockwork.random.choice((0.03, 0.3, 1.5)))
        answer = await act()
        self.clockwork.note(name, about, "->", answer)
        return answer

    async def _stall_before(self, name: str, about: Any, act: Act[Answer]) -> Answer:
        await self._stall(name, about)
        answer = await act()
        self.clockwork.note(name, about, "->", answer)
        return answer

    async def _stall_after(self, name: str, about: Any, act: Act[Answer]) -> Answer:
        answer = await act()
        self.clockwork.note(name, about, "->", answer)
        await self._stall(name, about)
        return answer

    async def _stall(self, name: str, about: Any) -> None:
        seconds = self.clockwork.random.choice(_STALLS)
        self.clockwork.note(name, about, "stalls for", seconds)
        await pause(seconds)


class FaultyTable(Generic[T]):
    """A table whose every effect may go wrong."""

    def __init__(self, name: str, inner: MemoryTable[T], faults: Faults) -> None:
        self._name, self._inner, self._faults = name, inner, faults

    async def get(self, key: Key) -> Row[T] | None:
        return await self._faults.effect(
            f"{self._name}.get", key, partial(self._inner.get, key), writes=False
        )

    async def insert(self, value: T) -> Row[T] | None:
        return await self._effect("insert", value, partial(self._inner.insert, value))

    async def replace(self, value: T, version: str) -> Row[T] | None:
        about = (value, version)
        return await self._effect("replace", about, partial(self._inner.replace, value, version))

    async def put(self, value: T) -> None:
        await self._effect("put", value, partial(self._inner.put, value))

    async def delete(self, key: Key, version: str | None = None) -> bool:
        about = (key, version)
        return await self._effect("delete", about, partial(self._inner.delete, key, version))

    async def find(self, where: Query) -> AsyncIterator[Row[T]]:
        async def page() -> list[Row[T]]:
            return [row async for row in self._inner.find(where)]

        found = await self._faults.effect(f"{self._name}.find", where, page, writes=False)
        for row in found:
            yield row

    def iter_due_at(self) -> AsyncIterator[datetime]:  # for telemetry alone
        return self._inner.iter_due_at()

    async def _effect(self, verb: str, about: Any, act: Act[Answer]) -> Answer:
        return await self._faults.effect(f"{self._name}.{verb}", about, act)


class FaultyQueue:
    """A queue whose every effect may go wrong."""

    def __init__(self, name: str, inner: MemoryQueue, faults: Faults) -> None:
        self._name, self._inner, self._faults = name, inner, faults

    async def send(self, wake: WakeUp, delay: timedelta = timedelta(0)) -> Sent:
        act = partial(self._inner.send, wake, delay)
        return await self._faults.effect(f"{self._name}.send", (wake, delay), act)

    async def take_back(self, sent: Sent) -> None:
        act = partial(self._inner.take_back, sent)
        await self._faults.effect(f"{self._name}.take_back", sent, act)

    async def depth(self) -> int:
        return await self._inner.depth()


class FaultyPoisonQueue:
    """A poison queue whose every effect may go wrong."""

    def __init__(self, inner: MemoryPoisonQueue, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    async def take(self) -> list[Poisoned]:
        return await self._faults.effect("poison.take", None, self._inner.take)

    async def remove(self, poisoned: Poisoned) -> None:
        act = partial(self._inner.remove, poisoned)
        await self._faults.effect("poison.remove", poisoned.sent, act)

    async def depth(self) -> int:
        return await self._inner.depth()


Serve = Callable[[T], HttpResponse | NoAnswer]


async def over_http(faults: Faults, name: str, request: T, serve: Serve[T]) -> Any:
    """Ask a server, which the adapter tells in values: an answer, or none."""

    async def act() -> HttpResponse | NoAnswer:
        return serve(request)

    try:
        answer = await faults.effect(name, request, act)
    except LostAnswerError:
        return NoAnswer("timeout", "no answer")
    if isinstance(answer, NoAnswer):
        await pause(15.0)
    return answer


class FaultyArm:
    """ARM behind a network where everything may go wrong."""

    def __init__(self, faults: Faults, serve: Serve[str]) -> None:
        self._faults, self._serve = faults, serve

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        answer: HttpResponse | NoAnswer = await over_http(self._faults, "arm.get", url, self._serve)
        return answer


class FaultyCallbacks:
    """Receivers behind a network where everything may go wrong."""

    def __init__(self, faults: Faults, serve: Serve[CallbackRequest]) -> None:
        self._faults, self._serve = faults, serve

    @asynccontextmanager
    async def turn(self, _: str) -> AsyncIterator[Slot]:
        if self._faults.strikes():
            yield Busy(timedelta(seconds=self._faults.clockwork.random.uniform(0, 20)))
        else:
            yield Acquired()

    async def post(self, request: CallbackRequest) -> HttpResponse | NoAnswer:
        answer: HttpResponse | NoAnswer = await over_http(
            self._faults, "post", request, self._serve
        )
        return answer
