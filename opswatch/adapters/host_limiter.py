"""Limits the attempts that are under way in this process, so that receivers that hang delay few.

The Functions host gives a process up to 256 deliveries at a time. An attempt at a receiver that
hangs keeps one of them for 15 s, so such attempts may hold a part of them only. An attempt counts
as *slow* if its host is not known to answer within `_QUICK` seconds, or if it has lasted longer.

- A host has at most 32 attempts. If many attempts are slow, hosts that are not known to be quick
  get few, then one each, and in the end a place only if nothing is known about them.
- An address has at most 64, half of what SNAT allows to one place, and 32 slow ones: forty names
  at one address that hangs hold no more than a single host.
- A parent domain has at most 48 slow ones, a third of all. Hosts that answer quickly do not count,
  so tenants of a large shared domain are not delayed by each other.
- Places beyond `_MOST_SLOW` are for hosts that answer quickly.
"""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from opswatch.core.hosts import Acquired, Busy, Slot

_QUICK = 2.0  # seconds
_MOST = 224  # attempts of a process
_MOST_SLOW = 144
_CROWDED, _VERY_CROWDED = 48, 96  # slow attempts, from which on hosts get fewer places
_SHARE_IF_CROWDED = 4  # attempts of a host that is not known to be quick
_MOST_AT_ADDRESS, _MOST_SLOW_AT_ADDRESS = 64, 32
_MOST_SLOW_IN_DOMAIN = 48
_MOST_HELD = 176  # deliveries that wait for a place or are slow
_FIRST_WAITERS = 3  # for each place of a host, until an attempt has ended
_SHORT_PATIENCE = 0.5  # seconds, for a host that is not known to be quick
_SHORTEST = 0.001  # seconds of an attempt
_REMEMBERED = 2000  # hosts


@dataclass(slots=True)
class _Group:
    """The attempts at a host, at an address, in a domain, or of the process."""

    name: str
    changed_at: float  # when an attempt last began or ended
    running: int = 0
    slow: int = 0  # of those


@dataclass(slots=True, eq=False)
class _Host:
    attempts: _Group
    domain: str | None
    most_waiting: float  # as many as get a place in time, judged by the last attempt
    seconds: float | None = None  # that the last attempt took; None: nothing is known
    overdue: int = 0  # attempts under way that have lasted longer than `_QUICK`
    waiting: "deque[asyncio.Future[_Place]]" = field(default_factory=deque)

    @property
    def is_quick(self) -> bool:
        """Whether the host is known to answer quickly."""
        return self.seconds is not None and self.seconds <= _QUICK and not self.overdue

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known about the host."""
        return self.seconds is None and not self.overdue


@dataclass(slots=True, eq=False)
class _Place:
    """The place of one attempt in each of the groups that it counts in."""

    host: _Host
    began: float
    is_slow: bool
    is_forced: bool
    groups: list[_Group] = field(default_factory=list)
    is_over: bool = False
    is_overdue: bool = False
    shows_pace: bool = True  # whether its duration shows how quick the host is

    def enter(self, group: _Group) -> None:
        """Count the attempt in one more group."""
        group.running += 1
        group.slow += self.is_slow
        self.groups.append(group)


class HostLimiter:
    """Gives places to attempts: at once, after a short wait, or not.

    An attempt waits for a place at its host for up to `patience` seconds. It does not wait if the
    last attempt's duration shows that the queue is too long, or if no place has changed for that
    long: the host may hang, and an attempt that waits for it keeps a function from other work. If
    the last attempt was not quick, there is less patience.
    """

    def __init__(
        self, most: int = 32, patience: float = 2.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare; `most` attempts at a host may be under way at a time."""
        self._most = most
        self._patience = patience
        self._clock = clock
        self._all = _Group("", clock())
        self._hosts: OrderedDict[str, _Host] = OrderedDict()  # the last used is the last
        self._groups: dict[str, _Group] = {}  # domains and addresses with attempts under way
        self._recent: deque[_Place] = deque()  # by their beginning; older ones are overdue
        self._waiting = 0

    @asynccontextmanager
    async def slot(
        self, name: str, domain: str | None = None, *, forced: bool = False
    ) -> AsyncIterator[Slot]:
        """Enter with a place at the host `name` of `domain`, or soon without one.

        If it is `forced`, there is always a place.
        """
        self._age()
        host = self._hosts.get(name)
        if host is None:
            self._forget_idle()
            attempts = _Group(name, self._clock())
            host = self._hosts[name] = _Host(attempts, domain, _FIRST_WAITERS * self._most)
        self._hosts.move_to_end(name)
        place: _Place | None
        if forced or self._has_room(host):
            place = self._admit(host, is_forced=forced)
        else:
            place = await self._wait(host)
        if place is None:
            changed = host.attempts if host.attempts.running else self._all
            yield Busy(busy_for=timedelta(seconds=self._clock() - changed.changed_at))
            return
        try:
            yield Acquired(is_forced=forced, place=place)
        finally:
            self._release(place)

    def enter_addresses(self, slot: Acquired, addresses: Iterable[str]) -> list[str] | Busy:
        """Count the attempt that has `slot` at those of `addresses` that have room; return them.

        An attempt that has no place is not counted.
        """
        place = slot.place
        if not isinstance(place, _Place):
            return list(addresses)
        self._age()
        now = self._clock()
        entered: list[str] = []
        full_since = now
        for address in addresses:
            group = self._groups.get(address) or _Group(address, now)
            has_room = group.running < _MOST_AT_ADDRESS and (
                not place.is_slow or group.slow < _MOST_SLOW_AT_ADDRESS
            )
            if not has_room and not place.is_forced:
                full_since = min(full_since, group.changed_at)
                continue
            self._groups[address] = group
            group.changed_at = now
            place.enter(group)
            entered.append(address)
        if entered:
            return entered
        place.shows_pace = False
        return Busy(busy_for=timedelta(seconds=now - full_since))

    def record_unanswered(self, slot: Acquired) -> None:
        """Record that no name server answered the attempt that has `slot`: its host is slow."""
        if isinstance(slot.place, _Place):
            slot.place.shows_pace = False
            slot.place.host.seconds = math.inf

    def _has_room(self, host: _Host) -> bool:
        running, slow = host.attempts.running, self._all.slow
        if running >= self._most:
            return False
        if host.is_quick:
            return self._all.running < _MOST
        domain = self._groups.get(host.domain or "")
        if domain is not None and domain.slow >= _MOST_SLOW_IN_DOMAIN:
            return False
        if slow < _VERY_CROWDED:
            return slow < _CROWDED or running < _SHARE_IF_CROWDED
        return slow < _MOST_SLOW and host.is_unknown and not running

    def _admit(self, host: _Host, *, is_forced: bool = False) -> _Place:
        now = self._clock()
        place = _Place(host, now, is_slow=not host.is_quick, is_forced=is_forced)
        groups = [self._all, host.attempts]
        if host.domain is not None:
            groups.append(self._groups.setdefault(host.domain, _Group(host.domain, now)))
        for group in groups:
            group.changed_at = now
            place.enter(group)
        self._recent.append(place)
        return place

    async def _wait(self, host: _Host) -> _Place | None:
        """Wait for a place at the host, if one is likely to come in time."""
        was_quick = host.seconds is not None and host.seconds <= _QUICK
        patience = self._patience if was_quick else min(self._patience, _SHORT_PATIENCE)
        if (
            not host.attempts.running
            or host.attempts.running + len(host.waiting) >= self._most + host.most_waiting
            or self._waiting + self._all.slow >= _MOST_HELD
            or self._clock() - host.attempts.changed_at > patience
        ):
            return None
        waiter: asyncio.Future[_Place] = asyncio.get_running_loop().create_future()
        host.waiting.append(waiter)
        self._waiting += 1
        try:
            await asyncio.wait([waiter], timeout=patience)
        except asyncio.CancelledError:
            if waiter.done():
                self._release(waiter.result())
            raise
        finally:
            self._waiting -= 1
            if not waiter.done():
                host.waiting.remove(waiter)
        return waiter.result() if waiter.done() else None

    def _release(self, place: _Place) -> None:
        """Leave every group, and pass the place on to attempts that wait at the host."""
        host, now = place.host, self._clock()
        place.is_over = True
        host.overdue -= place.is_overdue
        for group in place.groups:
            group.running -= 1
            group.slow -= place.is_slow
            group.changed_at = now
            if not group.running and self._groups.get(group.name) is group:
                del self._groups[group.name]
        if place.shows_pace:
            host.seconds = now - place.began
            host.most_waiting = self._most * self._patience / max(host.seconds, _SHORTEST)
        while host.waiting and self._has_room(host):
            host.waiting.popleft().set_result(self._admit(host))

    def _age(self) -> None:
        """Count attempts as slow that have lasted long."""
        while self._recent and (
            self._recent[0].is_over or self._clock() - self._recent[0].began > _QUICK
        ):
            place = self._recent.popleft()
            if place.is_over:
                continue
            place.is_overdue = True
            place.host.overdue += 1
            for group in place.groups:
                group.slow += not place.is_slow
            place.is_slow = True

    def _forget_idle(self) -> None:
        """Forget the host that has been idle for the longest time, if there are too many."""
        if len(self._hosts) >= _REMEMBERED:
            idle = (n for n, h in self._hosts.items() if not (h.attempts.running or h.waiting))
            if (oldest := next(idle, None)) is not None:
                del self._hosts[oldest]
