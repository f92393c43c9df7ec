"""The storage queue, the Functions host and its scaler, in virtual time.

Sources: docs/scaling.md. One `Function` is one queue function with its queue and its instances.
"""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from benchmarks.scaling import rules
from opswatch.local.host.queues import idle_delays


class Timeline:
    """What happens when: the events of the model, in their order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, when: float, act: Callable[..., None], *arguments: Any) -> None:
        """Call `act` at `when`, after what was planned for the same time before."""
        heapq.heappush(self._events, (when, next(self._numbers), act, arguments))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            self.now, _, act, arguments = heapq.heappop(self._events)
            act(*arguments)
        self.now = until


class MessageQueue:
    """Messages, hidden until they are due."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._numbers = count()
        self._hidden: list[tuple[float, int, Any]] = []
        self._visible: deque[Any] = deque()
        self._received = 0

    def __len__(self) -> int:
        """Return the number of messages as the scaler counts them: hidden ones, too."""
        return len(self._hidden) + len(self._visible) + self._received

    def send(self, message: Any, delay: float) -> None:
        """Add a message; the queue hides it for whole seconds."""
        self.add(message, self._timeline.now + math.ceil(delay))

    def add(self, message: Any, visible_at: float) -> None:
        """Add a message that was sent before: it is visible at this time."""
        heapq.heappush(self._hidden, (visible_at, next(self._numbers), message))

    def has_visible(self) -> bool:
        """Return whether a peek would show a message."""
        self._show()
        return bool(self._visible)

    def receive(self) -> list[Any]:
        """Take up to a batch of visible messages."""
        self._show()
        taken = [self._visible.popleft() for _ in range(min(rules.RECEIVED, len(self._visible)))]
        self._received += len(taken)
        return taken

    def delete(self) -> None:
        """Remove one of the messages that were received."""
        self._received -= 1

    def _show(self) -> None:
        while self._hidden and self._hidden[0][0] <= self._timeline.now:
            self._visible.append(heapq.heappop(self._hidden)[2])


@dataclass(eq=False)
class Instance:
    """One instance of a function."""

    busy_from: float  # when it was last seen busy
    in_flight: int = 0
    waits_for_room: bool = False
    is_gone: bool = False
    cpu_free_at: float = 0.0
    executed: list[tuple[float, float]] = field(default_factory=list)  # billed, from and to
    groups: dict[Any, list[Any]] = field(default_factory=dict)  # that the app gathers here
    delays: Iterator[float] = field(default_factory=lambda: idle_delays(rules.LONGEST_PAUSE, _even))

    def compute(self, now: float, cpu: float) -> float:
        """Take so many CPU seconds after what was asked before; return when they have passed."""
        self.cpu_free_at = max(self.cpu_free_at, now) + cpu / rules.CORES
        return self.cpu_free_at


def _even(least: float, most: float) -> float:
    return (least + most) / 2  # the host's spread; the model has no need of it


Done = Callable[[], None]
Run = Callable[[Instance, Any, Done], None]


class Function:
    """A queue function: its queue, its instances, and the scaler's rule for it alone."""

    def __init__(self, timeline: Timeline, requests: Counter[str], run: Run) -> None:
        self.queue = MessageQueue(timeline)
        self.instances: list[Instance] = []
        self.executions = 0
        self.targets: deque[tuple[float, int]] = deque()
        self.gone: list[Instance] = []
        self._timeline = timeline
        self._requests = requests
        self._run = run
        self._starting = 0
        timeline.at(0.0, self._scale)

    def warm_up(self) -> None:
        """Start the instances that the messages ask for, as if one of them were visible."""
        for _ in range(max(1, math.ceil(len(self.queue) / rules.PER_INSTANCE))):
            self._starting += 1
            self._start()

    def billed(self, since: float) -> float:
        """Return for how many seconds instances were executing anything, since then."""
        return sum(
            _union(instance.executed, since, self._timeline.now)
            for instance in (*self.instances, *self.gone)
        )

    def _scale(self) -> None:
        """Ask for an instance for each 256 messages, or for none if none is visible."""
        now = self._timeline.now
        length = len(self.queue) if self.queue.has_visible() else 0
        target = min(math.ceil(length / rules.PER_INSTANCE), rules.MOST_INSTANCES)
        self.targets.append((now, target))
        while self.targets[0][0] < now - rules.IDLE:
            self.targets.popleft()
        wanted = max(target for _, target in self.targets)
        for _ in range(wanted - len(self.instances) - self._starting):
            self._starting += 1
            self._timeline.at(now + rules.COLD_START, self._start)
        for instance in list(self.instances):
            is_idle = not instance.in_flight and now - instance.busy_from >= rules.IDLE
            if is_idle or (len(self.instances) > max(wanted, 1) and not instance.in_flight):
                instance.is_gone = True
                self.instances.remove(instance)
                self.gone.append(instance)
        self._timeline.at(now + rules.SCALED_EACH, self._scale)

    def _start(self) -> None:
        self._starting -= 1
        instance = Instance(self._timeline.now)
        self.instances.append(instance)
        self._receive(instance)

    def _receive(self, instance: Instance) -> None:
        """Receive as the host does: again at once after messages, ever more rarely without."""
        if instance.is_gone:
            return
        self._requests["receive"] += 1
        messages = self.queue.receive()
        now = self._timeline.now
        for message in messages:
            instance.in_flight += 1
            self.executions += 1
            self._run(instance, message, self._settling(instance, now))
        if not messages:
            self._timeline.at(now + next(instance.delays), self._receive, instance)
            return
        instance.busy_from = now
        instance.delays = idle_delays(rules.LONGEST_PAUSE, _even)
        self._receive_when_there_is_room(instance)

    def _receive_when_there_is_room(self, instance: Instance) -> None:
        instance.waits_for_room = instance.in_flight > rules.IN_FLIGHT
        if not instance.waits_for_room:
            self._timeline.at(self._timeline.now + rules.STORAGE_LATENCY, self._receive, instance)

    def _settling(self, instance: Instance, began: float) -> Done:
        def done() -> None:
            now = self._timeline.now
            self._requests["delete message"] += 1
            self.queue.delete()
            instance.in_flight -= 1
            instance.busy_from = now
            instance.executed.append((began, max(now, began + rules.LEAST_BILLED)))
            if instance.waits_for_room:
                self._receive_when_there_is_room(instance)

        return done


def _union(spans: list[tuple[float, float]], since: float, until: float) -> float:
    """Return how long any of `spans` lasts, between two instants."""
    total, end = 0.0, since
    for first, last in sorted(spans):
        total += max(min(last, until) - max(first, end), 0.0)
        end = max(end, min(last, until))
    return total
