import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError

from opswatch.local.host.app import Function, TimerTrigger
from opswatch.local.host.bindings import timer_input
from opswatch.local.host.timers import parse_schedule
from opswatch.local.host.worker import FunctionTimeoutError, Outcome, Raised, Returned, Worker

EVERY_MINUTE = "0 * * * * *"


def tick(call: Callable[..., Any], *, takes_context: bool = False) -> Function:
    return Function(
        name="tick",
        trigger=TimerTrigger(EVERY_MINUTE, parse_schedule(EVERY_MINUTE), run_on_startup=False),
        binding="timerTrigger",
        parameter="timer",
        takes_text=False,
        takes_context=takes_context,
        call=call,
    )


async def invoke(function: Function, limit: timedelta | None = None) -> Outcome:
    with Worker((function,), Path("/app"), limit) as worker:
        return await worker.invoke(function, timer_input())


async def test_coroutine_runs_on_the_event_loop() -> None:
    async def call(timer: object) -> None:
        seen.append((threading.current_thread(), timer))

    seen: list[Any] = []
    assert await invoke(tick(call)) == Returned(None)
    assert seen[0][0] is threading.current_thread()


async def test_sync_function_keeps_context_in_thread() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    def call(timer: object) -> None:
        seen.append((threading.current_thread(), variable.get(), timer))

    seen: list[Any] = []
    assert await invoke(tick(call)) == Returned(None)
    assert seen[0][0] is not threading.current_thread()
    assert seen[0][1] == "set"


async def test_context_describes_the_invocation() -> None:
    def call(timer: object, context: Any) -> None:
        seen.append((context, timer))

    seen: list[Any] = []
    function = tick(call, takes_context=True)
    for _ in range(2):
        assert await invoke(function) == Returned(None)
    first, second = (context for context, _ in seen)
    assert (first.function_name, first.function_directory) == ("tick", "/app")
    assert first.invocation_id != second.invocation_id
    assert first.trace_context.trace_parent.startswith("00-")
    assert first.retry_context.retry_count == 0


async def test_function_error_is_an_outcome() -> None:
    error = TimeoutError("raised by the function")

    async def call(**_: object) -> None:
        raise error

    assert await invoke(tick(call), timedelta(minutes=1)) == Raised(error)


@pytest.mark.parametrize("is_async", [True, False])
async def test_timeout_of_a_function_is_raised(is_async: bool) -> None:
    released = threading.Event()

    async def waits(**_: object) -> None:
        await asyncio.Event().wait()

    def blocks(**_: object) -> None:
        released.wait()

    with pytest.raises(FunctionTimeoutError):
        await invoke(tick(waits if is_async else blocks), timedelta(microseconds=1))
    released.set()


async def test_each_invocation_logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def fails(**_: object) -> None:
        raise ValueError("no")

    with caplog.at_level(logging.INFO):
        await invoke(tick(lambda **_: None))
        await invoke(tick(fails))
    first, second = caplog.records
    assert first.getMessage().startswith("tick succeeded, ")
    assert (second.levelname, second.exc_info is not None) == ("ERROR", True)
    assert second.getMessage().startswith("tick failed, ")


@pytest.mark.parametrize("kind", [ServiceRequestError, ServiceResponseError])
async def test_unreachable_service_is_one_line(
    caplog: pytest.LogCaptureFixture, kind: type[AzureError]
) -> None:
    def fails(**_: object) -> None:
        raise kind("Cannot connect to host 127.0.0.1:10002")

    await invoke(tick(fails))
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.getMessage().endswith(
        f": {kind.__name__}: Cannot connect to host 127.0.0.1:10002"
    )
