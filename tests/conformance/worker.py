"""`python -m tests.conformance.worker DIR`: the real language worker over standard input.

Each line is a request in JSON, and is answered with a response in one line, in any order: requests
run side by side, as in the worker's own event loop. The functions' output goes to standard error.
"""

import asyncio
import json
import os
import sys
from importlib import import_module
from typing import Any
from uuid import uuid4

from tests.conformance import protos
from tests.conformance.protos import Message, ParameterBinding, plain, typed_data


async def serve(app_dir: str) -> None:
    """Answer requests, each in a task of its own, until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.path.insert(0, app_dir)
    runtime: Any = import_module("azure_functions_runtime")
    runtime.start_threadpool_executor()

    async def answer(number: int, name: str, fields: dict[str, Any]) -> None:
        response = await getattr(runtime, name)(_request(name, fields))
        answers.write(json.dumps([number, plain(response)]) + "\n")
        answers.flush()

    async with asyncio.TaskGroup() as running:
        while line := await asyncio.to_thread(sys.stdin.readline):
            running.create_task(answer(*json.loads(line)))


def _request(name: str, fields: dict[str, Any]) -> Message:
    if name == "invocation_request":
        fields = _invocation(**fields)
    return Message(
        request=Message(**{name: Message(**fields)}), properties={"host": "", "protos": protos}
    )


def _invocation(
    function_id: str, parameter: str, value: dict[str, Any], metadata: dict[str, Any]
) -> dict[str, Any]:
    return {
        "invocation_id": str(uuid4()),
        "function_id": function_id,
        "input_data": [ParameterBinding(name=parameter, data=typed_data(value))],
        "trigger_metadata": {name: typed_data(datum) for name, datum in metadata.items()},
        "trace_context": Message(trace_parent="", trace_state="", attributes={}),
        "retry_context": Message(retry_count=0, max_retry_count=0, exception=None),
    }


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
