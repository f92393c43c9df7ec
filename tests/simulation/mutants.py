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

from opswatch.adapters.gathered_queue import GatheredQueue
from opswatch.adapters.gathered_table import GatheredTable
from opswatch.adapters.gatherer import Gatherer
from opswatch.core import webhook
from opswatch.core.arm import _read_failure
from opswatch.core.deliveries import after_attempt, is_forced, wait_for_room
from opswatch.core.lookahead import is_dead, is_for, looks_from, trusted_until
from opswatch.core.polls import _missed, _progressed, after_poll, polled_url
from opswatch.core.schedule import next_delay
from opswatch.core.wakeups import compare, retry_delay
from opswatch.steps.control import _requeue
from opswatch.steps.deliver import _attempt, _post, _record_for_host, _settle, deliver
from opswatch.steps.deliver import _commit as _commit_delivery
from opswatch.steps.deliver import _wait as _wait_delivery
from opswatch.steps.finish import (
    _create_delivery,
    _list_end,
    finish_late_registration,
    keep_result,
)
from opswatch.steps.look import _look, look_ahead
from opswatch.steps.poll import _commit, _decide_again
from opswatch.steps.purge import _examine, _purge_results
from opswatch.steps.purge import purge as _purge
from opswatch.steps.register import _register
from opswatch.steps.repair import _drain, _rescue, _restart_look_ahead
from opswatch.steps.wakeups import act_on_each, after_commit, before_commit, load_current_row
from opswatch.testing import MemoryTable
from tests.simulation.seeds import failing_seeds

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


def is_found(edits: tuple[Edit, ...], seeds: int) -> int | None:
    """Return the first of so many seeds that shows a mutant; None if none does."""
    with mutated(edits):
        return next(failing_seeds(range(seeds)), None)


def find_mutant(seeds: int, name: str) -> tuple[str, int | None]:
    """Return the name of a mutant, and the first of so many seeds that shows it."""
    return name, is_found(MUTANTS[name], seeds)


_BEFORE = "if decided.end is None:\n        await before_commit(services, chain, decided)\n"
_AFTER = "await after_commit(services, chain, decided)"
_TO_WRITE = "base, to_write = row, decided\n"
_READ_RESULT = "ended = await results.get(key)\n    "
_JOIN = "watch = await _insert_or_join("
_FINISH = "await _create_deliveries(services, row, ended)"
_DELETE = "await services.store.watches.delete(row.value.key, row.etag)"
_INSERT = "inserted = await outbox.insert(delivery)\n"
_RECORD = "while await records.insert"
_COPY_WITHOUT_ETAG = 'etag="*" if row.is_copy else row.etag, entity=changed'
_SEND_FIRST = "await chain.queue.send(encode_look(following), lookahead.PERIOD)\n"

_COMMIT_ATTEMPT = "failure: Exception | None = None\n"
_RECORD_HOST = "await _record_for_host(services, row.value, outcome)"
_DAYS = "late > timedelta(days=9)"
_SINCE = "since = watch.unreadable_since"
_LONG, _MISS = "timedelta(minutes=10)", "Missed(reason='')"
_REGISTERED = "format_instant(facts.registered_at)"

MUTANTS: dict[str, tuple[Edit, ...]] = {
    "a poll commits before it sends its successor": (
        (_commit, _BEFORE, "pass\n"),
        (_commit, _AFTER, f"await before_commit(services, chain, decided)\n        {_AFTER}"),
    ),
    "an end is acted on before it is kept": (
        (
            _commit,
            _TO_WRITE,
            f"{_TO_WRITE}    if decided.end: await finish(services, replace(row, value=decided))\n",
        ),
    ),
    "an early message is dropped": ((load_current_row, "if delay is None:", "if True:"),),
    "an early message comes again for ever": (
        (retry_delay, "overdue < OVERDUE_GRACE", "overdue < timedelta(days=999)"),
    ),
    "the fence is ignored": (
        (compare, "if wake.seq > seq:", "if True:\n        return Fence.CURRENT\n    if 0:"),
    ),
    "a loser's wake-up counts": ((compare, "wake.due_at not in (None, due_at)", "False"),),
    "rows are merged without their ETag": (
        (GatheredTable.merge, "etag=row.etag, entity=changed", 'etag="*", entity=changed'),
    ),
    "a stale copy is believed": (
        (GatheredTable.merge, "etag=row.etag, entity=changed", _COPY_WITHOUT_ETAG),
    ),
    "an end is finished from a copy": (
        (_commit, "await watches.get(before.key) if written.is_copy else written", "written"),
    ),
    "a refused change counts as written": (
        (GatheredTable._commit, "return await self._row_if_written(change)", 'etag = "?"'),
    ),
    "one refused change takes the others along": (
        (GatheredTable._transact, "if len(group) == 1:", "if True:"),
        (GatheredTable._commit, "return await self._row_if_written(change)", "return None"),
        (_commit, "current = await watches.get(before.key)", "current = None"),
    ),
    "a message that could not be sent counts as sent": (
        (
            GatheredQueue._write,
            "await self._inner.send(body, delay)",
            "await asyncio.gather(self._inner.send(body, delay), return_exceptions=True)",
        ),
    ),
    "the timer of a group that was written is left": ((Gatherer._flush, "timer.cancel()", "pass"),),
    "a wake-up that fails is dropped": ((act_on_each, "if delay is not None:", "if False:"),),
    "the wake-ups of a batch are those of its first": (
        (act_on_each, "*map(act_on, wakes)", "*map(act_on, wakes[:1])"),
    ),
    "nobody starts a look-ahead": (
        (before_commit, "await keep_looking(services, chain)", "pass"),
        (_restart_look_ahead, "await keep_looking(services, chain)", "pass"),
    ),
    "a look has no cursor": ((looks_from, "return cursor", "return look.due_at"),),
    "looks are not fenced": (
        (is_for, "return ahead == 0 and look.due_at == state.due_at", "return True"),
    ),
    "a look sends the following one last": (
        (look_ahead, _SEND_FIRST, "pass\n"),
        (look_ahead, "row)\n    except", f"row)\n        {_SEND_FIRST}    except"),
    ),
    "a look-ahead sleeps on while rows wait": (
        (_look, "waits = bool(found) or await has_far_rows(chain, until)", "waits = bool(found)"),
        (_restart_look_ahead, "if not await has_far_rows(chain, None):", "if True:"),
    ),
    "a look-ahead is trusted for ever": (
        (trusted_until, "now + _TRUST", "now + timedelta(days=9)"),
        (_restart_look_ahead, "if not await has_far_rows(chain, None):", "if True:"),
    ),
    "a dead look-ahead stays dead": ((is_dead, "return late > ", f"return {_DAYS} and late > "),),
    "a slow commit of a far wait is not seen to": (
        (after_commit, "if is_over(", "if False and is_over("),
    ),
    "a registration leaves a kept end alone": (
        (
            _register,
            "if watch.value.end is not None:",
            "if watch.value.end and watch.value.facts.polls > 99:",
        ),
    ),
    "a poll forgets receivers that join": (
        (_decide_again, "(decided if row.is_copy else decide(current))", "decided"),
    ),
    "a repeated registration does not start": (
        (_register, _JOIN, f"is_new = not await services.store.watches.get(key); {_JOIN}"),
        (_register, "elif facts.polls == 0:", "elif is_new:"),
    ),
    "the result is looked for before the watch": (
        (_register, f"{_READ_RESULT}facts", "facts"),
        (_register, _JOIN, f"{_READ_RESULT}{_JOIN}"),
    ),
    "a receiver after the end is forgotten": ((finish_late_registration, _FINISH, _DELETE),),
    "a delivery's message goes before its row": (
        (
            _create_delivery,
            _INSERT,
            (
                "if await records.get(delivery.key) is None:\n"
                "            await start_waiting(services, delivery_chain(services), delivery)\n"
                "            await outbox.insert(delivery)\n"
                f"            return\n        {_INSERT}"
            ),
        ),
    ),
    "every worker that finishes sends a delivery's wake-up": (
        (_create_delivery, "if inserted is not None and existing is None:", "if True:"),
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
        (_settle, "await services.store.settled.put(entry)", "pass"),
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
    "an overdue row gets no message": ((_rescue, "wakes.append(", "("),),
    "an overdue row gets a wake-up of the next seq": (
        (_rescue, "seq=live.seq, due_at", "seq=live.seq + 1, due_at"),
    ),
    "poisoned posts are dropped": ((_drain, "if message is None:", "if False:"),),
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
        (_progressed, "unreadable_since=None,", ""),
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
            "await start_waiting(",
            "await services.store.outbox.delete(row.value.key); (",
        ),
    ),
    "attempts are made at full speed": (
        (after_attempt, "delay = max(gap, ", "delay = min(gap * 0, "),
    ),
    "a receiver's Retry-After is ignored": (
        (after_attempt, "reply.retry_after or timedelta(0)", "timedelta(0)"),
    ),
    "a host's failure is recorded before its attempt, and must succeed": (
        (deliver, _COMMIT_ATTEMPT, f"{_RECORD_HOST}\n        {_COMMIT_ATTEMPT}"),
        (_record_for_host, "except Exception as", "except ZeroDivisionError as"),
    ),
    "an attempt is not written if its wake-up cannot be sent": (
        (_wait_delivery, "if made is None:", "if True:"),
    ),
    "an end that cannot be recorded is forgotten": (
        (_commit_delivery, "if made is not None:  #", "if False:  #"),
    ),
    "a busy host counts as an attempt": (
        (
            wait_for_room,
            "busy_since=since)",
            "busy_since=since, attempts=delivery.attempts + 1)",
        ),
    ),
    "no attempt is forced": ((is_forced, "return since is not None and", "return False and"),),
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
    "the purge removes by key alone": (
        (MemoryTable.delete_all, "(row.value.key, row.etag)", "(row.value.key)"),
    ),
    "the purge is early": ((_purge, "- services.policy.retention", "- timedelta(minutes=5)"),),
    "the purge removes entries first": (
        (
            _purge_results,
            "kept = await store.deliveries.delete_all(",
            (
                "await store.timeline.delete_all([f.entry for f in old])\n"
                "        kept = await store.deliveries.delete_all("
            ),
        ),
    ),
    "the purge does not see what is pending": (
        (_examine, "if pending.value.operation == key:", "if False:"),
        (keep_result, "while not await", "while False and await"),
    ),
    "an old result is not kept for a late receiver": (
        (keep_result, "while not await", "while False and await"),
    ),
}

# Found late: `make mutants` looks for these as well.
_LATE = frozenset(
    {
        "a delivery is removed before its record",
        "a followed URL gets no api-version",
        "a host's failure is recorded before its attempt, and must succeed",
        "a look sends the following one last",
        "a look-ahead is trusted for ever",
        "a loser's wake-up counts",
        "a message that could not be sent counts as sent",
        "a new URL is not followed",
        "a receiver's Retry-After is ignored",
        "a registration leaves a kept end alone",
        "a replay does nothing",
        "a replay leaves its entry in the index",
        "a second end of a delivery wins",
        "a settled delivery is sent again",
        "a slow commit of a far wait is not seen to",
        "a stale copy is believed",
        "an answer of 429 counts as unreadable",
        "an early message is dropped",
        "an end that cannot be recorded is forgotten",
        "an error at a Location URL is a miss",
        "an old result is not kept for a late receiver",
        "attempts are made at full speed",
        "no attempt is forced",
        "silence counts as unreadable",
        "the purge does not see what is pending",
        "the purge removes by key alone",
        "the purge removes entries first",
    }
)
SOON_FOUND = [name for name in MUTANTS if name not in _LATE]
