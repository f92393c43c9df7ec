"""That the books notice what does not balance."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from opswatch.core.deliveries import Delivery, DeliveryState, new_delivery
from opswatch.core.errors import Reason
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.watches import End, FinalStatus, Result
from tests.chaos.books import Books
from tests.chaos.luck import luck
from tests.chaos.posts import OperationFacts
from tests.chaos.receivers import Post, Receiver
from tests.chaos.tables import Tables
from tests.support.harness import ENDPOINT, SECRET, status_path

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
OPERATION = operation_from_url(f"{ENDPOINT}{status_path('a1')}?api-version=1")
KEY = OPERATION.key
EVENT = {"data": {"operationId": "a1", "status": "Failed"}}

Spoil = Callable[["Ledger"], object]


class Ledger:
    """One operation that has failed, told to one receiver, and one reject: it all balances."""

    def __init__(self) -> None:
        self.door = Receiver("steady", SECRET.text, luck(1, "steady"))
        self.door.posts.append(self.post())
        self.poster: Any = SimpleNamespace(
            followed=[OperationFacts(OPERATION, FinalStatus.FAILED, None, {"steady"})],
            rejected={"digest": Reason.EMPTY},
        )
        self.tables = Tables(
            watches=[],
            results={KEY: self.result(FinalStatus.FAILED)},
            outbox=[],
            deliveries=[self.delivery()],
            rejections={"digest": "Empty"},
            waiting={"operations": 0},
        )

    def post(self, **more: Any) -> Post:
        told = {"message_id": self.delivery().delivery_id, "event": EVENT, "is_taken": True}
        return Post(**{"door": "steady", "at": NOW, **told, **more})

    def result(self, status: FinalStatus) -> Result:
        return Result(
            operation=OPERATION,
            registered_at=NOW,
            deadline_at=NOW,
            end=End(status=status, finished_at=NOW),
        )

    def delivery(self) -> Delivery:
        owed = new_delivery(KEY, "http://127.0.0.1:1/steady", NOW, Policy())
        return replace(owed, state=DeliveryState.DELIVERED)

    def spoil(self, **tables: Any) -> None:
        self.tables = replace(self.tables, **tables)

    def problems(self) -> list[str]:
        return Books(self.poster, [self.door], self.tables).problems()


def test_what_balances_balances() -> None:
    assert Ledger().problems() == []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda ledger: ledger.spoil(results={}), "no result"),
        (
            lambda ledger: ledger.spoil(results={KEY: ledger.result(FinalStatus.LOST)}),
            "Lost, not Failed",
        ),
        (lambda ledger: ledger.poster.followed.clear(), "a result that nobody asked for"),
        (lambda ledger: ledger.door.posts.clear(), "no POST"),
        (
            lambda ledger: ledger.door.posts.append(ledger.post(message_id="msg_2")),
            "2 ids",
        ),
        (
            lambda ledger: ledger.door.posts.__setitem__(0, ledger.post(is_taken=False)),
            "none of 1 POSTs was taken",
        ),
        (
            lambda ledger: ledger.door.posts.append(
                ledger.post(event={"data": {"operationId": "a1", "status": "Succeeded"}})
            ),
            "not of Failed",
        ),
        (lambda ledger: ledger.door.posts.append(ledger.post(event=None)), "a forged event"),
        (lambda ledger: ledger.spoil(deliveries=[]), "not settled, not delivered"),
        (lambda ledger: ledger.spoil(rejections={}), "None, not Empty"),
        (lambda ledger: ledger.spoil(rejections={"digest": "Empty", "d": "NotJson"}), "not None"),
        (lambda ledger: ledger.spoil(watches=[KEY]), "still in watches"),
        (lambda ledger: ledger.spoil(outbox=[Key("p", "r")]), "still in outbox"),
        (lambda ledger: ledger.spoil(waiting={"operations-poison": 2}), "2 messages left"),
    ],
)
def test_what_does_not_balance_is_named(spoil: Spoil, problem: str) -> None:
    ledger = Ledger()
    spoil(ledger)
    assert any(problem in found for found in ledger.problems())
