"""host.json: the settings that the app relies on, and no others.

The host ignores a misspelt setting, so the list of settings is closed.
https://learn.microsoft.com/azure/azure-functions/functions-host-json
"""

from collections.abc import Iterator
from typing import Any

from opswatch.core.errors import ConfigError
from opswatch.local.host.settings import HostSettings
from tests.infra.checks.project import Project

PLACE = "host.json"
# Setting: its only valid value, with the reason.
FIXED = {
    "version": "2.0",
    # The host has HTTP and timers only; the queue trigger is in the bundle.
    "extensionBundle/id": "Microsoft.Azure.Functions.ExtensionBundle",
    "extensionBundle/version": "[4.*, 5.0.0)",
    "telemetryMode": "OpenTelemetry",  # docs/telemetry.md
    "extensions/http/routePrefix": "api",  # users and the runbook name these paths
    "extensions/queues/messageEncoding": "none",  # base64 would send plain text to poison
    "extensions/queues/maxPollingInterval": "00:00:02",  # default: a minute, so as much more lag
    "extensions/queues/maxDequeueCount": 5,  # as the runbook says
    "extensions/queues/visibilityTimeout": "00:00:10",  # default: retried at once
    "functionTimeout": "00:05:00",  # half the time that a received message is hidden
    "logging/logLevel/default": "Information",  # the level of our events
}
# Settings that may have any value within the host's bounds.
CHOSEN = {"extensions/queues/batchSize", "extensions/queues/newBatchThreshold"}
_LEVELS = {"Trace", "Debug", "Information", "Warning", "Error", "Critical", "None"}


def check(project: Project) -> list[str]:
    try:
        document = project.json(PLACE)
        settings = HostSettings.parse(document, {})
    except ConfigError as error:
        return [f"{PLACE}: {problem}" for problem in error.problems]
    except ValueError as error:
        return [f"{PLACE}: {error}"]
    found = [*_values(dict(_flat(document)))]
    together = settings.queues.batch_size + settings.queues.new_batch_threshold
    if f"⌈length ÷ {together}⌉" not in project.read("infra/README.md"):
        found.append(
            f"{PLACE}: {together} messages at a time, but infra/README.md has a different number"
        )
    return found


def _values(given: dict[str, Any]) -> Iterator[str]:
    for name, want in FIXED.items():
        if given.get(name) != want:
            yield f"{PLACE}: {name} is {given.get(name)!r}, not {want!r}"
    for name in given.keys() - FIXED.keys() - CHOSEN:
        if not name.startswith("logging/logLevel/"):
            yield f"{PLACE}: {name} is not in the list of settings"
        elif given[name] not in _LEVELS:
            yield f"{PLACE}: {name} is not a level: {given[name]}"


def _flat(document: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `a/b/c` and its value for each setting."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}/")
        else:
            yield above + name, value
