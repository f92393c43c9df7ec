"""The circuit breaker of a callback host: one bad endpoint shall harm nobody else.

Closed, it lets every attempt through. After enough failures in a row, whosever deliveries they
were, it opens for a while; then one attempt may probe, and its outcome closes or opens it again.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto
from http import HTTPStatus

from opswatch.core.model import Crowded, Host, HttpResponse, NoAnswer, Policy

OPENS_AFTER = 5  # failures in a row
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(minutes=10)
# Longer than an attempt: a probe that was cut off is followed by another.
_PROBE_TIME = timedelta(seconds=30)
# A crowd before a host is gone when its attempts have ended or timed out.
_SHORTEST_AWAY, _LONGEST_AWAY = timedelta(seconds=0.75), timedelta(seconds=15)


class Admission(Enum):
    """What the breaker says to an attempt."""

    PASS = auto()
    PROBE = auto()  # after claiming it
    WAIT = auto()


def admission(host: Host | None, now: datetime) -> Admission:
    """Tell whether an attempt may be made at `host` now."""
    if host is None or not _is_open(host):
        return Admission.PASS
    return Admission.WAIT if now < host.open_until else Admission.PROBE


def claimed(host: Host, now: datetime, policy: Policy) -> Host:
    """Return `host` as closed to others while one attempt probes it."""
    return replace(host, open_until=now + min(_PROBE_TIME, max(policy.callback_schedule)))


def is_failure(answer: HttpResponse | NoAnswer) -> bool:
    """Tell whether an answer speaks against the host, not against the request or its path."""
    if isinstance(answer, NoAnswer):
        return answer.layer != "refused"
    code = answer.status_code
    return code >= HTTPStatus.INTERNAL_SERVER_ERROR or code == HTTPStatus.TOO_MANY_REQUESTS


def is_news(before: Host | None, standing: Host | None) -> bool:
    """Tell whether a failure counts: not where the breaker has opened since the attempt began.

    Of many attempts that fail together the first ones open it; the others shall not double a pause
    that has hardly begun.
    """
    has_opened = standing is not None and _is_open(standing)
    was_open = before is not None and _is_open(before)
    return was_open or not has_opened


def failed(name: str, host: Host | None, now: datetime, policy: Policy) -> Host:
    """Return the host after one more failure.

    Each failure beyond the fifth doubles the pause, which is never longer than the schedule's
    longest gap, so that a short schedule stays short. (So is a probe's time.)
    """
    failures = (host.failures if host else 0) + 1
    longest = min(_LONGEST_PAUSE, max(policy.callback_schedule))
    doublings = min(max(failures - OPENS_AFTER, 0), 16)
    pause = min(_FIRST_PAUSE * 2**doublings, longest)
    is_open = failures >= OPENS_AFTER
    return Host(name=name, failures=failures, open_until=now + pause if is_open else now)


def away_until(crowded: Crowded, now: datetime) -> datetime:
    """Tell when there may be room at a host that has none now.

    Where attempts end that is soon; where nothing moves, ever later.
    """
    return now + min(max(crowded.standing, _SHORTEST_AWAY), _LONGEST_AWAY)


def _is_open(host: Host) -> bool:
    return host.failures >= OPENS_AFTER
