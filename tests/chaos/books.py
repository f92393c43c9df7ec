"""Whether the books balance: what was posted, what the tables say, and what receivers remember."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opswatch.core.deliveries import Delivery, DeliveryState
from tests.chaos.posts import OperationFacts, Poster
from tests.chaos.receivers import Post, Receiver
from tests.chaos.tables import Tables

Pair = tuple[str, str]  # an operation's id and a door


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that has to fit together."""

    poster: Poster
    receivers: Sequence[Receiver]
    tables: Tables

    def problems(self) -> list[str]:
        """Name whatever is missing, wrong or left over."""
        return [
            *self._wrong_results(),
            *self._wrong_callbacks(),
            *self._unasked_callbacks(),
            *self._wrong_rejections(),
            *self._left_over(),
        ]

    @property
    def posts(self) -> dict[Pair, list[Post]]:
        """Return what each door got about each operation."""
        posts: defaultdict[Pair, list[Post]] = defaultdict(list)
        for receiver in self.receivers:
            for post in receiver.posts:
                posts[post.operation_id, post.door].append(post)
        return posts

    @property
    def deliveries(self) -> dict[Pair, Delivery]:
        """Return the settled deliveries."""
        ids = {
            key: result.facts.operation.operation_id for key, result in self.tables.results.items()
        }
        return {
            (ids.get(delivery.operation, "?"), delivery.callback_url.rpartition("/")[2]): delivery
            for delivery in self.tables.deliveries
        }

    def _wrong_results(self) -> Iterator[str]:
        results = dict(self.tables.results)
        for followed in self.poster.followed:
            result = results.pop(followed.operation.key, None)
            if result is None:
                yield f"{_name(followed)}: no result"
            elif result.end.status is not followed.status:
                yield f"{_name(followed)}: {result.end.status}, not {followed.status}"
        yield from (f"{key.row}: a result that nobody asked for" for key in results)

    def _wrong_callbacks(self) -> Iterator[str]:
        posts, deliveries = self.posts, self.deliveries
        for followed in self.poster.followed:
            for door in followed.doors:
                pair = (followed.operation.operation_id, door)
                delivery = deliveries.get(pair)
                for problem in _wrong_callback(followed, door, posts.get(pair, []), delivery):
                    yield f"{_name(followed)} at /{door}: {problem}"

    def _unasked_callbacks(self) -> Iterator[str]:
        asked = {
            (followed.operation.operation_id, door)
            for followed in self.poster.followed
            for door in followed.doors
        }
        for operation_id, door in {*self.posts, *self.deliveries} - asked:
            yield f"{operation_id or 'a forged event'} at /{door}: nobody asked for it"

    def _wrong_rejections(self) -> Iterator[str]:
        expected = {digest: reason.value for digest, reason in self.poster.rejected.items()}
        found = self.tables.rejections
        for digest in expected.keys() | found.keys():
            if expected.get(digest) != found.get(digest):
                yield f"rejection {digest[:8]}: {found.get(digest)}, not {expected.get(digest)}"

    def _left_over(self) -> Iterator[str]:
        yield from (f"{key.row}: still in watches" for key in self.tables.watches)
        yield from (f"{key.row}: still in outbox" for key in self.tables.outbox)
        for name, count in self.tables.waiting.items():
            if count:
                yield f"queue {name}: {count} messages left"


def _wrong_callback(
    followed: OperationFacts, door: str, posts: list[Post], delivery: Delivery | None
) -> Iterator[str]:
    ids = {post.message_id for post in posts} | ({delivery.delivery_id} if delivery else set())
    state = DeliveryState.ABANDONED if door == "gone" else DeliveryState.DELIVERED
    if not posts:
        yield "no POST"
    elif door != "gone" and not any(post.is_taken for post in posts):
        yield f"none of {len(posts)} POSTs was taken"
    if len(ids) > 1:
        yield f"{len(ids)} ids: {', '.join(sorted(ids))}"
    if delivery is None or delivery.state is not state:
        yield f"the delivery is {delivery.state if delivery else 'not settled'}, not {state}"
    told = Counter(post.event["data"]["status"] for post in posts if post.event)
    if set(told) - {followed.status.value}:
        yield f"events tell of {dict(told)}, not of {followed.status}"


def _name(followed: OperationFacts) -> str:
    return f"operation {followed.operation.operation_id}"
