import argparse
import asyncio
import signal
import sys
from collections import Counter
from random import Random

import pytest
from aiohttp import ClientSession

from opswatch.local.simulator import parse_draw
from opswatch.local.simulator.command import add_arguments, command, draw_life, parse_outcomes

PROGRAM = """
import argparse, sys
from opswatch.local.simulator.command import add_arguments, command
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(command(parser.parse_args()))
"""


def seeded() -> Random:
    return Random(1)  # noqa: S311 - made-up lives are no secrets


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def test_outcomes_have_weights() -> None:
    assert parse_outcomes("succeeded=8, failed") == {"succeeded": 8.0, "failed": 1.0}


@pytest.mark.parametrize("text", ["", "no-such", "failed=x", "succeeded=2,failed=-1", "failed=0"])
def test_wrong_outcomes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_outcomes(text)


def test_lives_are_drawn_by_weight() -> None:
    rng = seeded()
    lives = [draw_life({"succeeded": 3, "failed": 1}, None, rng) for _ in range(1000)]
    counts = Counter(str((life.ending or {})["status"]) for life in lives)
    assert counts["Succeeded"] == pytest.approx(750, abs=50)
    assert counts["Failed"] == 1000 - counts["Succeeded"]


def test_a_drawn_duration_replaces_the_scripts_own() -> None:
    outcomes = parse_outcomes("redis-enterprise-create")
    assert draw_life(outcomes, None, seeded()).duration == parse_draw("490")(seeded())
    assert draw_life(outcomes, parse_draw("5"), seeded()).duration == parse_draw("5")(seeded())


def test_mistakes_on_the_command_line_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--duration", "soon"], ["--outcome", "fail"]):
        with pytest.raises(SystemExit):
            parse(*arguments)
    shown = capsys.readouterr().err
    assert "lognormal:MEDIAN:SIGMA" in shown
    assert "is none of the scripts" in shown


def test_the_scripts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(parse("--scripts")) == 0
    assert "redis-enterprise-create" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_prints_the_environment_and_serves_until_it_is_told_to_stop(
    number: signal.Signals,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "--port", "0", "--count", "2", "--duration", "60",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().strip() for _ in range(6)]
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lines[1:4])
    endpoint = exports["OPSWATCH_ARM_ENDPOINT"]
    assert all(url.startswith(f"{endpoint}/subscriptions/") for url in lines[4:])
    async with ClientSession() as client:
        token = await _token(client, exports)
        async with client.get(lines[4], headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200
    process.send_signal(number)
    assert await process.wait() == 0


async def _token(client: ClientSession, exports: dict[str, str]) -> str:
    async with client.get(
        exports["IDENTITY_ENDPOINT"],
        params={"api-version": "2019-08-01", "resource": "https://management.azure.com"},
        headers={"X-IDENTITY-HEADER": exports["IDENTITY_HEADER"]},
    ) as response:
        token: str = (await response.json())["access_token"]
        return token
