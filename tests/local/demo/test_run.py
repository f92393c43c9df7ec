"""What the demo prints: a table that fits the terminal, and where everything is that it keeps."""

import io
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from opswatch.core.errors import Reason
from opswatch.local.demo.cases import Case, rejected_cases, start_cases
from opswatch.local.demo.progress import Progress
from opswatch.local.demo.receiver import Receiver
from opswatch.local.demo.run import app_settings, compact_table, full_table, kept_running
from opswatch.local.simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=1) as simulator:
        yield simulator


def settled(case: Case) -> Progress:
    status = case.expected.value
    return Progress(status=status, polls=7, callback="/hook delivered", is_settled=True)


async def test_compact_table_fits_80_by_24(simulator: Simulator) -> None:
    cases = [*start_cases(simulator, "http://127.0.0.1:9"), *rejected_cases()]
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(compact_table(cases, [settled(case) for case in cases]))
    lines = captured.get().splitlines()
    assert len(lines) <= 22  # a line above it, and one below
    assert max(map(len, lines)) <= 80
    shown = " ".join(lines)
    assert all(reason.value in shown for reason in (Reason.INVALID_OPERATION, Reason.TOO_LARGE))
    assert shown.count("✗") == len(cases)  # none is marked as expected here


async def test_full_table_has_a_line_for_each_case(simulator: Simulator) -> None:
    cases = [*start_cases(simulator, "http://127.0.0.1:9"), *rejected_cases()]
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as captured:
        console.print(full_table(cases, [settled(case) for case in cases]))
    assert len(captured.get().splitlines()) == len(cases) + 1


@pytest.mark.parametrize("table", [compact_table, full_table])
async def test_table_is_ascii_if_it_must_be(
    simulator: Simulator, table: Callable[..., Table]
) -> None:
    cases = start_cases(simulator, "http://127.0.0.1:9")
    good, bad, running = cases[:3]
    progress = [
        replace(settled(good), is_expected=True),
        settled(bad),
        replace(settled(running), is_settled=False),
    ]
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as captured:
        console.print(table(cases[:3], progress, is_plain=True))
    assert captured.get().isascii()
    assert {"+", "x", "."} <= set(captured.get().split())


async def test_what_is_kept_says_how_to_post_to_it(simulator: Simulator) -> None:
    async with Receiver() as receiver:
        env = app_settings("UseDevelopmentStorage=true", simulator, receiver)
        text = "\n".join(kept_running("http://127.0.0.1:7071", env, simulator, receiver))
    assert "http://127.0.0.1:7071/api/dashboard" in text
    assert f"{simulator.endpoint}/simulator/operations" in text
    assert f"{receiver.url}/hook" in text
    assert receiver.secret.text in text
    exported = set(re.findall(r"export (\w+)=", text))
    assert exported == {name for name, value in env.items() if value}
    assert {"AzureWebJobsStorage", "OPSWATCH_ARM_ENDPOINT", "OPSWATCH_LOCATION"} <= exported
