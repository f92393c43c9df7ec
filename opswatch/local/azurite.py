"""Azurite, the storage emulator, as a child process on free ports."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from opswatch.config import development_storage
from opswatch.core.errors import OpswatchError
from opswatch.core.texts import one_line

_OF_CHECKOUT = Path(__file__).parents[2] / "node_modules" / ".bin" / "azurite"
_SERVICES = ("blob", "queue", "table")
_FLAGS = ("--silent", "--skipApiVersionCheck", "--disableTelemetry")
_TRIES = 3  # of other free ports
_START_TIMEOUT = 30.0  # seconds
_SAVE_TIMEOUT = 10.0
_LISTENING = "is successfully listening at"  # a line for each service
_MOST_PRINTED, _SHOWN = 64 * 1024, 300  # bytes that are read, and characters of an error


class AzuriteError(OpswatchError):
    """The emulator did not start."""


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running emulator."""

    ports: dict[str, int]  # by service
    pid: int

    @property
    def connection_string(self) -> str:
        """For `AzureWebJobsStorage`."""
        return development_storage(self.ports)


@contextmanager
def running_azurite(
    folder: Path | None = None,
    ports: dict[str, int] | None = None,
    more: Sequence[str] = (),
) -> Iterator[Azurite]:
    """Yield an emulator that runs until the block ends and stores in `folder`, or in memory.

    With the `folder` and the `ports` of an earlier emulator, it continues with the stored data.
    `more` are additional flags of Azurite.
    """
    program = str(_OF_CHECKOUT) if _OF_CHECKOUT.exists() else shutil.which("azurite")
    if program is None:
        raise AzuriteError(
            "Azurite, the storage emulator, is missing: run `npm install --global azurite`, or "
            "`make setup` in a checkout"
        )
    location = ["--inMemoryPersistence"] if folder is None else ["--location", str(folder)]
    command = [program, *_FLAGS, *location, *more]
    tries = _TRIES if ports is None else 1
    with ExitStack() as stack:
        while True:
            tries -= 1
            chosen = ports or dict(zip(_SERVICES, free_ports(len(_SERVICES)), strict=True))
            started = _started(command, chosen, saves=folder is not None)
            try:
                process = stack.enter_context(started)
            except AzuriteError:
                if not tries:
                    raise
            else:
                yield Azurite(chosen, process.pid)
                return


def free_ports(count: int) -> list[int]:
    """Return ports that no process listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@contextmanager
def _started(
    command: Sequence[str], ports: dict[str, int], *, saves: bool
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the process that listens on `ports`; raise `AzuriteError`.

    What it prints says that it listens: another program may have taken a port since it was free,
    and would answer a connection, too.
    """
    flags = [flag for name, port in ports.items() for flag in (f"--{name}Port", str(port))]
    with (
        tempfile.TemporaryFile() as printed,
        subprocess.Popen(
            [*command, *flags], stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_until_listening(process, printed)
            yield process
        finally:
            if saves:  # on SIGTERM it saves the writes of the last five seconds
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_SAVE_TIMEOUT)
            process.kill()


def _wait_until_listening(process: subprocess.Popen[bytes], printed: IO[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        text = os.pread(printed.fileno(), _MOST_PRINTED, 0).decode(errors="replace")
        if text.count(_LISTENING) == len(_SERVICES):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            why = one_line(text[-_SHOWN:]) or "it printed nothing"
            raise AzuriteError(f"Azurite does not listen (exit code {process.returncode}): {why}")
        time.sleep(0.05)
