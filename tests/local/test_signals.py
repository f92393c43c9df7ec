"""Programs of this machine end at a signal, and what fails after it is no error."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from opswatch.local.signals import run_until_signal, stop_event


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put the handlers of the test's process back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_sets_the_event(number: signal.Signals) -> None:
    stopped = stop_event()
    assert not stopped.is_set()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        await stopped.wait()


async def test_other_threads_have_no_signals() -> None:
    before = signal.getsignal(signal.SIGTERM)
    await asyncio.to_thread(asyncio.run, run_until_signal(asyncio.sleep(0)))
    assert signal.getsignal(signal.SIGTERM) is before


async def test_result_is_returned_without_a_signal() -> None:
    assert await run_until_signal(asyncio.sleep(0, "done")) == "done"


async def test_error_is_raised_without_a_signal() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await run_until_signal(fail())


@pytest.mark.parametrize("fails", [False, True])
async def test_signal_cancels_and_later_errors_are_ignored(fails: bool) -> None:
    seen: list[str] = []

    async def main() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("closed")
            if fails:
                raise ConnectionError("its child has ended at the same Ctrl-C")
        return "done"

    async with asyncio.timeout(5):
        assert await run_until_signal(main()) is None
    assert seen == ["closed"]
