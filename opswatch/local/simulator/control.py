"""The control routes: start operations and read how they were polled. They need no token."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from opswatch.core.times import format_instant
from opswatch.local.simulator.durations import parse_distribution
from opswatch.local.simulator.http import Request, Response, json_response
from opswatch.local.simulator.identity import TokenStatus
from opswatch.local.simulator.operations import Operations
from opswatch.local.simulator.scenario import Scenario
from opswatch.local.simulator.scripts import SCRIPTS, find_script

PREFIX = "/simulator/"
_DEFAULT_TOP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One entry of the request log."""

    at: datetime
    method: str
    path: str
    query: str
    status: int
    token: TokenStatus | None = None  # None at the identity endpoint
    operation_id: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the entry as the control route shows it."""
        return {
            "at": format_instant(self.at),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "token": self.token,
            "operationId": self.operation_id,
        }


class Control:
    """The routes below `/simulator/`."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        rng: Random,
        operations: Operations,
        requests: Sequence[LoggedRequest],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._operations = operations
        self._requests = requests

    def respond(self, request: Request) -> Response:
        """Answer one request."""
        now = self._clock()
        try:
            match request.method, request.path.removeprefix(PREFIX).rstrip("/").split("/"):
                case "PUT" | "POST", ["operations"]:
                    return self._start(request)
                case "GET", ["operations"]:
                    reports = [operation.report(now) for operation in self._operations.all()]
                    return json_response(200, {"value": reports})
                case "GET", ["operations", operation_id]:
                    operation = self._operations.get(operation_id)
                    if operation is None:
                        return _problem(404, f"There is no operation {operation_id}.")
                    return json_response(200, operation.report(now))
                case "GET", ["requests"]:
                    top = int(request.parameters.get("top", _DEFAULT_TOP))
                    newest = list(self._requests)[-top:] if top > 0 else []
                    return json_response(200, {"value": [entry.to_json() for entry in newest]})
                case "GET", ["scripts"]:
                    scripts = {name: script.to_json() for name, script in SCRIPTS.items()}
                    return json_response(200, scripts)
                case _:
                    return _problem(404, f"There is no {request.method} {request.path}.")
        except (ValueError, KeyError) as error:
            return _problem(400, str(error))

    def _start(self, request: Request) -> Response:
        scenario, operation_id, place = parse_start(request.json_object(), self._rng)
        url = self._operations.start(scenario, operation_id=operation_id, place=place)
        started = url.started(request.origin)
        body = {"id": started.id, "path": started.path, "url": started.url}
        return json_response(201, body, url.poll_headers(request.origin))


def parse_start(
    body: Mapping[str, Any], rng: Random
) -> tuple[Scenario, str | None, Mapping[str, str]]:
    """Read a scenario to start, the operation's id, and its place; raise `ValueError`.

    The body is a scenario as `Scenario.from_json` reads it, plus `script` (the script that supplies
    all missing properties), `id`, `place`, and a `duration` that may be a distribution.
    """
    given = dict(body)
    script, operation_id = given.pop("script", None), given.pop("id", None)
    place, duration = given.pop("place", {}), given.pop("duration", ...)
    if not isinstance(place, dict):
        raise ValueError("place: not an object")  # noqa: TRY004
    base = find_script(str(script)).to_json() if script else {}
    scenario = Scenario.from_json({**base, **given})
    if duration is not ...:
        distribution = parse_distribution("never" if duration is None else str(duration))
        scenario = scenario.with_duration(distribution(rng))
    values = {str(name): str(value) for name, value in place.items()}
    return scenario, str(operation_id) if operation_id else None, values


def _problem(status: int, detail: str) -> Response:
    return json_response(status, {"status": status, "detail": detail})
