"""What must hold at the end of every run."""

import json
from collections import Counter
from datetime import timedelta

from opswatch.core.deliveries import DeliveryState, is_settled
from opswatch.core.watches import FinalStatus, Result
from tests.simulation.clockwork import START
from tests.simulation.run import POLICY, Run, key_of
from tests.simulation.scenario import Life, Receiver

# How many polls of an operation, and POSTs of a delivery, one disturbance may cost: a function
# that is cut off, an effect that is slow or is repeated, a message that comes twice.
EXTRA_POLLS, EXTRA_POSTS = 2, 2
_MOST_SKEW = timedelta(seconds=60)  # between two clocks


def check(run: Run) -> None:
    """Find every invariant that the run has broken."""
    _live_tables_are_empty(run)
    for life in run.scenario.lives:
        _has_ended(run, life)
    _rejections_are_kept(run)
    _little_was_done_twice(run)


def _live_tables_are_empty(run: Run) -> None:
    """Nothing is left to do.

    A copy of a message that stalls until another copy has done all, writes a row once more, and
    dies before it can remove it, leaves a row beside its record: to clear it away is reconcile's.
    """
    ended = {result.facts.operation.key for result in run.store.results.values()}
    for watch in run.store.watches.values():
        if run.is_reconciled or watch.key not in ended:
            run.clockwork.violate(f"left behind: {watch}")
    records = {record.key: record for record in run.store.deliveries.values()}
    for owed in run.store.outbox.values():
        record = records.get(owed.key)
        if run.is_reconciled or record is None or not is_settled(owed, record):
            run.clockwork.violate(f"left behind: {owed}")


def _has_ended(run: Run, life: Life) -> None:
    rows = [r for r in run.store.results.values() if r.facts.operation.key == key_of(life)]
    if len(rows) != 1:
        run.clockwork.violate(f"{life.operation_id} has {len(rows)} results")
        return
    (result,) = rows
    _status_is_true(run, life, result)
    _is_listed_once(run, result)
    for receiver in _asked_for(run, life):
        _was_told(run, result, receiver)


def _status_is_true(run: Run, life: Life, result: Result) -> None:
    finished_at = result.end.finished_at
    match result.end.status:
        case FinalStatus.STOPPED:
            is_true = any(w.life is life and w.verb == "stop" for w in run.scenario.wishes)
        case FinalStatus.TIMED_OUT:
            is_true = finished_at >= result.facts.deadline_at
        case FinalStatus.LOST:
            unreadable = finished_at - START - timedelta(seconds=life.gone_at) + _MOST_SKEW
            is_true = life.misses > 0 or unreadable >= POLICY.miss_grace
        case status:
            ended_at = START + timedelta(seconds=life.ends_at)
            is_true = status == life.outcome and finished_at + _MOST_SKEW >= ended_at
    if not is_true:
        run.clockwork.violate(f"not true of {life}: {result}")


def _is_listed_once(run: Run, result: Result) -> None:
    key = result.facts.operation.key
    lines = [line for line in run.store.timeline.values() if line.operation == key]
    if [line.status for line in lines] != [result.end.status]:
        run.clockwork.violate(f"the list says of {result}: {lines}")


def _asked_for(run: Run, life: Life) -> list[Receiver]:
    indices = {p.receiver for p in run.scenario.posts if p.life is life and p.receiver is not None}
    return [run.scenario.receivers[index] for index in sorted(indices)]


def _was_told(run: Run, result: Result, receiver: Receiver) -> None:
    key = wire.delivery_key(result.facts.operation.key, receiver.url)
    subject = result.facts.operation.url.partition("?")[0].removeprefix(
        "https://management.azure.com"
    )
    events = [json.loads(post.body) for post in receiver.posts]
    mine = [event for event in events if event["subject"] == subject]
    if result.end.status is FinalStatus.STOPPED:
        if mine:
            run.clockwork.violate(f"called though stopped: {receiver.url}")
        return
    expected = {(wire.delivery_id(key, receiver.url), result.end.status.value)}
    if {(event["id"], event["data"]["status"]) for event in mine} != expected:
        run.clockwork.violate(f"{receiver.url} got {mine} of {result}")
    state = DeliveryState.ABANDONED if receiver.is_retired else DeliveryState.DELIVERED
    records = [d for d in run.store.deliveries.values() if d.key == key]
    if [record.state for record in records] != [state]:
        run.clockwork.violate(f"{state} is not on record: {records}")
    if state is DeliveryState.DELIVERED and subject not in receiver.accepted:
        run.clockwork.violate(f"{receiver.url} never accepted {subject}")


def _rejections_are_kept(run: Run) -> None:
    count = sum(rejection.count for rejection in run.store.rejections.values())
    posted = len(run.scenario.invalid)
    if not posted <= count <= posted + run.disturbances():
        run.clockwork.violate(f"{posted} invalid posts, {count} rejections")


def _little_was_done_twice(run: Run) -> None:
    allowed = run.disturbances()
    for about, number in extra_polls(run).items():
        if number > EXTRA_POLLS * allowed:
            run.clockwork.violate(f"{number} extra polls of {about}: {allowed} disturbances")
    for about, number in extra_posts(run).items():
        if number > EXTRA_POSTS * allowed:
            run.clockwork.violate(f"{number} extra POSTs of {about}: {allowed} disturbances")


def extra_polls(run: Run) -> dict[str, int]:
    """Return how many polls of each operation were made beyond those that its result tells of."""
    told = {result.facts.operation.key: result.facts.polls for result in run.store.results.values()}
    return {
        life.operation_id: life.reads - told.get(key_of(life), 0) for life in run.scenario.lives
    }


def extra_posts(run: Run) -> dict[str, int]:
    """Return how many POSTs of each delivery were made beyond those that its record tells of."""
    told = {record.delivery_id: record.attempts for record in run.store.deliveries.values()}
    made = Counter(
        post.headers["webhook-id"] for receiver in run.scenario.receivers for post in receiver.posts
    )
    return {delivery_id: number - told.get(delivery_id, 0) for delivery_id, number in made.items()}
