"""The history of a run, a short line for each effect."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from opswatch.core.deliveries import Delivery
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import Key, WakeUp
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.ports import Poisoned, Row, Sent
from opswatch.steps.wakeups import read_wake_up
from tests.simulation.clockwork import START
from tests.simulation.run import Run


def told(run: Run) -> str:
    """Return who took part, what happened, and what is broken."""
    scenario = run.scenario
    reconciled = "with" if run.is_reconciled else "without"
    cast = [
        f"seed {run.seed}, {reconciled} reconcile, {run.faults.struck} faults ({run.faults.rate})",
        *map(str, scenario.lives),
        *(f"{r.url} fails {r.failures} more times" for r in scenario.receivers),
        *(f"{worker.name}: {worker.skew:+.1f} s" for worker in run.worlds),
    ]
    history = (
        f"{now:9.3f} {task or '-':10} {' '.join(map(short, facts))}"
        for now, task, *facts in run.clockwork.history
    )
    broken = (f"BROKEN: {violation}" for violation in run.clockwork.violations)
    return "\n".join((*history, *cast, *broken))


def short(fact: Any) -> str:
    """Return a fact of the history as a few words."""
    match fact:
        case str():
            return fact
        case (value, version) if isinstance(version, str):
            return f"{short(noun)} if @{_number(version)}"
        case list() | tuple():
            return f"[{', '.join(map(short, fact))}]"
        case datetime():
            return f"{(fact - START).total_seconds():.3f}"
        case timedelta():
            return f"+{fact.total_seconds():g}s"
        case bytes():
            wake = read_wake_up(fact)
            return short(wake) if wake else fact.decode(errors="replace")
        case _:
            return _SHORT.get(type(fact), repr)(fact)


def _followed(fact: Watch | Result) -> str:
    end = f", end {fact.end.status.value}" if fact.end else ""
    due = f" seq {fact.seq}, due {short(fact.due_at)}," if isinstance(fact, Watch) else ""
    called = [url.rpartition("/")[2] for url in fact.facts.callbacks]
    key = short(fact.facts.operation.key)
    return f"{key}<{due} {fact.facts.polls} polls, {fact.facts.status}, calls {called}{end}>"


def _delivery(fact: Delivery) -> str:
    due = short(fact.next_attempt_at) if fact.next_attempt_at else fact.state.value
    return f"{short(fact.key)}<seq {fact.seq}, {fact.attempts} attempts, {due}>"


_SHORT: dict[type, Callable[[Any], str]] = {
    Row: lambda row: f"{short(row.noun)} @{_number(row.version)}",
    Key: lambda key: "~".join(key.row.split("~")[3:]),
    WakeUp: lambda wake: f"wake {short(wake.key)} {wake.seq}",
    Sent: lambda sent: f"message {sent.message_id}/{sent.receipt}",
    Poisoned: lambda poisoned: short(poisoned.body),
    Watch: _followed,
    Result: _followed,
    Delivery: _delivery,
    TimelineEntry: lambda e: f"{short(e.operation)}<{short(e.registered_at)} {e.status}>",
    HttpResponse: lambda response: f"{response.status_code} {short(response.body)}",
    CallbackRequest: lambda request: f"{request.url} {request.headers['webhook-id']}",
    NoAnswer: lambda nothing: f"no answer: {nothing.layer}",
}


def _number(version: str) -> str:
    return version.strip('W/"')
