"""What the storm has cost: polls and POSTs beyond those that the rows count, and lag."""

from collections import Counter
from statistics import median

from opswatch.core.watches import FinalStatus
from opswatch.local.simulator import Simulator
from tests.chaos.books import Books

_UNAUTHORIZED = 401  # a token's affair: the same poll goes out once more
_OURS = (FinalStatus.TIMED_OUT, FinalStatus.LOST)


def figures(books: Books, arm: Simulator, struck: Counter[str]) -> list[str]:
    """Return the lines of the summary."""
    tables, poster = books.tables, books.poster
    posted = f"{len(poster.followed)} operations, {len(poster.rejected)} rejects"
    found = f"{len(tables.results)} finished, {len(tables.rejections)} rejected"
    return [
        ", ".join(f"{kind}: {count}" for kind, count in sorted(struck.items())) or "peace",
        f"{poster.messages} messages posted: {posted}; {found}",
        _told("polls", _extra_polls(books, arm)),
        _told("POSTs", _extra_posts(books)),
        _lag(books),
    ]


def _extra_polls(books: Books, arm: Simulator) -> Counter[str]:
    """Count the polls that ARM has seen beyond those that a row has counted."""
    seen = Counter(
        request.operation_id
        for request in arm.requests
        if request.operation_id and request.status != _UNAUTHORIZED
    )
    counted = {
        result.facts.operation.operation_id: result.facts.polls
        for result in books.tables.results.values()
    }
    return Counter({one: count - counted.get(one, 0) for one, count in seen.items()})


def _extra_posts(books: Books) -> Counter[str]:
    """Count the POSTs that receivers have seen beyond those that a row has counted."""
    deliveries = books.deliveries
    counted = {pair: delivery.attempts for pair, delivery in deliveries.items()}
    return Counter(
        {"/".join(pair): len(posts) - counted.get(pair, 0) for pair, posts in books.posts.items()}
    )


def _told(what: str, extra: Counter[str]) -> str:
    beyond = [count for count in extra.values() if count > 0]
    return f"{what} beyond those counted: {sum(beyond)}, at most {max(beyond, default=0)} of one"


def _lag(books: Books) -> str:
    """Tell how long after an operation's end it was seen."""
    ended = {
        followed.operation.key: followed.ends_at
        for followed in books.poster.followed
        if followed.ends_at and followed.status not in _OURS
    }
    lags = [
        (result.end.finished_at - ended[key]).total_seconds()
        for key, result in books.tables.results.items()
        if key in ended
    ]
    return f"lag: median {median(lags):.1f} s, most {max(lags):.1f} s" if lags else "lag: none"
