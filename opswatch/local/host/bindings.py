"""What goes into a function and what comes out, coded as the Functions host and its worker code it.

The values pass through azure-functions' own converters, as they do in the worker.
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
    return Input(Datum(text, "string"), overlay(metadata, text))


def overlay(metadata: Mapping[str, Datum], text: str) -> dict[str, Datum]:
    """Return `metadata` as it is after the top-level JSON properties of `text` have overwritten it.

    Case does not matter to a name; null and arrays overwrite nothing.
    https://github.com/Azure/azure-functions-host Utility.ApplyBindingData
    https://github.com/Azure/azure-functions-python-worker/issues/1373
    """
    overlaid = dict(metadata)
    spelling = {name.lower(): name for name in metadata}
    for name, value in _properties(text).items():
        if value is not None and not isinstance(value, list):
            overlaid[spelling.setdefault(name.lower(), name)] = _overlaid(value)
    return overlaid


def timer_input() -> Input:
    """Return a timer's input: never past due, for no schedule is monitored here."""
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
    """Return an HTTP request's input. A query parameter without a value does not arrive."""

    def texts(mapping: Mapping[str, str]) -> dict[str, Datum]:
        return {name: Datum(value, "string") for name, value in mapping.items()}

    request = {
        "method": Datum(method, "string"),
        "url": Datum(url, "string"),
        "headers": texts({name.lower(): value for name, value in headers.items()}),
        "query": texts({name: value for name, value in query.items() if value}),
        "params": texts(route),
        "body": Datum(body, "bytes"),
    }
    return Input(Datum(request, "http"))


def decode(function: Function, given: Input) -> Any:
    """Return the argument that `function` takes; raise what the worker would fail with."""
    if function.takes_text:
        return given.value.value
    return _converter(function.binding).decode(given.value, trigger_metadata=given.metadata)


def encode(function: Function, result: Any) -> Datum | None:
    """Return what the worker would send back for `result`; raise what it would fail with."""
    if not function.returns_http:
        if result is not None:
            raise TypeError(f"{function.name} has no $return binding, and returned {result!r}")
        return None
    try:
        encoded: Datum = _converter("http").encode(result, expected_type=None)
    except NotImplementedError:
        raise TypeError(f"{function.name} returned {result!r}, which is no response") from None
    return encoded


def _converter(binding: str) -> Any:
    return func.get_binding_registry().get(binding)  # type: ignore[no-untyped-call]


def _properties(text: str) -> dict[str, Any]:
    if not text.strip().startswith("{"):
        return {}
    try:
        properties = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return properties if isinstance(properties, dict) else {}


def _overlaid(value: Any) -> Datum:
    if isinstance(value, dict):
        return Datum(json.dumps(value), "json")
    return Datum(str(value), "string")
