"""Fakes for tests: of programs that use opswatch, and of opswatch itself.

For your own tests:

- `FakeWatcher` and `FakeSyncWatcher` are clients of an app in memory, whose operations your test
  ends;
- `signed_event` makes a callback as the app sends it, for the tests of a receiver.

The `Memory…` classes are fakes of opswatch's ports, for its own tests and simulations. Each is
complete: tables check ETags, queues lease messages, and what was asked of ARM, receivers and
telemetry can be read afterwards. Time comes from the clock that you pass in. The app itself imports
nothing from here.

    queue = MemoryQueue(clock)
    services = Services(store=MemoryStore(), operations=queue, arm=MemoryArm(answer), ...)
    await pump(queue, lambda body: operations_message(services, body))
"""

from opswatch.testing.events import SignedEvent, signed_event
from opswatch.testing.queues import MemoryPoisonQueue, MemoryQueue, Message, Step, pump
from opswatch.testing.services import (
    MemoryArm,
    MemoryBudget,
    MemoryCallbacks,
    MemoryCounts,
    MemoryDurations,
    MemoryTelemetry,
    Span,
)
from opswatch.testing.tables import MemoryStore, MemoryTable
from opswatch.testing.watchers import FakeApp, FakeSyncWatcher, FakeWatcher

__all__ = [
    "FakeApp",
    "FakeSyncWatcher",
    "FakeWatcher",
    "MemoryArm",
    "MemoryBudget",
    "MemoryCallbacks",
    "MemoryCounts",
    "MemoryDurations",
    "MemoryPoisonQueue",
    "MemoryQueue",
    "MemoryStore",
    "MemoryTable",
    "MemoryTelemetry",
    "Message",
    "SignedEvent",
    "Span",
    "Step",
    "pump",
    "signed_event",
]
