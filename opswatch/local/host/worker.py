"""The worker: one loaded function app, and the functions that run in it."""

import asyncio
import contextvars
import logging
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Self
from uuid import uuid4

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.functions.meta import Datum

from opswatch.core.errors import OpswatchError
from opswatch.core.texts import one_line
from opswatch.local.host.app import Function, load_app
from opswatch.local.host.bindings import Input, decode, encode

logger = logging.getLogger(__name__)

THREADS = "function"  # prefix of the names of its threads


class FunctionTimeoutError(OpswatchError):
    """A function ran longer than functionTimeout: the worker must be replaced."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A function returned."""

    value: Datum | None  # for its output binding, if it has one


@dataclass(frozen=True, slots=True)
class Raised:
    """A function, or the conversion of its argument or result, raised `error`."""

    error: Exception


Outcome = Returned | Raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The argument of a function's `context` parameter, with azure.functions.Context's fields."""

    function_name: str
    function_directory: str
    invocation_id: str
    trace_context: SimpleNamespace
    retry_context: SimpleNamespace
    thread_local_storage: SimpleNamespace

    @classmethod
    def create(cls, function_name: str, app_dir: Path) -> Self:
        """Return the context of a new invocation."""
        invocation_id = str(uuid4())
        return cls(
            function_name=function_name,
            function_directory=str(app_dir),
            invocation_id=invocation_id,
            trace_context=SimpleNamespace(
                trace_parent=f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
                trace_state="",
                attributes={},
            ),
            retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
            thread_local_storage=SimpleNamespace(invocation_id=invocation_id),
        )


class Worker:
    """Runs functions: coroutines on the event loop, the others in threads."""

    def __init__(
        self, functions: tuple[Function, ...], app_dir: Path, timeout: timedelta | None
    ) -> None:
        self.functions = functions
        self._app_dir = app_dir
        self._timeout = timeout.total_seconds() if timeout else None
        self._threads = ThreadPoolExecutor(thread_name_prefix=THREADS)

    @classmethod
    def start(cls, app_dir: Path, env: Mapping[str, str], timeout: timedelta | None) -> Self:
        """Load the app of `app_dir` into a new worker; raise `ConfigError`."""
        return cls(load_app(app_dir, env), app_dir, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End without waiting for running threads, because they cannot be stopped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def invoke(self, function: Function, trigger_input: Input) -> Outcome:
        """Run `function` once and log the outcome; raise `FunctionTimeoutError`."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                outcome = await self._run(function, trigger_input)
        except TimeoutError:
            logger.error("%s ran longer than functionTimeout", function.name)  # noqa: TRY400
            raise FunctionTimeoutError(function.name) from None
        ms = (time.perf_counter() - started) * 1000
        match outcome:
            case Returned():
                logger.info("%s succeeded, %.0f ms", function.name, ms)
            case Raised(ServiceRequestError() | ServiceResponseError() as error):  # no defect
                reason = one_line(f"{type(error).__name__}: {error}")
                logger.error("%s failed, %.0f ms: %s", function.name, ms, reason)
            case Raised(error):
                logger.error("%s failed, %.0f ms", function.name, ms, exc_info=error)
        return outcome

    async def _run(self, function: Function, trigger_input: Input) -> Outcome:
        try:
            arguments = {function.parameter: decode(function, trigger_input)}
            if function.takes_context:
                arguments["context"] = Context.create(function.name, self._app_dir)
            if function.is_async:
                result = await function.call(**arguments)
            else:
                context = contextvars.copy_context()
                result = await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: context.run(function.call, **arguments)
                )
            return Returned(encode(function, result))
        except Exception as error:
            return Raised(error)
