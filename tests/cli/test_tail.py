"""The command tail: one operation to its end, or all of them until Ctrl-C."""

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

from opswatch.core.arm_errors import ArmError
from opswatch.core.intake import Registration
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus
from tests.cli.conftest import Operations, Run

ROOT = Path(__file__).parents[2]
ERROR = ArmError(code="Conflict", message="busy", json='{"code":"Conflict"}')


@asynccontextmanager
async def following(
    *arguments: str, every: float = 0.02
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `opswatch tail` as a process, and end it afterwards."""
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


async def next_change(process: asyncio.subprocess.Process, key: Key) -> str:
    """Return the next printed change of `key`: other tests use the same tables."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        _, text, printed_key = re.split(r" {2,}", line.rstrip("\n"))
        if printed_key == str(key):
            return text
    raise AssertionError((await process.communicate())[1].decode())


async def test_tail_follows_operation_to_its_end(operations: Operations) -> None:
    read = operations.services.intake.read(b"1b2c", operations.services.clock())
    assert isinstance(read, Registration)
    key = read.operation.key
    async with following(str(key)) as tail:
        assert tail.stderr is not None
        assert await tail.stderr.readline() == f"{key} is not known yet\n".encode()
        await operations.watch("1b2c")
        assert await next_change(tail, key) == "registered"
        await operations.progress(key, "Creating", 40)
        assert await next_change(tail, key) == "Creating 40 %"
        await operations.end(key)
        assert await next_change(tail, key) == "Succeeded"
        assert await tail.wait() == 0


@pytest.mark.parametrize(
    ("status", "error", "text", "code"),
    [
        (FinalStatus.FAILED, ERROR, "Failed Conflict", 1),
        (FinalStatus.LOST, None, "Lost", 4),
        (FinalStatus.STOPPED, None, "Stopped", 3),
    ],
)
async def test_unsuccessful_end_fails(
    run: Run,
    operations: Operations,
    status: FinalStatus,
    error: ArmError | None,
    text: str,
    code: int,
) -> None:
    await operations.end(await operations.watch("1b2c"), status, error)
    result = await run("tail", "1b2c")
    assert result.code == code
    assert [text in line for line in result.lines] == [True]


async def test_operation_between_two_looks_is_printed(operations: Operations) -> None:
    old = await operations.watch("old")
    async with following(every=0.5) as tail:
        await next_change(tail, old)
        quick = await operations.watch("quick")
        await operations.end(quick)
        while await next_change(tail, quick) != "Succeeded":  # its watch may have been seen
            pass


async def test_tail_follows_all_until_interrupted(operations: Operations) -> None:
    old = await operations.watch("old")
    async with following() as tail:
        assert await next_change(tail, old) == "registered"
        new = await operations.watch("new")
        assert await next_change(tail, new) == "registered"
        await operations.end(old, FinalStatus.FAILED, ERROR)
        assert await next_change(tail, old) == "Failed Conflict"
        await operations.progress(new, "Creating", 40)
        assert await next_change(tail, new) == "Creating 40 %"
        tail.send_signal(signal.SIGINT)
        out, err = await tail.communicate()
        assert (tail.returncode, err) == (130, b"")
        assert str(old) not in out.decode()
