"""What has become of each case so far, read from the tables and from the receiver, as users do."""

from dataclasses import dataclass
from typing import Any

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.core import wire
from opswatch.core.model import Delivery, DeliveryState, Key, Reason, Rejection, Result, Watch
from opswatch.local.demo.cases import Case
from opswatch.local.demo.receiver import Receiver
from opswatch.ports import Where


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
        self._watches = AzureTable(account, wire.WATCHES)
        self._results = AzureTable(account, wire.RESULTS)
        self._deliveries = AzureTable(account, wire.DELIVERIES)
        self._rejections = AzureTable(account, wire.REJECTIONS)
        self._receiver = receiver

    async def read(self, cases: list[Case]) -> list[Seen]:
        """Return how each of `cases` stands now."""
        watches = {row.noun.key: row.noun async for row in self._watches.find(Where())}
        results = {row.noun.operation.key: row.noun async for row in self._results.find(Where())}
        deliveries = [row.noun async for row in self._deliveries.find(Where())]
        rejections = {
            row.noun.body_sha256: row.noun async for row in self._rejections.find(Where())
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
            return _rejection(case, rejections.get(wire.body_digest(case.body)))
        key = case.operation.key if case.operation else None
        if key in results:
            return self._ended(case, results[key], deliveries)
        if key in watches:
            return Seen(status=watches[key].status or "registered", polls=watches[key].polls)
        return Seen(status="posted")

    def _ended(self, case: Case, result: Result, deliveries: list[Delivery]) -> Seen:
        settled = [
            delivery
            for delivery in deliveries
            if delivery.operation == result.operation.key
            and delivery.callback_url.endswith(f"/{case.door}")
        ]
        events = self._receiver.taken(case.door, result.operation.operation_id)
        code = result.end.error.code if result.end.error else None
        state = settled[0].state if settled else DeliveryState.PENDING
        wanted = DeliveryState.DELIVERED if case.is_taken else DeliveryState.ABANDONED
        return Seen(
            status=result.end.status.value,
            polls=result.polls,
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
