"""Runs one worker's functions when their triggers fire, until shutdown or a timeout."""

import asyncio
from functools import partial

from azure.functions.meta import Datum

from opswatch.local.host.app import Function, HttpTrigger, QueueTrigger, TimerTrigger
from opswatch.local.host.bindings import Input, queue_input, timer_input
from opswatch.local.host.connections import Connections
from opswatch.local.host.http import HttpServer, route_table
from opswatch.local.host.leases import Lease
from opswatch.local.host.queues import QueueListener
from opswatch.local.host.settings import HostSettings
from opswatch.local.host.shutdown import Shutdown
from opswatch.local.host.timers import Timer
from opswatch.local.host.worker import Returned, Worker


class Dispatcher:
    """The queue listeners, timers and routes of one worker."""

    def __init__(
        self,
        worker: Worker,
        settings: HostSettings,
        connections: Connections,
        server: HttpServer,
        shutdown: Shutdown,
    ) -> None:
        """Prepare the listeners; raise `ConfigError`."""
        self._worker = worker
        self._server = server
        self._shutdown = shutdown
        self._routes = route_table(worker.functions, settings.route_prefix)
        self._queues: list[QueueListener] = []
        self._timers: list[Timer] = []
        for function in worker.functions:
            match function.trigger:
                case QueueTrigger(name, connection):
                    queue = connections.queue(name, connection)
                    run_message = partial(self._run_message, function)
                    listener = QueueListener(queue, settings.queues, run_message, shutdown)
                    self._queues.append(listener)
                case TimerTrigger(_, schedule, run_on_startup):
                    tick = partial(worker.invoke, function, timer_input())
                    timer = Timer(schedule, tick, shutdown, run_on_startup=run_on_startup)
                    self._timers.append(timer)
                case HttpTrigger():
                    pass  # served by its route

    async def run(self) -> None:
        """Serve until shutdown, then wait for the running functions.

        If a function times out, all functions are cancelled and an exception group with
        FunctionTimeoutError is raised.
        """
        with self._worker:
            async with asyncio.TaskGroup() as running:
                for queue in self._queues:
                    running.create_task(queue.run())
                for timer in self._timers:
                    running.create_task(timer.run())
                running.create_task(self._serve_http(running))

    async def started(self) -> None:
        """Return after every timer with run_on_startup has run."""
        for timer in self._timers:
            await timer.has_started.wait()

    async def _run_message(self, function: Function, lease: Lease, body: str) -> bool:
        message = queue_input(
            body,
            message_id=lease.message_id,
            pop_receipt=lease.pop_receipt,
            dequeue_count=lease.dequeue_count,
            times=lease.times,
        )
        return isinstance(await self._worker.invoke(function, message), Returned)

    async def _serve_http(self, running: asyncio.TaskGroup) -> None:
        async def invoke(function: Function, request: Input) -> Datum | None:
            # As a task of the group, so that a timeout of any function cancels it too.
            invocation = running.create_task(self._worker.invoke(function, request))
            await asyncio.wait({invocation})
            if invocation.cancelled() or invocation.exception():
                return None
            outcome = invocation.result()
            return outcome.value if isinstance(outcome, Returned) else None

        self._server.mount(self._routes, invoke)
        try:
            await self._shutdown.wait()
            await self._server.close()
        finally:
            self._server.unmount()
