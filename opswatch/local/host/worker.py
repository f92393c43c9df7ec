"""The worker: one load of the function app, and everything that runs in it."""

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
from typing import Any, Self
from uuid import uuid4

from azure.functions.meta import Datum

from opswatch.core.errors import OpswatchError
from opswatch.local.host.app import Function, load_app
from opswatch.local.host.bindings import Input, decode, encode

logger = logging.getLogger(__name__)

THREADS = "function"  # what the names of the threads begin with


class FunctionTimeoutError(OpswatchError):
    """A function ran past functionTimeout: the worker and all that runs in it are given up."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A function returned; `value` is what goes to its output binding, if it has one."""

    value: Datum | None


@dataclass(frozen=True, slots=True)
class Raised:
    """A function, or the conversion of its argument or result, raised `error`."""

    error: Exception


Outcome = Returned | Raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a function's `context` parameter takes: azure.functions.Context in shape."""

    function_name: str
    function_directory: str
    invocation_id: str
    trace_context: SimpleNamespace
    retry_context: SimpleNamespace
    thread_local_storage: SimpleNamespace


class Worker:
    """Runs functions: coroutines on the loop, the others in threads."""

    def __init__(
        self, functions: tuple[Function, ...], app_dir: Path, timeout: timedelta | None
    ) -> None:
        self.functions = functions
        self._app_dir = app_dir
        self._timeout = timeout.total_seconds() if timeout else None
        self._threads = ThreadPoolExecutor(thread_name_prefix=THREADS)

    @classmethod
    def start(cls, app_dir: Path, env: Mapping[str, str], timeout: timedelta | None) -> Self:
        """Load the app of `app_dir` afresh into a new worker; raise `ConfigError`."""
        return cls(load_app(app_dir, env), app_dir, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End: a thread that still runs is left to itself, for nothing can stop it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def invoke(self, function: Function, given: Input) -> Outcome:
        """Run `function` once and log one line of it; raise `FunctionTimeoutError`."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                outcome = await self._attempt(function, given)
        except TimeoutError:
            logger.error("%s ran past functionTimeout", function.name)  # noqa: TRY400 - it is all
            raise FunctionTimeoutError(function.name) from None
        _log(function, outcome, time.perf_counter() - started)
        return outcome

    async def _attempt(self, function: Function, given: Input) -> Outcome:
        try:
            arguments = {function.parameter: decode(function, given)}
            if function.takes_context:
                arguments["context"] = self._context(function)
            return Returned(encode(function, await self._call(function, arguments)))
        except Exception as error:
            return Raised(error)

    async def _call(self, function: Function, arguments: dict[str, Any]) -> Any:
        if function.is_async:
            return await function.call(**arguments)
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: context.run(function.call, **arguments)
        )

    def _context(self, function: Function) -> Context:
        invocation_id = str(uuid4())
        return Context(
            function_name=function.name,
            function_directory=str(self._app_dir),
            invocation_id=invocation_id,
            trace_context=SimpleNamespace(
                trace_parent=f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
                trace_state="",
                attributes={},
            ),
            retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
            thread_local_storage=SimpleNamespace(invocation_id=invocation_id),
        )


def _log(function: Function, outcome: Outcome, seconds: float) -> None:
    match outcome:
        case Returned():
            logger.info("%s succeeded, %.0f ms", function.name, seconds * 1000)
        case Raised(error):
            logger.error("%s failed, %.0f ms", function.name, seconds * 1000, exc_info=error)
