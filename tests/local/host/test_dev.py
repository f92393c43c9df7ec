import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from opswatch import cli
from opswatch.core.errors import ConfigError
from opswatch.local.host.run import check_settings
from opswatch.local.ports import listen_on
from tests.test_wrong_settings import WRONG

pytestmark = pytest.mark.timeout(60)

APP = """
    import logging, pathlib, time

    @app.route(route="slow", methods=["GET"])
    def slow(req) -> str:
        print("started", flush=True)
        while not pathlib.Path("gate").exists():
            time.sleep(0.01)
        return "whole"

    @app.route()
    async def quick(req) -> str:
        logging.info("a line of the app")
        return "quick"

    @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
    def tick(timer) -> None: ...
"""


@asynccontextmanager
async def started(app: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "opswatch.cli", "dev", "--app", str(app), "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": ""},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines_until(process: asyncio.subprocess.Process, text: str) -> list[str]:
    assert process.stdout
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        line = await process.stdout.readline()
        assert line, lines
        lines.append(line.decode().rstrip())
    return lines


async def test_functions_are_listed_and_drain_on_sigterm(make_app: Any) -> None:
    app = make_app(APP)
    async with started(app) as process, ClientSession() as http:
        *listed, listening = await lines_until(process, "Listening")
        url = listening.removeprefix("Listening on ")
        assert listed == [
            "Functions:",
            f"  slow                     http   GET {url}/api/slow",
            f"  quick                    http   any {url}/api/quick",
            "  tick                     timer  0 0 0 1 1 *",
        ]
        async with http.get(f"{url}/api/quick") as quick:
            assert await quick.text() == "quick"
        app_line, line = await lines_until(process, "quick succeeded")
        assert app_line.endswith("a line of the app")
        assert line.endswith(" ms")

        request = asyncio.create_task(http.get(f"{url}/api/slow"))
        await lines_until(process, "started")
        process.send_signal(signal.SIGTERM)
        await lines_until(process, "Stopping")
        (app / "gate").touch()
        async with await request as response:
            assert await response.text() == "whole"
        assert await process.wait() == 0


async def test_second_signal_exits_at_once(make_app: Any) -> None:
    async with started(make_app(APP)) as process, ClientSession() as http:
        (listening,) = (await lines_until(process, "Listening"))[-1:]
        url = listening.removeprefix("Listening on ")
        request = asyncio.create_task(http.get(f"{url}/api/slow"))
        await lines_until(process, "started")
        process.send_signal(signal.SIGINT)
        await lines_until(process, "Stopping")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 128 + signal.SIGTERM
        await asyncio.wait({request})
        assert request.exception()


async def test_abandoned_thread_does_not_block_exit() -> None:
    code = """
import threading
from opswatch.local.host import run, worker
threading.Thread(target=threading.Event().wait, name=f"{worker.THREADS}_0").start()
run.exit_despite_threads()
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


def test_folder_without_app_exits_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for missing in ("host.json and no function_app.py", "function_app.py"):
        assert cli.main(["dev", "--app", str(tmp_path)]) == 2
        assert capsys.readouterr().err == (
            f"{tmp_path} is not the folder of a function app: it has no {missing}. "
            "Name the folder with --app\n"
        )
        (tmp_path / "host.json").write_text("{}")


def test_app_that_cannot_be_imported_exits_with_a_reason(
    make_app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    app = make_app("import no_such_module")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    assert cli.main(["dev", "--app", str(app), "--port", "0"]) == 1
    for number, handler in handlers.items():
        signal.signal(number, handler)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The app cannot be imported: ModuleNotFoundError: No module named")


async def test_port_in_use_exits_with_a_reason(
    make_app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    app = make_app("")
    with listen_on(0) as taken:
        port = str(taken.getsockname()[1])
        assert await asyncio.to_thread(cli.main, ["dev", "--app", str(app), "--port", port]) == 2
    assert capsys.readouterr().err.startswith(f"Port {port} is in use: choose another one")


async def test_full_disk_ends_it_with_one_line(make_app: Any) -> None:
    app = make_app(APP)
    # Linux has a file where each write fails as on a full disk.
    with Path("/dev/full").open("w") as full:  # noqa: ASYNC230 - opening it does not block
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "opswatch.cli", "dev", "--app", str(app), "--port", "0"),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
    _, printed = await process.communicate()
    assert printed == b"The output cannot be written: No space left on device\n"
    assert process.returncode == 6


OPSWATCH_APP = "from opswatch.process import Process\n"
GOOD = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


@pytest.fixture
def folder(tmp_path: Path, make_app: Any) -> Callable[..., Path]:
    """Make the folder of opswatch's own app with settings in local.settings.json."""

    def make(settings: dict[str, str], **host: Any) -> Path:
        make_app(OPSWATCH_APP, **host)
        (tmp_path / "local.settings.json").write_text(json.dumps({"Values": settings}))
        return tmp_path

    return make


def test_wrong_settings_are_listed_and_nothing_starts(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = folder(
        {
            "OPSWATCH_CLOUD": "mars",
            "OPSWATCH_RETENTION": "for ever",
            "OPSWATCH_CALLBACK_SECRETS": "whsec_short",
            "OPSWATCH_POLL_MAXX": "PT1M",
            "OPSWATCH_TIMEOUT": "P1Y",
        },
        version="1.0",
    )
    monkeypatch.setenv("OPSWATCH_TIMEOUT", "PT1H")  # the environment wins
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "soon")
    assert cli.main(["dev", "--app", str(app), "--port", "0"]) == 2
    printed = capsys.readouterr()
    named = [line.split(":")[0] for line in printed.err.splitlines()[1:]]
    assert named == [
        "- host.json",
        "- AzureFunctionsJobHost__functionTimeout",
        "- AzureWebJobsStorage",
        "- OPSWATCH_CLOUD",
        "- OPSWATCH_RETENTION",
        "- OPSWATCH_CALLBACK_SECRETS",
        "- OPSWATCH_POLL_MAXX",
    ]
    assert "whsec_short" not in printed.err
    assert "Listening" not in printed.out


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_each_wrong_setting_prevents_the_start(
    folder: Callable[..., Path], name: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=name):
        check_settings(folder(GOOD | {name: value}), {})


@pytest.mark.parametrize("secret", [None, "", "@Microsoft.KeyVault(VaultName=kv;SecretName=x)"])
def test_missing_secret_does_not_prevent_the_start(
    folder: Callable[..., Path], secret: str | None
) -> None:
    more = {} if secret is None else {"OPSWATCH_CALLBACK_SECRETS": secret}
    check_settings(folder(GOOD | more), {})


def test_another_app_has_settings_of_its_own(make_app: Any) -> None:
    check_settings(make_app(APP), {"OPSWATCH_CLOUD": "mars"})


def test_broken_settings_file_is_one_of_the_mistakes(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    app = folder({}, version="1.0")
    (tmp_path / "local.settings.json").write_text("{")
    with pytest.raises(ConfigError) as raised:
        check_settings(app, {})
    assert len(raised.value.problems) == 3  # it, host.json, and no storage


def test_own_app_counts_as_opswatch() -> None:
    root = Path(__file__).parents[3]
    with pytest.raises(ConfigError, match="OPSWATCH_CLOUD"):
        check_settings(root, GOOD | {"OPSWATCH_CLOUD": "mars"})
