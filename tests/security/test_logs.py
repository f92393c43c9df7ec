"""Whole runs with every logger at DEBUG: no line that is kept holds a secret."""

import asyncio
import base64
import json
import logging
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from secrets import token_bytes, token_hex
from urllib.parse import urlsplit

from opswatch.adapters.account import Account
from opswatch.config import DEVELOPMENT_KEY, Storage
from opswatch.local.azurite import Azurite, free_ports, running_azurite
from opswatch.local.demo.receiver import Receiver
from opswatch.local.host import LocalHost
from opswatch.local.simulator import SCRIPTS, Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE

ROOT = Path(__file__).parents[2]
TIMEOUT = 60  # seconds
SECOND = timedelta(seconds=1)
PASSWORD = token_hex(16)  # in a callback's query, and in what users post
NAMES = ["signed", "signed-location", "failed", "unauthorized-burst", "claims-challenge", "flaky"]
_formatter = logging.Formatter("%(name)s %(message)s")


class Listener(logging.Handler):
    """Keeps each line as it would be written, with its traceback and all its fields."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[logging.LogRecord, str]] = []
        self.missed_storage = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record, f"{_formatter.format(record)} {vars(record)}"))
        if "cannot receive" in record.msg:
            self.missed_storage.set()

    async def heard(self, event: str, count: int) -> None:
        """Return when there are `count` lines of `event`."""
        name = f"opswatch.{event}"
        while sum(getattr(record, "event", "") == name for record, _ in self.lines) < count:
            await asyncio.sleep(0.1)


@contextmanager
def listening() -> Iterator[Listener]:
    """Yield a listener to everything that is logged until the block ends."""
    listener, root = Listener(), logging.getLogger()
    named = [logging.getLogger(name) for name in ("", "opswatch", "azure", "aiohttp", "asyncio")]
    levels = [logger.level for logger in named]
    for logger in named:
        logger.setLevel(logging.DEBUG)
    root.addHandler(listener)
    try:
        yield listener
    finally:
        root.removeHandler(listener)
        for logger, level in zip(named, levels, strict=True):
            logger.setLevel(level)


def is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in ("opswatch", "root", "function_app")


def lines_with(listener: Listener, secret: str) -> list[str]:
    """Return the lines that hold `secret` and should not."""
    return [
        text
        for record, text in listener.lines
        if secret in text and (is_ours(record) or record.levelno >= logging.INFO)
    ]


@dataclass(frozen=True, slots=True)
class Environment:
    """The servers that the app uses, and its settings."""

    arm: Simulator
    receiver: Receiver
    env: dict[str, str]


@asynccontextmanager
async def environment(azurite: Azurite) -> AsyncIterator[Environment]:
    async with Simulator(seed=11) as arm, Receiver() as receiver:
        env = arm.environment | {
            "AzureWebJobsStorage": azurite.connection_string,
            **receiver.environment,
            "OPSWATCH_CALLBACK_URL": f"{receiver.url}/hook?code={PASSWORD}",
            "OPSWATCH_POLL_MAX": "PT1S",
        }
        yield Environment(arm, receiver, env)


def test_logged_secret_is_found() -> None:
    with listening() as listener:
        logging.getLogger("opswatch.x").debug("a %s", PASSWORD)
        logging.getLogger("azure.x").debug("b %s", PASSWORD)
        logging.getLogger("azure.x").info("c", extra={"url": f"?code={PASSWORD}"})
    assert [line.split()[1] for line in lines_with(listener, PASSWORD)] == ["a", "c"]


async def test_whole_run_logs_no_secret() -> None:
    with listening() as listener, running_azurite() as azurite:
        async with environment(azurite) as ours, LocalHost(ROOT, env=ours.env) as host:
            await host.started()
            urls = [ours.arm.start(SCRIPTS[name].with_duration(SECOND)).url for name in NAMES]
            await post(ours.env, [*urls, *unreachable_posts(ours), *wrong_posts(ours)])
            async with asyncio.timeout(TIMEOUT):
                await listener.heard("attempt", len(NAMES) + 2)
                await listener.heard("rejected", len(wrong_posts(ours)))
                os.kill(azurite.pid, signal.SIGKILL)
                await listener.missed_storage.wait()
        secrets = secrets_of(ours, urls)
    assert {"opswatch", "azure"} <= {record.name.partition(".")[0] for record, _ in listener.lines}
    found = {name: lines for name, text in secrets.items() if (lines := lines_with(listener, text))}
    assert found == {}


async def test_wrong_settings_log_no_secret() -> None:
    key = base64.b64encode(token_bytes(64)).decode()
    unused = f"http://127.0.0.1:{free_ports(1)[0]}/account"
    env = {
        "AzureWebJobsStorage": f"AccountName=account;AccountKey={key};QueueEndpoint={unused};"
        f"TableEndpoint={unused};BlobEndpoint={unused}",
        "OPSWATCH_CALLBACK_SECRETS": f"whsec_{PASSWORD}!",
        "OPSWATCH_CALLBACK_URL": f"ftp://user:{PASSWORD}@example.com/?code={PASSWORD}",
        "OPSWATCH_ARM_ENDPOINT": f"https://user:{PASSWORD}@example.com",
    }
    with listening() as listener:
        async with LocalHost(ROOT, env=env) as host:
            await host.started()
    assert "OPSWATCH_CALLBACK_SECRETS" in "".join(text for _, text in listener.lines)
    assert lines_with(listener, PASSWORD) == []
    assert lines_with(listener, key) == []


async def post(env: Mapping[str, str], texts: list[str]) -> None:
    account = Account(Storage.from_env(env))
    queue = account.queue(OPERATIONS_QUEUE)
    for text in texts:
        await queue.send_message(text)
    await account.close()


def unreachable_posts(ours: Environment) -> list[str]:
    """Return posts whose receivers cannot be connected to, or do not speak TLS."""
    urls = [
        f"http://127.0.0.1:{free_ports(1)[0]}/?code={PASSWORD}",
        f"https://127.0.0.1:{urlsplit(ours.receiver.url).port}/?code={PASSWORD}",
    ]
    script = SCRIPTS["succeeded"].with_duration(SECOND)
    started = ((ours.arm.start(script).url, url) for url in urls)
    return [json.dumps({"operation": operation, "callbackUrl": url}) for operation, url in started]


def wrong_posts(ours: Environment) -> list[str]:
    started = f"{ours.arm.endpoint}/subscriptions/s/operationsStatus/x"
    return [
        f"https://evil.example/subscriptions/s/operationsStatus/x?sig={PASSWORD}",
        f"https://{PASSWORD}@management.azure.com/subscriptions/s/operationsStatus/x",
        f"{started}?code={PASSWORD}#fragment",
        f"Bearer {PASSWORD}",
        json.dumps({"operation": started, "callbackUrl": f"https://u:{PASSWORD}@example.com/"}),
        json.dumps({"operation": started, "timeout": PASSWORD}),
        f'{{"operation": "{PASSWORD}',
    ]


def secrets_of(ours: Environment, urls: list[str]) -> dict[str, str]:
    """Return each text that no line may hold, under a name for the failure message."""
    signed = {text for url in urls for text in re.findall(r"[\w-]{30,}", urlsplit(url).query)}
    signatures = {f"signature {number}": text for number, text in enumerate(signed)}
    tokens = {f"token {number}": text for number, text in enumerate(ours.arm.identity._tokens)}
    assert signatures
    assert tokens
    return {
        **signatures,
        **tokens,
        "what users posted": PASSWORD,
        "the signing secret": ours.receiver.secret.text.removeprefix("whsec_"),
        "the account's key": DEVELOPMENT_KEY,
        "the identity's header": ours.arm.identity_header,
    }
