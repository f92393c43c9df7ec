"""Seeded bugs: each breaks one rule of the design, and the simulation must find it.

A mutant changes the source of a function, and compiles it in place of the original. A text that the
function does not contain exactly once is an error, so a mutant cannot silently change nothing.
"""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from textwrap import dedent
from types import FunctionType
from typing import Any

from opswatch.core import webhook
from opswatch.core.arm import _read_failure
from opswatch.core.deliveries import after_attempt
from opswatch.core.polls import _missed, _progressed, after_poll, merge_after_conflict, polled_url
from opswatch.core.schedule import next_delay
from opswatch.steps.control import _requeue
from opswatch.steps.deliver import _attempt, _post, _settle, deliver
from opswatch.steps.finish import _create_delivery, _list_end, finish, finish_late_registration
from opswatch.steps.maintenance import _drain, _rescue
from opswatch.steps.poll import poll
from opswatch.steps.register import register
from opswatch.steps.wakeups import load_current_row
from opswatch.testing import MemoryTable

Edit = tuple[Any, str, str]  # a function, a part of its source, and what replaces it


@contextmanager
def mutated(edits: tuple[Edit, ...]) -> Iterator[None]:
    """Change the source of functions while the block runs."""
    sources: dict[FunctionType, str] = {}
    for function, old, new in edits:
        source = sources.get(function) or dedent(inspect.getsource(function))
        assert source.count(old) == 1, f"{function.__name__} contains {source.count(old)}: {old}"
        sources[function] = source.replace(old, new)
    with ExitStack() as stack:
        for function, source in sources.items():
            namespace = dict(function.__globals__)
            exec(compile(source, function.__name__, "exec"), namespace)  # noqa: S102 - the mutant
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = namespace[function.__name__].__code__
        yield


_COMMIT = "commit = await _commit(services, row, action.watch)\n"
_READ_RESULT = "ended = await results.get(key)\n        "
_JOIN = "watch = await _insert_or_join("
_FINISH = "await finish(services, replace(row, value=replace(row.value, end=ended.end)))"
_DELETE = "await services.store.watches.delete(row.value.key, row.etag)"
_INSERT = "inserted = await outbox.insert(delivery)\n"
_RECORD = "while await records.insert"

_SINCE = "since = watch.unreadable_since"
_FORGET = "await services.store.outbox.delete(row.value.key); ("
_LONG, _MISS = "timedelta(minutes=10)", "Missed(reason='')"
_REGISTERED = "format_instant(facts.registered_at)"

MUTANTS: dict[str, tuple[Edit, ...]] = {
    "a poll commits before it sends its successor": (
        (poll, _COMMIT, "pass\n"),
        (poll, "sent = None\n", f"sent = None; {_COMMIT}"),
        (poll, "(action, Wait):", "(action, Wait) and isinstance(commit, Committed):"),
    ),
    "an end is acted on before it is kept": (
        (poll, _COMMIT, f"{_COMMIT[:-1]} if isinstance(action, Wait) else Committed(ended)\n"),
        (poll, "sent = None\n", "sent = None; ended = replace(row, value=action.watch)\n"),
    ),
    "an early message is dropped": (
        (load_current_row, "if wake.seq < row.value.seq:", "if wake.seq != row.value.seq:"),
    ),
    "the fence is ignored": (
        (load_current_row, "if wake.seq == row.value.seq:", "if row is not None:"),
    ),
    "rows are replaced without their ETag": (
        (MemoryTable.replace, "if self.rows[key][1] == etag:", "if True:"),
    ),
    "a poll forgets receivers that join": (
        (merge_after_conflict, "callbacks=theirs.callbacks", "callbacks=ours.callbacks"),
    ),
    "a successor is not taken back": (
        (poll, "await services.operations.take_back(sent)", "pass"),
        (deliver, "await services.deliveries.take_back(sent)", "pass"),
        (_rescue, "await queue.take_back(sent)", "pass"),
    ),
    "a repeated registration does not start": (
        (register, _JOIN, f"is_new = not await services.store.watches.get(key); {_JOIN}"),
        (register, "if ended is None and facts.polls == 0:", "if ended is None and is_new:"),
    ),
    "the result is looked for before the watch": (
        (register, f"{_READ_RESULT}facts", "facts"),
        (register, _JOIN, f"{_READ_RESULT}{_JOIN}"),
    ),
    "a receiver after the end is forgotten": ((finish_late_registration, _FINISH, _DELETE),),
    "a delivery's message goes before its row": (
        (
            _create_delivery,
            _INSERT,
            (
                "if await records.get(delivery.key) is None:\n"
                "            await send_delivery_wake_up(services, delivery)\n"
                "            await outbox.insert(delivery)\n"
                f"            return\n        {_INSERT}"
            ),
        ),
    ),
    "every worker that finishes sends a delivery's wake-up": (
        (_create_delivery, "if inserted is not None and existing is None:", "if True:"),
    ),
    "watches are deleted unconditionally": (
        (finish, "watches.delete(key, current.etag)", "watches.delete(key)"),
    ),
    "a delivery is removed before its record": (
        (_settle, _RECORD, f"await outbox.delete(pending.key, row.etag)\n    {_RECORD}"),
    ),
    "a settled delivery is sent again": (
        (_attempt, "if record is not None and is_settled(delivery, record.value):", "if False:"),
    ),
    "a second end of a delivery wins": (
        (_settle, _RECORD, f"await records.put(settled)\n    {_RECORD}"),
    ),
    "a settled delivery is not in the index": (
        (_settle, "await services.store.settled.put(settled_entry(kept))", "pass"),
    ),
    "a replay leaves its entry in the index": (
        (_requeue, "await services.store.settled.delete(settled_entry(settled).key)", "pass"),
        (
            _settle,
            "await services.store.settled.delete(settled_entry(record.value).key)",
            "pass",
        ),
    ),
    "the index by status lacks its entry": (
        (_list_end, "if unsuccessful is not None:", "if False:"),
    ),
    "an overdue row gets no message": (
        (_rescue, "sent = await send_wake_up(queue, live.key, live.seq, None)", "pass"),
        (_rescue, "await queue.take_back(sent)", "pass"),
    ),
    "poisoned posts are dropped": ((_drain, "if not is_wake_up:", "if False:"),),
    "an answer of 429 counts as unreadable": (
        (_missed, "if seen.unreadable:", "if seen.unreadable or seen.status_code == 429:"),
        (after_poll, "since = watch.unreadable_since if seen.unreadable else None", _SINCE),
    ),
    "silence counts as unreadable": (
        (_missed, "if seen.unreadable:", "if seen.unreadable or not seen.answered:"),
        (after_poll, "since = watch.unreadable_since if seen.unreadable else None", _SINCE),
    ),
    "a readable answer does not end the grace": (
        (_missed, "elif seen.answered:", "elif False:"),
        (_progressed, "unreadable_since=None, ", ""),
    ),
    "a new URL is not followed": ((_progressed, "if seen.next_url and", "if False and"),),
    "a followed URL gets no api-version": ((polled_url, "operation.api_version", "None"),),
    "an operation is polled every ten minutes": (
        (
            next_delay,
            "if retry_after is not None:",
            "retry_after = timedelta(minutes=10)\n    if 1:",
        ),
    ),
    "a watch ends at its deadline whatever ARM shows": (
        (
            after_poll,
            "match seen:\n",
            "match seen if now < facts.deadline_at else Missed(reason=''):\n",
        ),
    ),
    "an error at a Location URL is a miss": ((_read_failure, "reading.is_location\n", "False\n"),),
    "a replay does nothing": (
        (
            _requeue,
            "await send_delivery_wake_up(",
            "await services.store.outbox.delete(row.value.key); (",
        ),
    ),
    "attempts are made at full speed": (
        (after_attempt, "delay = max(gap, ", "delay = min(gap * 0, "),
    ),
    "a receiver's Retry-After is ignored": (
        (after_attempt, "reply.retry_after or timedelta(0)", "timedelta(0)"),
    ),
    "an event has the times of the registration": (
        (webhook.event, "facts.start_time and format_instant(facts.start_time)", _REGISTERED),
    ),
    "an event has no error": ((webhook.event, "_error(end.error.json) if", "None if"),),
    "an event has the status that ARM showed last": (
        (webhook.event, '"clientState": None,', '"clientState": facts.kind,'),
        (webhook.event, "from_json(facts.client_state)", "facts.status"),
    ),
    "every attempt is signed as of the first": (
        (_post, "at = services.clock()", "at = delivery.started_at"),
    ),
    "a retry is signed without the body": ((webhook.request, "now, body)", "now, b'')"),),
}
