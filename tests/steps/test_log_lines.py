"""Log lines: texts of ARM, of users and of receivers add no field, no line and no secret."""

import json
import logging
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.wakeups import WakeUp
from opswatch.health import brief
from opswatch.ports import Query, Services
from opswatch.steps import events
from opswatch.steps.messages import operations_message
from opswatch.steps.repair import repair
from opswatch.steps.wakeups import act_on_each
from opswatch.testing import MemoryArm, MemoryPoisonQueue, MemoryQueue, MemoryStore, pump
from tests.support.harness import ENDPOINT, START, make_services, status_path

SECRET = "Qx7fW2mPz9KdL4sVb8Nt3Rg6"
FORGED = "opswatch.settled key=a state=delivered"
ODD = [
    f"a\n{FORGED}",
    f"a\r\n{FORGED}",
    f"a\u2028{FORGED}",
    f"a\x85{FORGED}\x1b[2J",
    f'a" {FORGED}',
    f'a\\" {FORGED}',
    f"x state=delivered {FORGED}",
    "ünïcode \U0001f600",
    " ",
]
# A field: a name, and a plain word or a JSON string.
FIELD = re.compile(r' (\w+)=("(?:[^"\\]|\\.)*"|[^\s"=]+)')


def fields_of(line: str) -> dict[str, Any]:
    """Return the fields of a line; nothing may be left between them."""
    name, _, rest = line.partition(" ")
    assert re.fullmatch(r"opswatch\.\w+", name), line
    found = FIELD.findall(f" {rest}")
    assert "".join(f" {field}={value}" for field, value in found) == f" {rest}", line
    return {field: json.loads(v) if v.startswith('"') else v for field, v in found}


class Outside:
    """Services whose ARM gives `answer`; the clock is `now`."""

    def __init__(self) -> None:
        def clock() -> datetime:
            return self.now

        self.now = START
        self.answer: HttpResponse | NoAnswer = HttpResponse(202, {})
        self.store = MemoryStore()
        self.queue, self.poison = MemoryQueue(clock), MemoryQueue(clock)
        self.services: Services = make_services(
            store=self.store,
            operations=self.queue,
            deliveries=MemoryQueue(clock),
            poison=(MemoryPoisonQueue(self.poison),),
            arm=MemoryArm(lambda _: self.answer),
            clock=clock,
            policy=Policy(miss_grace=timedelta(0)),
        )

    async def post(self, **more: str) -> None:
        body = {"operation": ENDPOINT + status_path(), **more}
        await operations_message(self.services, json.dumps(body).encode())

    async def poll(self) -> None:
        while await pump(self.queue, lambda body: operations_message(self.services, body)):
            pass


@pytest.fixture
def outside(caplog: pytest.LogCaptureFixture) -> Outside:
    caplog.set_level(logging.INFO, logger="opswatch")
    return Outside()


@pytest.mark.parametrize("text", ODD)
async def test_texts_add_no_field_and_no_line(
    outside: Outside, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    outside.answer = HttpResponse(200, {}, json.dumps({"status": f"Running{text}"}).encode())
    await outside.post(kind=text if text.strip() else "plain")
    outside.answer = NoAnswer("http", f"bad{text}")
    outside.now += timedelta(minutes=5)
    await outside.poll()
    error = {"code": f"Conflict{text}", "message": text}
    outside.answer = HttpResponse(
        200, {}, json.dumps({"status": "Failed", "error": error}).encode()
    )
    outside.now += timedelta(minutes=5)
    await outside.poll()
    lines = [record.getMessage() for record in caplog.records]
    assert all(line.isascii() and line.isprintable() for line in lines), lines
    found = [(line.split(" ")[0], fields_of(line)) for line in lines]
    names = [name for name, _ in found]
    assert names == [
        "opswatch.registered",
        "opswatch.poll",
        "opswatch.poll",
        "opswatch.poll",
        "opswatch.finished",
    ]
    assert set(found[-1][1]) == {"key", "status", "polls", "error"}
    assert found[-1][1]["error"].startswith("Conflict")
    assert "state" not in {field for _, fields in found for field in fields}
    for record in caplog.records:
        assert all(
            value.isprintable() for value in vars(record).values() if isinstance(value, str)
        ), vars(record)


async def test_secrets_of_answers_reach_no_line(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    error = {"code": f"password={SECRET}", "message": f"redis://:{SECRET}@host and Basic {SECRET}"}
    outside.answer = HttpResponse(403, {}, json.dumps({"error": error}).encode())
    await outside.post(kind=f"sig={SECRET}")
    (result,) = [row.value async for row in outside.store.results.find(Query())]
    miss = result.facts.last_miss or ""
    assert result.end.lost_reason == miss
    assert miss.startswith("403 password=[redacted]")
    assert "redis://[redacted]@host and [redacted]" in miss
    assert SECRET not in "".join(f"{r.getMessage()} {vars(r)}" for r in caplog.records)


def test_plain_words_stay_unquoted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="opswatch")
    operation = operation_from_url(ENDPOINT + status_path())
    events.record_conflict(operation.key, 3)
    assert caplog.messages == [f"opswatch.conflict key={operation.key} seq=3"]


async def test_failed_wake_up_shows_no_secret(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError(f"first\nopswatch.purged password={SECRET}")

    wake = WakeUp(key=Key("p", "r"), seq=1, due_at=outside.now)
    await act_on_each(outside.services, outside.queue, [wake], fail)
    (line,) = caplog.messages
    assert SECRET not in line
    assert fields_of(line)["error"] == "RuntimeError: first opswatch.purged password=[redacted]"


async def test_failed_part_of_the_repair_shows_no_secret(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> int:
        raise RuntimeError(f"first\nopswatch.purged password={SECRET}")

    outside.queue.depth = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await repair(outside.services)
    error = "RuntimeError: first opswatch.purged password=[redacted]"
    assert not any(SECRET in line for line in caplog.messages)
    (line,) = caplog.messages
    assert fields_of(line) == {"part": "measurements", "error": error}


def test_brief_is_one_redacted_line() -> None:
    error = ValueError(f"https://a.b/c?sig={SECRET}\nsecond")
    assert brief(error) == "https://a.b/c?[redacted]"
