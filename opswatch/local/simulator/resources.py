"""Resources: the PUT, GET and DELETE with which a client starts operations."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from opswatch.local.simulator.http import Request, Response, arm_error, json_response
from opswatch.local.simulator.operations import PLACE, Operation, Operations, path_key
from opswatch.local.simulator.scenario import (
    OPERATION_RESULTS,
    Scenario,
    Style,
    with_provisioning_state,
)
from opswatch.local.simulator.scripts import find_script

_LONGEST = 86_400  # seconds
_RESOURCE = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<provider>[^/]+)(?P<types>(/[^/]+/[^/]+)+)/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceName:
    """A parsed resource path."""

    path: str
    type: str
    name: str
    place: Mapping[str, str]


def parse_resource(path: str) -> ResourceName | None:
    """Return the resource that `path` (decoded) names, or None."""
    match = _RESOURCE.fullmatch(path)
    if match is None:
        return None
    segments = match["types"].strip("/").split("/")
    parts = match.groupdict()
    return ResourceName(
        path=path,
        type="/".join([parts["provider"], *segments[::2]]),
        name=segments[-1],
        place={name: parts[name] for name in ("subscription", "group", "provider")},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource and the last operation on it."""

    body: Mapping[str, object]
    operation: Operation
    deleting: bool = False

    def exists(self, now: datetime) -> bool:
        """Whether it exists at `now`; a failed deletion leaves it."""
        succeeds = self.operation.scenario.succeeds
        return not (self.deleting and succeeds and self.operation.has_ended(now))

    def to_json(self, now: datetime) -> dict[str, object]:
        """Return the body with the provisioning state that the operation has reached."""
        ending = self.operation.scenario.ending or {}
        running = "Deleting" if self.deleting else "Creating"
        ended = self.operation.has_ended(now)
        return with_provisioning_state(
            self.body, ending.get("status", "Succeeded") if ended else running
        )


class Resources:
    """All resources of one simulator."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        operations: Operations,
        default_scenario: Callable[[], Scenario],
    ) -> None:
        self._clock = clock
        self._operations = operations
        self._default_scenario = default_scenario
        self._by_path: dict[str, Resource] = {}

    def respond(self, request: Request, name: ResourceName) -> Response:
        """Answer a PUT, GET or DELETE of a resource."""
        now = self._clock()
        resource = self._by_path.get(path_key(name.path))
        if resource and not resource.exists(now):
            resource = None
        match request.method:
            case "PUT":
                return self._put(request, name)
            case "GET" if resource:
                return json_response(200, resource.to_json(now))
            case "GET":
                return arm_error(
                    404,
                    "ResourceNotFound",
                    f"The Resource '{name.type}/{name.name}' under resource group "
                    f"'{name.place['group']}' was not found.",
                )
            case "DELETE" if resource:
                return self._delete(request, name, resource)
            case "DELETE":
                return Response(status=204)
            case _:
                return arm_error(405, "MethodNotAllowed", "PUT, GET and DELETE are simulated.")

    def _put(self, request: Request, name: ResourceName) -> Response:
        try:
            given = request.json_object()
            scenario = self._scenario(given)
        except ValueError as error:
            return arm_error(400, "InvalidRequestContent", str(error))
        url = self._operations.start(scenario, place=_place(name, given))
        body = {**given, "id": name.path, "name": name.name, "type": name.type}
        resource = Resource(body=body, operation=url.operation)
        self._by_path[path_key(name.path)] = resource
        headers = url.poll_headers(request.origin)
        return json_response(201, resource.to_json(self._clock()), headers)

    def _delete(self, request: Request, name: ResourceName, resource: Resource) -> Response:
        scenario = self._scenario(resource.body)
        place = _place(name, resource.body)
        url = self._operations.start(scenario, place=place)
        error = {"error": (scenario.ending or {}).get("error")}
        by_location = msgspec.structs.replace(
            scenario,
            style=Style.LOCATION,
            template=OPERATION_RESULTS,
            final_code=204 if scenario.succeeds else 409,
            ending=None if scenario.succeeds else error,
        )
        location = self._operations.add_url(url.operation, by_location, place)
        self._by_path[path_key(name.path)] = replace(
            resource, operation=url.operation, deleting=True
        )
        headers = url.poll_headers(request.origin) | {"Location": request.origin + location.target}
        return Response(status=202, headers=headers)

    def _scenario(self, body: Mapping[str, object]) -> Scenario:
        """Return the script that the tag `simulator` names, or the default scenario.

        The tag `simulatorSeconds` says how long it takes.
        """
        given = body.get("tags")
        tags: Mapping[str, object] = given if isinstance(given, Mapping) else {}
        script, seconds = tags.get("simulator"), tags.get("simulatorSeconds")
        scenario = find_script(str(script)) if script else self._default_scenario()
        if seconds is None:
            return scenario
        duration = float(str(seconds))
        if not 0 <= duration <= _LONGEST:
            raise ValueError(f"{seconds!r} is no number of seconds up to {_LONGEST}")
        return scenario.with_duration(timedelta(seconds=duration))


def _place(name: ResourceName, body: Mapping[str, object]) -> dict[str, str]:
    location = str(body.get("location") or PLACE["location"])
    return {**name.place, "location": location.replace(" ", "").lower()}
