"""The control routes: start operations, read how they were polled. No token is asked for."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from opswatch.core.times import format_instant
from opswatch.local.simulator.durations import parse_draw
from opswatch.local.simulator.identity import Verdict
from opswatch.local.simulator.life import Life, life_from_json, life_to_json
from opswatch.local.simulator.messages import Answer, Request, json_answer
from opswatch.local.simulator.operations import Operations
from opswatch.local.simulator.scripts import SCRIPTS, find_script, lasting

PREFIX = "/simulator/"
_DEFAULT_TOP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """One line of the request log."""

    at: datetime
    method: str
    path: str
    query: str
    status: int
    token: Verdict | None = None  # None at the identity endpoint
    operation_id: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the line as the control route shows it."""
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
        requests: Sequence[SeenRequest],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._operations = operations
        self._requests = requests

    def respond(self, request: Request) -> Answer:
        """Answer one request."""
        match request.method, request.path.removeprefix(PREFIX).rstrip("/").split("/"):
            case "PUT" | "POST", ["operations"]:
                return self._start(request)
            case "GET", ["operations"]:
                return self._reports()
            case "GET", ["operations", operation_id]:
                return self._report(operation_id)
            case "GET", ["requests"]:
                return self._log(request)
            case "GET", ["scripts"]:
                return json_answer(
                    200, {name: life_to_json(life) for name, life in SCRIPTS.items()}
                )
            case _:
                return _problem(404, f"There is no {request.method} {request.path}.")

    def _start(self, request: Request) -> Answer:
        try:
            life, operation_id, place = read_start(request.body, self._rng)
            url = self._operations.start(life, operation_id=operation_id, place=place)
        except (ValueError, KeyError) as error:
            return _problem(400, str(error))
        started = url.started(request.origin)
        body = {"id": started.id, "path": started.path, "url": started.url}
        return json_answer(201, body, url.poll_headers(request.origin))

    def _reports(self) -> Answer:
        now = self._clock()
        reports = [operation.report(now) for operation in self._operations.all()]
        return json_answer(200, {"value": reports})

    def _report(self, operation_id: str) -> Answer:
        operation = self._operations.get(operation_id)
        if operation is None:
            return _problem(404, f"There is no operation {operation_id}.")
        return json_answer(200, operation.report(self._clock()))

    def _log(self, request: Request) -> Answer:
        try:
            top = int(request.parameters.get("top", _DEFAULT_TOP))
        except ValueError as error:
            return _problem(400, str(error))
        newest = list(self._requests)[-top:] if top > 0 else []
        return json_answer(200, {"value": [line.to_json() for line in newest]})


def read_start(body: bytes, rng: Random) -> tuple[Life, str | None, Mapping[str, str]]:
    """Read a life to start, the operation's id, and its place; raise `ValueError`.

    The body is a life as `life_from_json` reads it, plus `script` (the named life whose properties
    stand where the body has none), `id`, `place`, and a `duration` that may be a distribution.
    """
    given = json.loads(body or b"{}")
    if not isinstance(given, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004
    script, operation_id = given.pop("script", None), given.pop("id", None)
    place, duration = given.pop("place", {}), given.pop("duration", ...)
    if not isinstance(place, dict):
        raise ValueError("place: not an object")  # noqa: TRY004
    base = life_to_json(find_script(str(script))) if script else {}
    life = life_from_json({**base, **given})
    if duration is not ...:
        life = lasting(life, parse_draw("never" if duration is None else str(duration))(rng))
    texts = {str(name): str(value) for name, value in place.items()}
    return life, str(operation_id) if operation_id else None, texts


def _problem(status: int, detail: str) -> Answer:
    return json_answer(status, {"status": status, "detail": detail})
