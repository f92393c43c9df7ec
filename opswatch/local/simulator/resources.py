"""Resources, as far as a client needs them to start operations: PUT, GET and DELETE."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from opswatch.local.simulator.life import Life, Style
from opswatch.local.simulator.messages import Answer, Request, arm_error, json_answer
from opswatch.local.simulator.operations import PLACE, Operation, Operations
from opswatch.local.simulator.paths import OPERATION_RESULTS, path_key
from opswatch.local.simulator.scripts import find_script

_RESOURCE = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<provider>[^/]+)(?P<types>(/[^/]+/[^/]+)+)/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceName:
    """A resource's path, understood."""

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
        """Say whether it is still there: a failed deletion leaves it."""
        return not (self.deleting and self.operation.life.succeeds and self._settled(now))

    def told(self, now: datetime) -> dict[str, object]:
        """Return the body with the provisioning state that the operation has reached."""
        ending = self.operation.life.ending or {}
        running = "Deleting" if self.deleting else "Creating"
        state = ending.get("status", "Succeeded") if self._settled(now) else running
        given = self.body.get("properties")
        properties = dict(given) if isinstance(given, Mapping) else {}
        return {**self.body, "properties": {**properties, "provisioningState": state}}

    def _settled(self, now: datetime) -> bool:
        return self.operation.life.ended(now - self.operation.started_at)


class Resources:
    """All resources of one simulator."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        operations: Operations,
        default_life: Callable[[], Life],
    ) -> None:
        self._clock = clock
        self._operations = operations
        self._default_life = default_life
        self._by_path: dict[str, Resource] = {}

    def respond(self, request: Request, name: ResourceName) -> Answer:
        """Answer a PUT, GET or DELETE of a resource."""
        resource = self._get(name.path)
        match request.method:
            case "PUT":
                return self._create(request, name)
            case "GET" if resource:
                return json_answer(200, resource.told(self._clock()))
            case "GET":
                return _not_found(name)
            case "DELETE" if resource:
                return self._delete(request, name, resource)
            case "DELETE":
                return Answer(status=204)
            case _:
                return arm_error(405, "MethodNotAllowed", "PUT, GET and DELETE are simulated.")

    def _get(self, path: str) -> Resource | None:
        resource = self._by_path.get(path_key(path))
        return resource if resource and resource.exists(self._clock()) else None

    def _create(self, request: Request, name: ResourceName) -> Answer:
        try:
            given = _object(request.body)
            life = self._life(given)
        except ValueError as error:
            return arm_error(400, "InvalidRequestContent", str(error))
        url = self._operations.start(life, place=_place(name, given))
        body = {**given, "id": name.path, "name": name.name, "type": name.type}
        resource = Resource(body=body, operation=url.operation)
        self._by_path[path_key(name.path)] = resource
        return json_answer(201, resource.told(self._clock()), url.poll_headers(request.origin))

    def _delete(self, request: Request, name: ResourceName, resource: Resource) -> Answer:
        life = self._life(resource.body)
        place = _place(name, resource.body)
        url = self._operations.start(life, place=place)
        located = self._operations.add_url(url.operation, told_by_location(life), place)
        self._by_path[path_key(name.path)] = replace(
            resource, operation=url.operation, deleting=True
        )
        headers = url.poll_headers(request.origin) | {"Location": request.origin + located.target}
        return Answer(status=202, headers=headers)

    def _life(self, body: Mapping[str, object]) -> Life:
        """Return the life that the tag `simulator` names, or the default one."""
        tags = body.get("tags")
        script = tags.get("simulator") if isinstance(tags, Mapping) else None
        return find_script(str(script)) if script else self._default_life()


def told_by_location(life: Life) -> Life:
    """Return how a Location URL tells of the deletion that `life` describes."""
    error = {"error": (life.ending or {}).get("error")}
    return msgspec.structs.replace(
        life,
        style=Style.LOCATION,
        template=OPERATION_RESULTS,
        final_code=204 if life.succeeds else 409,
        ending=None if life.succeeds else error,
    )


def _object(body: bytes) -> dict[str, object]:
    given = json.loads(body or b"{}")
    if not isinstance(given, dict):
        raise ValueError("The request content is not a JSON object.")  # noqa: TRY004
    return given


def _place(name: ResourceName, body: Mapping[str, object]) -> dict[str, str]:
    location = str(body.get("location") or PLACE["location"])
    return {**name.place, "location": location.replace(" ", "").lower()}


def _not_found(name: ResourceName) -> Answer:
    return arm_error(
        404,
        "ResourceNotFound",
        f"The Resource '{name.type}/{name.name}' under resource group "
        f"'{name.place['group']}' was not found.",
    )
