"""Operations, deliveries and the rest as the API returns them, the same each time."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 25, 20, 42, 3, tzinfo=UTC)
SUBSCRIPTION = "0c6f4c25-8d1b-4d0c-9c86-2f4a1f9d7e10"
KINDS = (
    "redisEnterprise/create",
    "redisEnterprise/update",
    "databases/flush",
    "virtualMachines/start",
)
LOCATIONS = ("westus", "eastus", "northeurope")

Json = dict[str, Any]


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z")


def before(seconds: float) -> str:
    """Return the instant so many seconds before `NOW`; negative ones are after it."""
    return iso(NOW - timedelta(seconds=seconds))


def guid(number: int) -> str:
    digits = hashlib.sha256(str(number).encode()).hexdigest()
    return f"{digits[:8]}-0fe6-4339-9303-{digits[8:20]}"


def identity(number: int) -> Json:
    kind, location = KINDS[number % 4], LOCATIONS[number % 3]
    name = f"cache-{('us', 'eu', 'eu')[number % 3]}-{number}"
    group = ("rg-prod", "rg-test")[number % 2]
    return {
        "subscriptionId": SUBSCRIPTION,
        "key": f"microsoft.cache~{location}~operationsstatus~{guid(number)}",
        "operationId": guid(number),
        "provider": "microsoft.cache",
        "collection": "operationsstatus",
        "location": location,
        "kind": kind,
        "resourceId": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers"
        f"/Microsoft.Cache/redisEnterprise/{name}",
    }


def running(number: int, age: float = 240, **changes: Any) -> Json:
    """Return an operation that began `age` seconds ago and is expected to take six minutes."""
    return identity(number) | {
        "state": "watching",
        "status": "InProgress",
        "registeredAt": before(age - 2),
        "startTime": before(age),
        "lastPolledAt": before(9),
        "dueAt": before(-14),
        "deadlineAt": before(age - 86400),
        "expectedEndAt": before(age - 360),
        "expectedEndEarliestAt": before(age - 300),
        "expectedEndLatestAt": before(age - 480),
        "slow": False,
        "polls": 7,
        "misses": 0,
        **changes,
    }


def ended(
    number: int, age: float, took: float = 296, status: str = "Succeeded", **changes: Any
) -> Json:
    """Return an operation that was registered `age` seconds ago and took `took` seconds."""
    return identity(number) | {
        "state": "finished",
        "status": status,
        "registeredAt": before(age),
        "startTime": before(age + 2),
        "endTime": before(age + 2 - took),
        "finishedAt": before(age - 10 - took),
        "durationSeconds": took,
        "polls": 5 + number % 11,
        "misses": number % 7 == 0 and number % 3,
        **changes,
    }


def failed(number: int, age: float, **changes: Any) -> Json:
    message = "The requested size Balanced_B5 cannot be created in this region at the moment."
    error = {
        "errorCode": "SkuNotAvailable",
        "errorCodeInner": "QuotaExceeded",
        "errorMessage": message,
    }
    return ended(number, age, 335, "Failed", **error, **changes)


def operations(count: int = 100) -> list[Json]:
    """Return a list as it looks on a usual day, newest first."""
    late = {"dueAt": before(150), "misses": 2}
    rows = [
        running(1, 250),
        running(2, 310, **late),
        running(3, 700, slow=True, polls=31),
        running(4, 45, polls=2, percentComplete=35.0),
        running(5, 20, polls=1, status="Creating", resourceId=None, expectedEndAt=None),
    ]
    for number in range(6, count + 1):
        age = 700 + (number - 5) * 251
        match number % 17:
            case 7:
                rows.append(failed(number, age))
            case 3:
                lost = {
                    "errorMessage": "403 AuthorizationFailed for 15 minutes",
                    "durationSeconds": None,
                }
                rows.append(ended(number, age, 900, "Lost", resourceId=None, **lost))
            case 11:
                rows.append(ended(number, age, 1800, "TimedOut", durationSeconds=None))
            case 15:
                rows.append(ended(number, age, 90, "Canceled", errorCode="Canceled"))
            case _:
                rows.append(ended(number, age, 140 + number * 37 % 400))
    return rows[:count]


def poll_log(took: float, *, misses: tuple[int, ...] = (), word: str = "Failed") -> list[list[Any]]:
    """Return the polls of an operation: close at first, wider later, the last one sees the end."""
    log: list[list[Any]] = [[3, "InProgress"]]
    at, step = 3.0, 5.0
    while at + step < took:
        at, step = at + step, step * 1.25
        log.append([round(at), "x", 429] if len(log) in misses else [round(at), "o"])
    log[len(log) // 2] += [200, 4] if len(log[len(log) // 2]) == 2 else []
    return [*log, [round(took + 13), word]]


def delivery(
    row: Json,
    host: str = "hooks.example.com",
    state: str = "pending",
    **changes: Any,
) -> Json:
    """Return a delivery of the result `row`; all its attempts but the last one failed."""
    end = datetime.fromisoformat(row.get("finishedAt") or row["registeredAt"])
    times = [end + timedelta(seconds=seconds) for seconds in (1, 7, 310, 2110, 9300, 27300)]
    log = [
        {"at": iso(at), "duration": 0.2, "statusCode": 503, "error": "Service Unavailable"}
        for at in times[: 5 if state == "delivered" else 6]
    ]
    if state == "delivered":
        log.append({"at": iso(times[-1]), "duration": 0.1, "statusCode": 204})
    digest = hashlib.sha256(f"{row['key']}{host}".encode()).hexdigest()
    return {
        "subscriptionId": row["subscriptionId"],
        "operationKey": row["key"],
        "operationId": row["operationId"],
        "deliveryId": f"msg_{digest[:32]}",
        "callbackUrl": f"https://{host}",
        "state": state,
        "reason": "the schedule has ended" if state == "abandoned" else None,
        "attempts": len(log),
        "lastStatusCode": log[-1]["statusCode"],
        "lastError": None if state == "delivered" else "503 Service Unavailable",
        "lastAttemptAt": log[-1]["at"],
        "nextAttemptAt": iso(times[-1] + timedelta(hours=10)) if state == "pending" else None,
        "deliveredAt": log[-1]["at"] if state == "delivered" else None,
        "attemptLog": log,
    } | changes


def whole_failed(number: int = 24) -> Json:
    """Return a failed operation with everything that its page can show."""
    row = failed(number, 40_000)
    inner = {
        "code": "QuotaExceeded",
        "message": "Cores quota for Balanced_B5 in westus is 0.",
        "details": [],
    }
    return row | {
        "apiVersion": "2024-10-01",
        "url": f"https://management.azure.com/subscriptions/{SUBSCRIPTION}/x",
        "deadlineAt": before(-46_400),
        "errorMessageInner": inner["message"],
        "errorJson": {
            "code": "SkuNotAvailable",
            "message": row["errorMessage"],
            "details": [inner],
        },
        "clientState": {"ticket": 42},
        "pollLog": poll_log(335, misses=(6,)),
        "polls": 14,
        "misses": 1,
        "lastMiss": "429 TooManyRequests",
        "callbacks": ["https://hooks.example.com", "https://audit.example.org"],
        "deliveries": [
            delivery(row),
            delivery(row, "audit.example.org", "delivered"),
        ],
    }


def whole_running(number: int = 1) -> Json:
    return running(number, 250) | {
        "apiVersion": "2024-10-01",
        "url": f"https://management.azure.com/subscriptions/{SUBSCRIPTION}/x",
        "pollLog": poll_log(230, misses=(4,))[:-1],
        "polls": 13,
        "misses": 1,
        "lastMiss": "429 TooManyRequests",
        "callbacks": ["https://hooks.example.com"],
        "deliveries": [],
    }


def rejections() -> list[Json]:
    bodies = [
        (
            "ForeignHost",
            "the host is not management.azure.com",
            "https://attacker.example/subscriptions/s/x?t=SIGNED",
        ),
        ("NotJson", "Expecting value: line 1 column 15", '{"operation": '),
        (
            "InvalidCallback",
            "the address is link-local",
            '{"operation": "a1", "callbackUrl": "http://169.254.169.254/metadata"}',
        ),
        ("InvalidOperation", "neither an ID nor a path nor a URL", "please watch my cache!"),
    ]
    return [
        {
            "reason": reason,
            "detail": detail,
            "body": body,
            "day": before(600 * (i + 1))[:10],
            "id": hashlib.sha256(body.encode()).hexdigest(),
            "receivedAt": before(600 * (i + 1)),
            "count": 1 + i % 3,
        }
        for i, (reason, detail, body) in enumerate(bodies)
    ]


def kinds() -> list[Json]:
    rows = [(281, 380, 505, 2, 1), (31, 44, 71, 1, 0), (4, 9, 14, 0, 0), (1280, 2410, 5100, 2, 0)]
    return [
        {
            "provider": "microsoft.cache",
            "kind": kind if i < 3 else None,
            "collection": None if i < 3 else "operationsstatus",
            "n": 900 // (i + 1),
            "p50": p50,
            "p90": p90,
            "p99": p99,
            "running": runs,
            "slow": slow,
        }
        for i, (kind, (p50, p90, p99, runs, slow)) in enumerate(zip(KINDS, rows, strict=True))
    ]


def summary() -> Json:
    counts = ("failed", "canceled", "timedOut", "lost", "stopped", "delivered", "abandoned")
    hours = [
        {
            "hour": iso(NOW - timedelta(hours=23 - i))[:13],
            **dict.fromkeys((*counts, "rejected"), 0),
            "succeeded": 4 + i * 7 % 23,
            "failed": i * 5 % 4,
        }
        for i in range(24)
    ]
    return {
        "countedAt": before(22),
        "watching": 5,
        "overdue": 1,
        "slow": 1,
        "oldestDueAt": before(150),
        "pending": 14,
        "failing": 12,
        "queued": {"operations": 3, "deliveries": 12},
        "poisoned": {"operations": 2, "deliveries": 0},
        "circuits": [{"host": "hooks.example.com", "failures": 7, "openUntil": before(-120)}],
        "last24Hours": {name: sum(hour[name] for hour in hours) for name in list(hours[0])[1:]},
        "hours": hours,
    }


def empty_summary() -> Json:
    full = summary()
    zeros = dict.fromkeys(full["last24Hours"], 0)
    hours = [zeros | {"hour": hour["hour"]} for hour in full["hours"]]
    nothing = {"overdue": 0, "slow": 0, "failing": 0, "pending": 0, "watching": 0, "circuits": []}
    return full | nothing | {"last24Hours": zeros, "hours": hours}


def health() -> Json:
    checks = [
        ("secret", True, "1 to sign with, newest first"),
        ("storage", True, "reachable"),
        ("queue", True, "operations: 3 messages, hidden ones included"),
        ("poison", False, "operations-poison: 2 messages"),
        ("ARM", True, "reachable (404 for a test URL, as expected)"),
    ]
    return {
        "status": "unhealthy",
        "checks": [{"topic": topic, "isGood": good, "text": text} for topic, good, text in checks],
    }


def deliveries() -> list[Json]:
    """Return deliveries of every state to two receivers."""
    hosts, states = (
        ("hooks.example.com", "audit.example.org"),
        ("pending", "abandoned", "delivered"),
    )
    return [delivery(ended(i, 3000 + i * 400), hosts[i % 2], states[i % 3]) for i in range(9)]
