"""Azurite, the storage emulator, as a child process on free ports."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from opswatch.config import development_storage
from opswatch.core.errors import OpswatchError

_OF_CHECKOUT = Path(__file__).parents[2] / "node_modules" / ".bin" / "azurite"
_SERVICES = ("blob", "queue", "table")
_FLAGS = ("--silent", "--skipApiVersionCheck", "--disableTelemetry")
_START_TIMEOUT = 30.0  # seconds
_SAVE_TIMEOUT = 10.0


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
    ports = ports or dict(zip(_SERVICES, free_ports(len(_SERVICES)), strict=True))
    location = ["--inMemoryPersistence"] if folder is None else ["--location", str(folder)]
    flags = [*_FLAGS, *location, *more]
    for service, port in ports.items():
        flags += [f"--{service}Port", str(port)]
    with subprocess.Popen(
        [program, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            for port in ports.values():
                _wait_until_listening(port, process)
            yield Azurite(ports, process.pid)
        finally:
            if folder is not None:  # on SIGTERM it saves the writes of the last five seconds
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_SAVE_TIMEOUT)
            process.kill()


def free_ports(count: int) -> list[int]:
    """Return ports that no process listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                code = process.returncode
                raise AzuriteError(f"Azurite does not listen (exit code {code})") from error
            time.sleep(0.05)
        else:
            return
