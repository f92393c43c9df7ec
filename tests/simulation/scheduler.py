"""Simulated time and workers: coroutines driven step by step, in an order that a seed decides."""

import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from tests.support.harness import START


class CrashError(BaseException):
    """The worker's process dies here; no step can catch this."""


class LostAnswerError(Exception):
    """A request without an answer: its effect may or may not have taken place."""


@types.coroutine
def pause(seconds: float) -> Generator[float, None, None]:
    """Let other tasks run for `seconds`."""
    yield seconds


@dataclass(slots=True, eq=False)
class Worker:
    """A process that runs functions, with a clock that may be wrong."""

    name: str
    skew: float  # seconds
    tasks: "list[Task]" = field(default_factory=list)
    is_up: bool = True


@dataclass(slots=True, eq=False)
class Task:
    name: str
    worker: Worker
    coroutine: Coroutine[float, None, Any]
    on_end: Callable[[Any], None]  # called with the return value, or with a LostAnswerError
    on_crash: Callable[[], None] = lambda: None
    is_dead: bool = False
    began: float = 0.0


@dataclass(slots=True, eq=False)
class Scheduler:
    """The agenda, the workers, and the history of a run."""

    random: Random
    now: float = 0.0  # seconds since START
    current: Task | None = None
    workers: list[Worker] = field(default_factory=list)
    history: list[tuple[Any, ...]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    tasks_lost: int = 0
    _agenda: list[tuple[float, int, Callable[[Any], None], Any]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)

    def clock(self, skew: float = 0.0) -> datetime:
        """Return the time on a clock that is `skew` seconds fast."""
        return START + timedelta(seconds=self.now + skew)

    def schedule(self, delay: float, act: Callable[[Any], None], argument: Any) -> None:
        """Put `act(argument)` on the agenda."""
        heappush(self._agenda, (self.now + delay, next(self._order), act, argument))

    def record(self, event: str, *facts: Any) -> None:
        self.history.append((self.now, self.current and self.current.name, event, *facts))

    def violate(self, problem: str) -> None:
        """Report that an invariant is broken; the run ends."""
        self.record("VIOLATION", problem)
        self.violations.append(problem)

    def run(self, until: float, most: int) -> None:
        """Work through the agenda; it must be empty by `until` and after `most` events."""
        for _ in range(most):
            if not self._agenda or self.violations:
                return
            self.now, _, act, argument = heappop(self._agenda)
            if self.now > until:
                break
            act(argument)
        self.violate(f"still busy after {self.now:.0f} s")

    def spawn(self, task: Task) -> None:
        """Let a worker begin a task."""
        task.worker.tasks.append(task)
        task.began = self.now
        self.record("begins", task.name, "on", task.worker.name)
        self.schedule(0.0, self._resume, task)

    def _resume(self, task: Task) -> None:
        if task.is_dead:
            return
        self.current = task
        try:
            delay = task.coroutine.send(None)
        except StopIteration as end:
            self._end(task, end.value)
        except CrashError:
            self._crash(task.worker)
        except LostAnswerError as error:
            self._end(task, error)
        except Exception as error:  # any other error of a step is a finding
            self.violate(f"a step raised {error!r}")
        else:
            self.schedule(delay, self._resume, task)
        self.current = None

    def _end(self, task: Task, outcome: Any) -> None:
        self.record("ends", outcome)
        task.worker.tasks.remove(task)
        task.on_end(outcome)

    def _crash(self, worker: Worker) -> None:
        self.record("CRASH of", worker.name, "with", [task.name for task in worker.tasks])
        worker.is_up = False
        self.schedule(1 + 5 * self.random.random(), self._restart, worker)
        tasks, worker.tasks = worker.tasks, []
        self.tasks_lost += len(tasks)
        for task in tasks:
            task.is_dead = True
            task.coroutine.close()
            task.on_crash()

    def _restart(self, worker: Worker) -> None:
        worker.is_up = True

    def choose_worker(self) -> Worker | None:
        """Return a random worker that is up; None if there is none."""
        up = [worker for worker in self.workers if worker.is_up]
        return self.random.choice(up) if up else None
