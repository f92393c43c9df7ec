"""The host's side of the real language worker: one process for each function app."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from azure.functions.meta import Datum

from opswatch.local.host.app import MODULE, Function, load_app
from opswatch.local.host.bindings import Input

ROOT = Path(__file__).parents[2]
_LONGEST_LINE = 2**24
SUCCESS = 1  # StatusResult.Success


@dataclass(frozen=True, slots=True)
class Reported:
    """A function as the worker reports it to the host."""

    name: str
    function_id: str
    bindings: tuple[Mapping[str, Any], ...]  # function.json's, the trigger first

    @property
    def trigger(self) -> Mapping[str, Any]:
        return self.bindings[0]


class RealWorker:
    """A language worker that has loaded one app."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = count()
        self.functions: dict[str, Reported] = {}

    async def request(self, name: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return the response, of any status; several can be under way."""
        assert self._process.stdin
        assert self._process.returncode is None, "the worker has died"
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        self._process.stdin.write(json.dumps([number, name, fields]).encode() + b"\n")
        return await answer

    async def read_answers(self) -> None:
        """Pass each response to its request, until the worker ends."""
        assert self._process.stdout
        async for line in self._process.stdout:
            number, response = json.loads(line)
            answer = self._pending.pop(number)
            if not answer.cancelled():
                answer.set_result(response)
        for answer in self._pending.values():
            answer.set_exception(AssertionError("the worker has died"))

    async def load(self, app_dir: Path) -> None:
        """Send the requests that the host sends before any invocation."""
        directory = str(app_dir)
        await self.succeed("worker_init_request", capabilities={}, function_app_directory=directory)
        metadata = await self.succeed("functions_metadata_request")
        for found in metadata["function_metadata_results"]:
            reported = _reported(found)
            self.functions[reported.name] = reported
            await self.succeed("function_load_request", function_id=reported.function_id)

    async def succeed(self, name: str, **fields: Any) -> dict[str, Any]:
        """Send a request that must succeed, and return the response."""
        response = await self.request(name, **fields)
        assert response["result"]["status"] == SUCCESS, response["result"]["exception"]
        return response

    async def invoke(self, name: str, given: Input) -> dict[str, Any]:
        """Run a function once with the input of a trigger."""
        function = self.functions[name]
        return await self.request(
            "invocation_request",
            function_id=function.function_id,
            parameter=function.trigger["name"],
            value=wire(given.value),
            metadata={name: wire(datum) for name, datum in given.metadata.items()},
        )

    async def run(self, name: str, given: Input) -> Any:
        """Run a function that must succeed; return its return value as typed data."""
        response = await self.invoke(name, given)
        assert response["result"]["status"] == SUCCESS, response["result"]["exception"]
        return response["return_value"]


@asynccontextmanager
async def real_worker(
    app_dir: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[RealWorker]:
    """Yield a worker in a new process that has loaded the app of `app_dir`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.conformance.worker", str(app_dir)),
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
    )
    worker = RealWorker(process)
    reading = asyncio.create_task(worker.read_answers())
    try:
        await worker.load(app_dir)
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


def seen_in(app_dir: Path) -> tuple[Function, ...]:
    """Return the functions of an app as the local host loads them."""
    try:
        return load_app(app_dir, {})
    finally:
        sys.modules.pop(MODULE, None)


def app_of(folder: Path, text: str) -> Path:
    """Write an app into a new folder and return the folder."""
    folder.mkdir()
    (folder / f"{MODULE}.py").write_text(text, "utf-8")
    return folder


def _reported(metadata: Mapping[str, Any]) -> Reported:
    bindings = [json.loads(text) for text in metadata["raw_bindings"]]
    bindings.sort(key=lambda binding: not binding["type"].endswith("Trigger"))
    for binding in bindings:  # the worker describes it twice
        about = metadata["bindings"][binding["name"]]
        assert about["type"] == binding["type"]
        assert about["direction"] == ["IN", "OUT"].index(binding["direction"])
    return Reported(metadata["name"], metadata["function_id"], tuple(bindings))


def wire(datum: Datum) -> dict[str, Any]:
    """Return a datum as typed data in JSON."""
    match datum.type:
        case "bytes":
            return {"bytes": datum.value.decode("latin-1")}
        case "http":
            return {"http": {name: _part(part) for name, part in datum.value.items()}}
        case kind:
            return {str(kind): datum.value}


def _part(part: Any) -> Any:
    """Return a part of a request or an answer: the body is typed data, the others are texts."""
    match part:
        case dict():
            return {name: text.value for name, text in part.items()}
        case Datum(type="bytes"):
            return wire(part)
        case Datum():
            return part.value
        case _:
            return part
