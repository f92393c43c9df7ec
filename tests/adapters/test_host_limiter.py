"""How many attempts at a host may run at a time, and which others wait for a slot."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from opswatch.adapters.host_limiter import HostLimiter
from opswatch.core.hosts import Acquired, Busy, Slot

HOST = "a"
FULL = Busy(timedelta(0))


@dataclass
class Attempts:
    """Attempts at one host, each in a separate task, and the slots that they got."""

    limiter: HostLimiter
    slots: list[Slot] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, count: int) -> None:
        """Start attempts, until each has an answer or waits for it."""
        self.tasks += [asyncio.create_task(self._attempt()) for _ in range(count)]
        await self._settle()

    async def end(self, count: int) -> None:
        """End the oldest attempts under way; each releases its slot."""
        for task in [task for task in self.tasks if not task.done()][:count]:
            task.cancel()
        await self._settle()

    async def _attempt(self) -> None:
        async with self.limiter.slot(HOST) as slot:
            self.slots.append(slot)
            if isinstance(slot, Acquired):
                await asyncio.Event().wait()

    async def _settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def acquire(limiter: HostLimiter, host: str, count: int, stack: AsyncExitStack) -> list[Slot]:
    return [await stack.enter_async_context(limiter.slot(host)) for _ in range(count)]


async def test_slots_of_a_host_are_limited() -> None:
    limiter = HostLimiter(most=2, patience=0, clock=lambda: 0.0)
    async with AsyncExitStack() as stack:
        assert await acquire(limiter, HOST, 3, stack) == [Acquired(), Acquired(), FULL]


async def test_hosts_do_not_share_slots() -> None:
    limiter = HostLimiter(most=1, patience=0, clock=lambda: 0.0)
    async with AsyncExitStack() as stack:
        assert await acquire(limiter, "a", 2, stack) == [Acquired(), FULL]
        assert await acquire(limiter, "b", 1, stack) == [Acquired()]


async def test_waiting_attempt_gets_a_released_slot() -> None:
    attempts = Attempts(HostLimiter(most=1, patience=60))
    await attempts.start(2)
    assert attempts.slots == [Acquired()]
    await attempts.end(1)
    assert attempts.slots == [Acquired(), Acquired()]


async def test_few_wait_until_an_attempt_has_ended() -> None:
    attempts = Attempts(HostLimiter(most=2, patience=60, clock=lambda: 0.0))
    await attempts.start(2 + 6 + 3)
    assert attempts.slots == [Acquired(), Acquired(), FULL, FULL, FULL]


@pytest.mark.parametrize(("took", "waiting"), [(0.5, 4), (0.1, 20), (2.0, 1)])
async def test_as_many_wait_as_get_a_slot_in_time(took: float, waiting: int) -> None:
    now = [0.0]
    attempts = Attempts(HostLimiter(most=2, patience=1, clock=lambda: now[0]))
    await attempts.start(3)
    now[0] = took
    await attempts.end(1)
    attempts.slots.clear()
    await attempts.start(waiting + 5)
    assert attempts.slots == [FULL] * 5


async def test_no_attempt_waits_at_a_stuck_host() -> None:
    """No attempt has begun or ended there for longer than the patience."""
    now = [0.0]
    attempts = Attempts(HostLimiter(most=2, patience=60, clock=lambda: now[0]))
    await attempts.start(1)
    now[0] = 50.0
    await attempts.start(1)
    now[0] = 111.0
    await attempts.start(1)
    assert attempts.slots == [Acquired(), Acquired(), Busy(timedelta(seconds=61))]


async def test_slow_attempt_does_not_end_waiting_for_quick_ones() -> None:
    now = [0.0]
    attempts = Attempts(HostLimiter(most=2, patience=1, clock=lambda: now[0]))
    async with attempts.limiter.slot(HOST):
        now[0] = 10.0
        await attempts.start(2)
        now[0] = 10.9
        await attempts.end(1)
        now[0] = 11.8
        await attempts.start(2)
        await attempts.end(2)
    assert attempts.slots == [Acquired()] * 3


async def test_error_releases_slot() -> None:
    limiter = HostLimiter(most=1, patience=0)
    with pytest.raises(ValueError, match="gone wrong"):
        async with limiter.slot(HOST):
            raise ValueError("gone wrong")
    async with limiter.slot(HOST) as slot:
        assert slot == Acquired()


async def test_cancelled_waiting_attempt_leaves_the_slot_free() -> None:
    """The slot is released and the waiting attempt is cancelled in the same instant."""
    attempts = Attempts(HostLimiter(most=1, patience=60))
    await attempts.start(2)
    for task in attempts.tasks:
        task.cancel()
    await asyncio.gather(*attempts.tasks, return_exceptions=True)
    async with attempts.limiter.slot(HOST) as slot:
        assert slot == Acquired()


async def test_forced_attempt_has_a_slot_whatever_the_room() -> None:
    limiter = HostLimiter(most=1, patience=0)
    async with limiter.slot(HOST), limiter.slot(HOST, forced=True) as slot:
        assert slot == Acquired(is_forced=True)


# --- many hosts: some hang, and others must find a slot


@dataclass
class Process:
    """The attempts of a process at many hosts, in simulated time."""

    now: float = 0.0
    limiter: HostLimiter = field(init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        self.limiter = HostLimiter(patience=0, clock=lambda: self.now)

    async def hang(
        self, hosts: Iterable[str], each: int, domain: str | None = None, address: str | None = None
    ) -> int:
        """Start attempts that hang at each host; return how many were admitted."""
        count = 0
        for host in hosts:
            for _ in range(each):
                slot = await self._stack.enter_async_context(self.limiter.slot(host, domain))
                if isinstance(slot, Acquired):
                    addresses = [address or f"address of {host}"]
                    count += not isinstance(self.limiter.enter_addresses(slot, addresses), Busy)
        return count

    async def answer(
        self, host: str, seconds: float = 0.1, domain: str | None = None, address: str | None = None
    ) -> bool:
        """Make an attempt that ends after `seconds`; return whether it had a slot."""
        async with self.limiter.slot(host, domain) as slot:
            if not isinstance(slot, Acquired):
                return False
            found = self.limiter.enter_addresses(slot, [address or f"address of {host}"])
            self.now += seconds
            return not isinstance(found, Busy)

    async def end_all(self) -> None:
        """End every attempt that hangs, as a time-out does."""
        await self._stack.aclose()


def hosts(count: int, name: str = "hangs") -> list[str]:
    return [f"{name}{number}" for number in range(count)]


@pytest.mark.parametrize("count", [1, 4, 40, 100])
async def test_hanging_hosts_leave_slots_for_others(count: int) -> None:
    """For new hosts as long as few hosts hang at a time, and for quick ones always."""
    process = Process()
    assert await process.answer("known")
    admitted = await process.hang(hosts(count), each=32)
    assert admitted <= 144
    assert await process.answer("known")
    assert await process.answer("new") == (count < 100)
    process.now = 14.0
    await process.hang(hosts(count), each=32)
    assert await process.answer("known")
    await process.end_all()


async def test_quick_hosts_that_begin_to_hang_leave_slots() -> None:
    process = Process()
    for host in [*hosts(40), "known"]:
        assert await process.answer(host, seconds=0.0)
    assert await process.hang(hosts(3), each=20) == 60
    process.now = 3.0  # they count as slow now
    assert await process.hang(hosts(3), each=12) == 0
    await process.hang(hosts(40), each=2)
    assert await process.answer("known")
    await process.end_all()


async def test_host_gets_few_slots_while_many_attempts_hang() -> None:
    process = Process()
    assert await process.hang(hosts(2), each=24) == 48
    assert await process.hang(["new"], each=9) == 4
    assert await process.hang(hosts(11, "more"), each=9) == 44
    assert await process.hang(["last"], each=9) == 1
    await process.end_all()


async def test_host_is_quick_again_after_an_attempt_that_hung() -> None:
    process = Process()
    assert await process.answer("known")
    assert await process.hang(["known"], each=1) == 1
    process.now += 3
    assert await process.answer("another")  # by then the one that hangs is slow
    await process.end_all()
    assert await process.answer("known")
    await process.hang(hosts(200), each=1)
    assert await process.answer("known")
    await process.end_all()


async def test_idle_host_is_busy_as_long_as_the_process() -> None:
    process = Process()
    assert await process.answer("idle", seconds=10.0)
    process.now = 100.0
    await process.hang(hosts(200), each=1)
    process.now = 101.0
    async with process.limiter.slot("idle") as slot:
        assert slot == Busy(timedelta(seconds=1))
    await process.end_all()


async def test_attempts_that_hang_leave_few_places_to_wait() -> None:
    limiter = HostLimiter(patience=60, clock=lambda: 0.0)
    attempts = Attempts(limiter)
    await attempts.start(1)
    await attempts.end(1)  # the host is quick
    async with AsyncExitStack() as stack:
        for host in hosts(170):
            await stack.enter_async_context(limiter.slot(host, forced=True))
        await attempts.start(32 + 6 + 3)
        assert attempts.slots == [Acquired()] * 33 + [FULL] * 3


async def test_slow_hosts_get_fewer_slots_than_unknown_ones() -> None:
    process = Process()
    assert await process.answer("slow", seconds=10.0)
    await process.hang(hosts(40), each=32)
    assert not await process.answer("slow")
    assert await process.answer("new")
    await process.end_all()
    assert await process.answer("slow")


async def test_names_at_one_hanging_address_share_its_bound() -> None:
    process = Process()
    assert await process.answer("known", address="shared")
    admitted = await process.hang(hosts(40), each=4, address="shared")
    assert admitted == 32
    assert not await process.answer("new", address="shared")
    assert await process.answer("new", address="another")
    assert await process.answer("known", address="shared"), "a quick host is not held up"
    await process.end_all()
    assert await process.answer("new", address="shared")


async def test_attempts_at_an_address_are_bounded() -> None:
    process = Process()
    for host in hosts(40, "quick"):
        assert await process.answer(host, seconds=0.0)
    assert await process.hang(hosts(40, "quick"), each=3, address="shared") == 64
    await process.end_all()


async def test_full_address_does_not_make_a_host_quick() -> None:
    """An attempt that was not made ends at once, which says nothing about its host."""
    process = Process()
    await process.hang(hosts(40), each=1, address="shared")
    assert not await process.answer("new", address="shared")
    assert not await process.answer("new", address="shared")
    await process.end_all()


async def test_domain_that_hangs_leaves_quick_tenants_alone() -> None:
    process = Process()
    assert await process.answer("known", domain="apps.example")
    admitted = await process.hang(hosts(100), each=1, domain="apps.example")
    assert admitted == 48
    assert not await process.answer("new", domain="apps.example")
    assert await process.answer("another", domain="other.example")
    assert await process.answer("known", domain="apps.example")
    await process.end_all()
    assert await process.answer("new", domain="apps.example")


async def test_quick_tenants_of_a_domain_do_not_count() -> None:
    process = Process()
    for host in hosts(2, "quick"):
        assert await process.answer(host, domain="apps.example")
    assert await process.hang(hosts(2, "quick"), each=30, domain="apps.example") == 60
    assert await process.answer("new", domain="apps.example")
    await process.end_all()


async def test_host_without_a_name_server_counts_as_slow() -> None:
    process = Process()
    async with process.limiter.slot("dead") as slot:
        assert isinstance(slot, Acquired)
        process.limiter.record_unanswered(slot)
    await process.hang(hosts(40), each=32)
    assert not await process.answer("dead")
    await process.end_all()


async def test_full_addresses_are_left_out() -> None:
    process = Process()
    await process.hang(hosts(32), each=1, address="full")
    async with process.limiter.slot("new") as slot:
        assert isinstance(slot, Acquired)
        assert process.limiter.enter_addresses(slot, ["full", "free"]) == ["free"]
    async with process.limiter.slot("new", forced=True) as slot:
        assert isinstance(slot, Acquired)
        assert process.limiter.enter_addresses(slot, ["full"]) == ["full"]
    await process.end_all()


async def test_memory_of_hosts_is_bounded() -> None:
    process = Process()
    await process.hang(["hangs"], each=1)
    assert await process.answer("used again and again")
    used = process.limiter._hosts["used again and again"]
    for number in range(3000):
        if number % 500 == 0:
            assert await process.answer("used again and again")
        assert await process.answer(f"host{number}", seconds=0.0, domain=f"domain{number}")
    assert len(process.limiter._hosts) == 2000
    assert "hangs" in process.limiter._hosts
    assert process.limiter._hosts["used again and again"] is used
    assert set(process.limiter._groups) == {"address of hangs"}
    process.now += 3
    assert await process.answer("another")  # by then the one that hangs is slow
    await process.end_all()
    assert process.limiter._groups == {}
    assert (process.limiter._all.running, process.limiter._all.slow) == (0, 0)
