"""A worker at work: its listeners and its routes, until the end or a time-out."""

import asyncio
from functools import partial

from azure.functions.meta import Datum

from opswatch.local.host.app import Function, HttpTrigger, QueueTrigger, TimerTrigger
from opswatch.local.host.bindings import Input, queue_input, timer_input
from opswatch.local.host.connections import Connections
from opswatch.local.host.http import HttpServer, route_table
from opswatch.local.host.leases import Lease
from opswatch.local.host.lifecycle import Stop
from opswatch.local.host.queues import QueueListener
from opswatch.local.host.settings import HostSettings
from opswatch.local.host.timers import Timer
from opswatch.local.host.worker import Returned, Worker

Listener = QueueListener | Timer


class Serving:
    """Everything that one worker answers to."""

    def __init__(
        self,
        worker: Worker,
        settings: HostSettings,
        connections: Connections,
        server: HttpServer,
        stop: Stop,
    ) -> None:
        """Prepare it; raise `ConfigError`."""
        self._worker = worker
        self._settings = settings
        self._connections = connections
        self._server = server
        self._stop = stop
        self._routes = route_table(worker.functions, settings.route_prefix)
        self._listeners = [
            listener for function in worker.functions if (listener := self._listener(function))
        ]

    async def run(self) -> None:
        """Serve until `stop`, then wait for what runs.

        A FunctionTimeoutError comes in an exception group, after everything in flight was given up.
        """
        with self._worker:
            async with asyncio.TaskGroup() as running:
                for listener in self._listeners:
                    running.create_task(listener.run())
                running.create_task(self._serve_http(running))

    async def started(self) -> None:
        """Return when every timer that runs at the start has run."""
        for listener in self._listeners:
            if isinstance(listener, Timer):
                await listener.has_started.wait()

    def _listener(self, function: Function) -> Listener | None:
        match function.trigger:
            case QueueTrigger(queue, connection):
                return QueueListener(
                    self._connections.queue(queue, connection),
                    self._settings.queues,
                    partial(self._run_message, function),
                    self._stop,
                )
            case TimerTrigger(_, schedule, run_on_startup):
                run = partial(self._run_timer, function)
                return Timer(schedule, run, self._stop, run_on_startup=run_on_startup)
            case HttpTrigger():
                return None

    async def _run_message(self, function: Function, lease: Lease, body: str) -> bool:
        given = queue_input(
            body,
            message_id=lease.message_id,
            pop_receipt=lease.pop_receipt,
            dequeue_count=lease.dequeue_count,
            times=lease.times,
        )
        return isinstance(await self._worker.invoke(function, given), Returned)

    async def _run_timer(self, function: Function) -> None:
        await self._worker.invoke(function, timer_input())

    async def _serve_http(self, running: asyncio.TaskGroup) -> None:
        self._server.mount(self._routes, partial(self._answer, running))
        try:
            await self._stop.wait()
            await self._server.close()
        finally:
            self._server.unmount()

    async def _answer(
        self, running: asyncio.TaskGroup, function: Function, given: Input
    ) -> Datum | None:
        """Run among the others, so that a time-out anywhere ends this too."""
        invocation = running.create_task(self._worker.invoke(function, given))
        await asyncio.wait({invocation})
        if invocation.cancelled() or invocation.exception():
            return None
        outcome = invocation.result()
        return outcome.value if isinstance(outcome, Returned) else None
