"""What a seed decides about the outside: operations, receivers, and what users do."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.times import format_instant
from tests.simulation.scheduler import Scheduler
from tests.support.builders import answer
from tests.support.harness import ENDPOINT, START, status_path

OUTCOMES = ("Succeeded", "Failed", "Canceled")
NEVER = 1e9  # seconds
START_TIME = format_instant(START)  # of every operation
_MISSES: tuple[HttpResponse | NoAnswer, ...] = (
    answer(b'{"status": '),
    answer({"error": {"code": "NotFound", "message": "no"}}, 404, {"retry-after": "9"}),
    answer({"error": {"code": "InternalServerError", "message": "oops"}}, 500),
    answer({"error": {"code": "TooManyRequests", "message": "slow"}}, 429, {"retry-after": "9"}),
    answer(b"<html>bad gateway", 502, {"content-type": "text/html"}),
    NoAnswer("timeout", "no answer"),
    NoAnswer("connect", "refused"),
)
_NOT_FOUND, _THROTTLED, _SILENCE = _MISSES[1], _MISSES[3], _MISSES[5]
_FLICKERS = ((_NOT_FOUND,), (_NOT_FOUND, _THROTTLED), (_NOT_FOUND, _SILENCE))
_FAILURES: tuple[HttpResponse | NoAnswer, ...] = (
    HttpResponse(500, {}),
    HttpResponse(503, {"retry-after": "45"}),
    HttpResponse(401, {}),
    NoAnswer("timeout", "no answer"),
    NoAnswer("dns", "no such name"),
)


@dataclass(slots=True, kw_only=True)
class Operation:
    """An operation in ARM, how its end is shown, and how readable its status is."""

    operation_id: str
    outcome: str
    ends_at: float
    gone_at: float  # its status expires
    miss_rate: float  # of reads
    timeout: str | None
    is_location: bool = False  # 202 while it runs; then its result, without a status
    next_url: str | None = None  # its own URL shows nothing but this one, which shows the end
    flicker: tuple[HttpResponse | NoAnswer, ...] = ()  # what alone it misses with, if any
    has_answered: bool = False
    # When each poll was answered, and with what.
    answers: list[tuple[float, HttpResponse | NoAnswer]] = field(default_factory=list)

    @property
    def path(self) -> str:
        path = status_path(self.operation_id)
        return path.replace("operationsStatus", "operationResults") if self.is_location else path

    @property
    def _misses(self) -> tuple[HttpResponse | NoAnswer, ...]:
        if self.flicker:
            return self.flicker
        if self.is_location:
            return _MISSES[1:]  # any text would be its result
        return _MISSES[:1] + _MISSES[2:] if self.next_url else _MISSES  # a 404 leads back

    @property
    def is_readable(self) -> bool:
        """Whether each poll shows its state, long after its end, too."""
        return not self.miss_rate and self.gone_at == NEVER

    @property
    def reads(self) -> int:
        return len(self.answers)

    @property
    def end_time_at(self) -> datetime:
        return START + timedelta(seconds=100 + int(self.operation_id[-1]))

    @property
    def end_time(self) -> str:
        return format_instant(self.end_time_at)

    def is_at(self, url: str) -> bool:
        """Return whether `url` shows the operation."""
        return url.startswith(ENDPOINT + self.path)

    def answer(self, url: str, scheduler: Scheduler) -> HttpResponse | NoAnswer:
        """Return the answer to a poll of `url`, and remember it."""
        given = self._answer(url, scheduler)
        self.answers.append((scheduler.now, given))
        return given

    def _answer(self, url: str, scheduler: Scheduler) -> HttpResponse | NoAnswer:
        random, now = scheduler.random, scheduler.now
        if "api-version=" not in url:
            return answer({"error": {"code": "MissingApiVersionParameter", "message": "?"}}, 400)
        if now >= self.gone_at:
            return answer({"error": {"code": "OperationNotFound", "message": "gone"}}, 404)
        if random.random() < self.miss_rate:
            return random.choice(self._misses)
        headers = {"retry-after": "7"} if random.random() < 0.2 else {}
        if self.is_location:
            if now < self.ends_at or not self.has_answered:
                self.has_answered = True
                return answer(None, 202, headers)
            if self.outcome == "Failed":
                return answer({"error": self.error}, 409)
            return answer(self.result)
        if self.next_url and not url.startswith(self.next_url):
            headers["azure-asyncoperation"] = self.next_url
        elif now >= self.ends_at:
            ended = {"status": self.outcome, "startTime": START_TIME, "endTime": self.end_time}
            return answer(ended | {"error": self.error, "properties": self.result})
        body = {"status": "InProgress", "percentComplete": 50, "startTime": START_TIME}
        return answer(body, 200, headers)

    @property
    def error(self) -> dict[str, Any] | None:
        is_failed = self.outcome == "Failed"
        return {"code": "Conflict", "message": self.operation_id} if is_failed else None

    @property
    def result(self) -> dict[str, Any] | None:
        return {"host": self.operation_id} if self.outcome == "Succeeded" else None


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A callback URL, what it has received, and how often it fails before it works."""

    url: str
    failures: int
    is_retired: bool = False  # it answers 410
    posts: list[CallbackRequest] = field(default_factory=list)
    # When each POST was answered, and with what.
    answers: list[tuple[float, HttpResponse | NoAnswer]] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)  # subjects

    def answer(self, scheduler: Scheduler, request: CallbackRequest) -> HttpResponse | NoAnswer:
        given = self._answer(scheduler, request)
        self.posts.append(request)
        self.answers.append((scheduler.now, given))
        return given

    def _answer(self, scheduler: Scheduler, request: CallbackRequest) -> HttpResponse | NoAnswer:
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
        posted: dict[str, Any] = {"operation": self.operation.path, "clientState": self.at}
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
    ends_at = random.random() * random.choice((0, 8, 30, 120, 500))
    gone_at = NEVER
    timeout = None
    fate = random.random()
    if fate < 0.05:  # its status is never readable
        ends_at, gone_at = NEVER, 0.0
    elif fate < 0.1:
        ends_at, timeout = NEVER, "PT30S"
    elif fate < 0.5:
        gone_at = ends_at + random.choice((1, 60, 400))
    is_location = random.random() < 0.25
    next_url = None
    if not is_location and random.random() < 0.2:
        # Half of such URLs have no api-version.
        version = random.choice(("", "?api-version=2024-11-01"))
        next_url = f"{ENDPOINT}{status_path(f'op-{number}')}-next{version}"
    return Operation(
        operation_id=f"op-{number}",
        outcome=random.choice(OUTCOMES[:2] if is_location else OUTCOMES),
        is_location=is_location,
        next_url=next_url,
        ends_at=ends_at,
        gone_at=gone_at,
        miss_rate=random.choice((0.0, 0.0, 0.2, 0.5, 0.8)),
        flicker=() if next_url or random.random() < 0.6 else random.choice(_FLICKERS),
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
