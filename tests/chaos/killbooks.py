"""Whether the books balance after a run of kills: each event taken, under one id, little twice."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opswatch.core.deliveries import Delivery, DeliveryState
from tests.chaos.doors import Knock


@dataclass(frozen=True, slots=True, kw_only=True)
class KillBooks:
    """Everything that has to fit together."""

    deliveries: int  # that were owed
    knocks: Sequence[Knock]
    kills: Sequence[float]  # instants, of the clock of the knocks
    landed: int  # kills that cut off a POST under way, or more
    owed: Sequence[Delivery]
    settled: Sequence[Delivery]
    messages: int  # left in the queues
    own_ends: Sequence[int]  # of processes that nobody had told to end

    def problems(self) -> list[str]:
        """Name whatever is missing, wrong or left over."""
        return [
            *(f"an app ended by itself, code {code}" for code in self.own_ends),
            *(f"{delivery.key.row}: still owed" for delivery in self.owed),
            *([f"{self.messages} messages left"] if self.messages else []),
            *self._wrong_counts(),
            *self._wrong_knocks(),
            *self._wrong_deliveries(),
        ]

    def figures(self) -> str:
        """Tell in a line what happened."""
        repeats = [sum(n for n, _ in _repeats(knocks)) for knocks in self._by_id.values()]
        return (
            f"{len(self.kills)} kills, {self.landed} of them while a POST was under way; "
            f"{len(self.settled)} of {self.deliveries} deliveries settled by {len(self.knocks)} "
            f"POSTs, {sum(repeats)} of them repeats, at most {max(repeats, default=0)} of one"
        )

    @property
    def _by_id(self) -> dict[str, list[Knock]]:
        knocks: defaultdict[str, list[Knock]] = defaultdict(list)
        for knock in self.knocks:
            knocks[knock.delivery_id].append(knock)
        return knocks

    def _wrong_counts(self) -> Iterator[str]:
        if len(self.settled) != self.deliveries:
            yield f"{len(self.settled)} deliveries settled, not {self.deliveries}"
        if strange := self._by_id.keys() - {delivery.delivery_id for delivery in self.settled}:
            yield f"ids that no delivery has: {', '.join(sorted(strange))}"

    def _wrong_knocks(self) -> Iterator[str]:
        for knock in self.knocks:
            if knock.event is None or knock.event["id"] != knock.delivery_id:
                yield f"{knock.delivery_id}: a forged event, or another's"

    def _wrong_deliveries(self) -> Iterator[str]:
        for delivery in self.settled:
            knocks = self._by_id[delivery.delivery_id]
            if delivery.state is not DeliveryState.DELIVERED:
                yield f"{delivery.key.row}: {delivery.state}"
            if not any(knock.is_taken for knock in knocks):
                yield f"{delivery.key.row}: none of {len(knocks)} POSTs was taken"
            if len({knock.operation_id for knock in knocks}) > 1:
                yield f"{delivery.key.row}: one id for several operations"
            for number, (since, until) in _repeats(knocks):
                if number > (kills := sum(since < at <= until for at in self.kills)):
                    yield f"{delivery.key.row}: {number} repeats of an attempt, and {kills} kills"


def _repeats(knocks: Sequence[Knock]) -> Iterator[tuple[int, tuple[float, float]]]:
    """Yield how often each attempt was made again, and when a kill may have been the cause.

    A kill repeats the attempt that it cuts off. Where the next one's message had been sent by
    then, that one may come twice as well. So it came after the attempt before had begun.
    """
    attempts: defaultdict[int, list[float]] = defaultdict(list)
    for knock in knocks:
        attempts[knock.attempt].append(knock.at)
    for number, times in attempts.items():
        since = min(attempts.get(number - 1, [float("-inf")]))
        yield len(times) - 1, (since, max(times))
