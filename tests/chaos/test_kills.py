"""Kills while deliveries are under way, few of them; and that the books of it notice what is wrong.

`make kills` is the same with 200 kills, 300 deliveries and receivers that fail: then their hosts
are given pauses, which takes minutes.
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
from tests.chaos.doors import Knock, Manner
from tests.chaos.killbooks import KillBooks
from tests.chaos.kills import Options, run
from tests.support.harness import ENDPOINT, status_path

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
OPERATION = operation_from_url(f"{ENDPOINT}{status_path('op1')}?api-version=1")
OWED = new_delivery(OPERATION.key, "http://127.0.0.1:1/hook", NOW, Policy())
DELIVERED = replace(OWED, state=DeliveryState.DELIVERED)


@pytest.mark.timeout(300)
async def test_few_kills_lose_nothing_and_repeat_little(tmp_path: Path) -> None:
    few = Options(seed=1, kills=6, deliveries=24, apps=2, retry=2, lease=5.0, manners=(Manner(),))
    books = await run(few, tmp_path)
    assert books.problems() == []
    assert len(books.kills) == few.kills
    assert len(books.settled) == few.deliveries


# --- the books


def knock(at: float, attempt: int = 1, answer: int | None = None, **more: Any) -> Knock:
    event = {"id": DELIVERED.delivery_id, "data": {"operationId": "op1"}}
    told = {"delivery_id": DELIVERED.delivery_id, "event": event, **more}
    return Knock(at=at, attempt=attempt, answer=answer, **told)


def books(*knocks: Knock, settled: Delivery = DELIVERED, **more: Any) -> KillBooks:
    parts: dict[str, Any] = {
        "deliveries": 1, "kills": [], "landed": 0, "owed": [], "messages": 0, "own_ends": [],
        "settled": [settled],
    }  # fmt: skip
    return KillBooks(**{**parts, "knocks": knocks or (knock(1, answer=204),), **more})


def test_what_balances_balances() -> None:
    assert books().problems() == []


def test_a_kill_may_repeat_the_attempt_that_it_cuts_off_and_the_next_one() -> None:
    twice = (knock(1), knock(3, answer=404), knock(5, 2, 404), knock(6, 2, 204))
    assert books(*twice, kills=[2.0]).problems() == []


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda: books(settled=OWED), "pending"),
        (lambda: books(knock(1, answer=404)), "none of 1 POSTs was taken"),
        (lambda: books(knock(1)), "none of 1 POSTs was taken"),
        (lambda: books(settled=replace(DELIVERED, delivery_id="msg_2")), "ids that no delivery"),
        (lambda: books(knock(1, answer=204), knock(2, event=None)), "a forged event"),
        (lambda: books(knock(1), knock(2, answer=204)), "1 repeats of an attempt, and 0 kills"),
        (lambda: books(knock(1), knock(2, answer=204), kills=[3.0]), "and 0 kills"),
        (
            lambda: books(knock(1), knock(4, 2), knock(5, 3), knock(6, 3, 204), kills=[2.0]),
            "and 0 kills",
        ),
        (
            lambda: books(knock(1), knock(3), knock(4, answer=204), kills=[2.0]),
            "2 repeats of an attempt, and 1 kills",
        ),
        (lambda: books(settled=DELIVERED, deliveries=2), "1 deliveries settled, not 2"),
        (lambda: books(owed=[OWED]), "still owed"),
        (lambda: books(messages=3), "3 messages left"),
        (lambda: books(own_ends=[1]), "ended by itself"),
    ],
)
def test_what_does_not_balance_is_named(wrong: Callable[[], KillBooks], problem: str) -> None:
    assert any(problem in found for found in wrong().problems())
