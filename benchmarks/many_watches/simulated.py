"""Simulated time: the pump's pauses are jumps of the clock to whatever is next."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from benchmarks.many_watches.app import App
from opswatch.local.host.shutdown import Shutdown
from opswatch.steps.maintenance import repair
from tests.support.storage import SimulatedClock, Storage

_MINUTE = timedelta(minutes=1)


class Jumps(Shutdown):
    """Pauses that take no time; every simulated minute the timer fires.

    Time moves when no step runs and nothing is to be received: each step sees a single instant.
    """

    def __init__(
        self,
        app: App,
        storage: Storage,
        clock: SimulatedClock,
        until: datetime,
        each_minute: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._app = app
        self._storage = storage
        self._clock = clock
        self._until = until
        self._each_minute = each_minute
        self._timer_at = clock.now + _MINUTE

    async def pause(self, seconds: float) -> None:  # noqa: ARG002 - nothing happens meanwhile
        """Jump to the next message or to the timer's next minute; at the end of time, stop."""
        await self._app.idle()
        if self._clock.now >= self._until:
            self.set()
            return
        self._clock.now = await self._storage.jump(min(self._timer_at, self._until))
        if self._clock.now == self._timer_at:
            self._timer_at += _MINUTE
            await self._each_minute()


async def simulate(
    app: App,
    storage: Storage,
    clock: SimulatedClock,
    span: timedelta,
    note: Callable[[], object] = lambda: None,
) -> None:
    """Pump for `span` of simulated time, the last instant included; call `note` each minute."""

    async def each_minute() -> None:
        await repair(app.services)
        note()

    await app.pump(Jumps(app, storage, clock, clock.now + span, each_minute))
