"""Simulated time and processes: an asyncio event loop whose order a seed decides."""

import asyncio
from asyncio import events as asyncio_events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from tests.support.harness import START


class LostAnswerError(Exception):
    """A request without an answer: its effect may or may not have taken place."""


async def hang() -> None:
    """Never go on: the process is dead. (The loop keeps it, or `finally` would run somewhere.)"""
    loop: Any = asyncio.get_running_loop()
    loop.hanging.append(loop.create_future())
    await loop.hanging[-1]


@dataclass(slots=True, eq=False)
class Worker:
    """A process that runs functions, with a clock that may be wrong; it starts again if it dies."""

    name: str
    skew: float  # seconds
    tasks: "list[Task]" = field(default_factory=list)
    is_up: bool = True
    life: int = 1  # how often it has been started


@dataclass(slots=True, eq=False)
class Task:
    name: str
    worker: Worker
    coroutine: Coroutine[Any, Any, Any]
    on_end: Callable[[Any], None]  # called with the return value, or the error of a lost answer
    on_crash: Callable[[], None] = lambda: None
    began: float = 0.0
    read_at: dict[Any, float] = field(default_factory=dict)  # by table, key and asyncio task


CURRENT: ContextVar[Task | None] = ContextVar("task", default=None)


class _Handle:
    """A callback that is to be called; a fraction of what asyncio's costs."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self.callback, self.args = callback, args
        self.context = copy_context() if context is None else context
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class _Loop(asyncio.AbstractEventLoop):
    """The part of an event loop that tasks, futures and timers need."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hanging: list[asyncio.Future[Any]] = []
        self._order = count()
        self._ready: deque[_Handle] = deque()
        # By their times: callbacks, and pauses, which are most of them.
        self._timers: list[tuple[float, int, _Handle | asyncio.Future[None]]] = []
        self.on_error: Callable[[BaseException | None, str], None] = lambda _error, _text: None

    def time(self) -> float:
        return self.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        handle = _Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> _Handle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> _Handle:
        handle = _Handle(callback, args, context)
        heappush(self._timers, (when, next(self._order), handle))
        return handle

    def pause(self, seconds: float) -> asyncio.Future[None]:
        """Return a future that is done after `seconds`."""
        future: asyncio.Future[None] = asyncio.Future(loop=self)
        heappush(self._timers, (self.now + seconds, next(self._order), future))
        return future

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=str(name), context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # of dead processes
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.on_error(context.get("exception"), context.get("message", ""))

    def run(self, until: float, most: int, is_over: Callable[[], object]) -> bool:
        """Run what is due, in order, until nothing is left or the run is over.

        Returns False if there is more `until` then, or after `most` instants.
        """
        ready = self._ready
        for _ in range(most):
            while not ready:
                if not self._timers:
                    return True
                self._end_timer()
            while ready:
                handle = ready.popleft()
                if not handle.is_cancelled:
                    try:
                        handle.context.run(handle.callback, *handle.args)
                    except Exception as error:
                        self.on_error(error, str(handle.callback))
            if is_over():
                return True
            if self.now > until:
                break
        return False

    def _end_timer(self) -> None:
        """Make ready what waits for the next instant, unless it was cancelled."""
        when, _order, due = heappop(self._timers)
        if isinstance(due, _Handle):
            if due.is_cancelled:
                return
            self._ready.append(due)
        elif due.done():  # what has paused was cancelled
            return
        else:
            due.set_result(None)
        self.now = max(self.now, when)


@dataclass(slots=True, eq=False)
class Scheduler:
    """The event loop, the workers, and the history of a run."""

    random: Random
    workers: list[Worker] = field(default_factory=list)
    history: list[tuple[Any, ...]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    tasks_lost: int = 0
    on_restart: Callable[[Worker], None] = lambda _: None
    _loop: _Loop = field(default_factory=_Loop)

    @property
    def now(self) -> float:
        """Seconds since START."""
        return self._loop.now

    @property
    def current(self) -> Task | None:
        """The task that runs now, or that has started what runs."""
        return CURRENT.get()

    def clock(self, skew: float = 0.0) -> datetime:
        """Return the time on a clock that is `skew` seconds fast."""
        return START + timedelta(seconds=self.now + skew)

    def pause(self, seconds: float) -> asyncio.Future[None]:
        """Return what lets other tasks run for `seconds`, if it is awaited."""
        return self._loop.pause(seconds)

    def schedule(self, delay: float, act: Callable[..., object], *arguments: Any) -> None:
        """Call `act` after `delay` seconds."""
        self._loop.call_later(delay, act, *arguments, context=Context())

    def record(self, event: str, *facts: Any) -> None:
        task = CURRENT.get()
        self.history.append((self.now, task and task.name, event, *facts))

    def violate(self, problem: str) -> None:
        """Report that an invariant is broken; the run ends."""
        self.record("VIOLATION", problem)
        self.violations.append(problem)

    def run(self, until: float, most: int) -> None:
        """Run until nothing is left to do; that must be by `until` and after `most` instants."""
        self._loop.on_error = lambda error, text: self.violate(f"not handled: {text} {error!r}")
        asyncio_events._set_running_loop(self._loop)
        try:
            if not self._loop.run(until, most, self.violations.__len__):
                self.violate(f"still busy after {self.now:.0f} s")
        finally:
            asyncio_events._set_running_loop(None)

    def spawn(self, task: Task) -> None:
        """Let a worker begin a task."""
        task.worker.tasks.append(task)
        task.began = self.now
        context = Context()
        context.run(CURRENT.set, task)
        context.run(self.record, "begins", task.name, "on", task.worker.name)
        self._loop.create_task(self._run(task, task.worker.life), context=context)

    async def _run(self, task: Task, life: int) -> None:
        outcome: Any
        try:
            outcome = await task.coroutine
        except (LostAnswerError, TimeoutError) as error:  # the latter: a part of the repair
            outcome = error
        except Exception as error:  # any other error of a step is a finding
            if task.worker.life == life:
                self.violate(f"a step raised {error!r}")
            return
        if task.worker.life == life and task.worker.is_up:
            self.record("ends", outcome)
            task.worker.tasks.remove(task)
            task.on_end(outcome)

    def crash(self, worker: Worker) -> None:
        """Let a worker's process die; nothing that it has begun goes on."""
        self.record("CRASH of", worker.name, "with", [task.name for task in worker.tasks])
        worker.is_up = False
        worker.life += 1
        self.schedule(1 + 5 * self.random.random(), self._restart, worker)
        tasks, worker.tasks = worker.tasks, []
        self.tasks_lost += len(tasks)
        for task in tasks:
            task.on_crash()

    def _restart(self, worker: Worker) -> None:
        worker.is_up = True
        self.on_restart(worker)

    def choose_worker(self) -> Worker | None:
        """Return a random worker that is up; None if there is none."""
        up = [worker for worker in self.workers if worker.is_up]
        return self.random.choice(up) if up else None
