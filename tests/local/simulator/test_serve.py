import asyncio
import signal
import sys
from collections import Counter
from random import Random

import pytest
from aiohttp import ClientSession

from opswatch.config import Settings
from opswatch.local.simulator import parse_distribution
from opswatch.local.simulator.serve import draw_scenario, parse_outcomes


def seeded_rng() -> Random:
    return Random(1)  # noqa: S311 - not a secret


def test_outcomes_have_weights() -> None:
    assert parse_outcomes("succeeded=8, failed") == {"succeeded": 8.0, "failed": 1.0}


@pytest.mark.parametrize("text", ["", "no-such", "failed=x", "succeeded=2,failed=-1", "failed=0"])
def test_invalid_outcomes_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_outcomes(text)


def test_scenarios_are_drawn_by_weight() -> None:
    rng = seeded_rng()
    drawn = [draw_scenario({"succeeded": 3, "failed": 1}, None, rng) for _ in range(1000)]
    counts = Counter(str((scenario.ending or {})["status"]) for scenario in drawn)
    assert counts["Succeeded"] == pytest.approx(750, abs=50)
    assert counts["Failed"] == 1000 - counts["Succeeded"]


def test_drawn_duration_replaces_the_scripts() -> None:
    weights, five = parse_outcomes("redis-enterprise-create"), parse_distribution("5")
    own = parse_distribution("490")(seeded_rng())
    assert draw_scenario(weights, None, seeded_rng()).duration == own
    assert draw_scenario(weights, five, seeded_rng()).duration == five(seeded_rng())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_simulator_serves_until_a_signal(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "opswatch.cli", "simulate",
        "--port", "0", "--count", "2", "--duration", "60",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().strip() for _ in range(8)]
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lines[1:6])
    endpoint = exports["OPSWATCH_ARM_ENDPOINT"]
    settings = Settings.from_env(exports)
    assert settings.arm_endpoint == endpoint
    assert settings.rules.refusal("http://127.0.0.1:8080/hook") is None
    assert "127.0.0.1:10001" in settings.storage.connection_string
    assert all(url.startswith(f"{endpoint}/subscriptions/") for url in lines[6:])
    query = {"api-version": "2019-08-01", "resource": "https://management.azure.com"}
    headers = {"X-IDENTITY-HEADER": exports["IDENTITY_HEADER"]}
    async with ClientSession() as client:
        url = exports["IDENTITY_ENDPOINT"]
        async with client.get(url, params=query, headers=headers) as response:
            token = (await response.json())["access_token"]
        async with client.get(lines[6], headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200
    process.send_signal(number)
    assert await process.wait() == 0
