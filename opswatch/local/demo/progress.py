"""What has become of each case so far, read from the tables and from the receiver, as users do."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.errors import Reason
from opswatch.core.intake import Rejection
from opswatch.core.keys import Key
from opswatch.core.watches import Result, Watch
from opswatch.local.demo.cases import Case
from opswatch.local.demo.receiver import Receiver
from opswatch.ports import Query
from opswatch.rows.tables import DELIVERIES, REJECTIONS, RESULTS, WATCHES


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How one case stands."""

    status: str
    polls: int = 0
    code: str = ""  # of the error
    callback: str = ""
    posts: int = 0
    is_settled: bool = False
    is_right: bool = False


class Books:
    """The tables of the app, and the receiver's book, side by side."""

    def __init__(self, account: Account, receiver: Receiver) -> None:
        self._watches = AzureTable(account, WATCHES)
        self._results = AzureTable(account, RESULTS)
        self._deliveries = AzureTable(account, DELIVERIES)
        self._rejections = AzureTable(account, REJECTIONS)
        self._receiver = receiver

    async def read(self, cases: list[Case]) -> list[Seen]:
        """Return how each of `cases` stands now."""
        watches = {row.value.key: row.value async for row in self._watches.find(Query())}
        results = {
            row.value.facts.operation.key: row.value async for row in self._results.find(Query())
        }
        deliveries = [row.value async for row in self._deliveries.find(Query())]
        rejections = {
            row.value.body_sha256: row.value async for row in self._rejections.find(Query())
        }
        return [self._seen(case, watches, results, deliveries, rejections) for case in cases]

    def _seen(
        self,
        case: Case,
        watches: dict[Key, Watch],
        results: dict[Key, Result],
        deliveries: list[Delivery],
        rejections: dict[str, Rejection],
    ) -> Seen:
        if isinstance(case.expected, Reason):
            return _rejection(case, rejections.get(sha256(case.body).hexdigest()))
        key = case.operation.key if case.operation else None
        if key in results:
            return self._ended(case, results[key], deliveries)
        if key in watches:
            return Seen(
                status=watches[key].facts.status or "registered", polls=watches[key].facts.polls
            )
        return Seen(status="posted")

    def _ended(self, case: Case, result: Result, deliveries: list[Delivery]) -> Seen:
        settled = [
            delivery
            for delivery in deliveries
            if delivery.operation == result.facts.operation.key
            and delivery.callback_url.endswith(f"/{case.door}")
        ]
        events = self._receiver.taken(case.door, result.facts.operation.operation_id)
        code = result.end.error.code if result.end.error else None
        state = settled[0].state if settled else DeliveryState.PENDING
        wanted = DeliveryState.DELIVERED if case.is_taken else DeliveryState.ABANDONED
        return Seen(
            status=result.end.status.value,
            polls=result.facts.polls,
            code=code or "",
            callback=f"/{case.door} {settled[0].state.value if settled else '…'}",
            posts=settled[0].attempts if settled else 0,
            is_settled=bool(settled),
            is_right=(
                (result.end.status, code, state) == (case.expected, case.code, wanted)
                and len(events) == int(case.is_taken)
                and all(_tells(event, result) for event in events.values())
            ),
        )


def _rejection(case: Case, rejection: Rejection | None) -> Seen:
    if rejection is None:
        return Seen(status="posted")
    is_right = rejection.reason is case.expected
    return Seen(status=rejection.reason.value, is_settled=True, is_right=is_right)


def _tells(event: dict[str, Any], result: Result) -> bool:
    """Tell whether a verified event says of the operation what its row says."""
    data = event["data"]
    code = result.end.error.code if result.end.error else None
    return (
        event["type"] == f"opswatch.operation.{result.end.status.value.lower()}"
        and data["status"] == result.end.status.value
        and (data["error"] or {}).get("code") == code
    )
