from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opswatch.core.hosts import (
    OPENS_AFTER,
    Busy,
    CircuitState,
    circuit_state,
    counts_as_failure,
    is_host_failure,
    retry_busy_at,
    start_probe,
)
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.policy import Policy

NOW = datetime(2026, 11, 23, 3, 5, 40, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def after(failures: int, policy: Policy = Policy()) -> Host:  # noqa: B008 - frozen
    host: Host | None = None
    for _ in range(failures):
        host = failed("h:443", host, NOW, policy)
    assert host is not None
    return host


def test_a_host_without_a_row_is_let_through() -> None:
    assert circuit_state(None, NOW) is CircuitState.PASS


@pytest.mark.parametrize("failures", range(1, OPENS_AFTER))
def test_a_few_failures_do_not_open_it(failures: int) -> None:
    assert circuit_state(after(failures), NOW) is CircuitState.PASS


def test_the_fifth_failure_opens_it_until_a_probe_is_due() -> None:
    host = after(OPENS_AFTER)
    assert circuit_state(host, NOW) is CircuitState.WAIT
    assert circuit_state(host, host.open_until - SECOND) is CircuitState.WAIT
    assert circuit_state(host, host.open_until) is CircuitState.PROBE


def test_who_probes_keeps_the_others_waiting() -> None:
    host = after(OPENS_AFTER)
    probing = start_probe(host, host.open_until, Policy())
    assert circuit_state(probing, host.open_until) is CircuitState.WAIT


def test_a_probe_that_was_cut_off_is_followed_by_another() -> None:
    host = after(OPENS_AFTER)
    probing = start_probe(host, NOW, Policy())
    assert circuit_state(probing, NOW + timedelta(seconds=29)) is CircuitState.WAIT
    assert circuit_state(probing, NOW + timedelta(seconds=30)) is CircuitState.PROBE


def test_a_short_schedule_has_short_probes() -> None:
    policy = Policy(callback_schedule=(timedelta(0), timedelta(seconds=4)))
    probing = start_probe(after(OPENS_AFTER), NOW, policy)
    assert circuit_state(probing, NOW + timedelta(seconds=3)) is CircuitState.WAIT
    assert circuit_state(probing, NOW + timedelta(seconds=4)) is CircuitState.PROBE


def test_each_failed_probe_doubles_the_pause_up_to_ten_minutes() -> None:
    pauses = [(after(n).open_until - NOW).total_seconds() for n in range(OPENS_AFTER, 12)]
    assert pauses == [30, 60, 120, 240, 480, 600, 600]


def test_however_many_failures_the_pause_stays_a_pause() -> None:
    assert failed("h", replace(after(1), failures=10**9), NOW, Policy()).open_until == (
        NOW + timedelta(minutes=10)
    )


def test_a_short_schedule_keeps_the_pause_short() -> None:
    policy = Policy(callback_schedule=(timedelta(0), SECOND, 2 * SECOND))
    assert after(9, policy).open_until == NOW + 2 * SECOND


def test_a_failure_is_news_unless_the_breaker_has_opened_since_the_attempt_began() -> None:
    closed, opened = after(OPENS_AFTER - 1), after(OPENS_AFTER)
    assert counts_as_failure(None, None)
    assert counts_as_failure(None, closed)
    assert not counts_as_failure(None, opened)
    assert not counts_as_failure(closed, opened)
    assert counts_as_failure(opened, opened)  # a probe's
    assert counts_as_failure(opened, None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (NoAnswer("dns", ""), True),
        (NoAnswer("connect", ""), True),
        (NoAnswer("tls", ""), True),
        (NoAnswer("timeout", ""), True),
        (NoAnswer("http", ""), True),
        (NoAnswer("refused", ""), False),
        (HttpResponse(500, {}), True),
        (HttpResponse(503, {}), True),
        (HttpResponse(429, {}), True),
        (HttpResponse(204, {}), False),
        (HttpResponse(302, {}), False),
        (HttpResponse(404, {}), False),
        (HttpResponse(410, {}), False),
    ],
)
def test_only_what_speaks_against_the_host_counts(
    answer: HttpResponse | NoAnswer, *, expected: bool
) -> None:
    assert is_host_failure(answer) is expected


@pytest.mark.parametrize(
    ("standing", "away"), [(0, 0.75), (0.5, 0.75), (2, 2), (7.5, 7.5), (14, 14), (900, 15)]
)
def test_where_nothing_moves_one_stays_away_ever_longer(standing: float, away: float) -> None:
    crowded = Busy(standing * SECOND)
    assert retry_busy_at(crowded, NOW) == NOW + away * SECOND
