"""That the audit finds seeded faults."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from opswatch.core.deliveries import Delivery, DeliveryState, new_delivery
from opswatch.core.errors import Reason
from opswatch.core.keys import Key, operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.watches import FinalStatus, Result
from tests.chaos.audit import Audit, Tables
from tests.chaos.posts import Expected
from tests.support.builders import NOW, end, result
from tests.support.endpoints import ACCEPT, Endpoint, ReceivedPost
from tests.support.harness import ENDPOINT, SECRET, status_path

OPERATION = operation_from_url(f"{ENDPOINT}{status_path('a1')}?api-version=1")
KEY = OPERATION.key
EVENT = {"data": {"operationId": "a1", "status": "Failed"}}

Fault = Callable[["Evidence"], object]


class Evidence:
    """One failed operation with one delivery, and one reject: everything adds up."""

    def __init__(self) -> None:
        self.endpoint = Endpoint("steady", SECRET)
        self.endpoint.posts.append(self.post())
        self.poster: Any = SimpleNamespace(
            expected=[Expected(OPERATION, FinalStatus.FAILED, None, {"steady"})],
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

    def post(self, **more: Any) -> ReceivedPost:
        known = {"delivery_id": self.delivery().delivery_id, "event": EVENT, "reply": ACCEPT}
        return ReceivedPost(**{"endpoint": "steady", "attempt": 1, "at": 1.0, **known, **more})

    def result(self, status: FinalStatus) -> Result:
        return result(operation=OPERATION, end=end(status))

    def delivery(self) -> Delivery:
        pending = new_delivery(KEY, "http://127.0.0.1:1/steady", NOW, Policy())
        return replace(pending, state=DeliveryState.DELIVERED)

    def change(self, **tables: Any) -> None:
        self.tables = replace(self.tables, **tables)

    def problems(self) -> list[str]:
        return Audit(self.poster, [self.endpoint], self.tables).problems()


def test_good_run_has_no_problems() -> None:
    assert Evidence().problems() == []


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (lambda e: e.change(results={}), "no result"),
        (
            lambda e: e.change(results={KEY: e.result(FinalStatus.LOST)}),
            "Lost, not Failed",
        ),
        (lambda e: e.poster.expected.clear(), "a result without a post"),
        (lambda e: e.endpoint.posts.clear(), "no POST"),
        (
            lambda e: e.endpoint.posts.append(e.post(delivery_id="msg_2")),
            "2 ids",
        ),
        (
            lambda e: e.endpoint.posts.__setitem__(0, e.post(reply=None)),
            "none of 1 POSTs was accepted",
        ),
        (
            lambda e: e.endpoint.posts.append(
                e.post(event={"data": {"operationId": "a1", "status": "Succeeded"}})
            ),
            "not of Failed",
        ),
        (lambda e: e.endpoint.posts.append(e.post(event=None)), "a forged event"),
        (lambda e: e.change(deliveries=[]), "not settled, not delivered"),
        (lambda e: e.change(rejections={}), "None, not Empty"),
        (lambda e: e.change(rejections={"digest": "Empty", "d": "NotJson"}), "not None"),
        (lambda e: e.change(watches=[KEY]), "still in watches"),
        (lambda e: e.change(outbox=[Key("p", "r")]), "still in outbox"),
        (lambda e: e.change(waiting={"operations-poison": 2}), "2 messages left"),
    ],
)
def test_seeded_fault_is_found(fault: Fault, problem: str) -> None:
    evidence = Evidence()
    fault(evidence)
    assert any(problem in found for found in evidence.problems())
