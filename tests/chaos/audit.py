"""Whether everything adds up: what was expected, the tables, and what receivers recorded."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.errors import Reason
from opswatch.core.intake import Rejection
from opswatch.core.keys import Operation
from opswatch.core.watches import FinalStatus, Result, Watch
from opswatch.ports import Query, Services, Table
from opswatch.rows.messages import POISON_SUFFIX, QUEUES
from tests.support.endpoints import ReceivedPost

T = TypeVar("T")
Pair = tuple[str, str]  # an operation's id and the name of an endpoint


@dataclass(frozen=True, slots=True)
class Expected:
    """An operation, and its expected outcome."""

    operation: Operation
    status: FinalStatus
    ends_at: datetime | None = None  # according to ARM
    endpoints: set[str] = field(default_factory=set)  # that must receive its event


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The live tables, the records, and the queues, at one instant."""

    watches: list[Watch]
    outbox: list[Delivery]
    results: list[Result]
    deliveries: list[Delivery]
    rejections: list[Rejection]
    waiting: dict[str, int]  # messages in each queue, hidden ones included


async def read_tables(services: Services) -> Tables:
    """Read the live tables first: rows that leave them are then found among the records."""

    async def rows(table: Table[T]) -> list[T]:
        return [row.value async for row in table.find(Query())]

    store, queues = services.store, (services.operations, services.deliveries)
    return Tables(
        watches=await rows(store.watches),
        outbox=await rows(store.outbox),
        results=await rows(store.results),
        deliveries=await rows(store.deliveries),
        rejections=await rows(store.rejections),
        waiting={
            **{name: await queue.depth() for name, queue in zip(QUEUES, queues, strict=True)},
            **{
                name + POISON_SUFFIX: await poison.depth()
                for name, poison in zip(QUEUES, services.poison, strict=True)
            },
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Everything that has to add up."""

    expected: Sequence[Expected]
    rejected: dict[str, Reason] = field(default_factory=dict)  # by the digest of the body
    received: Sequence[ReceivedPost]
    tables: Tables
    own_ends: Sequence[int] = ()  # codes of apps that ended without a signal of ours

    def problems(self) -> list[str]:
        """Return everything that is missing, wrong or left over."""
        tables = self.tables
        return [
            *(f"an app ended by itself, code {code}" for code in self.own_ends),
            *self._wrong_results(),
            *self._wrong_callbacks(),
            *self._wrong_rejections(),
            *(f"{watch.key.row}: still in watches" for watch in tables.watches),
            *(f"{delivery.key.row}: still in outbox" for delivery in tables.outbox),
            *(
                f"queue {name}: {count} messages left"
                for name, count in tables.waiting.items()
                if count
            ),
        ]

    @property
    def posts(self) -> dict[Pair, list[ReceivedPost]]:
        """Return the POSTs to each endpoint about each operation."""
        posts: defaultdict[Pair, list[ReceivedPost]] = defaultdict(list)
        for post in self.received:
            posts[post.operation_id, post.endpoint].append(post)
        return posts

    @property
    def deliveries(self) -> dict[Pair, Delivery]:
        ids = {result.key: result.facts.operation.operation_id for result in self.tables.results}
        return {
            (ids.get(delivery.operation, "?"), delivery.callback_url.rpartition("/")[2]): delivery
            for delivery in self.tables.deliveries
        }

    def _wrong_results(self) -> Iterator[str]:
        results = {result.key: result for result in self.tables.results}
        for expected in self.expected:
            result = results.pop(expected.operation.key, None)
            if result is None:
                yield f"operation {expected.operation.operation_id}: no result"
            elif result.end.status is not expected.status:
                problem = f"{result.end.status}, not {expected.status}"
                yield f"operation {expected.operation.operation_id}: {problem}"
        yield from (f"{key.row}: a result without a post" for key in results)

    def _wrong_callbacks(self) -> Iterator[str]:
        posts, deliveries = self.posts, self.deliveries
        pairs = {
            (expected.operation.operation_id, name): expected
            for expected in self.expected
            for name in expected.endpoints
        }
        for pair, expected in pairs.items():
            for problem in _wrong_callback(
                expected, pair[1], posts.get(pair, []), deliveries.get(pair)
            ):
                yield f"operation {pair[0]} at /{pair[1]}: {problem}"
        for operation_id, name in (posts.keys() | deliveries.keys()) - pairs.keys():
            yield f"{operation_id or 'a forged event'} at /{name}: without a post"

    def _wrong_rejections(self) -> Iterator[str]:
        expected = {digest: reason.value for digest, reason in self.rejected.items()}
        found = {row.body_sha256: row.reason.value for row in self.tables.rejections}
        for digest in expected.keys() | found.keys():
            if expected.get(digest) != found.get(digest):
                yield f"rejection {digest[:8]}: {found.get(digest)}, not {expected.get(digest)}"


def _wrong_callback(
    expected: Expected, name: str, posts: list[ReceivedPost], delivery: Delivery | None
) -> Iterator[str]:
    ids = {post.delivery_id for post in posts} | ({delivery.delivery_id} if delivery else set())
    state = DeliveryState.ABANDONED if name == "gone" else DeliveryState.DELIVERED
    if not posts:
        yield "no POST"
    elif name != "gone" and not any(post.is_accepted for post in posts):
        yield f"none of {len(posts)} POSTs was accepted"
    if any(post.event and post.event["id"] != post.delivery_id for post in posts):
        yield "an event of another delivery"
    if len(ids) > 1:
        yield f"{len(ids)} ids: {', '.join(sorted(ids))}"
    if delivery is None or delivery.state is not state:
        yield f"the delivery is {delivery.state if delivery else 'not settled'}, not {state}"
    statuses = Counter(post.event["data"]["status"] for post in posts if post.event)
    if set(statuses) - {expected.status.value}:
        yield f"events of {dict(statuses)}, not of {expected.status}"
