"""That the audit finds seeded faults."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from opswatch.core.deliveries import DeliveryState, new_delivery
from opswatch.core.errors import Reason
from opswatch.core.intake import rejection
from opswatch.core.keys import operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.watches import FinalStatus, Result
from tests.chaos.audit import Audit, Expected, Tables
from tests.support.builders import NOW, end, result, watch
from tests.support.endpoints import ACCEPT, ReceivedPost, Reply
from tests.support.harness import ENDPOINT, status_path

OPERATION = operation_from_url(f"{ENDPOINT}{status_path('a1')}?api-version=1")
PENDING = new_delivery(OPERATION.key, "http://127.0.0.1:1/steady", NOW, Policy())
DELIVERED = replace(PENDING, state=DeliveryState.DELIVERED)
EVENT = {"id": PENDING.delivery_id, "data": {"operationId": "a1", "status": "Failed"}}
SUCCEEDED = {**EVENT, "data": {"operationId": "a1", "status": "Succeeded"}}
REJECTION = rejection(b"", Reason.EMPTY, "it is empty", NOW)


class Evidence:
    """One failed operation with one delivery, and one reject: everything adds up."""

    def __init__(self) -> None:
        self.expected = [Expected(OPERATION, FinalStatus.FAILED, endpoints={"steady"})]
        self.rejected = {REJECTION.body_sha256: Reason.EMPTY}
        self.received = [self.post()]
        self.tables: dict[str, Any] = {
            "watches": [],
            "outbox": [],
            "results": [self.result(FinalStatus.FAILED)],
            "deliveries": [DELIVERED],
            "rejections": [REJECTION],
            "waiting": {"operations": 0},
        }
        self.own_ends: list[int] = []

    def post(self, **more: Any) -> ReceivedPost:
        known = {"endpoint": "steady", "delivery_id": DELIVERED.delivery_id, "attempt": 1}
        return ReceivedPost(**{**known, "event": EVENT, "at": 1.0, "reply": ACCEPT, **more})

    def receive(self, **more: Any) -> None:
        self.received.append(self.post(**more))

    def result(self, status: FinalStatus) -> Result:
        return result(operation=OPERATION, end=end(status))

    def problems(self) -> list[str]:
        return Audit(
            expected=self.expected,
            rejected=self.rejected,
            received=self.received,
            tables=Tables(**self.tables),
            own_ends=self.own_ends,
        ).problems()


def test_good_run_has_no_problems() -> None:
    assert Evidence().problems() == []


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (lambda e: e.tables.update(results=[]), "no result"),
        (lambda e: e.tables.update(results=[e.result(FinalStatus.LOST)]), "Lost, not Failed"),
        (lambda e: e.expected.clear(), "a result without a post"),
        (lambda e: e.expected.clear(), "a1 at /steady: without a post"),
        (lambda e: e.received.clear(), "no POST"),
        (lambda e: e.receive(delivery_id="msg_2"), "2 ids"),
        (lambda e: e.receive(event={**EVENT, "id": "msg_2"}), "an event of another delivery"),
        (lambda e: setattr(e.received[0], "reply", None), "none of 1 POSTs was accepted"),
        (lambda e: setattr(e.received[0], "reply", Reply(404)), "none of 1 POSTs was accepted"),
        (lambda e: e.receive(event=SUCCEEDED), "not of Failed"),
        (lambda e: e.receive(event=None), "a forged event"),
        (lambda e: e.tables.update(deliveries=[]), "not settled, not delivered"),
        (lambda e: e.tables.update(deliveries=[PENDING]), "pending, not delivered"),
        (lambda e: e.tables.update(rejections=[]), "None, not Empty"),
        (lambda e: e.rejected.clear(), "Empty, not None"),
        (lambda e: e.tables.update(watches=[watch()]), "still in watches"),
        (lambda e: e.tables.update(outbox=[PENDING]), "still in outbox"),
        (lambda e: e.tables.update(waiting={"operations-poison": 2}), "2 messages left"),
        (lambda e: e.own_ends.append(1), "ended by itself"),
    ],
)
def test_seeded_fault_is_found(fault: Callable[[Evidence], object], problem: str) -> None:
    evidence = Evidence()
    fault(evidence)
    assert any(problem in found for found in evidence.problems())
