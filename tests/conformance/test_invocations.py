"""Functions get the same inputs from the real language worker and from `opswatch dev`."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opswatch.local.host.bindings import Input, http_input, queue_input, timer_input
from opswatch.local.host.worker import Outcome, Raised, Returned, Worker
from tests.conformance.driver import SUCCESS, app_of, real_worker, seen_in, wire

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="azure-functions-runtime exists from Python 3.13 on"
)

# A probe returns its input in an error or in an answer: neither host changes that.
PROBES = """
import json
import azure.functions as func

app = func.FunctionApp()

class Seen(Exception): ...

@app.queue_trigger(arg_name="msg", queue_name="q", connection="")
async def message(msg: func.QueueMessage) -> None:
    times = [str(t) for t in (msg.insertion_time, msg.expiration_time, msg.time_next_visible)]
    raise Seen(json.dumps([msg.get_body().decode(), msg.id, msg.pop_receipt,
                                 msg.dequeue_count, *times]))

@app.queue_trigger(arg_name="msg", queue_name="texts", connection="")
def text(msg: str) -> None:
    raise Seen(json.dumps(msg))

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def tick(timer: func.TimerRequest) -> None:
    raise Seen(json.dumps([timer.past_due, timer.schedule, timer.schedule_status]))

@app.route(route="items/{id}")
async def item(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    seen = [req.method, req.url, dict(req.headers), dict(req.params), dict(req.route_params),
            req.get_body().decode(), context.function_name]
    return func.HttpResponse(json.dumps(seen), status_code=207, headers={"x-probe": "1"})

@app.route(route="plain")
def plain(req: func.HttpRequest) -> str:
    return "plain"

@app.route(route="odd")
def odd(req: func.HttpRequest):
    return object()

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def returning(timer: func.TimerRequest):
    return "something"
"""
FAILED = "failed"
NOW = datetime(2026, 11, 23, 3, 5, 40, 123456, UTC)


def message(text: str) -> Input:
    times = {"InsertionTime": NOW, "ExpirationTime": NOW + timedelta(days=7)}
    return queue_input(
        text,
        message_id="the-id",
        pop_receipt="the-receipt",
        dequeue_count=3,
        times={**times, "NextVisibleTime": None},
    )


def request(method: str = "GET", body: bytes = b"", **query: str) -> Input:
    return http_input(
        method=method,
        url="http://localhost:7071/api/items/1?a=b",
        headers={"X-One": "1"},
        query=query,
        route={"id": "1"},
        body=body,
    )


GIVEN = {
    "a message": ("message", message("6432a8f9-0fe6-4339-9303-772c92f35d02")),
    "JSON": ("message", message('{"wake": {"partition": "p"}, "nested": [1]}')),
    "odd text": ("message", message("\ufeff\u00e9\U0001f600\x00\n")),
    "JSON over metadata": ("message", message('{"id": "posted", "popReceipt": "x"}')),
    "an invalid count": ("message", message('{"dequeueCount": "many"}')),
    "as a text": ("text", message("a text")),
    "a timer": ("tick", timer_input()),
    "GET": ("item", request()),
    "POST": ("item", request("POST", b'{"id": "\xc3\xa9"}', code="c", state="")),
    "a text as an answer": ("plain", request()),
    "no answer": ("odd", request()),
    "an unused value": ("returning", timer_input()),
}


async def test_worker_and_local_host_pass_the_same_values(tmp_path: Path) -> None:
    folder = app_of(tmp_path / "probes", PROBES)
    functions = seen_in(folder)
    by_name = {function.name: function for function in functions}
    async with real_worker(folder) as worker:
        theirs = {case: of_worker(await worker.invoke(*given)) for case, given in GIVEN.items()}
    with Worker(functions, folder, None) as local:
        ours = {
            case: of_local(await local.invoke(by_name[name], given))
            for case, (name, given) in GIVEN.items()
        }
    assert ours == theirs
    assert "posted" in str(theirs["JSON over metadata"])
    assert theirs["an invalid count"] == theirs["no answer"] == FAILED


def of_worker(response: dict[str, Any]) -> Any:
    """Return an answer or a probe's error; of the worker's other failures, only that it failed."""
    if response["result"]["status"] == SUCCESS:
        return _answer(response["return_value"])
    return _failure(response["result"]["exception"]["message"])


def of_local(outcome: Outcome) -> Any:
    match outcome:
        case Returned(value):
            return _answer(wire(value) if value else None)
        case Raised(error):
            return _failure(f"{type(error).__name__}: {error}")


def _failure(message: str) -> str:
    return message if message.startswith("Seen: ") else FAILED


def _answer(value: dict[str, Any] | None) -> Any:
    if not value or "http" not in value:
        return value
    return {part: value["http"][part] for part in ("status_code", "headers", "body")}
