"""Waiting for operations, over the app's own answers to fakes: ends, outages, time limits."""

from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from opswatch.cli import waiting
from opswatch.cli.failures import AnswerError, CommandError
from opswatch.cli.operations import get_operation
from opswatch.cli.source import Source
from opswatch.cli.waiting import Looks, Wait, Waited, is_settled, wait_for
from opswatch.core.intake import CALLBACK_ENDS, Registration
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus
from opswatch.ports import Services
from tests.cli.scripted import Scripted, end, fails, settle, watch
from tests.support.harness import HOOK, Harness

OUTAGE = ServiceRequestError("refused")
ENDS = [
    (FinalStatus.SUCCEEDED, 0),
    (FinalStatus.FAILED, 1),
    (FinalStatus.CANCELED, 3),
    (FinalStatus.STOPPED, 3),
    (FinalStatus.TIMED_OUT, 4),
    (FinalStatus.LOST, 4),
]


@pytest.fixture
def services() -> Services:
    return Harness().services


@pytest.fixture
def source(services: Services) -> Scripted:
    return Scripted(services)


async def waited(source: Source, *keys: Key, **options: Any) -> Waited:
    return await wait_for(source, keys, Wait(every=0.001, **options))


# --- ends


@pytest.mark.parametrize(("status", "code"), ENDS)
async def test_exit_code_is_that_of_the_end(
    source: Scripted, services: Services, status: FinalStatus, code: int
) -> None:
    key = await watch(services)
    source.before[3] = lambda: end(services, key, status)
    ended = await waited(source, key)
    assert (ended.exit_code, source.looks) == (code, 3)
    assert [row["status"] for row in ended.rows] == [status.value]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([FinalStatus.SUCCEEDED, FinalStatus.FAILED, FinalStatus.LOST], 1),
        ([FinalStatus.SUCCEEDED, FinalStatus.LOST, FinalStatus.CANCELED], 4),
        ([FinalStatus.SUCCEEDED, FinalStatus.CANCELED], 3),
        ([FinalStatus.SUCCEEDED, FinalStatus.SUCCEEDED], 0),
    ],
)
async def test_worst_end_of_several_decides(
    source: Scripted, services: Services, statuses: list[FinalStatus], code: int
) -> None:
    keys = [await watch(services, f"op{number}") for number in range(len(statuses))]
    for key, status in zip(keys, statuses, strict=True):
        await end(services, key, status)
    assert (await waited(source, *keys)).exit_code == code


async def test_any_end_is_enough(source: Scripted, services: Services) -> None:
    slow, quick = await watch(services, "slow"), await watch(services, "quick")
    source.before[4] = lambda: end(services, quick, FinalStatus.CANCELED)
    ended = await waited(source, slow, quick, any_of_them=True)
    assert ended.exit_code == 3
    assert [row["state"] for row in ended.rows] == ["watching", "finished"]


async def test_ended_operation_is_read_no_more(source: Scripted, services: Services) -> None:
    slow, quick = await watch(services, "slow"), await watch(services, "quick")
    await end(services, quick)
    source.before[5] = lambda: end(services, slow)
    assert (await waited(source, slow, quick)).exit_code == 0
    assert source.looks == 5  # both, then the slow one thrice


# --- time


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_timeout_ends_with_still_running(
    source: Scripted, services: Services, capsys: pytest.CaptureFixture[str], seconds: float
) -> None:
    key = await watch(services)
    ended = await waited(source, key, timeout=timedelta(seconds=seconds))
    assert ended.exit_code == 8
    assert [row["state"] for row in ended.rows] == ["watching"]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "    0s  registered    1b2c",
        "still running after 0s: 1b2c",
    ]


async def test_zero_timeout_looks_once(source: Scripted, services: Services) -> None:
    key = await watch(services)
    assert (await waited(source, key, timeout=timedelta(0))).exit_code == 8
    assert source.looks == 1


async def test_operation_may_be_registered_later(
    source: Scripted, services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    read = services.intake.read(b"1b2c", services.clock())
    assert isinstance(read, Registration)

    async def register_and_end() -> None:
        await end(services, await watch(services))

    source.before[4] = register_and_end
    assert (await waited(source, read.operation.key)).exit_code == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["not", "Succeeded"]


async def test_operation_that_stays_unknown_is_an_error(
    source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_UNKNOWN_FOR", 0.0)
    with pytest.raises(CommandError, match="s/a~b~c~d is unknown") as caught:
        await waited(source, Key("s", "a~b~c~d"))
    assert caught.value.exit_code == 2


# --- outages


async def test_outage_is_noted_once_and_ridden_out(
    source: Scripted, services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    key = await watch(services)
    source.before |= dict.fromkeys(range(2, 7), fails(OUTAGE))
    source.before[8] = lambda: end(services, key)
    assert (await waited(source, key)).exit_code == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0].strip() for line in lines[1:3]] == [
        "No answer from the storage account",
        "looking again after 0 s",
    ]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("error", "at"),
    [
        (OUTAGE, 1),  # what has never answered is not waited for
        (AnswerError(401, "", "Unauthorized"), 2),
        (ZeroDivisionError(), 2),
    ],
)
async def test_what_does_not_pass_ends_the_wait(
    source: Scripted, services: Services, error: Exception, at: int
) -> None:
    key = await watch(services)
    source.before[at] = fails(error)
    with pytest.raises(type(error)):
        await waited(source, key)


async def test_outage_without_end_ends_the_wait() -> None:
    now = 0.0
    looks = Looks(clock=lambda: now)

    async def good() -> bool:
        return True

    async def bad() -> bool:
        raise OUTAGE

    assert await looks.look(good())
    assert await looks.look(bad()) is None
    now = waiting.LONGEST_OUTAGE + 1
    with pytest.raises(ServiceRequestError):
        await looks.look(bad())


async def test_timeout_holds_during_an_outage(source: Scripted, services: Services) -> None:
    key = await watch(services)
    source.before |= dict.fromkeys(range(2, 10_000), fails(HttpResponseError("busy")))
    assert (await waited(source, key, timeout=timedelta(seconds=0.02))).exit_code == 8


# --- callbacks


@pytest.mark.parametrize(("answer", "code"), [(204, 0), (410, 1)])
async def test_callbacks_are_waited_for(
    source: Scripted,
    services: Services,
    answer: int,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = await watch(services, callback=HOOK)
    await end(services, key)
    source.before[3] = lambda: settle(services, key, answer)
    assert (await waited(source, key, callbacks=True)).exit_code == code
    assert source.looks == 3
    last = capsys.readouterr().err.splitlines()[-1]
    cause = "abandoned after 1 attempt: 410 (msg_"
    advice = f"; `opswatch redeliver {key}` sends it again"
    assert (cause in last and last.endswith(advice)) == (code == 1)


async def test_callbacks_are_no_matter_unless_wanted(source: Scripted, services: Services) -> None:
    key = await watch(services, callback=HOOK)
    await end(services, key)
    assert (await waited(source, key)).exit_code == 0
    assert source.looks == 1


NEW_HOOK = "https://new.example/hook?key=1"


@pytest.mark.parametrize(("answer", "code"), [(204, 0), (410, 1)])
async def test_named_callback_is_waited_for_before_its_post_is_read(
    source: Scripted,
    services: Services,
    answer: int,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = await watch(services, callback=HOOK)
    await end(services, key)
    await settle(services, key, 204)
    source.before[3] = lambda: watch(services, callback=NEW_HOOK)
    source.before[5] = lambda: settle(services, key, answer)
    named = {key: {NEW_HOOK: CALLBACK_ENDS}}
    assert (await waited(source, key, named_callbacks=named)).exit_code == code
    assert source.looks == 5
    lines = capsys.readouterr().err.splitlines()
    assert "Succeeded, callback not known yet" in lines[0]
    assert "Succeeded, callbacks pending" in lines[1]


async def test_other_callbacks_do_not_hold_up_a_named_one(
    source: Scripted, services: Services
) -> None:
    key = await watch(services, callback=NEW_HOOK)
    await end(services, key)
    await settle(services, key, 204)
    await watch(services, callback=HOOK)  # whose delivery stays pending
    named = {key: {NEW_HOOK: CALLBACK_ENDS}}
    assert (await waited(source, key, named_callbacks=named)).exit_code == 0
    both = {"named_callbacks": named, "callbacks": True, "timeout": timedelta(0)}
    assert (await waited(source, key, **both)).exit_code == 8


async def test_named_callback_that_does_not_get_this_end_is_not_waited_for(
    source: Scripted, services: Services
) -> None:
    key = await watch(services)
    await end(services, key)
    named = {key: {NEW_HOOK: ["Failed"]}}
    assert (await waited(source, key, named_callbacks=named)).exit_code == 0
    assert source.looks == 1


async def test_named_callback_that_stays_unknown_is_an_error(
    source: Scripted, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await watch(services)
    await end(services, key)
    monkeypatch.setattr(waiting, "_UNKNOWN_FOR", 0.0)
    named = {key: {NEW_HOOK: CALLBACK_ENDS}}
    with pytest.raises(CommandError, match="example is unknown") as error:
        await waited(source, key, named_callbacks=named)
    assert error.value.exit_code == 2


@pytest.fixture
async def row(source: Scripted, services: Services) -> dict[str, Any]:
    """An operation that has ended, with a callback that is delivered."""
    key = await watch(services, callback=HOOK)
    await end(services, key)
    await settle(services, key, 204)
    found = await get_operation(source, key)
    assert found is not None
    return found


def test_result_waits_for_its_deliveries(row: dict[str, Any]) -> None:
    assert is_settled(row, is_late=False)
    assert not is_settled({**row, "deliveries": []}, is_late=False)
    assert is_settled({**row, "deliveries": []}, is_late=True)
    assert is_settled({**row, "deliveries": [], "status": "Stopped"}, is_late=False)
    (origin,) = row["callbacks"]
    restricted = {**row, "deliveries": [], "callbackOn": {origin: ["Failed"]}}
    assert is_settled(restricted, is_late=False)
    assert not is_settled({**restricted, "status": "Failed"}, is_late=False)


def test_deliveries_of_earlier_rounds_do_not_count(row: dict[str, Any]) -> None:
    again = {**row, "round": 2}
    assert not is_settled(again, is_late=False)
    second = {**row["deliveries"][0], "round": 2}
    assert is_settled({**again, "deliveries": [*row["deliveries"], second]}, is_late=False)
