"""The history of a run, a short line for each effect."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from opswatch.adapters.transactions import Change
from opswatch.core.deliveries import Delivery
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import Key
from opswatch.core.lookahead import Look, LookAhead
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.ports import Poisoned, Query, Row, Sent
from opswatch.rows.messages import decode_message
from tests.simulation.run import Run
from tests.support.harness import START


def report(run: Run) -> str:
    """Return what happened, the scenario, and the broken invariants."""
    repaired = "with" if run.is_repaired else "without"
    scenario = [
        f"seed {run.seed}, {repaired} repair, {run.faults.injected} faults ({run.faults.rate})",
        str(run.faults.outage or "no outage"),
        *map(str, run.scenario.operations),
        *(f"{r.url} fails {r.failures} more times" for r in run.scenario.receivers),
        *(f"{worker.name}: {worker.skew:+.1f} s" for worker in run.services),
    ]
    history = (
        f"{now:9.3f} {task or '-':10} {' '.join(map(short, facts))}"
        for now, task, *facts in run.scheduler.history
    )
    broken = (f"BROKEN: {violation}" for violation in run.scheduler.violations)
    return "\n".join((*history, *scenario, *broken))


def short(fact: Any) -> str:
    """Return a fact of the history as a few words."""
    match fact:
        case str():
            return fact
        case list() | tuple():
            return f"[{', '.join(map(short, fact))}]"
        case dict():
            return ", ".join(f"{name} {short(value)}" for name, value in fact.items())
        case datetime():
            return f"{(fact - START).total_seconds():.3f}"
        case timedelta():
            return f"+{fact.total_seconds():g}s"
        case bytes():
            message = decode_message(fact)
            return short(message) if message is not None else fact.decode(errors="replace")
        case _:
            return _SHORT.get(type(fact), repr)(fact)


def _operation(fact: Watch | Result) -> str:
    end = f", end {fact.end.status.value}" if fact.end else ""
    due = f" seq {fact.seq}, due {short(fact.due_at)}," if isinstance(fact, Watch) else ""
    called = [url.rpartition("/")[2] for url in fact.facts.callbacks]
    polls, status = fact.facts.polls, fact.facts.status
    return f"{short(fact.key)}<{due} {polls} polls, {status}, calls {called}{end}>"


def _delivery(fact: Delivery) -> str:
    due = short(fact.next_attempt_at) if fact.next_attempt_at else fact.state.value
    return f"{short(fact.key)}<seq {fact.seq}, {fact.attempts} attempts, {due}>"


_SHORT: dict[type, Callable[[Any], str]] = {
    Row: lambda row: f"{short(row.value)} @{row.etag}",
    Key: lambda key: "~".join(key.row.split("~")[3:]),
    WakeUp: lambda w: f"wake {short(w.key)} {w.seq} {short(w.due_at)} {'copy' if w.copy else ''}",
    Look: lambda look: f"look {look.seq} {short(look.due_at)}",
    LookAhead: lambda s: f"{s.table}<{s.seq} until {short(s.looked_until)}, empty {s.empty_looks}>",
    Query: lambda q: f"due {short(q.due_from or START)} to {short(q.due_before or START)}",
    Change: lambda change: f"{short(change.key)}<{short(change.entity or {})}> if {change.etag}",
    Sent: lambda sent: f"message {sent.message_id}/{sent.receipt}",
    Poisoned: lambda poisoned: short(poisoned.body),
    Watch: _operation,
    Result: _operation,
    Delivery: _delivery,
    TimelineEntry: lambda e: f"{short(e.operation)}<{short(e.registered_at)} {e.status}>",
    HttpResponse: lambda response: f"{response.status_code} {short(response.body)}",
    CallbackRequest: lambda request: f"{request.url} {request.headers['webhook-id']}",
    NoAnswer: lambda missing: f"no answer: {missing.layer}",
}
