"""Local programs as processes: signals while they start, full disks, and readers that go."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SERVERS = (
    ["simulate", "--port", "0", "--count", "2000"],
    ["listen"],
    ["dev", "--port", "0"],
    ["demo"],
)
each_server = pytest.mark.parametrize("arguments", SERVERS, ids=lambda arguments: arguments[0])


APP = """
import azure.functions as func
app = func.FunctionApp()

@app.route(methods=["GET"])
def quick(req) -> str:
    return "quick"
"""


@pytest.fixture(autouse=True)
def small_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `dev` in the folder of an app that needs no storage."""
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "function_app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)


async def start(arguments: list[str], **options: Any) -> asyncio.subprocess.Process:
    """Start a command in a group of its own, as a terminal does; no storage listens."""
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "opswatch.cli", *arguments),
        **{
            "env": env,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.PIPE,
            "start_new_session": True,
            **options,
        },
    )


async def lines_of(process: asyncio.subprocess.Process) -> list[str]:
    _, err = await process.communicate()
    return (err or b"").decode().splitlines()


@each_server
async def test_interrupt_while_it_starts_leaves_no_traceback(arguments: list[str]) -> None:
    process = await start(arguments)
    ended, _ = await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=0.8)
    assert not ended
    os.killpg(process.pid, signal.SIGINT)
    lines = await lines_of(process)
    assert process.returncode in (130, 0, -signal.SIGINT)  # the last before Python has begun
    assert not [line for line in lines if "Traceback" in line or "Error" in line], lines


@each_server
async def test_full_disk_is_a_line(arguments: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    stream = "stderr" if arguments == ["listen"] else "stdout"
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, stream: full}
    try:
        process = await start(arguments, **options)
        lines = await lines_of(process)
    finally:
        os.close(full)
    assert process.returncode == 6
    if stream == "stdout":
        assert lines == ["The output cannot be written: No space left on device"]


@pytest.mark.parametrize("name", ["simulate", "dev", "demo"])  # listen prints when it is called
async def test_reader_that_goes_ends_it_quietly(name: str) -> None:
    (arguments,) = [arguments for arguments in SERVERS if arguments[0] == name]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = await start(arguments, stdout=writing)
        lines = await lines_of(process)
    finally:
        os.close(writing)
    assert (process.returncode, lines) == (0, [])
