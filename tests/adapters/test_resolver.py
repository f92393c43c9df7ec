"""Look-ups of callback hosts: a dead name server holds few threads; an error is kept briefly."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from opswatch.adapters.resolver import PATIENCE, CallbackResolver, Found, LookUps
from opswatch.core.hosts import Busy

GONE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
GAVE_UP = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@dataclass
class NameServer(AbstractResolver):
    """Answers each look-up when the test says so; `asked` counts them by name."""

    asked: Counter[str] = field(default_factory=Counter)
    waiting: dict[str, "asyncio.Future[list[ResolveResult]]"] = field(default_factory=dict)
    dead: bool = True
    error: Exception | None = None
    is_closed: bool = False

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's
    ) -> list[ResolveResult]:
        self.asked[host] += 1
        if self.dead:
            self.waiting[host] = asyncio.get_running_loop().create_future()
            return await self.waiting[host]
        if self.error is not None:
            raise self.error
        return found(host, port)

    async def close(self) -> None:
        self.is_closed = True


def found(host: str, port: int = 443) -> list[ResolveResult]:
    family = socket.AF_INET
    return [
        ResolveResult(hostname=host, host="192.0.2.1", port=port, family=family, proto=0, flags=0)
    ]


@dataclass
class Process:
    """Look-ups in simulated time; `look_up` does not wait for an answer."""

    server: NameServer = field(default_factory=NameServer)
    now: float = 0.0
    look_ups: LookUps = field(init=False)

    def __post_init__(self) -> None:
        self.look_ups = LookUps(self.server, lambda: self.now)

    async def look_up(self, name: str, *, forced: bool = False) -> Found:
        """Look a name up, with as little patience as lets a live name server answer."""
        patience = 0.01 if self.now == 0 or forced else PATIENCE
        return await self.look_ups.find(name, 443, patience, forced=forced)

    async def answer(self, name: str, error: Exception | None = None) -> None:
        """Let the name server answer the look-up of `name` that waits."""
        if error is None:
            self.server.waiting[name].set_result(found(name))
        else:
            self.server.waiting[name].set_exception(error)
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process()
    yield process
    await process.look_ups.close()
    assert process.server.is_closed


async def test_answer_is_returned_and_not_kept(process: Process) -> None:
    process.server.dead = False
    for _ in range(3):
        assert await process.look_up("hook.example") == found("hook.example")
    assert process.server.asked["hook.example"] == 3


async def test_attempts_at_a_name_share_one_look_up(process: Process) -> None:
    waiting = [asyncio.create_task(process.look_ups.find("a.example", 443)) for _ in range(9)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await process.answer("a.example")
    assert await asyncio.gather(*waiting) == [found("a.example")] * 9
    assert process.server.asked["a.example"] == 1


async def test_error_is_kept_for_a_short_time(process: Process) -> None:
    """A thousand deliveries to a dead name do not make a thousand look-ups."""
    process.server.dead, process.server.error = False, GONE
    for _ in range(1000):
        assert await process.look_up("gone.example") is GONE
    assert process.server.asked["gone.example"] == 1
    process.now = 4.0
    process.server.error = None
    assert await process.look_up("gone.example") == found("gone.example")


@pytest.mark.parametrize("error", [GONE, GAVE_UP, OSError(5, "Input/output error")])
async def test_any_error_within_the_patience_is_an_answer(process: Process, error: OSError) -> None:
    process.server.dead, process.server.error = False, error
    assert await process.look_up("gone.example") is error


async def test_failing_resolver_is_an_error(process: Process) -> None:
    process.server.dead, process.server.error = False, UnicodeError("label too long")
    assert isinstance(await process.look_up("a.example"), OSError)


async def test_missing_thread_is_busy(process: Process) -> None:
    process.server.dead, process.server.error = False, RuntimeError("can't start new thread")
    assert await process.look_up("a.example") == Busy(timedelta(0))


async def test_look_up_without_an_answer_is_busy(process: Process) -> None:
    assert isinstance(await process.look_up("dead.example"), Busy)
    process.now = 7.5
    assert await process.look_up("dead.example") == Busy(timedelta(seconds=7.5)), "at once"
    assert process.server.asked["dead.example"] == 1


async def test_late_answer_serves_the_next_attempt(process: Process) -> None:
    """Such as if the first of two name servers is dead: each look-up takes more than 5 s."""
    await process.look_up("late.example")
    process.now = 5.5
    await process.answer("late.example")
    process.now = 20.0
    assert await process.look_up("late.example") == found("late.example")
    assert process.server.asked["late.example"] == 1
    process.now = 66.0
    process.server.dead = False
    await process.look_up("late.example")
    assert process.server.asked["late.example"] == 2, "an answer is not kept for long"


@pytest.mark.parametrize(("error", "is_kept"), [(GONE, True), (GAVE_UP, False)])
async def test_resolver_that_gives_up_late_is_no_answer(
    process: Process, error: OSError, is_kept: bool
) -> None:
    await process.look_up("late.example")
    process.now = 12.0
    await process.answer("late.example", error)
    process.server.dead = False
    again = await process.look_up("late.example")
    assert again is error if is_kept else again == found("late.example")


async def test_dead_names_leave_look_ups_for_others(process: Process) -> None:
    process.server.dead = False
    assert await process.look_up("known.example") == found("known.example")
    process.server.dead = True
    for number in range(100):
        await process.look_up(f"hook.zone{number}.example")
    assert len(process.server.waiting) == 48
    process.server.dead = False
    assert await process.look_up("known.example") == found("known.example")


async def test_names_that_were_not_answered_get_fewer_look_ups(process: Process) -> None:
    names = [f"hook.zone{number}.example" for number in range(40)]
    for name in names:
        await process.look_up(name)
    process.now = 30.0
    for name in names:
        await process.answer(name, GAVE_UP)
    process.server.waiting.clear()
    process.now = 0.0
    for name in names:
        await process.look_up(name)
    assert len(process.server.waiting) == 24
    process.server.dead = False
    assert await process.look_up("new.example") == found("new.example")


async def test_names_of_a_dead_zone_share_its_bound(process: Process) -> None:
    for number in range(40):
        await process.look_up(f"hook{number}.dead.example")
    assert len(process.server.waiting) == 16
    process.server.dead = False
    assert await process.look_up("hook.live.example") == found("hook.live.example")


async def test_forced_look_up_is_made_whatever_the_room(process: Process) -> None:
    for number in range(100):
        await process.look_up(f"hook.zone{number}.example")
    assert isinstance(await process.look_up("new.example"), Busy)
    assert process.server.asked["new.example"] == 0
    process.server.dead = False
    assert await process.look_up("new.example", forced=True) == found("new.example")


async def test_memory_of_names_is_bounded(process: Process) -> None:
    process.server.dead, process.server.error = False, GONE
    for number in range(2100):
        await process.look_up(f"host{number}.example")
    assert len(process.look_ups._kept) == len(process.look_ups._seconds) == 2000
    assert process.look_ups._under_way == {}


# --- the system's resolver


async def test_system_resolves_localhost() -> None:
    results = await CallbackResolver().resolve("localhost", 8080)
    assert "127.0.0.1" in {result["host"] for result in results}
    assert {result["port"] for result in results} == {8080}


async def test_errors_of_the_system_are_raised() -> None:
    def fail(*_: object, **__: object) -> list[object]:
        raise GONE

    with pytest.raises(socket.gaierror):
        await CallbackResolver(fail).resolve("gone.example")


async def test_look_ups_that_hang_take_no_thread_of_the_event_loop() -> None:
    given_up = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        given_up.wait()
        return []

    look_ups = LookUps(CallbackResolver(hang))
    names = [f"hook.zone{number}.example" for number in range(40)]
    waiting = asyncio.gather(*(look_ups.find(name, 443, 0.01) for name in names))
    assert {type(outcome) for outcome in await waiting} == {Busy}
    assert await asyncio.to_thread(lambda: "free") == "free"
    await look_ups.close()
    given_up.set()


def test_process_stops_without_waiting_for_a_name_server() -> None:
    program = (
        "import asyncio, threading\n"
        "from opswatch.adapters.resolver import CallbackResolver, LookUps\n"
        "hang = lambda *_, **__: threading.Event().wait()\n"
        "look_up = lambda: LookUps(CallbackResolver(hang)).find('dead.example', 443, 0.01)\n"
        "async def main(): print(type(await look_up()).__name__)\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stdout == "Busy\n"
