"""A few kills while deliveries are under way, and that the audit finds seeded faults.

`make kills` is the same with 200 kills, 300 deliveries and receivers that fail: then circuits open,
which takes minutes.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opswatch.core.deliveries import Delivery, DeliveryState, new_delivery
from opswatch.core.keys import operation_from_url
from opswatch.core.policy import Policy
from tests.chaos.kill_audit import KillAudit
from tests.chaos.kills import Manner, Options, run
from tests.support.endpoints import ReceivedPost, Reply
from tests.support.harness import ENDPOINT, status_path

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
OPERATION = operation_from_url(f"{ENDPOINT}{status_path('op1')}?api-version=1")
PENDING = new_delivery(OPERATION.key, "http://127.0.0.1:1/hook", NOW, Policy())
DELIVERED = replace(PENDING, state=DeliveryState.DELIVERED)


@pytest.mark.timeout(300)
async def test_kills_lose_nothing_and_repeat_little(tmp_path: Path) -> None:
    few = Options(seed=1, kills=6, deliveries=24, apps=2, retry=2, lease=5.0, manners=(Manner(),))
    audit = await run(few, tmp_path)
    assert audit.problems() == []
    assert len(audit.kills) == few.kills
    assert len(audit.settled) == few.deliveries


def post(at: float, attempt: int = 1, answer: int | None = None, **more: Any) -> ReceivedPost:
    event = {"id": DELIVERED.delivery_id, "data": {"operationId": "op1"}}
    reply = Reply(answer, is_accepted=answer == 204) if answer else None
    usual = {"endpoint": "hook", "delivery_id": DELIVERED.delivery_id, "event": event}
    return ReceivedPost(**{**usual, "at": at, "attempt": attempt, "reply": reply, **more})


def audit(*posts: ReceivedPost, settled: Delivery = DELIVERED, **more: Any) -> KillAudit:
    parts: dict[str, Any] = {
        "deliveries": 1, "kills": [], "landed": 0, "pending": [], "messages": 0, "own_ends": [],
        "settled": [settled],
    }  # fmt: skip
    return KillAudit(**{**parts, "posts": posts or (post(1, answer=204),), **more})


def test_good_run_has_no_problems() -> None:
    assert audit().problems() == []


def test_kill_may_repeat_two_attempts() -> None:
    twice = (post(1), post(3, answer=404), post(5, 2, 404), post(6, 2, 204))
    assert audit(*twice, kills=[2.0]).problems() == []


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda: audit(settled=PENDING), "pending"),
        (lambda: audit(post(1, answer=404)), "none of 1 POSTs was accepted"),
        (lambda: audit(post(1)), "none of 1 POSTs was accepted"),
        (lambda: audit(settled=replace(DELIVERED, delivery_id="msg_2")), "ids that no delivery"),
        (lambda: audit(post(1, answer=204), post(2, event=None)), "a forged event"),
        (lambda: audit(post(1), post(2, answer=204)), "1 repeats of an attempt, and 0 kills"),
        (lambda: audit(post(1), post(2, answer=204), kills=[3.0]), "and 0 kills"),
        (
            lambda: audit(post(1), post(4, 2), post(5, 3), post(6, 3, 204), kills=[2.0]),
            "and 0 kills",
        ),
        (
            lambda: audit(post(1), post(3), post(4, answer=204), kills=[2.0]),
            "2 repeats of an attempt, and 1 kills",
        ),
        (lambda: audit(settled=DELIVERED, deliveries=2), "1 deliveries settled, not 2"),
        (lambda: audit(pending=[PENDING]), "still pending"),
        (lambda: audit(messages=3), "3 messages left"),
        (lambda: audit(own_ends=[1]), "ended by itself"),
    ],
)
def test_seeded_fault_is_found(wrong: Callable[[], KillAudit], problem: str) -> None:
    assert any(problem in found for found in wrong().problems())
