"""Commands as processes: pipes, full disks, encodings, Ctrl-C, and what never ends."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from opswatch.cli import source
from opswatch.core.watches import FinalStatus
from tests.cli.conftest import Operations, Run

ROOT = Path(__file__).parents[2]
HEAVY = {"aiohttp", "azure.core", "rich", "opswatch.bootstrap"}


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


async def start(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "opswatch.cli", *arguments),
        **{
            "env": environment(),
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        },
    )


async def ended(*arguments: str, **options: Any) -> tuple[int | None, str, str]:
    process = await start(*arguments, **options)
    out, err = await process.communicate()
    return process.returncode, (out or b"").decode(), (err or b"").decode()


# --- output


@pytest.mark.parametrize("arguments", [["list", "-o", "json"], ["--help"]])
async def test_closed_pipe_is_no_error(operations: Operations, arguments: list[str]) -> None:
    await operations.watch("1b2c")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, _, err = await ended(*arguments, stdout=writing)
    finally:
        os.close(writing)
    assert (code, err) == (0, "")


async def test_wait_keeps_its_exit_code_without_readers(operations: Operations) -> None:
    key = await operations.watch("1b2c")
    await operations.end(key, FinalStatus.CANCELED)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, _, _ = await ended("wait", str(key), stdout=writing, stderr=writing)
    finally:
        os.close(writing)
    assert code == 3


@pytest.mark.parametrize("arguments", [["list", "-o", "json"], ["--help"]])
async def test_full_disk_is_a_line(operations: Operations, arguments: list[str]) -> None:
    await operations.watch("1b2c")
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        code, _, err = await ended(*arguments, stdout=full)
    finally:
        os.close(full)
    assert (code, err) == (6, "The output cannot be written: No space left on device\n")


@pytest.mark.parametrize("format_", ["table", "json"])
async def test_any_encoding_will_do(operations: Operations, format_: str) -> None:
    key = await operations.watch('{"operation": "1b2c", "kind": "東京/create"}')
    env = environment(PYTHONIOENCODING="cp1252")
    own = ("--subscription", key.partition)  # rows of other tests may be cut, with a `…`
    code, out, err = await ended("list", "-o", format_, *own, env=env)
    assert (code, err.count("Traceback")) == (0, 0)
    assert "\\u6771\\u4eac/create" in out


async def test_marks_are_ascii_if_they_must_be() -> None:
    env = environment(PYTHONIOENCODING="ascii", OPSWATCH_CLOUD="nimbus")
    code, out, err = await ended("doctor", env=env)
    assert (code, err) == (1, "")
    assert out.startswith("x settings")


# --- Ctrl-C


@pytest.mark.parametrize("arguments", [["wait"], ["tail"]])
async def test_interrupt_ends_with_130(operations: Operations, arguments: list[str]) -> None:
    key = await operations.watch("1b2c")
    process = await start(*arguments, str(key), env=environment(PYTHONUNBUFFERED="1"))
    stream = process.stderr if arguments == ["wait"] else process.stdout
    assert stream is not None
    assert b"registered" in await stream.readline()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in out + err


@pytest.mark.parametrize("module", ["click", "opswatch.bootstrap", "azure.core.exceptions"])
async def test_interrupted_import_ends_with_130(module: str) -> None:
    program = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv[1:] = ['list']\n"
        "from opswatch.cli import main\n"
        "sys.exit(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, b"")
    assert b"Traceback" not in done.stderr


# --- what never ends


async def test_look_up_without_an_answer_ends_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        "DefaultEndpointsProtocol=https;AccountName=nowhere;AccountKey=aGlkZGVu",
    )
    monkeypatch.setattr(source, "LONGEST_LOOK", 0.1)
    answered = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answered.wait(60))
    began = time.monotonic()
    try:
        result = await run("list")
    finally:
        answered.set()
    assert time.monotonic() - began < 10
    assert (result.code, result.out) == (6, "")
    assert "no answer within 0.1 s" in result.err


@pytest.fixture
def hanging_az(tmp_path: Path) -> Path:
    """A folder with an `az` that never ends, and starts a program that keeps its pipes open."""
    az = tmp_path / "bin" / "az"
    az.parent.mkdir()
    az.write_text("#!/bin/sh\nsleep 60\n")
    az.chmod(0o755)
    return az.parent


async def test_sign_in_without_an_end_is_reported_within_10_s(hanging_az: Path) -> None:
    kept = {name: value for name, value in environment().items() if name in ("PYTHONPATH", "HOME")}
    env = {
        **kept,
        "PATH": f"{hanging_az}:/usr/bin:/bin",
        "AzureWebJobsStorage__accountName": "nowhere",
        "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential",
    }
    began = time.monotonic()
    code, out, err = await ended("show", "s/a~b~c~d", env=env)
    assert time.monotonic() - began < 10 + 5  # of a busy machine
    assert (code, out) == (5, "")
    assert err.startswith("No sign-in: no token within 7 s: ")
    assert "`az login`" in err
    assert len(err.splitlines()) == 1


# --- start


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["secret"], ["help", "exit-codes"]]
)
def test_light_commands_import_little(arguments: list[str]) -> None:
    program = (
        f"import sys; sys.argv[1:] = {arguments}; from opswatch.cli import main; code = main(); "
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & set(done.stderr.split())
