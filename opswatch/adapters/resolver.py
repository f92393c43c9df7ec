"""Looks up the names of callback hosts: each on a separate thread, and only so many at a time.

A name server may take half a minute to answer, or never answer. On the event loop's few threads
such look-ups would delay those of ARM and of the storage account, and in a pool those of other
names. `aiodns` needs no threads, but it is an import at every cold start, and it does not read what
the system's resolver reads.
"""

import asyncio
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

from opswatch.core.hosts import Busy
from opswatch.core.keys import parent_domain

PATIENCE = 5.0  # seconds, after which a look-up without an answer is busy
_QUICK = 1.0  # seconds, within which a name server answers that does not hold up others
# Look-ups under way. Those of names that are not known to be answered quickly get a part of them,
# names that were not answered the last time a smaller part, and one zone's names a smaller one yet.
_MOST, _MOST_UNKNOWN, _MOST_SLOW, _MOST_IN_DOMAIN = 64, 48, 24, 16
# An error is remembered for less than the gap before a delivery's second attempt, 5 s - 20 %. An
# answer that came too late, for as long as a busy delivery may wait.
_ERROR_KEPT, _LATE_ANSWER_KEPT = 4.0, 60.0  # seconds
_REMEMBERED = 2000  # names

T = TypeVar("T")
_Target = tuple[str, int]  # a name and a port
Found = list[ResolveResult] | OSError | Busy


class CallbackResolver(AbstractResolver):
    """Resolves as the system does: hosts file, search domains and all.

    The threads are daemons: a process that stops does not wait for a name server.
    """

    def __init__(self, get_addresses: Callable[..., Sequence[Any]] | None = None) -> None:
        """Prepare; tests give another function than `socket.getaddrinfo`."""
        self._get_addresses = get_addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; raise OSError."""
        answer: Future[list[Any]] = Future()

        def look_up() -> None:
            with suppress(InvalidStateError):  # the look-up was given up
                try:
                    found = (self._get_addresses or socket.getaddrinfo)(
                        host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                    )
                except Exception as error:
                    answer.set_exception(error)
                else:
                    answer.set_result(list(found))

        threading.Thread(target=look_up, name="callback-dns", daemon=True).start()
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for family, _, protocol, _, address in await asyncio.wrap_future(answer)
        ]

    async def close(self) -> None:
        """Leave threads that wait for a name server alone."""


@dataclass(slots=True, eq=False)
class _LookUp:
    domain: str | None
    began: float
    was_quick: bool  # the one before
    task: asyncio.Task[Found]


class LookUps:
    """The look-ups of a process; attempts at one name share one."""

    def __init__(
        self, resolver: AbstractResolver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._under_way: dict[_Target, _LookUp] = {}
        self._seconds: OrderedDict[_Target, float] = OrderedDict()  # of the last look-up
        self._kept: OrderedDict[_Target, tuple[float, Found]] = OrderedDict()

    async def find(
        self, name: str, port: int, patience: float = PATIENCE, *, forced: bool = False
    ) -> Found:
        """Return the addresses of `name`, the error that a name server has answered, or `Busy`.

        It is busy if no look-up can begin now (unless it is `forced`), or if no answer has come
        within `patience` seconds of its beginning. A look-up then goes on, and what it finds serves
        the next attempt.
        """
        key, now = (name, port), self._clock()
        kept_until, kept = self._kept.get(key, (now, None))
        if kept is not None and now < kept_until:
            return kept
        look_up = self._under_way.get(key)
        if look_up is None:
            if not forced and not self._has_room(name, key):
                return Busy(busy_for=timedelta(0))
            look_up = self._begin(name, key)
        left = patience if forced else look_up.began + patience - now
        if left > 0:
            await asyncio.wait([look_up.task], timeout=left)
        if look_up.task.done() and not look_up.task.cancelled():
            return look_up.task.result()
        return Busy(busy_for=timedelta(seconds=self._clock() - look_up.began))

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = [look_up.task for look_up in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._resolver.close()

    def _has_room(self, name: str, key: _Target) -> bool:
        seconds = self._seconds.get(key)
        if seconds is not None and seconds <= _QUICK:
            return len(self._under_way) < _MOST
        now, domain = self._clock(), parent_domain(name)
        slow = [
            look_up
            for look_up in self._under_way.values()
            if not look_up.was_quick or now - look_up.began > _QUICK
        ]
        in_domain = sum(look_up.domain == domain for look_up in slow) if domain else 0
        most = _MOST_UNKNOWN if seconds is None else _MOST_SLOW
        return len(slow) < most and in_domain < _MOST_IN_DOMAIN

    def _begin(self, name: str, key: _Target) -> _LookUp:
        was_quick = self._seconds.get(key, _QUICK + 1) <= _QUICK
        task = asyncio.create_task(self._look_up(key))
        look_up = _LookUp(parent_domain(name), self._clock(), was_quick, task)
        self._under_way[key] = look_up
        return look_up

    async def _look_up(self, key: _Target) -> Found:
        name, port = key
        began = self._clock()
        found: Found
        try:
            found = await self._resolver.resolve(name, port, socket.AF_UNSPEC)
        except OSError as error:
            found = error
        except RuntimeError:  # no thread can be started
            found = Busy(busy_for=timedelta(0))
        except Exception as error:  # such as a UnicodeError
            found = OSError(f"{type(error).__name__} of the resolver")
        finally:
            del self._under_way[key]
        now = self._clock()
        _remember(self._seconds, key, now - began)
        if now - began > PATIENCE:  # EAI_AGAIN is then no answer, but that the resolver gave up
            if not (isinstance(found, socket.gaierror) and found.errno == socket.EAI_AGAIN):
                _remember(self._kept, key, (now + _LATE_ANSWER_KEPT, found))
        elif isinstance(found, OSError):
            _remember(self._kept, key, (now + _ERROR_KEPT, found))
        return found


def _remember(memory: OrderedDict[_Target, T], key: _Target, value: T) -> None:
    """Keep `value`, and no more than the newest `_REMEMBERED`."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
