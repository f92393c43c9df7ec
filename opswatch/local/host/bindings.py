"""Inputs and outputs of functions, encoded as the Functions host and its worker encode them.

The values pass through the converters of azure-functions, as they do in the real worker.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum

from opswatch.local.host.app import Function


@dataclass(frozen=True, slots=True)
class Input:
    """A trigger's value and metadata, as the host sends them to the worker."""

    value: Datum
    metadata: Mapping[str, Datum] = field(default_factory=dict)


def queue_input(
    text: str,
    *,
    message_id: str,
    pop_receipt: str,
    dequeue_count: int,
    times: Mapping[str, datetime | None],
) -> Input:
    """Return a message's input; `times` are InsertionTime, ExpirationTime, NextVisibleTime."""
    metadata = {
        "Id": Datum(message_id, "string"),
        "PopReceipt": Datum(pop_receipt, "string"),
        "DequeueCount": Datum(json.dumps(dequeue_count), "json"),
    }
    metadata |= {
        name: Datum(json.dumps(time.isoformat()), "json") for name, time in times.items() if time
    }
    return Input(Datum(text, "string"), merge_properties(metadata, text))


def merge_properties(metadata: Mapping[str, Datum], text: str) -> dict[str, Datum]:
    """Return `metadata` with the top-level JSON properties of `text` written over it.

    Names are compared without case; null and arrays are ignored.
    https://github.com/Azure/azure-functions-host Utility.ApplyBindingData
    https://github.com/Azure/azure-functions-python-worker/issues/1373
    """
    merged = dict(metadata)
    spelling = {name.lower(): name for name in metadata}
    try:
        properties: dict[str, Any] = json.loads(text) if text.strip().startswith("{") else {}
    except (ValueError, RecursionError):
        return merged
    for name, value in properties.items():
        if value is None or isinstance(value, list):
            continue
        is_object = isinstance(value, dict)
        datum = Datum(json.dumps(value), "json") if is_object else Datum(str(value), "string")
        merged[spelling.setdefault(name.lower(), name)] = datum
    return merged


def timer_input() -> Input:
    """Return a timer's input: never past due, because schedules are not monitored here."""
    timer = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
    return Input(Datum(json.dumps(timer), "json"))


def http_input(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    route: Mapping[str, str],
    body: bytes,
) -> Input:
    """Return an HTTP request's input, without the query parameters that have no value."""

    def strings(mapping: Mapping[str, str]) -> dict[str, Datum]:
        return {name: Datum(value, "string") for name, value in mapping.items()}

    request = {
        "method": Datum(method, "string"),
        "url": Datum(url, "string"),
        "headers": strings({name.lower(): value for name, value in headers.items()}),
        "query": strings({name: value for name, value in query.items() if value}),
        "params": strings(route),
        "body": Datum(body, "bytes"),
    }
    return Input(Datum(request, "http"))


def decode(function: Function, trigger_input: Input) -> Any:
    """Return the argument of `function`; raise the worker's errors."""
    value = trigger_input.value
    if function.takes_text:
        return value.value
    return _converter(function.binding).decode(value, trigger_metadata=trigger_input.metadata)


def encode(function: Function, result: Any) -> Datum | None:
    """Return `result` as the worker sends it to the host; raise the worker's errors."""
    if not function.returns_http:
        if result is not None:
            raise TypeError(f"{function.name} has no $return binding, and returned {result!r}")
        return None
    try:
        encoded: Datum = _converter("http").encode(result, expected_type=None)
    except NotImplementedError:
        raise TypeError(f"{function.name} returned {result!r}, not an HTTP response") from None
    return encoded


def _converter(binding: str) -> Any:
    return func.get_binding_registry().get(binding)  # type: ignore[no-untyped-call]
