"""Azurite, the storage emulator, as a child process on free ports."""

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from opswatch.config import development_storage
from opswatch.core.errors import OpswatchError

PROGRAM = Path(__file__).parents[2] / "node_modules" / ".bin" / "azurite"
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
    """Yield an emulator that keeps everything in `folder`, or in memory, until the block ends.

    With the `ports` and the folder of an earlier one, it goes on where that one ended. `more` are
    flags of Azurite's.
    """
    ports = ports or dict(zip(_SERVICES, free_ports(len(_SERVICES)), strict=True))
    with _started([*_place(folder), *more], ports) as process:
        try:
            for port in ports.values():
                _wait_until_listening(port, process)
            yield Azurite(ports, process.pid)
        finally:
            _end(process, is_saved=folder is not None)


def _end(process: subprocess.Popen[bytes], *, is_saved: bool) -> None:
    """End it; only a polite end saves what came in the last five seconds."""
    if is_saved:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SAVE_TIMEOUT)
    process.kill()


def _place(folder: Path | None) -> list[str]:
    return ["--inMemoryPersistence"] if folder is None else ["--location", str(folder)]


def _started(flags: list[str], ports: dict[str, int]) -> subprocess.Popen[bytes]:
    if not PROGRAM.exists():
        raise AzuriteError(f"{PROGRAM} is missing: `make setup` installs it")
    listening = [
        word for service, port in ports.items() for word in (f"--{service}Port", str(port))
    ]
    return subprocess.Popen(
        [PROGRAM, *_FLAGS, *flags, *listening], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise AzuriteError(
                    f"Azurite does not listen (code {process.returncode})"
                ) from error
            time.sleep(0.05)
        else:
            return
