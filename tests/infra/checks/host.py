"""host.json: what the app relies on, and nothing that the host does not know.

The host takes a misspelt setting for none at all, and the local one is as quiet: so the list of
what may stand there is closed. https://learn.microsoft.com/azure/azure-functions/functions-host-json
"""

from collections.abc import Iterator
from typing import Any

from opswatch.core.errors import ConfigError
from opswatch.local.host.settings import HostSettings
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

PLACE = "host.json"
# Setting -> its one value, which the reason beside it asks for.
FIXED = {
    "version": "2.0",
    # The host brings HTTP and timers alone; the queue trigger comes with the bundle.
    "extensionBundle/id": "Microsoft.Azure.Functions.ExtensionBundle",
    "extensionBundle/version": "[4.*, 5.0.0)",
    "telemetryMode": "OpenTelemetry",  # docs/telemetry.md
    "extensions/http/routePrefix": "api",  # the paths that users and the runbook name
    "extensions/queues/messageEncoding": "none",  # under base64 plain text goes to poison, unread
    "extensions/queues/maxPollingInterval": "00:00:02",  # a minute by default: as much more lag
    "extensions/queues/maxDequeueCount": 5,  # the runbook says so
    "extensions/queues/visibilityTimeout": "00:00:10",  # by default what failed is hot at once
    "functionTimeout": "00:05:00",  # half of the time that a received message stays hidden
    "logging/logLevel/default": "Information",  # the level of our events
}
# Settings whose value is a choice within the host's bounds.
CHOSEN = {"extensions/queues/batchSize", "extensions/queues/newBatchThreshold"}
_LEVELS = {"Trace", "Debug", "Information", "Warning", "Error", "Critical", "None"}


def check(project: Project) -> list[Finding]:
    try:
        document = project.json(PLACE)
        settings = HostSettings.parse(document, {})
    except ConfigError as error:
        return [Finding(PLACE, problem) for problem in error.problems]
    except ValueError as error:
        return [Finding(PLACE, str(error))]
    found = [*_values(dict(_flat(document)))]
    together = settings.queues.batch_size + settings.queues.new_batch_threshold
    if f"⌈length ÷ {together}⌉" not in project.read("infra/README.md"):
        found.append(
            Finding(PLACE, f"{together} messages at a time are not what infra/README says")
        )
    return found


def _values(given: dict[str, Any]) -> Iterator[Finding]:
    for name, want in FIXED.items():
        if given.get(name) != want:
            yield Finding(PLACE, f"{name} is {given.get(name)!r}, not {want!r}")
    for name in given.keys() - FIXED.keys() - CHOSEN:
        if not name.startswith("logging/logLevel/"):
            yield Finding(PLACE, f"nothing looks at {name}")
        elif given[name] not in _LEVELS:
            yield Finding(PLACE, f"{name} is no level: {given[name]}")


def _flat(document: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `a/b/c` and its value for each setting."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}/")
        else:
            yield above + name, value
