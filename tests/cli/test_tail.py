"""The command tail: one operation to its end, or all of them until Ctrl-C."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from azure.core.exceptions import ServiceRequestError

from opswatch.cli.commands import tail
from opswatch.cli.operations import get_operation
from opswatch.cli.output import Format, Output
from opswatch.core.arm_errors import ArmError
from opswatch.core.intake import Registration
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus
from tests.cli.conftest import Operations, Run
from tests.cli.scripted import Scripted, end, fails, watch
from tests.support.harness import Harness

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
    """Return the next printed change of `key`."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        _, text, name = re.split(r" {2,}", line.rstrip("\n"))
        if name == key.row.rpartition("~")[2]:
            return text
    raise AssertionError((await process.communicate())[1].decode())


async def test_tail_follows_operation_to_its_end(operations: Operations) -> None:
    read = operations.services.intake.read(b"1b2c", operations.services.clock())
    assert isinstance(read, Registration)
    key = read.operation.key
    async with following(str(key)) as process:
        assert process.stderr is not None
        assert await process.stderr.readline() == f"{key} is not known yet\n".encode()
        await operations.watch("1b2c")
        assert await next_change(process, key) == "registered"
        await operations.progress(key, "Creating", 40)
        assert await next_change(process, key) == "Creating 40 %"
        await operations.end(key)
        assert await next_change(process, key) == "Succeeded"
        assert await process.wait() == 0


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
    async with following("--subscription", old.partition, every=0.5) as process:
        await next_change(process, old)
        quick = await operations.watch("quick")
        await operations.end(quick)
        while await next_change(process, quick) != "Succeeded":  # its watch may have been seen
            pass


async def test_tail_follows_all_until_interrupted(operations: Operations) -> None:
    old = await operations.watch("old")
    async with following("--subscription", old.partition) as process:
        assert await next_change(process, old) == "registered"
        new = await operations.watch("new")
        assert await next_change(process, new) == "registered"
        await operations.end(old, FinalStatus.FAILED, ERROR)
        assert await next_change(process, old) == "Failed Conflict"
        await operations.progress(new, "Creating", 40)
        assert await next_change(process, new) == "Creating 40 %"
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (process.returncode, err) == (130, b"")
        assert str(old) not in out.decode()


async def test_only_wanted_statuses_are_printed(run: Run, operations: Operations) -> None:
    key = await operations.watch("good")
    await operations.end(key)
    bad = await operations.watch("bad")
    await operations.end(bad, FinalStatus.FAILED, ERROR)
    for name, code, count in ((key, 0, 0), (bad, 1, 1)):
        result = await run("tail", str(name), "--only", "lost, failed")
        assert (result.code, len(result.lines)) == (code, count)


@pytest.fixture
def source() -> Scripted:
    return Scripted(Harness().services)


async def follow_all(source: Scripted, output: Output, **query: str) -> None:
    changes = tail._Changes(output, None)
    await tail._follow_all(source, changes, query, 0.001, until_empty=True)


async def test_tail_ends_when_nothing_is_watched(
    source: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    old = await watch(source.services, "old")
    source.before[5] = lambda: end(source.services, old, FinalStatus.FAILED)
    await follow_all(source, Output(Format.JSONL, None, "auto"))
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [(row["key"], row["status"]) for row in rows] == [
        (old.row, "registered"),
        (old.row, "Failed"),
    ]
    assert printed.err == ""


async def test_beginning_is_bounded(
    source: Scripted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_AT_FIRST", 2)
    keys = [await watch(source.services, f"op{number}") for number in range(3)]

    async def end_all() -> None:
        for key in keys:
            await end(source.services, key)

    source.before[3] = end_all
    await follow_all(source, Output(Format.TABLE, None, "auto"))
    printed = capsys.readouterr()
    assert printed.err == "2 of 3 that are watched; the others when they change\n"
    texts = [re.split(r" {2,}", line)[1] for line in printed.out.splitlines()]
    assert texts == ["registered"] * 2 + ["Succeeded"] * 3


async def test_tail_rides_out_an_outage(
    source: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    key = await watch(source.services, "old")
    source.before |= dict.fromkeys((2, 3, 4), fails(ServiceRequestError("refused")))
    source.before[6] = lambda: end(source.services, key)
    await follow_all(source, Output(Format.NAME, None, "auto"))
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(key)] * 2
    assert len(printed.err.splitlines()) == 2


async def test_what_has_ended_is_forgotten(source: Scripted) -> None:
    key = await watch(source.services, "old")
    changes = tail._Changes(Output(Format.NAME, None, "auto"), None)
    row = await get_operation(source, key)
    assert row is not None
    changes.add(row)
    changes.forget(set())
    assert changes.printed == {}
