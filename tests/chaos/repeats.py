"""How often attempts were repeated, and whether kills explain it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.support.endpoints import ReceivedPost

Span = tuple[float, float]


def excess_repeats(posts: Sequence[ReceivedPost], kills: Sequence[float]) -> list[str]:
    """Return the attempts with more repeats than kills that may have caused them."""
    found = []
    for delivery_id, number, (since, until) in repeats(posts):
        if number > (possible := sum(since < at <= until for at in kills)):
            found.append(f"{delivery_id}: {number} repeats of an attempt, and {possible} kills")
    return found


def repeats(posts: Sequence[ReceivedPost]) -> Iterator[tuple[str, int, Span]]:
    """Yield how often each attempt of a delivery was repeated, and when a kill may be the cause.

    1. A kill cuts off attempt n, so attempt n is repeated.
    2. If the message of attempt n + 1 had been sent before the kill, n + 1 may be repeated too.

    So the kill is after the beginning of the attempt before the repeated one.
    """
    attempts: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for post in posts:
        attempts[post.delivery_id, post.attempt].append(post.at)
    for (delivery_id, number), times in attempts.items():
        since = min(attempts.get((delivery_id, number - 1), [float("-inf")]))
        yield delivery_id, len(times) - 1, (since, max(times))
