"""Following operations: one to its end, all of them until somebody interrupts."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from opswatch.core.model import ArmError, FinalStatus
from tests.commands.conftest import Run, Stage

ERROR = ArmError(code="Conflict", message="busy", json='{"code":"Conflict"}')


@asynccontextmanager
async def following(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `opswatch tail` as a process, and leave none behind."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "opswatch.cli", "tail", "--every", "0.02", *arguments),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process, about: str) -> str:
    """Return what is said next of `about`: others use the same tables."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        _, text = line.rstrip("\n").split("  ", 1)
        if text.endswith(about):
            return text.removesuffix(about).strip()
    raise AssertionError((await process.communicate())[1].decode())


async def test_one_operation_is_followed_from_before_it_is_known_to_its_end(stage: Stage) -> None:
    async with following("1b2c") as tail:
        assert await said(tail, "~1b2c") != ""
        key = await stage.watched("1b2c")
        assert (await said(tail, key.row)).split("  ")[0] == "registered"
        await stage.progressed(key, "Creating", 40)
        assert (await said(tail, key.row)).split("  ")[0] == "Creating 40 %"
        await stage.ended(key)
        assert (await said(tail, key.row)).split("  ")[0] == "Succeeded"
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


async def test_all_are_followed_until_somebody_interrupts(stage: Stage) -> None:
    old = await stage.watched("old")
    async with following() as tail:
        assert (await said(tail, old.row)).startswith("registered")
        new = await stage.watched("new")
        assert (await said(tail, new.row)).startswith("registered")
        await stage.ended(old, FinalStatus.FAILED, ERROR)
        assert (await said(tail, old.row)).startswith("Failed Conflict")
        await stage.progressed(new, "Creating", 40)
        assert (await said(tail, new.row)).startswith("Creating 40 %")
        tail.send_signal(signal.SIGINT)
        out, err = await tail.communicate()
        assert (tail.returncode, err) == (130, b"")
        assert old.row.encode() not in out
