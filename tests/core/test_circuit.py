from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opswatch.core.circuit import (
    OPENS_AFTER,
    Admission,
    admission,
    away_until,
    claimed,
    failed,
    is_failure,
    is_news,
)
from opswatch.core.model import Crowded, Host, HttpResponse, NoAnswer, Policy

NOW = datetime(2026, 11, 23, 3, 5, 40, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def after(failures: int, policy: Policy = Policy()) -> Host:  # noqa: B008 - frozen
    host: Host | None = None
    for _ in range(failures):
        host = failed("h:443", host, NOW, policy)
    assert host is not None
    return host


def test_a_host_without_a_row_is_let_through() -> None:
    assert admission(None, NOW) is Admission.PASS


@pytest.mark.parametrize("failures", range(1, OPENS_AFTER))
def test_a_few_failures_do_not_open_it(failures: int) -> None:
    assert admission(after(failures), NOW) is Admission.PASS


def test_the_fifth_failure_opens_it_until_a_probe_is_due() -> None:
    host = after(OPENS_AFTER)
    assert admission(host, NOW) is Admission.WAIT
    assert admission(host, host.open_until - SECOND) is Admission.WAIT
    assert admission(host, host.open_until) is Admission.PROBE


def test_who_probes_keeps_the_others_waiting() -> None:
    host = after(OPENS_AFTER)
    probing = claimed(host, host.open_until, Policy())
    assert admission(probing, host.open_until) is Admission.WAIT


def test_a_probe_that_was_cut_off_is_followed_by_another() -> None:
    host = after(OPENS_AFTER)
    probing = claimed(host, NOW, Policy())
    assert admission(probing, NOW + timedelta(seconds=29)) is Admission.WAIT
    assert admission(probing, NOW + timedelta(seconds=30)) is Admission.PROBE


def test_a_short_schedule_has_short_probes() -> None:
    policy = Policy(callback_schedule=(timedelta(0), timedelta(seconds=4)))
    probing = claimed(after(OPENS_AFTER), NOW, policy)
    assert admission(probing, NOW + timedelta(seconds=3)) is Admission.WAIT
    assert admission(probing, NOW + timedelta(seconds=4)) is Admission.PROBE


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
    assert is_news(None, None)
    assert is_news(None, closed)
    assert not is_news(None, opened)
    assert not is_news(closed, opened)
    assert is_news(opened, opened)  # a probe's
    assert is_news(opened, None)


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
    assert is_failure(answer) is expected


@pytest.mark.parametrize(
    ("standing", "away"), [(0, 0.75), (0.5, 0.75), (2, 2), (7.5, 7.5), (14, 14), (900, 15)]
)
def test_where_nothing_moves_one_stays_away_ever_longer(standing: float, away: float) -> None:
    crowded = Crowded(standing * SECOND)
    assert away_until(crowded, NOW) == NOW + away * SECOND
