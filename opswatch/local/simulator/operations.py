"""The simulated operations, their status URLs, and a record of how they were polled."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import assert_never
from urllib.parse import quote, unquote
from uuid import UUID

from opswatch.core.times import format_instant
from opswatch.local.simulator.faults import PollContext, Reply
from opswatch.local.simulator.scenario import Scenario, Style, respond

API_VERSION = "2024-10-01"
PLACE = {
    "subscription": "e7b6d1a2-5c1f-4f0e-9a57-0d1c5e2a9b10",
    "provider": "Microsoft.Cache",
    "location": "westus",
    "group": "simulated",
}


@dataclass(slots=True, kw_only=True)
class Operation:
    """One operation and a record of its polls."""

    id: str
    scenario: Scenario
    started_at: datetime
    polls: int = 0
    first_polled_at: datetime | None = None
    last_polled_at: datetime | None = None
    end_seen_at: datetime | None = None  # the first poll whose reply showed the end

    @property
    def ends_at(self) -> datetime | None:
        """When it ends or ended; None if it never ends."""
        duration = self.scenario.duration
        return None if duration is None else self.started_at + duration

    def has_ended(self, now: datetime) -> bool:
        """Whether it has ended at `now`."""
        return self.scenario.has_ended(now - self.started_at)

    def report(self, now: datetime) -> dict[str, object]:
        """Return its times, its polls, and the lag in seconds, as JSON."""
        ends_at, seen_at = self.ends_at, self.end_seen_at
        return {
            "id": self.id,
            "startedAt": format_instant(self.started_at),
            "endsAt": _format_optional(ends_at),
            "ended": self.has_ended(now),
            "polls": self.polls,
            "firstPolledAt": _format_optional(self.first_polled_at),
            "lastPolledAt": _format_optional(self.last_polled_at),
            "endSeenAt": _format_optional(seen_at),
            "lagSeconds": (seen_at - ends_at).total_seconds() if seen_at and ends_at else None,
        }


@dataclass(frozen=True, slots=True)
class StartedOperation:
    """Three ways to name a started operation in a message to the app."""

    id: str
    path: str  # the `id` of a status body
    url: str  # absolute, as in the response header


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUrl:
    """A URL that reports an operation. A deletion has two, in different styles."""

    operation: Operation
    scenario: Scenario
    place: Mapping[str, str]
    path: str  # decoded, the `id` of a status body
    query: str

    @property
    def target(self) -> str:
        """Path and query as requested: `East US` becomes `East%20US`."""
        return quote(self.path, safe="/~@:!$&'()*+,;=") + "?" + self.query

    def started(self, origin: str) -> StartedOperation:
        """Return the names of the operation, with the URL at `origin`."""
        return StartedOperation(self.operation.id, self.path, origin + self.target)

    def poll_headers(self, origin: str) -> dict[str, str]:
        """Return the headers that name this URL, according to its style."""
        absolute = origin + self.target
        match self.scenario.style:
            case Style.STATUS:
                return {"Azure-AsyncOperation": absolute}
            case Style.HYBRID:
                return {"Azure-AsyncOperation": absolute, "Location": absolute}
            case Style.LOCATION | Style.RESOURCE:
                return {"Location": absolute}
            case _:
                assert_never(self.scenario.style)


class Operations:
    """All operations of one simulator, by id and by path."""

    def __init__(self, *, clock: Callable[[], datetime], rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._by_id: dict[str, Operation] = {}
        self._by_path: dict[str, StatusUrl] = {}

    def start(
        self,
        scenario: Scenario,
        *,
        operation_id: str | None = None,
        place: Mapping[str, str] | None = None,
    ) -> StatusUrl:
        """Start an operation and return its status URL.

        `place` replaces values of `PLACE` in the path template.

        Raises:
            ValueError: an operation with this id exists.
            KeyError: the template has an unknown field.
        """
        chosen = operation_id or self._new_id()
        if chosen.lower() in self._by_id:
            raise ValueError(f"an operation {chosen} already exists")
        operation = Operation(id=chosen, scenario=scenario, started_at=self._clock())
        url = self.add_url(operation, scenario, place or {})
        self._by_id[chosen.lower()] = operation
        return url

    def add_url(
        self,
        operation: Operation,
        scenario: Scenario,
        place: Mapping[str, str],
        *,
        name: str | None = None,
    ) -> StatusUrl:
        """Add a URL that reports `operation` as `scenario` says."""
        path = scenario.template.format_map({**PLACE, **place, "id": name or operation.id})
        query = f"api-version={API_VERSION}"
        if scenario.signed:  # several KB; its escapes reveal a client that re-encodes the query
            ticks = 638_000_000_000_000_000 + self._rng.randrange(10**15)
            c, s1, s2, h = (
                urlsafe_b64encode(self._rng.randbytes(length)).decode().rstrip("=")
                for length in (2000, 120, 120, 32)
            )
            query += f"&t={ticks}&c={c}&s={s1}%2b{s2}%2F~%3d&h={h}"
        url = StatusUrl(operation=operation, scenario=scenario, place=place, path=path, query=query)
        self._by_path[path_key(path)] = url
        return url

    def hand_over(self, url: StatusUrl) -> StatusUrl:
        """Replace `url` with a new one; the old one no longer exists."""
        self._by_path.pop(path_key(url.path), None)
        return self.add_url(url.operation, url.scenario, url.place, name=self._new_id())

    def find(self, path: str) -> StatusUrl | None:
        """Return the URL that has this path, or None."""
        return self._by_path.get(path_key(path))

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation by its id, or None."""
        return self._by_id.get(operation_id.lower())

    def all(self) -> list[Operation]:
        """Return all operations, oldest first."""
        return list(self._by_id.values())

    def poll(self, url: StatusUrl) -> Reply:
        """Record a poll and return the reply."""
        operation, now = url.operation, self._clock()
        operation.polls += 1
        operation.first_polled_at = operation.first_polled_at or now
        operation.last_polled_at = now
        context = PollContext(
            operation_id=operation.id,
            path=url.path,
            started_at=operation.started_at,
            now=now,
            poll=operation.polls,
        )
        reply = respond(url.scenario, context)
        if reply.shows_end:
            operation.end_seen_at = operation.end_seen_at or now
        return reply

    def _new_id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))


def path_key(path: str) -> str:
    """Return a key that is equal for equal paths: ARM ignores case, and spaces in locations."""
    return unquote(path).replace(" ", "").rstrip("/").lower()


def _format_optional(instant: datetime | None) -> str | None:
    return format_instant(instant) if instant else None
