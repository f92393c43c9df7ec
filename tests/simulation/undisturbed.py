"""What must hold besides in a run without faults: exact ends, times and numbers."""

from collections.abc import Iterator
from datetime import timedelta

from opswatch.core.http import HttpResponse
from opswatch.core.watches import FinalStatus, Result
from tests.simulation.run import POLICY, Run, key_of
from tests.simulation.scenario import Operation, Receiver
from tests.support.harness import START

_LATENESS = 32.0  # seconds, of two messages
_LATENESS_OF_FORCED = timedelta(seconds=200)  # a busy delivery comes back within two minutes
_UNREADABLE = 404


def problems(run: Run) -> Iterator[str]:
    """Find what is wrong, if the run was undisturbed; nothing otherwise."""
    if not is_undisturbed(run):
        return
    results = {result.key: result for result in run.store.results.values()}
    for operation in run.scenario.operations:
        if result := results.get(key_of(operation)):
            yield from _untimely(run, operation, result)
    for receiver in run.scenario.receivers:
        yield from _wrong_posts(run, receiver)
    yield from _not_replayed(run)
    yield from _not_forced(run)


def is_undisturbed(run: Run) -> bool:
    """Return whether no fault, crash, loss or poisoned message has happened."""
    rates = [
        rate for q in (run.operations, run.deliveries) for rate in (q.loss_rate, q.poison_rate)
    ]
    return not (run.faults.injected or run.faults.failing or run.scheduler.tasks_lost or any(rates))


def skew(run: Run) -> float:
    """Return by how many seconds two clocks of the run differ at most."""
    skews = [worker.skew for worker in run.services]
    return max(skews) - min(skews)


def _untimely(run: Run, operation: Operation, result: Result) -> Iterator[str]:
    """Find an end that ARM has not shown, or that was noticed late."""
    answers, most_skew = operation.answers, skew(run) + 1
    match result.end.status:
        case FinalStatus.LOST:
            now, last = answers[-1]
            others = [
                at for at, given in answers
                if isinstance(given, HttpResponse) and given.status_code != _UNREADABLE
            ]  # fmt: skip
            if not isinstance(last, HttpResponse) or last.status_code != _UNREADABLE:
                yield f"{operation} is lost after {last}"
            elif now - max(others, default=0.0) + most_skew < POLICY.miss_grace.total_seconds():
                yield f"{operation} is lost at {now:.0f} s; it was readable at {others[-1:]}"
        case FinalStatus.TIMED_OUT:
            # Within a poll's time of the deadline ARM was asked once more.
            deadline = (result.facts.deadline_at - START).total_seconds() + most_skew
            if operation.is_readable and operation.ends_at < deadline - 2 * most_skew:
                yield f"{operation} is timed out although it has ended"
        case FinalStatus.STOPPED:
            pass
        case _:
            at = (result.end.finished_at - START).total_seconds()
            began = (result.facts.registered_at - START).total_seconds()
            ends_at = max(operation.ends_at, began)
            # A gap is no longer than the operation is old, and some ends are to be confirmed.
            latest = ends_at + 3 * (ends_at + 5 + most_skew) + _LATENESS + most_skew
            # A far wait that another clock has passed is left to the repair.
            if operation.is_readable and at > latest and most_skew < 6:
                yield f"{operation} was noticed at {at:.0f} s, not by {latest:.0f} s"


def _wrong_posts(run: Run, receiver: Receiver) -> Iterator[str]:
    """Find a POST that no record has, or sooner than the schedule or the receiver asked for."""
    made: dict[str, list[tuple[float, float]]] = {}  # by delivery: when, and the least gap after it
    replayed = {key_of(r.operation) for r in run.scenario.requests if r.verb == "redeliver"}
    ids = {d.delivery_id for d in run.store.deliveries.values() if d.operation in replayed}
    for post, (at, given) in zip(receiver.posts, receiver.answers, strict=True):
        delivery_id = post.headers["webhook-id"]
        earlier = made.setdefault(delivery_id, [])
        if earlier and at < earlier[-1][0] + earlier[-1][1] and delivery_id not in ids:
            yield f"{receiver.url} is called again after {at - earlier[-1][0]:.1f} s"
        asked = given.headers.get("retry-after", "0") if isinstance(given, HttpResponse) else "0"
        gap = POLICY.callback_schedule[len(earlier) + 1].total_seconds()
        # A far wait is ended by another worker, whose clock may be fast.
        earlier.append((at, max(0.8 * gap, float(asked)) - skew(run)))
    records = {record.delivery_id: record for record in run.store.deliveries.values()}
    for delivery_id, posts in made.items():
        if len(posts) != records[delivery_id].attempts:
            yield f"{len(posts)} POSTs of {records[delivery_id]}"


def _not_replayed(run: Run) -> Iterator[str]:
    """Find a delivery that had settled before a replay of it was asked for, and got no POST."""
    for request in run.scenario.requests:
        if request.verb != "redeliver":
            continue
        for record in run.store.deliveries.values():
            is_this = record.operation == key_of(request.operation)
            if is_this and run.records.ended_at[record.key] < request.at:
                posts = _posts(run, record.delivery_id)
                if not any(at >= request.at for at in posts):
                    yield f"{record} is not replayed"


def _not_forced(run: Run) -> Iterator[str]:
    """Find a delivery that was busy for longer than its schedule."""
    whole = sum(POLICY.callback_schedule, timedelta(0))
    for record in run.store.deliveries.values():
        waited = record.attempt_log[0].at - record.started_at if record.attempt_log else whole
        if waited > whole + _LATENESS_OF_FORCED + timedelta(seconds=skew(run)):
            yield f"{record} had its first attempt after {waited}"


def _posts(run: Run, delivery_id: str) -> list[float]:
    return [
        at
        for receiver in run.scenario.receivers
        for post, (at, _) in zip(receiver.posts, receiver.answers, strict=True)
        if post.headers["webhook-id"] == delivery_id
    ]
