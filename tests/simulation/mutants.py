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

from opswatch.core.watches import merge_after_conflict
from opswatch.steps.deliver import _attempt, _settle, deliver
from opswatch.steps.finish import _create_delivery, finish, finish_late_registration
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
_READ_RESULT = "ended = await services.store.results.get(key)\n"
_FINISH = "await finish(services, replace(row, value=replace(row.value, end=ended.end)))"
_DELETE = "await services.store.watches.delete(row.value.key, row.etag)"
_INSERT = "row = await outbox.insert"
_RECORD = "while await records.insert"

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
        (MemoryTable.replace, "has_changed = self.rows[key][1] != etag", "has_changed = False"),
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
        (register, "await watches.insert(begun)", "(inserted := await watches.insert(begun))"),
        (register, "if ended is None and not is_polled:", "if ended is None and inserted:"),
    ),
    "the result is looked for before the watch": (
        (register, _READ_RESULT, "pass\n"),
        (register, "while watch is None:\n", f"while watch is None:\n            {_READ_RESULT}"),
    ),
    "a receiver after the end is forgotten": ((finish_late_registration, _FINISH, _DELETE),),
    "a delivery's message goes before its row": (
        (
            _create_delivery,
            f"    {_INSERT}",
            (
                "    if await services.store.deliveries.get(delivery.key) is None:\n"
                "        await send_wake_up(services.deliveries, delivery.key, 1, None)\n"
                "        await outbox.insert(delivery)\n"
                "    return\n"
                f"    {_INSERT}"
            ),
        ),
    ),
    "a delivery cut off is not started": (
        (_create_delivery, _INSERT, f"if await outbox.get(delivery.key): return\n    {_INSERT}"),
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
    "an overdue row gets no message": (
        (_rescue, "sent = await send_wake_up(queue, live.key, live.seq, None)", "pass"),
        (_rescue, "await queue.take_back(sent)", "pass"),
    ),
    "poisoned posts are dropped": ((_drain, "if not is_wake_up:", "if False:"),),
}
