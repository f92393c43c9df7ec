"""What is counted of watches, deliveries and circuits."""

from dataclasses import replace
from typing import Any

from opswatch.core.hosts import OPENS_AFTER, HostCircuit
from opswatch.core.keys import Key
from opswatch.core.summary import (
    MOST_LISTED,
    KindCount,
    PendingDelivery,
    RunningWatch,
    Summary,
    count_pending,
    count_running,
    open_circuits,
)
from tests.support.builders import KEY, NOW, at

COUNTED = Summary(counted_at=NOW)


def running(due: float, **known: Any) -> RunningWatch:
    return replace(RunningWatch(key=KEY, due_at=at(due)), **known)


def circuit(name: str, failures: int = OPENS_AFTER, until: float = 9) -> HostCircuit:
    return HostCircuit(name=name, failures=failures, open_until=at(until))


def test_running_watches_are_counted_by_kind() -> None:
    watches = [
        running(-200, slow=True),
        running(-100, kind="redisEnterprise/create"),
        running(-100, kind="redisenterprise/CREATE", slow=False),
        running(5, key=Key("s", "odd")),
    ]
    counted = count_running(COUNTED, watches, at(-150))
    assert (counted.watching, counted.overdue, counted.slow) == (4, 1, 1)
    assert counted.oldest_due_at == at(-200)
    provider = "microsoft.cache"
    assert counted.kinds == (
        KindCount(provider=provider, kind="redisenterprise~create", running=2, slow=0),
        KindCount(provider=provider, kind="~operationsstatus", running=1, slow=1),
        KindCount(provider="odd", kind="~-", running=1, slow=0),
    )


def test_nothing_is_due_before_its_time() -> None:
    assert count_running(COUNTED, [running(5)], NOW).oldest_due_at is None
    assert count_running(COUNTED, [], NOW).oldest_due_at is None


def test_delivery_is_failing_after_any_number_of_attempts() -> None:
    pending = [PendingDelivery(key=KEY, round_attempts=made) for made in (0, 1, 4)]
    counted = count_pending(COUNTED, pending)
    assert (counted.pending, counted.failing) == (3, 2)


def test_circuits_with_most_failures_are_listed_first() -> None:
    known = [
        circuit("closed", OPENS_AFTER - 1),
        circuit("open"),
        circuit("half-open", 9, until=-1),
    ]
    assert [each.host for each in open_circuits(known, NOW)] == ["half-open", "open"]
    many = [circuit(f"h{number}", OPENS_AFTER + number) for number in range(MOST_LISTED + 1)]
    listed = open_circuits(many, NOW)
    assert (len(listed), listed[0].host) == (MOST_LISTED, f"h{MOST_LISTED}")
