"""What every test may ask for: the storage emulator, and nothing that a test can make itself."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

AZURITE = Path(__file__).parents[1] / "node_modules" / ".bin" / "azurite"
START_TIMEOUT = 30.0  # seconds
# The emulator's well-known account.
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True, kw_only=True)
class Azurite:
    """A storage emulator of this test process alone; its names are shared by all of its tests."""

    blob_port: int
    queue_port: int
    table_port: int

    @property
    def connection_string(self) -> str:
        endpoint = f"http://127.0.0.1:{{}}/{ACCOUNT};".format
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={endpoint(self.blob_port)}"
            f"QueueEndpoint={endpoint(self.queue_port)}"
            f"TableEndpoint={endpoint(self.table_port)}"
        )


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    blob, queue, table = free_ports(3)
    with running_azurite(Azurite(blob_port=blob, queue_port=queue, table_port=table)) as emulator:
        yield emulator


@contextmanager
def running_azurite(azurite: Azurite) -> Iterator[Azurite]:
    flags = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    ports = {
        "--blobPort": azurite.blob_port,
        "--queuePort": azurite.queue_port,
        "--tablePort": azurite.table_port,
    }
    arguments = [str(part) for flag in ports.items() for part in flag]
    with subprocess.Popen([AZURITE, *flags, *arguments], stdout=subprocess.DEVNULL) as process:
        try:
            for port in ports.values():
                wait_until_listening(port, process)
            yield azurite
        finally:
            process.kill()  # all that it holds is in memory


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if process.poll() is not None:
                raise RuntimeError(f"Azurite ended with code {process.returncode}") from error
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
        else:
            return
