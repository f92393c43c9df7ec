"""The operations that are under way, the URLs that tell of them, and how they were polled."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import assert_never
from uuid import UUID

from opswatch.core.times import format_instant
from opswatch.local.simulator.faults import Moment, Told
from opswatch.local.simulator.life import Life, Style, tell
from opswatch.local.simulator.paths import encode_path, path_key

API_VERSION = "2024-10-01"
PLACE = {
    "subscription": "e7b6d1a2-5c1f-4f0e-9a57-0d1c5e2a9b10",
    "provider": "Microsoft.Cache",
    "location": "westus",
    "group": "simulated",
}


@dataclass(slots=True, kw_only=True)
class Operation:
    """One operation and its polls so far."""

    id: str
    life: Life
    started_at: datetime
    polls: int = 0
    first_polled_at: datetime | None = None
    last_polled_at: datetime | None = None
    end_seen_at: datetime | None = None  # the first poll that told of the end

    @property
    def ends_at(self) -> datetime | None:
        """When it ends or ended; None for never."""
        return None if self.life.duration is None else self.started_at + self.life.duration

    def report(self, now: datetime) -> dict[str, object]:
        """Tell what there is to measure: polls, the end, and the lag in seconds."""
        ends_at, seen_at = self.ends_at, self.end_seen_at
        lag = (seen_at - ends_at).total_seconds() if seen_at and ends_at else None
        return {
            "id": self.id,
            "startedAt": format_instant(self.started_at),
            "endsAt": _written(ends_at),
            "ended": self.life.ended(now - self.started_at),
            "polls": self.polls,
            "firstPolledAt": _written(self.first_polled_at),
            "lastPolledAt": _written(self.last_polled_at),
            "endSeenAt": _written(seen_at),
            "lagSeconds": lag,
        }


@dataclass(frozen=True, slots=True)
class StartedOperation:
    """What one who started an operation posts: any of the three names it."""

    id: str
    path: str  # as a status body's `id` has it
    url: str  # absolute, as the header has it


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUrl:
    """A URL that tells of an operation, and how: a delete has two, one in each style."""

    operation: Operation
    life: Life
    place: Mapping[str, str]
    path: str  # decoded, as a status body's `id` has it
    query: str

    @property
    def target(self) -> str:
        """Path and query as they are requested."""
        return f"{encode_path(self.path)}?{self.query}"

    def started(self, origin: str) -> StartedOperation:
        """Return what one who starts the operation needs to know."""
        return StartedOperation(self.operation.id, self.path, origin + self.target)

    def poll_headers(self, origin: str) -> dict[str, str]:
        """Return the headers that tell where to poll, as the life's style has them."""
        absolute = origin + self.target
        match self.life.style:
            case Style.STATUS:
                return {"Azure-AsyncOperation": absolute}
            case Style.HYBRID:
                return {"Azure-AsyncOperation": absolute, "Location": absolute}
            case Style.LOCATION | Style.RESOURCE:
                return {"Location": absolute}
            case _:
                assert_never(self.life.style)


class Operations:
    """All operations of one simulator, found by id and by path."""

    def __init__(self, *, clock: Callable[[], datetime], rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._by_id: dict[str, Operation] = {}
        self._by_path: dict[str, StatusUrl] = {}

    def start(
        self, life: Life, *, operation_id: str | None = None, place: Mapping[str, str] | None = None
    ) -> StatusUrl:
        """Start an operation; raise `ValueError` where the id is taken, `KeyError` for a template.

        `place` fills the template of the path where `PLACE` will not do.
        """
        chosen = operation_id or self._new_id()
        if chosen.lower() in self._by_id:
            raise ValueError(f"there is an operation {chosen} already")
        operation = Operation(id=chosen, life=life, started_at=self._clock())
        url = self.add_url(operation, life, place or {})
        self._by_id[chosen.lower()] = operation
        return url

    def add_url(
        self, operation: Operation, life: Life, place: Mapping[str, str], *, name: str | None = None
    ) -> StatusUrl:
        """Let another URL tell of `operation`, in the manner of `life`."""
        path = life.template.format_map({**PLACE, **place, "id": name or operation.id})
        query = f"api-version={API_VERSION}" + (self._signature() if life.signed else "")
        url = StatusUrl(operation=operation, life=life, place=place, path=path, query=query)
        self._by_path[path_key(path)] = url
        return url

    def hand_over(self, url: StatusUrl) -> StatusUrl:
        """Replace `url` by a new one; the old one is gone."""
        self._by_path.pop(path_key(url.path), None)
        return self.add_url(url.operation, url.life, url.place, name=self._new_id())

    def find(self, path: str) -> StatusUrl | None:
        """Return the URL that has this path, or None."""
        return self._by_path.get(path_key(path))

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation by its id, or None."""
        return self._by_id.get(operation_id.lower())

    def all(self) -> list[Operation]:
        """Return all operations, oldest first."""
        return list(self._by_id.values())

    def poll(self, url: StatusUrl) -> Told:
        """Count a poll and answer it."""
        operation, now = url.operation, self._clock()
        operation.polls += 1
        operation.first_polled_at = operation.first_polled_at or now
        operation.last_polled_at = now
        told = tell(
            url.life,
            Moment(
                operation_id=operation.id,
                path=url.path,
                started_at=operation.started_at,
                now=now,
                poll=operation.polls,
            ),
        )
        if told.ends:
            operation.end_seen_at = operation.end_seen_at or now
        return told

    def _new_id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def _signature(self) -> str:
        """Return a signature of several KB; the escapes tell who rewrites a query he was given."""

        def text(length: int) -> str:
            return urlsafe_b64encode(self._rng.randbytes(length)).decode().rstrip("=")

        ticks = 638_000_000_000_000_000 + self._rng.randrange(10**15)
        return f"&t={ticks}&c={text(2000)}&s={text(120)}%2b{text(120)}%2F~%3d&h={text(32)}"


def _written(instant: datetime | None) -> str | None:
    return format_instant(instant) if instant else None
