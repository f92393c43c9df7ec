"""Fakes for tests: of programs that use opswatch, and of opswatch itself.

For your own tests:

- `FakeWatcher` and `FakeSyncWatcher` are clients of an app in memory, whose operations your test
  ends;
- `signed_event` makes a callback as the app sends it, for the tests of a receiver.

The `Memory…` classes are fakes of opswatch's ports, for its own tests and simulations.
"""

from opswatch.testing.events import SignedEvent, signed_event
from opswatch.testing.memory import (
    MemoryArm,
    MemoryBudget,
    MemoryCallbacks,
    MemoryCounts,
    MemoryDurations,
    MemoryPoisonQueue,
    MemoryQueue,
    MemoryStore,
    MemoryTable,
    MemoryTelemetry,
    Message,
    Span,
    Step,
    pump,
)
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
