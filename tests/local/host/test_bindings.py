import json
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest

from opswatch.local.host.app import Function, HttpTrigger, QueueTrigger, Trigger
from opswatch.local.host.bindings import (
    Input,
    decode,
    encode,
    http_input,
    queue_input,
    timer_input,
)

INSERTED = datetime(2026, 11, 23, 3, 5, 40, tzinfo=UTC)
QUEUE = QueueTrigger("q", "AzureWebJobsStorage")
HTTP = HttpTrigger("x", frozenset())


def function(trigger: Trigger, binding: str, *, takes_text: bool = False) -> Function:
    return Function(
        name="f",
        trigger=trigger,
        binding=binding,
        parameter="value",
        takes_text=takes_text,
        takes_context=False,
        call=lambda value: value,
    )


def message_input(text: str) -> Input:
    return queue_input(
        text,
        message_id="m1",
        pop_receipt="p1",
        dequeue_count=3,
        times={"InsertionTime": INSERTED, "ExpirationTime": None},
    )


def received(text: str) -> Any:
    return decode(function(QUEUE, "queueTrigger"), message_input(text))


def test_message_has_the_workers_fields() -> None:
    message = received("hello")
    assert isinstance(message, func.QueueMessage)
    assert message.get_body() == b"hello"
    assert (message.id, message.pop_receipt, message.dequeue_count) == ("m1", "p1", 3)
    assert (message.insertion_time, message.expiration_time) == (INSERTED, None)


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ({"id": "op-1"}, ("op-1", "p1", 3)),
        ({"ID": 7, "popReceipt": True}, ("7", "True", 3)),
        ({"dequeueCount": "9"}, ("m1", "p1", 9)),
        ({"id": None, "popreceipt": ["x"], "DequeueCount": []}, ("m1", "p1", 3)),
        ({"data": {"id": "inner"}}, ("m1", "p1", 3)),
    ],
)
def test_body_properties_overwrite_metadata(
    body: dict[str, Any], seen: tuple[str, str, int]
) -> None:
    message = received(json.dumps(body))
    assert (message.id, message.pop_receipt, message.dequeue_count) == seen


@pytest.mark.parametrize("text", ['["id"]', '{"id": ', "{'id': 1}", "", '{"a":' * 20_000])
def test_other_bodies_leave_metadata_unchanged(text: str) -> None:
    assert received(text).id == "m1"


def test_invalid_dequeue_count_fails_the_invocation() -> None:
    with pytest.raises(ValueError, match="DequeueCount"):
        received('{"dequeueCount": "many"}')


def test_str_parameter_gets_the_text() -> None:
    text_function = function(QUEUE, "queueTrigger", takes_text=True)
    assert decode(text_function, message_input("hello")) == "hello"


def test_timer_is_never_past_due() -> None:
    timer = decode(function(QUEUE, "timerTrigger"), timer_input())
    assert isinstance(timer, func.TimerRequest)
    assert timer.past_due is False


def test_request_has_the_workers_fields() -> None:
    request_input = http_input(
        method="POST",
        url="http://127.0.0.1:7071/api/x?a=1&b=",
        headers={"X-Name": "v"},
        query={"a": "1", "b": ""},
        route={"id": "7"},
        body=b'{"k": 1}',
    )
    request = decode(function(HTTP, "httpTrigger"), request_input)
    assert isinstance(request, func.HttpRequest)
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:7071/api/x?a=1&b=")
    assert request.headers["x-name"] == "v"
    assert dict(request.params) == {"a": "1"}
    assert dict(request.route_params) == {"id": "7"}
    assert request.get_json() == {"k": 1}


def test_http_function_returns_response_or_text() -> None:
    http = function(HTTP, "httpTrigger")
    text, response = encode(http, "hi"), encode(http, func.HttpResponse("hi", status_code=201))
    assert text
    assert text.value == "hi"
    assert response
    assert response.value["status_code"].value == "201"
    for wrong in (None, 7):
        with pytest.raises(TypeError, match="not an HTTP response"):
            encode(http, wrong)


def test_queue_function_returns_none() -> None:
    queue = function(QUEUE, "queueTrigger")
    assert encode(queue, None) is None
    with pytest.raises(TypeError, match="no \\$return binding"):
        encode(queue, "something")
