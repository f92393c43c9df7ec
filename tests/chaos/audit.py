"""Whether everything adds up: what was posted, what the tables say, and what receivers recorded."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from azure.core.exceptions import ResourceNotFoundError

from opswatch.adapters.account import Account
from opswatch.adapters.storage import AzureTable
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus, Result
from opswatch.local.simulator import Simulator
from opswatch.ports import Query
from opswatch.rows.codec import Codec, Noun
from opswatch.rows.messages import POISON_SUFFIX, QUEUES
from opswatch.rows.tables import DELIVERIES, OUTBOX, REJECTIONS, RESULTS, WATCHES
from tests.chaos.posts import Expected, Poster
from tests.support.endpoints import Endpoint, ReceivedPost

T = TypeVar("T", bound=Noun)
Pair = tuple[str, str]  # an operation's id and an endpoint
_UNAUTHORIZED = 401  # the token was refused: the same poll is sent again
_OWN_STATUSES = (FinalStatus.TIMED_OUT, FinalStatus.LOST)  # which are not ARM's


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The live tables, the records, and the queues, at one instant."""

    watches: list[Key]
    results: dict[Key, Result]
    outbox: list[Key]
    deliveries: list[Delivery]
    rejections: dict[str, str]  # reasons by the digest of the body
    waiting: dict[str, int]  # messages in each queue, hidden ones included


async def read_tables(account: Account) -> Tables:
    """Read the live tables first: rows that leave them are then found among the records."""

    async def rows(codec: Codec[T]) -> list[T]:
        return [row.value async for row in AzureTable(account, codec).find(Query())]

    async def length(name: str) -> int:
        try:
            properties = await account.queue(name).get_queue_properties()
        except ResourceNotFoundError:
            return 0  # a poison queue is created with its first message
        return properties.approximate_message_count or 0

    return Tables(
        watches=[watch.key for watch in await rows(WATCHES)],
        outbox=[delivery.key for delivery in await rows(OUTBOX)],
        results={result.key: result for result in await rows(RESULTS)},
        deliveries=await rows(DELIVERIES),
        rejections={
            rejection.body_sha256: rejection.reason.value for rejection in await rows(REJECTIONS)
        },
        waiting={
            name + suffix: await length(name + suffix)
            for name in QUEUES
            for suffix in ("", POISON_SUFFIX)
        },
    )


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that has to add up."""

    poster: Poster
    endpoints: Sequence[Endpoint]
    tables: Tables

    def problems(self) -> list[str]:
        """Return everything that is missing, wrong or left over."""
        return [
            *self._wrong_results(),
            *self._wrong_callbacks(),
            *self._wrong_rejections(),
            *(f"{key.row}: still in watches" for key in self.tables.watches),
            *(f"{key.row}: still in outbox" for key in self.tables.outbox),
            *(
                f"queue {name}: {count} messages left"
                for name, count in self.tables.waiting.items()
                if count
            ),
        ]

    @property
    def posts(self) -> dict[Pair, list[ReceivedPost]]:
        """Return the POSTs to each endpoint about each operation."""
        posts: defaultdict[Pair, list[ReceivedPost]] = defaultdict(list)
        for endpoint in self.endpoints:
            for post in endpoint.posts:
                posts[post.operation_id, post.endpoint].append(post)
        return posts

    @property
    def deliveries(self) -> dict[Pair, Delivery]:
        """Return the settled deliveries."""
        ids = {key: r.facts.operation.operation_id for key, r in self.tables.results.items()}
        return {
            (ids.get(delivery.operation, "?"), delivery.callback_url.rpartition("/")[2]): delivery
            for delivery in self.tables.deliveries
        }

    def _wrong_results(self) -> Iterator[str]:
        results = dict(self.tables.results)
        for expected in self.poster.expected:
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
            for expected in self.poster.expected
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
        expected = {digest: reason.value for digest, reason in self.poster.rejected.items()}
        found = self.tables.rejections
        for digest in expected.keys() | found.keys():
            if expected.get(digest) != found.get(digest):
                yield f"rejection {digest[:8]}: {found.get(digest)}, not {expected.get(digest)}"

    def figures(self, arm: Simulator, injected: Counter[str]) -> list[str]:
        """Return the summary: what faults cost in polls and POSTs that no row counts, and lag."""
        tables, poster = self.tables, self.poster
        polled = Counter(
            request.operation_id
            for request in arm.requests
            if request.operation_id and request.status != _UNAUTHORIZED
        )
        counted = {r.facts.operation.operation_id: r.facts.polls for r in tables.results.values()}
        extra_polls = [number - counted.get(name, 0) for name, number in polled.items()]
        attempts = {pair: delivery.attempts for pair, delivery in self.deliveries.items()}
        extra_posts = [len(posts) - attempts.get(pair, 0) for pair, posts in self.posts.items()]
        ends = {
            expected.operation.key: expected.ends_at
            for expected in poster.expected
            if expected.ends_at and expected.status not in _OWN_STATUSES
        }
        lags = [
            (result.end.finished_at - ends[key]).total_seconds()
            for key, result in tables.results.items()
            if key in ends
        ]
        return [
            ", ".join(f"{kind}: {count}" for kind, count in sorted(injected.items()))
            or "no faults",
            (
                f"{poster.messages} messages posted: {len(poster.expected)} operations, "
                f"{len(poster.rejected)} rejects; {len(tables.results)} finished, "
                f"{len(tables.rejections)} rejected"
            ),
            *(
                f"{name} beyond those counted: {sum(n for n in extra if n > 0)}, "
                f"at most {max([0, *extra])} of one"
                for name, extra in (("polls", extra_polls), ("POSTs", extra_posts))
            ),
            f"lag: median {median(lags):.1f} s, most {max(lags):.1f} s" if lags else "lag: none",
        ]


def _wrong_callback(
    expected: Expected, name: str, posts: list[ReceivedPost], delivery: Delivery | None
) -> Iterator[str]:
    ids = {post.delivery_id for post in posts} | ({delivery.delivery_id} if delivery else set())
    state = DeliveryState.ABANDONED if name == "gone" else DeliveryState.DELIVERED
    if not posts:
        yield "no POST"
    elif name != "gone" and not any(post.is_accepted for post in posts):
        yield f"none of {len(posts)} POSTs was accepted"
    if len(ids) > 1:
        yield f"{len(ids)} ids: {', '.join(sorted(ids))}"
    if delivery is None or delivery.state is not state:
        yield f"the delivery is {delivery.state if delivery else 'not settled'}, not {state}"
    statuses = Counter(post.event["data"]["status"] for post in posts if post.event)
    if set(statuses) - {expected.status.value}:
        yield f"events of {dict(statuses)}, not of {expected.status}"
