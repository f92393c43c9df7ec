"""What a seed decides about the outside: operations, receivers, and what users do."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from tests.simulation.scheduler import Scheduler
from tests.support.builders import answer
from tests.support.harness import status_path

OUTCOMES = ("Succeeded", "Failed", "Canceled")
NEVER = 1e9  # seconds
_MISSES: tuple[HttpResponse | NoAnswer, ...] = (
    answer({"error": {"code": "NotFound", "message": "not there yet"}}, 404),
    answer({"error": {"code": "InternalServerError", "message": "oops"}}, 500),
    answer({"error": {"code": "TooManyRequests", "message": "slow"}}, 429, {"retry-after": "9"}),
    answer(b"<html>bad gateway", 502, {"content-type": "text/html"}),
    answer(b'{"status": '),
    NoAnswer("timeout", "no answer"),
    NoAnswer("connect", "refused"),
)
_FAILURES: tuple[HttpResponse | NoAnswer, ...] = (
    HttpResponse(500, {}),
    HttpResponse(503, {"retry-after": "3"}),
    HttpResponse(401, {}),
    NoAnswer("timeout", "no answer"),
    NoAnswer("dns", "no such name"),
)


@dataclass(slots=True, kw_only=True)
class Operation:
    """An operation in ARM, and how readable its status is."""

    operation_id: str
    outcome: str
    ends_at: float
    gone_at: float  # its status expires
    miss_rate: float  # of reads
    timeout: str | None
    reads: int = 0

    def answer(self, scheduler: Scheduler) -> HttpResponse | NoAnswer:
        self.reads += 1
        random, now = scheduler.random, scheduler.now
        if now >= self.gone_at:
            return answer({"error": {"code": "OperationNotFound", "message": "gone"}}, 404)
        if random.random() < self.miss_rate:
            return random.choice(_MISSES)
        if now >= self.ends_at:
            body: dict[str, Any] = {"status": self.outcome, "name": self.operation_id}
            if self.outcome == "Failed":
                body["error"] = {"code": "Conflict", "message": "it went wrong"}
            return answer(body)
        headers = {"retry-after": "7"} if random.random() < 0.2 else {}
        return answer({"status": "InProgress", "percentComplete": 50}, 200, headers)


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A callback URL, what it has received, and how often it fails before it works."""

    url: str
    failures: int
    is_retired: bool = False  # it answers 410
    posts: list[CallbackRequest] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)  # subjects

    def answer(self, scheduler: Scheduler, request: CallbackRequest) -> HttpResponse | NoAnswer:
        self.posts.append(request)
        if self.is_retired:
            return HttpResponse(410, {})
        if self.failures:
            self.failures -= 1
            return scheduler.random.choice(_FAILURES)
        self.accepted.add(json.loads(request.body)["subject"])
        return HttpResponse(204, {})


@dataclass(frozen=True, slots=True)
class Post:
    """A message that a user posts; `receiver` is an index, or None for no callback."""

    at: float
    operation: Operation
    receiver: int | None

    def body(self, receivers: list[Receiver]) -> bytes:
        posted: dict[str, str] = {"operation": status_path(self.operation.operation_id)}
        if self.receiver is not None:
            posted["callbackUrl"] = receivers[self.receiver].url
        if self.operation.timeout:
            posted["timeout"] = self.operation.timeout
        return json.dumps(posted).encode()


@dataclass(frozen=True, slots=True)
class UserRequest:
    """A request of a user over HTTP, which is repeated until it is answered."""

    at: float
    operation: Operation
    verb: str  # stop or redeliver


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything outside the app in one run."""

    operations: list[Operation]
    receivers: list[Receiver]
    posts: list[Post]
    requests: list[UserRequest]
    invalid: list[bytes]


def draw(random: Random) -> Scenario:
    operations = [_operation(random, n) for n in range(random.choice((1, 1, 1, 2, 2, 3)))]
    receivers = [_receiver(random, number) for number in range(random.choice((1, 2, 2, 3)))]
    posts, requests = [], []
    for operation in operations:
        first = 20 * random.random()
        posts.append(Post(first, operation, _index(random, receivers)))
        posts += [
            Post(_instant(random, first, operation), operation, _index(random, receivers))
            for _ in range(random.choice((0, 0, 1, 1, 2, 3)))
        ]
        for verb, share in (("stop", 0.1), ("redeliver", 0.15)):
            if random.random() < share:
                at = _instant(random, first, operation)
                requests.append(UserRequest(at, operation, verb))
    return Scenario(
        operations=operations,
        receivers=receivers,
        posts=posts,
        requests=requests,
        invalid=[b"{nonsense"] * random.choice((0, 0, 0, 1, 2)),
    )


def _operation(random: Random, number: int) -> Operation:
    ends_at = random.choice((0.0, 8 * random.random(), 30 * random.random(), 120 * random.random()))
    gone_at = NEVER
    timeout = None
    fate = random.random()
    if fate < 0.05:  # its status is never readable
        ends_at, gone_at = NEVER, 0.0
    elif fate < 0.1:
        ends_at, timeout = NEVER, "PT30S"
    elif fate < 0.5:
        gone_at = ends_at + random.choice((1, 60, 400))
    return Operation(
        operation_id=f"op-{number}",
        outcome=random.choice(OUTCOMES),
        ends_at=ends_at,
        gone_at=gone_at,
        miss_rate=random.choice((0.0, 0.0, 0.2, 0.5)),
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


def _instant(random: Random, first: float, operation: Operation) -> float:
    """Return any time: at once, while the operation runs, about its end, long after it."""
    end = max(first, min(operation.ends_at, 100.0))
    return random.choice(
        (
            first + 0.2 * random.random(),
            first + 3 * random.random(),
            first + (end - first) * random.random(),
            end + 6 * random.random(),
            end + 60 * random.random(),
        )
    )
