"""Differences between the app that the local host loads and the one that the worker reports."""

from collections.abc import Iterable
from typing import Any, assert_never

from opswatch.local.host.app import Function, HttpTrigger, QueueTrigger, TimerTrigger, Trigger
from tests.conformance.driver import Reported

ANONYMOUS = frozenset({"health", "dashboard/{*path}"})  # routes that need no key


def differences(reported: Iterable[Reported], seen: Iterable[Function]) -> list[str]:
    """Return a line for each function that the worker and the local host describe differently.

    The local host requires no key, so the worker's level is compared with the rule.
    """
    theirs = {function.name: as_reported(function) for function in reported}
    ours = {function.name: as_seen(function) for function in seen}
    return [
        f"{name}: {theirs.get(name)} is not {ours.get(name)}"
        for name in sorted(theirs | ours)
        if theirs.get(name) != ours.get(name)
    ]


def as_reported(function: Reported) -> dict[str, Any]:
    """Return the facts of a report, with the host's defaults for missing ones."""
    trigger, outputs = function.trigger, function.bindings[1:]
    facts = {name: value for name, value in trigger.items() if name != "direction"}
    if trigger["type"] == "timerTrigger":
        facts.setdefault("runOnStartup", False)
        facts.pop("useMonitor", None)  # no effect locally: no state is kept
    if trigger["type"] == "httpTrigger":
        facts["methods"] = sorted(trigger.get("methods") or ())
    return facts | {"outputs": [(output["type"], output["name"]) for output in outputs]}


def as_seen(function: Function) -> dict[str, Any]:
    """Return the same facts of a function that the local host has loaded."""
    outputs = [("http", "$return")] if function.returns_http else []
    binding = {"type": function.binding, "name": function.parameter, "outputs": outputs}
    return binding | _facts(function.trigger)


def _facts(trigger: Trigger) -> dict[str, Any]:
    match trigger:
        case QueueTrigger(queue, connection):
            return {"queueName": queue, "connection": connection}
        case TimerTrigger(text, _, at_start):
            return {"schedule": text, "runOnStartup": at_start}
        case HttpTrigger(route, methods):
            level = "ANONYMOUS" if route in ANONYMOUS else "FUNCTION"
            return {"route": route, "methods": sorted(methods), "authLevel": level}
        case _:
            assert_never(trigger)
