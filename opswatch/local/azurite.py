"""Azurite, the storage emulator, as a child process on free ports."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from opswatch.core.errors import OpswatchError

# The emulator's well-known account, the same on every machine that runs it.
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PROGRAM = Path(__file__).parents[2] / "node_modules" / ".bin" / "azurite"
_SERVICES = ("blob", "queue", "table")
_START_TIMEOUT = 30.0  # seconds


class AzuriteError(OpswatchError):
    """The emulator did not start."""


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running emulator."""

    ports: dict[str, int]  # by service

    @property
    def connection_string(self) -> str:
        """For `AzureWebJobsStorage`."""
        endpoints = "".join(
            f"{service.capitalize()}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};"
            for service, port in self.ports.items()
        )
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{endpoints}"


@asynccontextmanager
async def running_azurite(folder: Path | None = None) -> AsyncIterator[Azurite]:
    """Yield an emulator that keeps everything in `folder`, or in memory, until the block ends."""
    azurite = Azurite(dict(zip(_SERVICES, free_ports(len(_SERVICES)), strict=True)))
    process = await start_azurite(azurite, folder)
    try:
        yield azurite
    finally:
        if process.returncode is None:
            process.kill()  # nothing that it holds outlives the block
        await process.wait()


async def start_azurite(azurite: Azurite, folder: Path | None) -> asyncio.subprocess.Process:
    """Start the emulator on the ports of `azurite`; return when it listens on all of them."""
    flags = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    flags += ["--inMemoryPersistence"] if folder is None else ["--location", str(folder)]
    for service, port in azurite.ports.items():
        flags += [f"--{service}Port", str(port)]
    if not PROGRAM.exists():
        raise AzuriteError(f"{PROGRAM} is missing: `make setup` installs it")
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *flags, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    async with asyncio.timeout(_START_TIMEOUT):
        for port in azurite.ports.values():
            await _wait_until_listening(port, process)
    return process


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


async def _wait_until_listening(port: int, process: asyncio.subprocess.Process) -> None:
    while True:
        if process.returncode is not None:
            raise AzuriteError(f"Azurite ended with code {process.returncode}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
