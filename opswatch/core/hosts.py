"""The health of callback hosts: one failing host does not delay deliveries to others.

A host's circuit is closed at first: every attempt is made. Enough failures in a row, of any
deliveries, open it for a while. Then it is half-open: one attempt is a probe, and its outcome
closes the circuit or opens it again.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from opswatch.core.keys import Key
from opswatch.core.policy import Policy

OPENS_AFTER = 5  # failures in a row
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(minutes=10)
_MOST_DOUBLINGS = 16
# Longer than an attempt: a probe that crashed is followed by another.
_PROBE_TIME = timedelta(seconds=30)
# A queue of attempts at a host is gone when they have ended or timed out.
_SHORTEST_BUSY_DELAY, _LONGEST_BUSY_DELAY = timedelta(seconds=0.75), timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCircuit:
    """The circuit of a callback host; a host that works has no row."""

    name: str  # host and port
    failures: int  # in a row, across all deliveries
    open_until: datetime  # in the past if the circuit is closed or half-open

    @property
    def key(self) -> Key:
        """The key of the host's row, as `keys.host_key` has it."""
        return Key("hosts", self.name)


class CircuitState(Enum):
    """What a circuit means for an attempt."""

    CLOSED = auto()  # make it
    HALF_OPEN = auto()  # make it as a probe, after `start_probe`
    OPEN = auto()  # wait until `open_until`


@dataclass(frozen=True, slots=True)
class Acquired:
    """There is a free slot for an attempt at a host."""

    is_forced: bool = False  # the attempt is made even without room
    place: object = field(default=None, compare=False, repr=False)  # the adapter's, of the attempt


@dataclass(frozen=True, slots=True)
class Busy:
    """No attempt can be made now: no slot is free, or no name server has answered yet.

    That says nothing about the receiver, so it counts as no attempt.
    """

    busy_for: timedelta  # since an attempt at the host began or ended, or the look-up began


Slot = Acquired | Busy


def circuit_state(circuit: HostCircuit | None, now: datetime) -> CircuitState:
    """Return whether an attempt may be made now."""
    if circuit is None or circuit.failures < OPENS_AFTER:
        return CircuitState.CLOSED
    return CircuitState.OPEN if now < circuit.open_until else CircuitState.HALF_OPEN


def start_probe(circuit: HostCircuit, now: datetime, policy: Policy) -> HostCircuit:
    """Return `circuit` as open to all other attempts while one attempt probes the host."""
    return replace(circuit, open_until=now + min(_PROBE_TIME, max(policy.callback_schedule)))


def counts_as_failure(before: HostCircuit | None, current: HostCircuit | None) -> bool:
    """Return whether a failure counts: not if the circuit opened after its attempt started.

    Of many attempts that fail together the first ones open the circuit; the others must not double
    a pause that has just begun.
    """
    has_opened = current is not None and current.failures >= OPENS_AFTER
    was_open = before is not None and before.failures >= OPENS_AFTER
    return was_open or not has_opened


def record_failure(
    name: str, circuit: HostCircuit | None, now: datetime, policy: Policy
) -> HostCircuit:
    """Return the circuit after one more failure.

    Each failure beyond the fifth doubles the pause, which is never longer than the schedule's
    longest gap, so that a short schedule stays short. (A probe's time is bounded in the same way.)
    """
    failures = (circuit.failures if circuit else 0) + 1
    longest = min(_LONGEST_PAUSE, max(policy.callback_schedule))
    doublings = min(max(failures - OPENS_AFTER, 0), _MOST_DOUBLINGS)
    pause = min(_FIRST_PAUSE * 2**doublings, longest)
    is_open = failures >= OPENS_AFTER
    return HostCircuit(name=name, failures=failures, open_until=now + pause if is_open else now)


def retry_busy_at(busy: Busy, now: datetime) -> datetime:
    """Return when a busy host may have a free slot.

    Soon if its attempts end; with growing delays if none does.
    """
    return now + min(max(busy.busy_for, _SHORTEST_BUSY_DELAY), _LONGEST_BUSY_DELAY)
