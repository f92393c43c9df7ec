"""Following operations: one to its end, all of them until somebody interrupts."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from opswatch.commands.views import key_text
from opswatch.core.arm import ArmError
from opswatch.core.intake import Registration
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus
from tests.commands.conftest import Run, Stage

ROOT = Path(__file__).parents[2]
ERROR = ArmError(code="Conflict", message="busy", json='{"code":"Conflict"}')


@asynccontextmanager
async def following(
    *arguments: str, every: float = 0.02
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `opswatch tail` as a process, and leave none behind."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "opswatch.cli", "tail", "--every", str(every), *arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process, key: Key) -> str:
    """Return what is said next of `key`: others use the same tables."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        _, text, about = re.split(r" {2,}", line.rstrip("\n"))
        if about == key_text(key):
            return text
    raise AssertionError((await process.communicate())[1].decode())


async def test_one_operation_is_followed_from_before_it_is_known_to_its_end(stage: Stage) -> None:
    async with following("1b2c") as tail:
        read = stage.services.intake.read(b"1b2c", stage.services.clock())
        assert isinstance(read, Registration)
        key = read.operation.key
        assert await said(tail, key) == "not known yet"
        await stage.watched("1b2c")
        assert await said(tail, key) == "registered"
        await stage.progressed(key, "Creating", 40)
        assert await said(tail, key) == "Creating 40 %"
        await stage.ended(key)
        assert await said(tail, key) == "Succeeded"
        assert await tail.wait() == 0


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (FinalStatus.FAILED, ERROR, "Failed Conflict"),
        (FinalStatus.LOST, None, "Lost"),
        (FinalStatus.STOPPED, None, "Stopped"),
    ],
)
async def test_the_exit_code_tells_that_it_has_not_succeeded(
    run: Run, stage: Stage, status: FinalStatus, error: ArmError | None, text: str
) -> None:
    await stage.ended(await stage.watched("1b2c"), status, error)
    ran = await run("tail", "1b2c")
    assert ran.code == 1
    assert [text in line for line in ran.lines] == [True]


async def test_what_comes_and_goes_between_two_looks_is_told(stage: Stage) -> None:
    old = await stage.watched("old")
    async with following(every=0.5) as tail:
        await said(tail, old)
        quick = await stage.watched("quick")
        await stage.ended(quick)
        while await said(tail, quick) != "Succeeded":  # its watch may have been seen
            pass


async def test_all_are_followed_until_somebody_interrupts(stage: Stage) -> None:
    old = await stage.watched("old")
    async with following() as tail:
        assert await said(tail, old) == "registered"
        new = await stage.watched("new")
        assert await said(tail, new) == "registered"
        await stage.ended(old, FinalStatus.FAILED, ERROR)
        assert await said(tail, old) == "Failed Conflict"
        await stage.progressed(new, "Creating", 40)
        assert await said(tail, new) == "Creating 40 %"
        tail.send_signal(signal.SIGINT)
        out, err = await tail.communicate()
        assert (tail.returncode, err) == (130, b"")
        assert key_text(old) not in out.decode()
