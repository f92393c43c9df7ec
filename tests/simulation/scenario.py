"""What a seed makes of the outside: operations and their lives, receivers, and what users do."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from tests.simulation.clockwork import Clockwork
from tests.support.harness import status_path

OUTCOMES = ("Succeeded", "Failed", "Canceled")
NEVER = 1e9  # seconds


@dataclass(slots=True, kw_only=True)
class Life:
    """An operation in ARM, and how readable its status is."""

    operation_id: str
    outcome: str
    ends_at: float
    gone_at: float  # its status expires
    misses: float  # how often a read misses
    timeout: str | None
    reads: int = 0

    def answer(self, clockwork: Clockwork) -> HttpResponse | NoAnswer:
        """Answer a GET of the status URL."""
        self.reads += 1
        random, now = clockwork.random, clockwork.now
        if now >= self.gone_at:
            return _json(404, {"error": {"code": "OperationNotFound", "message": "gone"}})
        if random.random() < self.misses:
            return random.choice(_MISSES)
        if now >= self.ends_at:
            body: dict[str, Any] = {"status": self.outcome, "name": self.operation_id}
            if self.outcome == "Failed":
                body["error"] = {"code": "Conflict", "message": "it went wrong"}
            return _json(200, body)
        headers = {"retry-after": "7"} if random.random() < 0.2 else {}
        return _json(200, {"status": "InProgress", "percentComplete": 50}, headers)


def _json(
    status_code: int, body: dict[str, Any], headers: dict[str, str] | None = None
) -> HttpResponse:
    return HttpResponse(status_code, headers or {}, json.dumps(body).encode())


_MISSES: tuple[HttpResponse | NoAnswer, ...] = (
    _json(404, {"error": {"code": "NotFound", "message": "not there yet"}}),
    _json(500, {"error": {"code": "InternalServerError", "message": "oops"}}),
    _json(
        429, {"error": {"code": "TooManyRequests", "message": "slow down"}}, {"retry-after": "9"}
    ),
    HttpResponse(502, {"content-type": "text/html"}, b"<html>bad gateway"),
    HttpResponse(200, {}, b'{"status": '),
    NoAnswer("timeout", "no answer"),
    NoAnswer("connect", "refused"),
)


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A callback URL, what it has received, and how often it fails before it works."""

    url: str
    failures: int
    is_retired: bool = False  # it answers 410
    posts: list[CallbackRequest] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)  # subjects

    def answer(self, clockwork: Clockwork, request: CallbackRequest) -> HttpResponse | NoAnswer:
        """Answer a POST."""
        self.posts.append(request)
        if self.is_retired:
            return HttpResponse(410, {})
        if self.failures:
            self.failures -= 1
            return clockwork.random.choice(_REFUSALS)
        self.accepted.add(json.loads(request.body)["subject"])
        return HttpResponse(204, {})


_REFUSALS: tuple[HttpResponse | NoAnswer, ...] = (
    HttpResponse(500, {}),
    HttpResponse(503, {"retry-after": "3"}),
    HttpResponse(401, {}),
    NoAnswer("timeout", "no answer"),
    NoAnswer("dns", "no such name"),
)


@dataclass(frozen=True, slots=True)
class Post:
    """A message that a user posts; `receiver` is an index, or None for no callback."""

    at: float
    life: Life
    receiver: int | None

    def body(self, receivers: list[Receiver]) -> bytes:
        """Return the message."""
        posted: dict[str, str] = {"operation": status_path(self.life.operation_id)}
        if self.receiver is not None:
            posted["callbackUrl"] = receivers[self.receiver].url
        if self.life.timeout:
            posted["timeout"] = self.life.timeout
        return json.dumps(posted).encode()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks over HTTP, again and again until it is answered."""

    at: float
    life: Life
    verb: str  # stop or redeliver


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything from outside that comes together in one run."""

    lives: list[Life]
    receivers: list[Receiver]
    posts: list[Post]
    wishes: list[Wish]
    invalid: list[bytes]


def draw(random: Random) -> Scenario:
    """Draw the outside of one run."""
    lives = [_life(random, number) for number in range(random.choice((1, 1, 1, 2, 2, 3)))]
    receivers = [_receiver(random, number) for number in range(random.choice((1, 2, 2, 3)))]
    posts, wishes = [], []
    for life in lives:
        first = 20 * random.random()
        posts.append(Post(first, life, _index(random, receivers)))
        posts += [
            Post(_moment(random, first, life), life, _index(random, receivers))
            for _ in range(random.choice((0, 0, 1, 1, 2, 3)))
        ]
        if random.random() < 0.1:
            wishes.append(Wish(_moment(random, first, life), life, "stop"))
        if random.random() < 0.15:
            wishes.append(Wish(_moment(random, first, life), life, "redeliver"))
    invalid = [b"{nonsense"] * random.choice((0, 0, 0, 1, 2))
    return Scenario(lives=lives, receivers=receivers, posts=posts, wishes=wishes, invalid=invalid)


def _life(random: Random, number: int) -> Life:
    ends_at = random.choice((0.0, 8 * random.random(), 30 * random.random(), 120 * random.random()))
    gone_at = NEVER
    timeout = None
    fate = random.random()
    if fate < 0.05:  # nothing is ever seen of it
        ends_at, gone_at = NEVER, 0.0
    elif fate < 0.1:
        ends_at, timeout = NEVER, "PT30S"
    elif fate < 0.5:
        gone_at = ends_at + random.choice((1, 60, 400))
    return Life(
        operation_id=f"op-{number}",
        outcome=random.choice(OUTCOMES),
        ends_at=ends_at,
        gone_at=gone_at,
        misses=random.choice((0.0, 0.0, 0.2, 0.5)),
        timeout=timeout,
    )


def _receiver(random: Random, number: int) -> Receiver:
    return Receiver(
        url=f"https://hooks{number % 2}.example.com/{number}",
        failures=random.choice((0, 0, 0, 1, 3)),
        is_retired=random.random() < 0.03,
    )


def _index(random: Random, receivers: list[Receiver]) -> int | None:
    return None if random.random() < 0.1 else random.randrange(len(receivers))


def _moment(random: Random, first: float, life: Life) -> float:
    """Return any time: at once, while the operation runs, about its end, long after it."""
    end = max(first, min(life.ends_at, 100.0))
    return random.choice(
        (
            first + 0.2 * random.random(),
            first + 3 * random.random(),
            first + (end - first) * random.random(),
            end + 6 * random.random(),
            end + 60 * random.random(),
        )
    )
