"""The receiver of the settings is for an operation's first post alone."""

from dataclasses import replace

import pytest

from opswatch.core.http import HttpResponse
from opswatch.steps.repair import repair
from tests.support.harness import HOOK, OTHER, Harness, InterruptedStepError, ended, running

DEFAULT = "https://default.example.com/hook"


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    intake = harness.services.intake
    defaults = replace(intake.defaults, callback_url=DEFAULT)
    harness.services = replace(harness.services, intake=replace(intake, defaults=defaults))
    return harness


async def test_first_post_calls_it(harness: Harness) -> None:
    await harness.ended()
    assert harness.called() == [DEFAULT]


async def test_own_receiver_replaces_it(harness: Harness) -> None:
    await harness.ended(HOOK)
    assert harness.called() == [HOOK]


@pytest.mark.parametrize("first", [None, HOOK])
async def test_second_post_while_running_adds_none(harness: Harness, first: str | None) -> None:
    harness.post(first)
    await harness.pump()
    harness.post()
    await harness.pump()
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [first or DEFAULT]


@pytest.mark.parametrize("again", [False, True])
async def test_post_after_the_end_adds_none(harness: Harness, *, again: bool) -> None:
    harness.status = HttpResponse(404, {})
    harness.post(HOOK)
    await harness.settle()
    harness.status = ended()
    harness.post(again=again)
    await harness.settle()
    assert harness.called() == [HOOK] * (2 if again else 1)


async def test_own_receiver_may_be_the_same(harness: Harness) -> None:
    await harness.ended(HOOK)
    harness.post(DEFAULT)
    await harness.settle()
    assert harness.called() == [HOOK, DEFAULT]


async def test_its_ends_can_be_restricted(harness: Harness) -> None:
    harness.status = ended()
    harness.post(callbackOn=["Failed"])
    await harness.settle()
    assert harness.called() == []


@pytest.mark.parametrize("cut_after", range(1, 4))
async def test_interrupted_late_post_adds_none(harness: Harness, cut_after: int) -> None:
    """The repair finds what the post has left, before the post is repeated."""
    await harness.ended(HOOK)
    harness.post()
    harness.effects.names.clear()
    harness.effects.cut_after = cut_after
    try:
        await harness.settle()
    except InterruptedStepError:
        harness.effects.cut_after = None
        harness.advance(minutes=5)
        await repair(harness.services)
        await harness.settle()
    assert harness.called() == [HOOK]


async def test_receiver_that_joins_a_late_post_leaves_it_out(harness: Harness) -> None:
    await harness.ended(HOOK)

    async def join() -> None:
        harness.post(OTHER)
        await harness.pump()

    harness.status = running()
    harness.effects.before["watches.delete"] = join
    harness.post()
    await harness.settle()
    assert sorted(harness.called()) == [HOOK, OTHER]
