"""A source over fakes, to which something happens before each of its answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from opswatch.cli.source import StorageSource
from opswatch.core.http import HttpResponse
from opswatch.core.intake import Intake, Registration
from opswatch.core.keys import Key
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import End, FinalStatus
from opswatch.ports import Query, Services
from opswatch.steps.deliver import deliver
from opswatch.steps.finish import finish
from opswatch.steps.register import register
from opswatch.testing import MemoryCallbacks


@dataclass
class Scripted:
    """A source that answers from fakes, and does something before each look."""

    services: Services
    before: dict[int, Callable[[], Any]] = field(default_factory=dict)  # by the number of the look
    looks: int = 0
    base: str | None = None

    @property
    def intake(self) -> Intake:
        return self.services.intake

    async def call(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Any:
        self.looks += 1
        if self.looks in self.before:
            done = self.before[self.looks]()
            if done is not None:
                await done
        return await StorageSource(self.services).call(method, path, query, body)


def fails(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


async def watch(services: Services, name: str = "1b2c", callback: str | None = None) -> Key:
    body = f'{{"operation": "{name}", "callbackUrl": "{callback}"}}' if callback else name
    read = services.intake.read(body.encode(), services.clock())
    assert isinstance(read, Registration)
    return await register(services, read, services.clock())


async def end(services: Services, key: Key, status: FinalStatus = FinalStatus.SUCCEEDED) -> None:
    row = await services.store.watches.get(key)
    assert row is not None
    now = services.clock()
    ended = End(status=status, finished_at=now, end_time=now)
    await finish(services, replace(row, value=replace(row.value, end=ended)))


async def settle(services: Services, key: Key, code: int) -> None:
    answering = replace(services, callbacks=MemoryCallbacks(lambda _: HttpResponse(code, {})))
    async for row in services.store.outbox.find(Query(partition=key.partition)):
        await deliver(answering, WakeUp(key=row.value.key, seq=row.value.seq))
