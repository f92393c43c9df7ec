"""A real receiver, as a process, that answers 204 with a body: FastAPI 0.75 on uvicorn."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest

from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.http import CallbackRequest, HttpResponse

# `make test` installs it there: its pydantic 1 does not go with our tools.
PYTHON = Path(__file__).parents[2] / ".venv-fastapi" / "bin" / "python"
# The body is `null`: FastAPI encoded a handler's None as JSON even for a 204.
PROGRAM = """
import socket, sys
import fastapi, uvicorn

app = fastapi.FastAPI()

@app.post("/hook", status_code=204)
async def hook():
    print("POST", flush=True)

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, http=sys.argv[1], log_level="critical", lifespan="off")
uvicorn.Server(config).run(sockets=[listener])
"""
DELIVERIES = 200


@dataclass
class Receiver:
    """A running receiver."""

    port: int
    process: subprocess.Popen[str]

    def stop(self) -> Counter[str]:
        """End the process; return what it printed, line by line."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=30)
        return Counter(output.split())


@contextmanager
def receiving(http: str) -> Iterator[Receiver]:
    assert PYTHON.exists(), "run `make .venv-fastapi/.installed`"
    command = [str(PYTHON), "-W", "ignore", "-c", PROGRAM, http]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Receiver(int(process.stdout.readline()), process)
        finally:
            process.kill()


@pytest.mark.parametrize(("http", "body"), [("httptools", b"null"), ("h11", b"")])
async def test_204_with_body_is_delivered_with_one_post(http: str, body: bytes) -> None:
    with receiving(http) as receiver:
        callbacks = HttpCallbacks(CallbackRules(networks=(ip_network("127.0.0.0/8"),)))
        url = f"http://127.0.0.1:{receiver.port}/hook"
        request = CallbackRequest(url, {"content-type": "application/json"}, b"{}")
        answers = [await callbacks.post(request) for _ in range(DELIVERIES)]
        await callbacks.close()
        # A check that it really sends the body.
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(b"POST /hook HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        raw = await reader.read()
        writer.close()
        await writer.wait_closed()
        printed = receiver.stop()
    assert raw.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"content-length: 4\r\n" in raw
    assert raw.partition(b"\r\n\r\n")[2] == body
    codes = [answer.status_code for answer in answers if isinstance(answer, HttpResponse)]
    assert codes == [204] * DELIVERIES
    assert printed["POST"] == DELIVERIES + 1
