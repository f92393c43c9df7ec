"""The progress of each case, read from the app's tables and from the receiver."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.errors import Reason
from opswatch.core.watches import Result
from opswatch.local.demo.cases import Case
from opswatch.local.demo.receiver import Receiver
from opswatch.ports import Query
from opswatch.rows.tables import DELIVERIES, REJECTIONS, RESULTS, WATCHES


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of one case."""

    status: str
    polls: int = 0
    error_code: str = ""
    callback: str = ""
    posts: int = 0
    is_settled: bool = False
    is_expected: bool = False  # it has the expected outcome


class ProgressReader:
    """Reads the app's tables and the receiver's record."""

    def __init__(self, account: Account, receiver: Receiver) -> None:
        self._watches = AzureTable(account, WATCHES)
        self._results = AzureTable(account, RESULTS)
        self._deliveries = AzureTable(account, DELIVERIES)
        self._rejections = AzureTable(account, REJECTIONS)
        self._receiver = receiver

    async def read(self, cases: list[Case]) -> list[Progress]:
        """Return the current progress of each of `cases`."""
        watches = {row.value.key: row.value async for row in self._watches.find(Query())}
        results = {row.value.key: row.value async for row in self._results.find(Query())}
        deliveries = [row.value async for row in self._deliveries.find(Query())]
        rejections = {
            row.value.body_sha256: row.value async for row in self._rejections.find(Query())
        }
        progress = []
        for case in cases:
            key = case.operation.key if case.operation else None
            rejection = rejections.get(sha256(case.body).hexdigest())
            current = Progress(status="posted")
            if rejection and isinstance(case.expected, Reason):
                current = Progress(
                    status=rejection.reason.value,
                    is_settled=True,
                    is_expected=rejection.reason is case.expected,
                )
            elif key in results:
                current = self._of_result(case, results[key], deliveries)
            elif key in watches:
                status = watches[key].facts.status or "registered"
                current = Progress(status=status, polls=watches[key].facts.polls)
            progress.append(current)
        return progress

    def _of_result(self, case: Case, result: Result, deliveries: list[Delivery]) -> Progress:
        """Compare result, delivery and received events with the case."""
        settled = next(
            (
                delivery
                for delivery in deliveries
                if delivery.operation == result.facts.operation.key
                and delivery.callback_url.endswith(f"/{case.endpoint}")
            ),
            None,
        )
        events = self._receiver.accepted_events(case.endpoint, result.facts.operation.operation_id)
        code = result.end.error.code if result.end.error else None
        state = settled.state if settled else DeliveryState.PENDING
        expected = DeliveryState.DELIVERED if case.is_accepted else DeliveryState.ABANDONED
        return Progress(
            status=result.end.status.value,
            polls=result.facts.polls,
            error_code=code or "",
            callback=f"/{case.endpoint} {settled.state.value if settled else '…'}",
            posts=settled.attempts if settled else 0,
            is_settled=settled is not None,
            is_expected=(
                (result.end.status, code, state) == (case.expected, case.error_code, expected)
                and len(events) == int(case.is_accepted)
                and all(_matches(event, result) for event in events.values())
            ),
        )


def _matches(event: dict[str, Any], result: Result) -> bool:
    """Whether a verified event reports the status and the error code of the result."""
    data = event["data"]
    code = result.end.error.code if result.end.error else None
    return (
        event["type"] == f"opswatch.operation.{result.end.status.value.lower()}"
        and data["status"] == result.end.status.value
        and (data["error"] or {}).get("code") == code
    )
