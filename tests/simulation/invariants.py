"""What must hold at the end of every run."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from opswatch.core.deliveries import Delivery, DeliveryState, is_settled, new_delivery
from opswatch.core.keys import Key
from opswatch.core.lookahead import PERIOD, REACH, Look, LookAhead
from opswatch.core.summary import PARTITION
from opswatch.core.timeline import timeline_keys
from opswatch.core.wakeups import OVERDUE_GRACE
from opswatch.core.watches import FinalStatus, Result, Watch, timeline_entry
from opswatch.rows.messages import decode_message
from tests.simulation import undisturbed
from tests.simulation.run import POLICY, Run, key_of
from tests.simulation.scenario import START_TIME, Operation, Receiver
from tests.support.harness import START

# How many polls of an operation, and POSTs of a delivery, one disturbance may cost: a function
# that is cut off, an effect that is slow or is repeated, a message that is received twice.
EXTRA_POLLS, EXTRA_POSTS = 2, 4  # a stalled attempt may end after several others
_MOST_SKEW_OF_LOOKS = 4.0  # seconds
_LOST = ("fail", "takes effect later", "with lose answer")  # in the history
_MOST_SKEW = timedelta(seconds=60)  # between two clocks
_MOST_SKEW_OF_UNREPAIRED = timedelta(seconds=1)


def check(run: Run) -> None:
    """Find every invariant that the run has broken."""
    for problem in _problems(run):
        run.scheduler.violate(problem)


def _problems(run: Run) -> Iterator[str]:
    yield from _left_behind(run)
    for operation in run.scenario.operations:
        results = [r for r in run.store.results.values() if r.key == key_of(operation)]
        if not results and key_of(operation) in _not_looked_for(run):
            continue
        if len(results) != 1:
            yield f"{operation.operation_id} has {len(results)} results"
            continue
        (result,) = results
        if not _is_true(run, operation, result):
            yield f"not true of {operation}: {result}"
        entries = [e for e in run.store.timeline.values() if e.operation == result.key]
        is_listed = [entry.status for entry in entries] == [result.end.status]
        if not is_listed and result.key not in _unfinished(run):
            yield f"the timeline of {result}: {entries}"
        posts = [p for p in run.scenario.posts if p.operation is operation]
        for index in sorted({p.receiver for p in posts if p.receiver is not None}):
            yield from _wrong_delivery(run, operation, result, run.scenario.receivers[index])
    yield from _wrong_index(run)
    yield from _excess(run)
    yield from _excess_looks(run)
    yield from undisturbed.problems(run)


def _wrong_index(run: Run) -> Iterator[str]:
    """Find entries of the timeline's indexes that are missing, or that nothing belongs to.

    A delivery that is left in the outbox may lack its entry, or have that of an earlier round. An
    entry whose write took effect late may be of an earlier round, too: it requeues nothing. The end
    of a watch that is left to a repair may not be listed yet: the repair finishes the watch.
    """
    unsettled = {pending.key for pending in run.store.outbox.values()}
    results = run.store.results.values()
    records = [d for d in run.store.deliveries.values() if d.key not in unsettled]
    unfinished = _unfinished(run)
    left = [w for w in run.store.watches.values() if w.key in _not_looked_for(run)]
    of_unfinished = {
        key
        for r in results
        if r.key in unfinished
        for key in timeline_keys(timeline_entry(r.facts, r.end))
    }
    expected = {
        *(timeline_entry(w.facts, None).key for w in left),
        *(key for r in results for key in timeline_keys(timeline_entry(r.facts, r.end))),
        *(key for record in records for key in timeline_keys(record)),
    }
    of_unsettled = {e.key for e in run.store.settled.values() if e.record in unsettled}
    listed = {key for key in run.store.timeline.rows if key.partition != PARTITION}
    late = {
        f[3].key for f in run.scheduler.history if f[2] == "settled.put" and f[4:5] == ("late ->",)
    }
    if found := ((listed - of_unsettled - (late - expected)) ^ expected) - of_unfinished:
        yield f"the timeline's indexes: {found}"


def _unfinished(run: Run) -> set[Key]:
    """Return the watches whose end is kept, and whose finish is left to a repair."""
    ended = {watch.key for watch in run.store.watches.values() if watch.end is not None}
    return ended & _not_looked_for(run)


def _excess(run: Run) -> Iterator[str]:
    """Find work that was done more often than the disturbances explain."""
    allowed, scenario, store = run.disturbances(), run.scenario, run.store
    count = sum(rejection.count for rejection in store.rejections.values())
    posted = len(scenario.invalid)
    if not posted <= count <= posted + allowed:
        yield f"{posted} invalid posts, {count} rejections"
    polls = {watch.key: watch.facts.polls for watch in store.watches.values()}
    polls |= {result.key: result.facts.polls for result in store.results.values()}
    for operation in scenario.operations:
        extra = operation.reads - polls.get(key_of(operation), 0)
        # A far wait whose due time another clock has passed may get two wake-ups.
        if extra > EXTRA_POLLS * allowed and undisturbed.skew(run) < 5:
            yield f"{extra} extra polls of {operation.operation_id}: {allowed} disturbances"
    attempts = {record.delivery_id: record.attempts for record in store.deliveries.values()}
    made = Counter(p.headers["webhook-id"] for r in scenario.receivers for p in r.posts)
    if run.faults.failing:  # of calls around an attempt, and nothing else is disturbed
        allowed = len(scenario.requests)
    for delivery_id, number in made.items():
        extra = number - attempts.get(delivery_id, 0)
        if extra > EXTRA_POSTS * allowed:
            yield f"{extra} extra POSTs of {delivery_id}: {allowed} disturbances"
    for delivery_id, number in attempts.items():
        if number > made[delivery_id] + run.faults.unanswered:
            yield f"{number} attempts of {delivery_id}, and {made[delivery_id]} POSTs"


def _excess_looks(run: Run) -> Iterator[str]:
    """Find a look-ahead that looks more often than one chain of looks does.

    It is started again and again if its messages cannot be sent for minutes, or if one of the
    clocks is so fast that it seems to be dead.
    """
    if run.faults.failing or undisturbed.skew(run) > _MOST_SKEW_OF_LOOKS:
        return
    begun = sum(fact[2] == "lookahead.insert" for fact in run.scheduler.history)
    # Two messages of one look may both be acted on, and each sends the following one.
    repeated = sum(
        fact[2].endswith(".send") and fact[-1] == "with repeat" for fact in run.scheduler.history
    )
    most = run.disturbances() + repeated + begun + 1
    for queue in (run.operations, run.deliveries):
        sent = queue.looks_sent
        if sent and len(sent) > (sent[-1] - sent[0]) / PERIOD.total_seconds() + most:
            yield f"{len(sent)} looks in {queue.name} in {sent[-1] - sent[0]:.0f} s, {most} extra"


def _left_behind(run: Run) -> Iterator[str]:
    """Find rows of the live tables: nothing may be left to do.

    The exceptions, until a repair:

    1. A step stalls; a second message makes another step finish the work; the first writes the row
       again, and its worker crashes before it can remove the row, which is left beside its record.
    2. A worker crashes between a delivery's row and its wake-up, which no other may send.
    3. A worker crashes between a look-ahead's row and its message, and no other worker comes.
    4. A wake-up fails so late that it is not tried again: see `retry_delay`.
    5. The wake-up of a row cannot be sent before it is written, and again not after it, or the
       answer to the write was lost.
    6. A far wait is written after a look has passed it: its answer was lost, or its worker crashed
       before it could send the wake-up.
    """
    if run.sees_looks_end:
        yield from (f"left behind: {state}" for state in run.store.lookahead.values())
    ended = {result.key for result in run.store.results.values()}
    for watch in run.store.watches.values():
        if run.is_repaired or watch.key not in ended | _not_looked_for(run):
            yield f"left behind: {watch}"
    records = {record.key: record for record in run.store.deliveries.values()}
    for pending in run.store.outbox.values():
        record = records.get(pending.key)
        is_left_over = record is not None and is_settled(pending, record)
        excused = _not_begun(run) | _not_looked_for(run)
        if run.is_repaired or not (is_left_over or pending.key in excused):
            yield f"left behind: {pending}"


def _not_begun(run: Run) -> set[Key]:
    """Return the deliveries that a crash has left without a wake-up, until a repair."""
    if run.is_repaired or not (run.faults.injected or run.scheduler.tasks_lost):
        return set()
    return {pending.key for pending in run.store.outbox.values() if pending.seq == 1}


def _not_looked_for(run: Run) -> set[Key]:
    """Return the rows that a look-ahead without a message leaves alone, until a repair."""
    if run.is_repaired or not (run.faults.injected or run.scheduler.tasks_lost):
        return set()
    if not (run.store.watches.rows or run.store.outbox.rows):
        return set()
    dead = {state.table for state in run.store.lookahead.values() if _was_never_sent(run, state)}
    watches = {w.key for w in run.store.watches.values() if w.far and "watches" in dead}
    far = watches | {d.key for d in run.store.outbox.values() if d.far and "outbox" in dead}
    return far | _given_up(run) | _unsent(run) | _written_late(run)


def _was_never_sent(run: Run, state: LookAhead) -> bool:
    """Return whether a look-ahead stands still because a worker that has (re)started it crashed.

    A look sends the following one before it writes the row: no crash stops that.
    """
    looks: set[str | None] = set()  # tasks
    writer: str | None = None
    for _at, task, event, *facts in run.scheduler.history:
        if facts[:1] == ["is"] and isinstance(decode_message(facts[1]), Look):
            looks.add(event)
        elif event.startswith("lookahead.") and state in facts[:1]:
            writer = task
    return writer not in looks


def _given_up(run: Run) -> set[Key]:
    """Return the rows whose wake-up failed when it was overdue by more than the grace."""
    due: dict[Any, dict[Key, datetime]] = {}  # by the task
    found: set[Key] = set()
    for at, task, event, *facts in run.scheduler.history:
        if facts[:1] == ["is"] and isinstance(wakes := decode_message(facts[1]), tuple):
            due[event] = {wake.key: wake.due_at for wake in wakes if wake.due_at}
        elif facts[-1:] and facts[-1] in _LOST:
            before = START + timedelta(seconds=at) - OVERDUE_GRACE + _MOST_SKEW
            failed = due.get(task, {})
            if event.endswith(".transact"):  # gathered from several tasks
                changed = {change.key for change in facts[0]}
                failed = {k: at for each in due.values() for k, at in each.items() if k in changed}
            found |= {key for key, due_at in failed.items() if due_at < before}
    return found


def _unsent(run: Run) -> set[Key]:
    """Return the rows whose wake-up could not be sent after they were written."""
    unsent: set[tuple[Key, int]] = set()
    for _at, _task, event, *facts in run.scheduler.history:
        if event.endswith(".send") and facts[-1] in ("fail", "crash before"):
            wakes = decode_message(facts[0])
            unsent |= {(w.key, w.seq) for w in wakes} if isinstance(wakes, tuple) else set()
        elif event.endswith(".transact") and facts[1] != "late ->" and facts[-1] not in _LOST:
            written = {change.key for change in facts[0]}
            unsent = {(key, seq) for key, seq in unsent if key not in written}
    return {live.key for live in _live(run) if (live.key, live.seq) in unsent}


def _written_late(run: Run) -> set[Key]:
    """Return the far rows whose write took effect long after its answer was lost."""
    late: dict[Key, datetime] = {}
    for at, _task, event, *facts in run.scheduler.history:
        if event.endswith(".transact") and facts[1:2] == ["late ->"]:
            late |= {change.key: START + timedelta(seconds=at) for change in facts[0]}
    return {
        live.key
        for live in _live(run)
        if live.far
        and live.key in late
        and live.due_at - REACH - _MOST_SKEW_OF_UNREPAIRED < late[live.key]
    }


def _live(run: Run) -> list[Watch | Delivery]:
    return [*run.store.watches.values(), *run.store.outbox.values()]


def _is_true(run: Run, operation: Operation, result: Result) -> bool:
    finished_at = result.end.finished_at
    match result.end.status:
        case FinalStatus.STOPPED:
            requests = run.scenario.requests
            return any(r.operation is operation and r.verb == "stop" for r in requests)
        case FinalStatus.TIMED_OUT:
            return finished_at >= result.facts.deadline_at
        case FinalStatus.LOST:
            unreadable = finished_at - START - timedelta(seconds=operation.gone_at) + _MOST_SKEW
            return operation.miss_rate > 0 or unreadable >= POLICY.miss_grace
        case status:
            ended_at = START + timedelta(seconds=operation.ends_at)
            return status == operation.outcome and finished_at + _MOST_SKEW >= ended_at


def _wrong_event(
    run: Run, operation: Operation, result: Result, event: dict[str, Any]
) -> Iterator[str]:
    """Find members of an event that differ from what ARM and the posts have said."""
    data = event["data"]
    states = [post.at for post in run.scenario.posts if post.operation is operation]
    if data["clientState"] not in states:
        yield f"no post has the client state {data['clientState']}"
    if result.end.status in (FinalStatus.LOST, FinalStatus.TIMED_OUT):
        if not data["reason"]:
            yield f"no reason in {event}"
        return
    error = operation.error and {
        **operation.error,
        "target": None,
        "details": [],
        "additionalInfo": [],
    }
    expected: dict[str, Any] = {
        "operationId": operation.operation_id,
        "provider": "microsoft.cache",
        "location": "westus",
        "status": operation.outcome,
        "error": error,
        "result": operation.result,
        "reason": None,
    }
    if not operation.is_location:
        expected |= {"startTime": START_TIME, "endTime": operation.end_time}
        expected["durationSeconds"] = (operation.end_time_at - START).total_seconds()
        if event["time"] != operation.end_time:
            yield f"the time of {event}"
    if wrong := {name: data[name] for name, value in expected.items() if data[name] != value}:
        yield f"wrong in the event of {operation}: {wrong}"


def _wrong_delivery(
    run: Run, operation: Operation, result: Result, receiver: Receiver
) -> Iterator[str]:
    subject = operation.path
    events = [json.loads(post.body) for post in receiver.posts]
    received = [event for event in events if event["subject"] == subject]
    if result.end.status is FinalStatus.STOPPED:
        if received:
            yield f"called although the watch was stopped: {receiver.url}"
        return
    delivery = new_delivery(result.key, receiver.url, START, POLICY)
    excused = _not_begun(run) | _not_looked_for(run)
    if delivery.key in excused or result.key in excused:
        return
    expected = {(delivery.delivery_id, result.end.status.value)}
    if {(event["id"], event["data"]["status"]) for event in received} != expected:
        yield f"{receiver.url} got {received} of {result}"
    for event in received:
        yield from _wrong_event(run, operation, result, event)
    state = DeliveryState.ABANDONED if receiver.is_retired else DeliveryState.DELIVERED
    records = [d for d in run.store.deliveries.values() if d.key == delivery.key]
    if [record.state for record in records] != [state]:
        yield f"{state} is not recorded: {records}"
    if state is DeliveryState.DELIVERED and subject not in receiver.accepted:
        yield f"{receiver.url} never accepted {subject}"
