"""The circuits of callback hosts: when they open, probe and close, and delays of busy hosts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.hosts import (
    OPENS_AFTER,
    Busy,
    CircuitState,
    HostCircuit,
    circuit_state,
    counts_as_failure,
    record_failure,
    retry_busy_at,
    start_probe,
)
from opswatch.core.policy import Policy
from tests.support.builders import NOW, at, seconds

SHORT = Policy(callback_schedule=(seconds(0), seconds(4)))


def after(failures: int, policy: Policy = Policy()) -> HostCircuit:  # noqa: B008 - frozen
    circuit: HostCircuit | None = None
    for _ in range(failures):
        circuit = record_failure("h:443", circuit, NOW, policy)
    assert circuit is not None
    return circuit


def test_host_without_a_row_is_closed() -> None:
    assert circuit_state(None, NOW) is CircuitState.CLOSED


@pytest.mark.parametrize("failures", range(1, OPENS_AFTER))
def test_few_failures_leave_it_closed(failures: int) -> None:
    assert circuit_state(after(failures), NOW) is CircuitState.CLOSED


def test_fifth_failure_opens_it_for_a_pause() -> None:
    circuit = after(OPENS_AFTER)
    assert circuit_state(circuit, NOW) is CircuitState.OPEN
    assert circuit_state(circuit, circuit.open_until - seconds(1)) is CircuitState.OPEN
    assert circuit_state(circuit, circuit.open_until) is CircuitState.HALF_OPEN


@pytest.mark.parametrize(("policy", "length"), [(Policy(), 30), (SHORT, 4)])
def test_probe_keeps_it_open_for_a_while(policy: Policy, length: float) -> None:
    probing = start_probe(after(OPENS_AFTER), NOW, policy)
    assert circuit_state(probing, NOW) is CircuitState.OPEN
    assert circuit_state(probing, at(length - 1)) is CircuitState.OPEN
    assert circuit_state(probing, at(length)) is CircuitState.HALF_OPEN


def test_failed_probes_double_the_pause() -> None:
    pauses = [(after(n).open_until - NOW).total_seconds() for n in range(OPENS_AFTER, 12)]
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    countless = record_failure("h", replace(after(1), failures=10**9), NOW, Policy())
    assert countless.open_until == NOW + timedelta(minutes=10)


def test_short_schedule_keeps_the_pause_short() -> None:
    assert after(9, SHORT).open_until == at(4)


def test_failure_counts_unless_the_circuit_opened_since() -> None:
    closed, opened = after(OPENS_AFTER - 1), after(OPENS_AFTER)
    assert counts_as_failure(None, None)
    assert counts_as_failure(None, closed)
    assert not counts_as_failure(None, opened)
    assert not counts_as_failure(closed, opened)
    assert counts_as_failure(opened, opened)  # a probe's
    assert counts_as_failure(opened, None)


@pytest.mark.parametrize(
    ("busy_for", "delay"), [(0, 0.75), (0.5, 0.75), (2, 2), (7.5, 7.5), (14, 14), (900, 15)]
)
def test_busy_host_is_retried_with_growing_delays(busy_for: float, delay: float) -> None:
    assert retry_busy_at(Busy(seconds(busy_for)), NOW) == at(delay)
