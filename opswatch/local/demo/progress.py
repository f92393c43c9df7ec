"""The progress of each case, read from the app's tables and from the receiver."""

from dataclasses import dataclass
from typing import Any

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.core import wire
from opswatch.core.model import Delivery, DeliveryState, Reason, Result
from opswatch.local.demo.cases import Case
from opswatch.local.demo.receiver import Receiver
from opswatch.ports import Where


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
        self._watches = AzureTable(account, wire.WATCHES)
        self._results = AzureTable(account, wire.RESULTS)
        self._deliveries = AzureTable(account, wire.DELIVERIES)
        self._rejections = AzureTable(account, wire.REJECTIONS)
        self._receiver = receiver

    async def read(self, cases: list[Case]) -> list[Progress]:
        """Return the current progress of each of `cases`."""
        watches = {row.noun.key: row.noun async for row in self._watches.find(Where())}
        results = {row.noun.operation.key: row.noun async for row in self._results.find(Where())}
        deliveries = [row.noun async for row in self._deliveries.find(Where())]
        rejections = {
            row.noun.body_sha256: row.noun async for row in self._rejections.find(Where())
        }
        progress = []
        for case in cases:
            key = case.operation.key if case.operation else None
            rejection = rejections.get(wire.body_digest(case.body))
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
                status = watches[key].status or "registered"
                current = Progress(status=status, polls=watches[key].polls)
            progress.append(current)
        return progress

    def _of_result(self, case: Case, result: Result, deliveries: list[Delivery]) -> Progress:
        """Compare result, delivery and received events with the case."""
        settled = next(
            (
                delivery
                for delivery in deliveries
                if delivery.operation == result.operation.key
                and delivery.callback_url.endswith(f"/{case.endpoint}")
            ),
            None,
        )
        events = self._receiver.accepted_events(case.endpoint, result.operation.operation_id)
        code = result.end.error.code if result.end.error else None
        state = settled.state if settled else DeliveryState.PENDING
        expected = DeliveryState.DELIVERED if case.is_accepted else DeliveryState.ABANDONED
        return Progress(
            status=result.end.status.value,
            polls=result.polls,
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
