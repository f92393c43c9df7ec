"""The ports with faults: every effect may be cut off, lost, repeated, slow or late."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, TypeVar

from opswatch.core.hosts import Acquired, Busy, Slot
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.ports import Query
from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import TABLES
from tests.simulation.scheduler import LostAnswerError, Scheduler, Worker, hang

T = TypeVar("T")
Act = Callable[[], Awaitable[Any]]
Serve = Callable[[T], HttpResponse | NoAnswer]
_STALLS = (2.0, 20.0, 45.0, 130.0, 700.0)  # seconds: within a lease, and beyond it
_SLOW = (5.0, 20.0)  # seconds that a slow commit takes, at least and at most
_LATE = (0.5, 5.0, 40.0)  # seconds after which a request that got no answer has its effect
_READS = frozenset({"get", "find", "find_page", "peek"})
# Calls around an attempt: if those of one kind fail, no receiver gets a further POST.
AROUND_ATTEMPTS = (
    frozenset({"hosts.get", "hosts.insert", "hosts.replace", "hosts.delete"}),
    frozenset({"hosts.insert", "hosts.replace", "hosts.delete"}),
    frozenset({"deliveries.send"}),
    frozenset({"deliveries.insert"}),
)
_FAULTLESS = frozenset({"depth"})  # only for telemetry


@dataclass(frozen=True, slots=True)
class Outage:
    """A time during which effects of one kind fail."""

    begins: float
    ends: float
    fails: Callable[[str, bool], bool]  # by the effect's name, and whether it writes

    def is_on(self, now: float) -> bool:
        return self.begins <= now < self.ends


def draw_outage(random: Random) -> Outage:
    """Draw an outage of one kind of effect; tables and queues fail together, or one alone."""
    begins, table = random.uniform(0, 200), random.choice(TABLES)
    queues = tuple(f"{name}." for name in QUEUES)
    fails: Callable[[str, bool], bool] = random.choice(
        (
            lambda name, writes: writes and not name.startswith(queues),
            lambda name, writes: not writes and not name.startswith(queues),
            lambda name, _: name.startswith(f"{table}.") and not name.endswith(".send"),
            lambda name, _: name.startswith(queues) and name.endswith(".send"),
            lambda name, _: not name.startswith(("arm.", "post")),
        )
    )
    return Outage(begins, begins + random.choice((20, 90, 400)), fails)


@dataclass(slots=True)
class Faults:
    """Injects faults into effects: how often, and how many at most, is drawn for each run."""

    scheduler: Scheduler
    rate: float
    left: int
    outage: Outage | None = None
    may_be_late: bool = True  # whether an effect may take place after its answer was given up
    injected: int = 0
    unanswered: int = 0  # requests, which may not have been received
    busy_until: float = 0.0  # seconds: no attempt finds room, unless it is forced
    failing: frozenset[str] = frozenset()  # the calls that fail from the first POST on
    failing_time: float = 0.0  # seconds
    slow_rate: float = 0.0  # of commits
    failing_until: float | None = None
    late_effects: int = 0  # that have not taken place yet

    def strikes(self) -> bool:
        """Draw whether there is a fault here, and count it."""
        if self.left and self.scheduler.random.random() < self.rate:
            self.left -= 1
            self.injected += 1
            return True
        return False

    def _is_slow(self) -> bool:
        return self.scheduler.random.random() < self.slow_rate

    def begin_failing(self) -> None:
        """Let calls around an attempt fail from now on, unless they have."""
        if self.failing_until is None:
            self.failing_until = self.scheduler.now + self.failing_time

    def is_failing(self, name: str) -> bool:
        return name in self.failing and self.scheduler.now < (self.failing_until or 0.0)

    def draw(self, name: str, *, writes: bool) -> str:
        """Return the fault of an effect, or "none"."""
        fault = "none"
        outage = self.outage
        if outage and outage.is_on(self.scheduler.now) and outage.fails(name, writes):
            self.injected += 1
            fault = "fail"
        elif self.slow_rate and name.endswith(".transact") and self._is_slow():
            self.injected += 1
            fault = "slow"
        elif self.strikes():
            faults = ["crash before", "crash after", "fail", "stall before"]
            if writes:
                faults += ["lose answer", "repeat", "repeat", "stall after"]
                faults += ["late"] if self.may_be_late else []
            fault = self.scheduler.random.choice(faults)
        return fault


class Process:
    """One life of a worker: its effects, none of which comes after its death."""

    def __init__(self, worker: Worker, faults: Faults) -> None:
        self._worker, self._life, self.faults = worker, worker.life, faults
        self._scheduler = faults.scheduler
        self._drawn = faults.scheduler.random.random

    async def effect(self, name: str, about: tuple[Any, ...], act: Act, *, writes: bool) -> Any:
        """Apply an effect, unless a fault is drawn for it."""
        scheduler, faults = self._scheduler, self.faults
        if faults.is_failing(name):
            scheduler.record(name, *about, "-> is failing")
            raise LostAnswerError
        await scheduler.pause(0.002 + 0.06 * self._drawn() ** 2)
        if self._worker.life != self._life:
            await hang()
        fault = faults.draw(name, writes=writes)
        if fault != "none":
            record = partial(scheduler.record, name, *about)
            return await self._faulty_effect(fault, act, record)
        answer = await act()
        scheduler.record(name, *about, "->", answer)
        await scheduler.pause(0.002 + 0.06 * self._drawn() ** 2)
        if self._worker.life != self._life:
            await hang()
        return answer

    async def _faulty_effect(self, fault: str, act: Act, record: Callable[..., None]) -> Any:
        scheduler = self._scheduler
        if fault == "crash before":
            await self._crash(record, fault)
        if fault == "fail":
            record("->", fault)
            raise LostAnswerError
        if fault == "late":
            record("->", "takes effect later")
            self.faults.late_effects += 1
            scheduler.schedule(scheduler.random.choice(_LATE), self._act_late, act, record)
            raise LostAnswerError
        if fault == "stall before":
            await self._stall(record)
        if fault == "slow":
            await self._wait(scheduler.random.uniform(*_SLOW))
        answer = await act()
        record("->", answer, f"with {fault}")
        match fault:
            case "crash after":
                await self._crash(record, fault)
            case "lose answer":
                raise LostAnswerError
            case "stall after":
                await self._stall(record)
            case "repeat":  # as an SDK repeats a request whose answer got lost
                await self._wait(scheduler.random.choice((0.03, 0.3, 1.5)))
                answer = await act()
                record("->", answer)
        return answer

    def _act_late(self, act: Act, record: Callable[..., None]) -> None:
        """Let an effect take place whose process has stopped to wait for it, or is dead."""
        self.faults.late_effects -= 1
        coroutine: Any = act()
        try:
            coroutine.send(None)
        except StopIteration as end:
            record("late ->", end.value)
        except Exception as error:  # the answer goes nowhere
            record("late ->", repr(error))

    async def _crash(self, record: Callable[..., None], fault: str) -> None:
        record("->", fault)
        self._scheduler.crash(self._worker)
        await hang()

    async def _stall(self, record: Callable[..., None]) -> None:
        seconds = self._scheduler.random.choice(_STALLS)
        record("stalls for", seconds)
        await self._wait(seconds)

    async def _wait(self, seconds: float) -> None:
        await self._scheduler.pause(seconds)
        if self._worker.life != self._life:
            await hang()


class FaultyPort:
    """A table or a queue of which every effect may go wrong."""

    def __init__(self, name: str, inner: Any, process: Process) -> None:
        self._name, self._inner, self._process = name, inner, process

    def __getattr__(self, verb: str) -> Any:
        """Return a method with faults, which is kept."""
        method, effect = getattr(self._inner, verb), self._process.effect
        name, writes = f"{self._name}.{verb}", verb not in _READS

        def faulty(*arguments: Any) -> Any:
            return effect(name, arguments, partial(method, *arguments), writes=writes)

        self.__dict__[verb] = found = method if verb in _FAULTLESS else faulty
        return found

    async def find(self, query: Query) -> AsyncIterator[Any]:
        async def page() -> list[Any]:
            return [row async for row in self._inner.find(query)]

        for row in await self._process.effect(f"{self._name}.find", (query,), page, writes=False):
            yield row


async def _over_http(
    process: Process, name: str, request: T, serve: Serve[T]
) -> HttpResponse | NoAnswer:
    """Ask a server; as of the adapters, every outcome is a value."""

    async def act() -> HttpResponse | NoAnswer:
        return serve(request)

    try:
        answer: HttpResponse | NoAnswer = await process.effect(name, (request,), act, writes=True)
    except LostAnswerError:
        process.faults.unanswered += 1
        return NoAnswer("timeout", "no answer")
    if isinstance(answer, NoAnswer):
        await process.faults.scheduler.pause(15.0)
    return answer


class FaultyArm:
    def __init__(self, process: Process, serve: Serve[str]) -> None:
        self._process, self._serve = process, serve

    async def get(self, url: str) -> HttpResponse | NoAnswer:
        return await _over_http(self._process, "arm.get", url, self._serve)


class FaultyCallbacks:
    def __init__(self, process: Process, serve: Serve[CallbackRequest]) -> None:
        self._process, self._serve = process, serve

    @asynccontextmanager
    async def slot(self, url: str, *, forced: bool = False) -> AsyncIterator[Slot]:  # noqa: ARG002
        faults = self._process.faults
        if not forced and faults.strikes():
            yield Busy(timedelta(seconds=faults.scheduler.random.uniform(0, 20)))
        else:
            yield Acquired(is_forced=forced)

    async def post(
        self, request: CallbackRequest, slot: Acquired
    ) -> HttpResponse | NoAnswer | Busy:
        faults = self._process.faults
        if not slot.is_forced and faults.scheduler.now < faults.busy_until:
            return Busy(timedelta(seconds=5))  # no name server answers
        faults.begin_failing()
        return await _over_http(self._process, "post", request, self._serve)
