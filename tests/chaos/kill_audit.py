"""Whether everything adds up after kills: each event accepted, under one id, with few repeats."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opswatch.core.deliveries import Delivery, DeliveryState
from tests.support.endpoints import ReceivedPost


@dataclass(frozen=True, slots=True, kw_only=True)
class KillAudit:
    """Everything that has to add up."""

    deliveries: int  # that were enqueued
    posts: Sequence[ReceivedPost]
    kills: Sequence[float]  # instants, as those of the posts
    landed: int  # kills that cut off at least one POST under way
    pending: Sequence[Delivery]
    settled: Sequence[Delivery]
    messages: int  # left in the queues
    own_ends: Sequence[int]  # of processes that ended without a signal of ours

    def problems(self) -> list[str]:
        """Return everything that is missing, wrong or left over."""
        return [
            *(f"an app ended by itself, code {code}" for code in self.own_ends),
            *(f"{delivery.key.row}: still pending" for delivery in self.pending),
            *([f"{self.messages} messages left"] if self.messages else []),
            *self._wrong_counts(),
            *(
                f"{post.delivery_id}: a forged event, or another's"
                for post in self.posts
                if post.event is None or post.event["id"] != post.delivery_id
            ),
            *self._wrong_deliveries(),
        ]

    def figures(self) -> str:
        """Return a summary in one line."""
        repeats = [sum(n for n, _ in _repeats(posts)) for posts in self._by_id.values()]
        return (
            f"{len(self.kills)} kills, {self.landed} of them while a POST was under way; "
            f"{len(self.settled)} of {self.deliveries} deliveries settled by {len(self.posts)} "
            f"POSTs, {sum(repeats)} of them repeats, at most {max(repeats, default=0)} of one"
        )

    @property
    def _by_id(self) -> dict[str, list[ReceivedPost]]:
        posts: defaultdict[str, list[ReceivedPost]] = defaultdict(list)
        for post in self.posts:
            posts[post.delivery_id].append(post)
        return posts

    def _wrong_counts(self) -> Iterator[str]:
        if len(self.settled) != self.deliveries:
            yield f"{len(self.settled)} deliveries settled, not {self.deliveries}"
        if strange := self._by_id.keys() - {delivery.delivery_id for delivery in self.settled}:
            yield f"ids that no delivery has: {', '.join(sorted(strange))}"

    def _wrong_deliveries(self) -> Iterator[str]:
        by_id = self._by_id
        for delivery in self.settled:
            posts = by_id.get(delivery.delivery_id, [])
            if delivery.state is not DeliveryState.DELIVERED:
                yield f"{delivery.key.row}: {delivery.state}"
            if not any(post.is_accepted for post in posts):
                yield f"{delivery.key.row}: none of {len(posts)} POSTs was accepted"
            if len({post.operation_id for post in posts}) > 1:
                yield f"{delivery.key.row}: one id for several operations"
            for number, (since, until) in _repeats(posts):
                if number > (kills := sum(since < at <= until for at in self.kills)):
                    yield f"{delivery.key.row}: {number} repeats of an attempt, and {kills} kills"


def _repeats(posts: Sequence[ReceivedPost]) -> Iterator[tuple[int, tuple[float, float]]]:
    """Yield how often each attempt was repeated, and when a kill may have been the cause.

    1. A kill cuts off attempt n, so attempt n is repeated.
    2. If the message of attempt n + 1 had been sent before the kill, n + 1 may be repeated too.

    So the kill is after the beginning of the attempt before the repeated one.
    """
    attempts: defaultdict[int, list[float]] = defaultdict(list)
    for post in posts:
        attempts[post.attempt].append(post.at)
    for number, times in attempts.items():
        since = min(attempts.get(number - 1, [float("-inf")]))
        yield len(times) - 1, (since, max(times))
