"""The ports with faults: every effect may be cut off, lost, repeated or slow."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from opswatch.core.hosts import Acquired, Busy, Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.ports import Query
from tests.simulation.scheduler import CrashError, LostAnswerError, Scheduler, pause

T = TypeVar("T")
Act = Callable[[], Awaitable[Any]]
Serve = Callable[[T], HttpResponse | NoAnswer]
_STALLS = (2.0, 20.0, 45.0, 130.0, 700.0)  # seconds: within a lease, and beyond it
_READS = frozenset({"get", "find"})
# Calls around an attempt: an outage of one kind must cost no receiver a further POST.
OUTAGES = (
    frozenset({"hosts.get", "hosts.insert", "hosts.replace", "hosts.delete"}),
    frozenset({"hosts.insert", "hosts.replace", "hosts.delete"}),
    frozenset({"deliveries.send"}),
    frozenset({"deliveries.insert"}),
)
_FAULTLESS = frozenset({"depth", "iter_due_at"})  # only for telemetry


@dataclass(slots=True)
class Faults:
    """Injects faults into effects: how often, and how many at most, is drawn for each run."""

    scheduler: Scheduler
    rate: float
    left: int
    injected: int = 0
    outage: frozenset[str] = frozenset()  # the calls that fail from the first POST on
    outage_time: float = 0.0  # seconds
    outage_until: float | None = None
    unanswered: int = 0  # requests, which may not have been received
    busy_until: float = 0.0  # seconds: no attempt finds room, unless it is forced

    def strikes(self) -> bool:
        """Draw whether there is a fault here, and count it."""
        if self.left and self.scheduler.random.random() < self.rate:
            self.left -= 1
            self.injected += 1
            return True
        return False

    def begin_outage(self) -> None:
        """Let the outage begin, unless it has."""
        if self.outage_until is None:
            self.outage_until = self.scheduler.now + self.outage_time

    def check_outage(self, name: str) -> None:
        """Raise an error if the outage is of this call, and has not passed."""
        if name in self.outage and self.scheduler.now < (self.outage_until or 0.0):
            self.scheduler.record(name, "-> outage")
            raise LostAnswerError

    async def effect(self, name: str, about: tuple[Any, ...], act: Act, *, writes: bool) -> Any:
        """Apply an effect, unless a fault is drawn for it."""
        await self._take_time()
        random, record = self.scheduler.random, partial(self.scheduler.record, name, *about)
        fault = "none"
        if self.strikes():
            faults = ["crash before", "crash after", "fail", "stall before"]
            if writes:
                faults += ["lose answer", "repeat", "repeat", "stall after"]
            fault = random.choice(faults)
        if fault in ("crash before", "fail"):
            record("->", fault)
            raise CrashError if fault == "crash before" else LostAnswerError
        if fault == "stall before":
            await self._stall(record)
        answer = await act()
        record("->", answer, "" if fault == "none" else f"with {fault}")
        match fault:
            case "none":
                await self._take_time()
            case "crash after" | "lose answer":
                raise CrashError if fault == "crash after" else LostAnswerError
            case "stall after":
                await self._stall(record)
            case "repeat":  # as an SDK repeats a request whose answer got lost
                await pause(random.choice((0.03, 0.3, 1.5)))
                answer = await act()
                record("->", answer)
        return answer

    async def _take_time(self) -> None:
        await pause(0.002 + 0.06 * self.scheduler.random.random() ** 2)

    async def _stall(self, record: Callable[..., None]) -> None:
        seconds = self.scheduler.random.choice(_STALLS)
        record("stalls for", seconds)
        await pause(seconds)


class FaultyPort:
    """A table or a queue of which every effect may go wrong."""

    def __init__(self, name: str, inner: Any, faults: Faults) -> None:
        self._name, self._inner, self._faults = name, inner, faults

    def __getattr__(self, verb: str) -> Any:
        method = getattr(self._inner, verb)
        if verb in _FAULTLESS:
            return method

        async def faulty(*arguments: Any) -> Any:
            act = partial(method, *arguments)
            name, writes = f"{self._name}.{verb}", verb not in _READS
            self._faults.check_outage(name)
            return await self._faults.effect(name, arguments, act, writes=writes)

        return faulty

    async def find(self, query: Query) -> AsyncIterator[Any]:
        async def page() -> list[Any]:
            return [row async for row in self._inner.find(query)]

        for row in await self._faults.effect(f"{self._name}.find", (query,), page, writes=False):
            yield row


async def _over_http(
    faults: Faults, name: str, request: T, serve: Serve[T]
) -> HttpResponse | NoAnswer:
    """Ask a server; as of the adapters, every outcome is a value."""

    async def act() -> HttpResponse | NoAnswer:
        return serve(request)

    try:
        answer: HttpResponse | NoAnswer = await faults.effect(name, (request,), act, writes=True)
    except LostAnswerError:
        faults.unanswered += 1
        return NoAnswer("timeout", "no answer")
    if isinstance(answer, NoAnswer):
        await pause(15.0)
    return answer


class FaultyArm:
    def __init__(self, faults: Faults, serve: Serve[str]) -> None:
        self._faults, self._serve = faults, serve

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        return await _over_http(self._faults, "arm.get", url, self._serve)


class FaultyCallbacks:
    def __init__(self, faults: Faults, serve: Serve[CallbackRequest]) -> None:
        self._faults, self._serve = faults, serve

    def _busy(self, *, forced: bool) -> Busy | None:
        if forced:
            return None
        is_busy = self._faults.scheduler.now < self._faults.busy_until
        if not is_busy and not self._faults.strikes():
            return None
        return Busy(timedelta(seconds=self._faults.scheduler.random.uniform(0, 20)))

    @asynccontextmanager
    async def slot(self, url: str, *, forced: bool = False) -> AsyncIterator[Slot]:  # noqa: ARG002
        yield self._busy(forced=forced) or Acquired(is_forced=forced)

    async def post(
        self, request: CallbackRequest, slot: Acquired
    ) -> HttpResponse | NoAnswer | Busy:
        if busy := self._busy(forced=slot.is_forced):
            return busy
        self._faults.begin_outage()
        return await _over_http(self._faults, "post", request, self._serve)
