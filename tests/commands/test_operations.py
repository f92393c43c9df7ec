"""Showing, listing, cancelling and replaying operations that are in the tables."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from opswatch.commands.views import key_text
from opswatch.core.arm import ArmError
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.watches import FinalStatus
from tests.commands.conftest import Run, Stage

HOOK = "https://hook.example/a"
NESTED = ArmError(
    code="DeploymentFailed",
    message="at least one",
    json='{"code":"DeploymentFailed","message":"at least one","details":[{"code":"Conflict"}]}',
)


def posted(operation_id: str, callback_url: str | None = HOOK) -> str:
    state = {"ticket": 42}
    posted = {"operation": operation_id, "callbackUrl": callback_url, "clientState": state}
    return json.dumps(posted)


# --- show


async def test_a_watch_is_shown_however_it_is_named(run: Run, stage: Stage) -> None:
    key = await stage.watched(posted("1b2c"))
    await stage.progressed(key, "Creating", 40)
    url = f"https://management.azure.com/subscriptions/{key.partition}/providers/Microsoft.Cache"
    shown = [
        await run("show", form)
        for form in (
            "1b2c",
            key_text(key),
            f"{key.partition.upper()}/{key.row}",
            f"{url}/locations/West US/operationsStatus/1b2c",
            posted("1b2c"),
        )
    ]
    assert {ran.code for ran in shown} == {0}
    assert len({ran.out for ran in shown}) == 1
    assert shown[0].lines[:2] == ["status      Creating", f"operation   {key_text(key)}"]
    assert "progress    40 %" in shown[0].lines
    assert 'state       {"ticket":42}' in shown[0].lines


async def test_a_result_is_shown_with_its_error_and_its_deliveries(run: Run, stage: Stage) -> None:
    key = await stage.watched(posted("1b2c"))
    await stage.ended(key, FinalStatus.FAILED, NESTED)
    await stage.attempted(key, HttpResponse(503, {}, b"busy"))
    ran = await run("show", "1b2c")
    assert ran.lines[0] == "status      Failed"
    assert "error       DeploymentFailed: at least one" in ran.lines
    (callback,) = [line for line in ran.lines if line.startswith("callback")]
    assert callback.startswith(f"callback    {HOOK} pending after 1 POST: 503 busy; next at ")


async def test_as_json_a_row_is_shown_as_it_is(run: Run, stage: Stage) -> None:
    key = await stage.watched(posted("1b2c"))
    watching = json.loads((await run("show", "1b2c", "--json")).out)
    assert (watching["state"], watching["deliveries"]) == ("watching", [])
    assert (watching["PartitionKey"], watching["RowKey"]) == (key.partition, key.row)
    await stage.ended(key, FinalStatus.FAILED, NESTED)
    await stage.attempted(key, NoAnswer("dns", "no such name"))
    finished = json.loads((await run("show", "1b2c", "--json")).out)
    assert (finished["state"], finished["status"]) == ("finished", "Failed")
    assert finished["errorJson"]["details"] == [{"code": "Conflict"}]
    assert (finished["resultJson"], finished["clientState"]) == ({"a": 1}, {"ticket": 42})
    assert finished["callbacks"] == [HOOK]
    assert datetime.fromisoformat(finished["finishedAt"]).tzinfo is not None
    (delivery,) = finished["deliveries"]
    assert (delivery["state"], delivery["callbackUrl"]) == ("pending", HOOK)
    assert [attempt["layer"] for attempt in delivery["attemptLog"]] == ["dns"]


async def test_no_signature_is_shown(run: Run, stage: Stage) -> None:
    signed = f"{HOOK}?sig=hush-hush"
    url = "https://management.azure.com/subscriptions/s/providers/p/locations/l/o/1?t=hush-hush"
    key = await stage.watched(posted(url, signed))
    await stage.ended(key)
    ran = await run("show", key_text(key))
    assert ran.code == 0
    assert HOOK in ran.out
    assert "hush-hush" not in ran.out


async def test_nothing_that_others_wrote_moves_the_cursor(run: Run, stage: Stage) -> None:
    hostile = "a\x1b[2J\x9b2J\tb"
    key = await stage.watched(json.dumps({"operation": "1b2c", "kind": hostile}))
    await stage.progressed(key, hostile, 40)
    for command in (["show", "1b2c"], ["show", "1b2c", "--json"], ["list"], ["list", "--json"]):
        out = (await run(*command)).out
        assert "a" in out
        assert not {"\x1b", "\x9b"} & set(out)


async def test_a_replay_under_way_is_shown_instead_of_its_record(run: Run, stage: Stage) -> None:
    key = await stage.watched(posted("1b2c"))
    await stage.ended(key)
    await stage.attempted(key, HttpResponse(204, {}))
    assert "delivered after 1 POST" in (await run("show", "1b2c")).out
    assert (await run("redeliver", "1b2c")).code == 0
    ran = await run("show", "1b2c")
    assert [f"{HOOK} pending after 1 POST" in line for line in ran.lines].count(True) == 1
    assert "delivered" not in ran.out


@pytest.mark.parametrize("command", ["show", "cancel", "redeliver"])
async def test_what_is_not_known_is_told(run: Run, command: str) -> None:
    ran = await run(command, "s/a~b~c~d")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("s/a~b~c~d ")


async def test_an_operation_has_its_own_deliveries_and_not_those_of_a_longer_key(
    run: Run, stage: Stage
) -> None:
    subscription = stage.services.intake.defaults.subscription_id
    place = "providers/Microsoft.Cache/locations/westus/operationsStatus/1b2c"
    key = await stage.watched(posted("1b2c"))
    longer = await stage.watched(
        posted(f"/subscriptions/{subscription}/resourceGroups/g/{place}", f"{HOOK}/longer")
    )
    assert longer.row.startswith(f"{key.row}~")
    for operation in (key, longer):
        await stage.ended(operation)
    ran = await run("show", key_text(key))
    assert [line.split()[1] for line in ran.lines if line.startswith("callback")] == [HOOK]


# --- list


def listed(out: str, stage: Stage) -> list[list[str]]:
    """Return the cells of this test's lines: others use the same table."""
    mine = str(stage.services.intake.defaults.subscription_id)
    return [line.split("\t") for line in out.splitlines() if mine in line]


async def test_operations_are_listed_newest_first(run: Run, stage: Stage) -> None:
    now = datetime.now(UTC)
    for name, age in (("week", 7), ("now", 0), ("day", 1), ("year", 365)):
        await stage.watched(name, at=now - timedelta(days=age))
    cells = listed((await run("list", "--top", "1000")).out, stage)
    assert [line[-1].rpartition("~")[2] for line in cells] == ["now", "day", "week"]
    since = (now - timedelta(days=1, minutes=1)).isoformat()
    cells = listed((await run("list", "--since", since)).out, stage)
    assert [line[-1].rpartition("~")[2] for line in cells] == ["now", "day"]
    await stage.watched("minute", at=now - timedelta(minutes=1))
    since = (now - timedelta(seconds=30)).isoformat()
    cells = listed((await run("list", "--since", since)).out, stage)
    assert [line[-1].rpartition("~")[2] for line in cells] == ["now"]
    cells = listed((await run("list", "--top", "1")).out, stage)
    assert [line[-1].rpartition("~")[2] for line in cells] == ["now"]


async def test_each_is_listed_with_its_status_of_now(run: Run, stage: Stage) -> None:
    new, running, failed, done = [
        await stage.watched(name) for name in ("new", "running", "failed", "done")
    ]
    await stage.progressed(running, "Creating", 40)
    await stage.ended(failed, FinalStatus.FAILED, NESTED)
    await stage.ended(done)
    cells = listed((await run("list")).out, stage)
    assert {line[-1]: line[1] for line in cells} == {
        key_text(new): "registered",
        key_text(running): "Creating",
        key_text(failed): "Failed",
        key_text(done): "Succeeded",
    }
    assert {line[-1] for line in cells if line[4] == "DeploymentFailed"} == {key_text(failed)}


@pytest.mark.parametrize(
    ("status", "names"),
    [
        ("failed", {"failed"}),
        ("Creating", {"running"}),
        ("watching", {"new", "running"}),
        ("Lost", set()),
    ],
)
async def test_a_status_can_be_asked_for(
    run: Run, stage: Stage, status: str, names: set[str]
) -> None:
    _, running, failed = [await stage.watched(name) for name in ("new", "running", "failed")]
    await stage.progressed(running, "Creating", 40)
    await stage.ended(failed, FinalStatus.FAILED, NESTED)
    ran = await run("list", "--status", status)
    assert ran.code == 0
    assert {line[-1].rpartition("~")[2] for line in listed(ran.out, stage)} == names


async def test_as_json_a_list_is_an_array_of_its_rows(run: Run, stage: Stage) -> None:
    key = await stage.watched("1b2c")
    lines = json.loads((await run("list", "--json")).out)
    (line,) = [line for line in lines if line["subscriptionId"] == key.partition]
    assert (line["operationKey"], line["status"]) == (key.row, "registered")
    assert "PartitionKey" not in line


@pytest.mark.parametrize("argument", ["yesterday", "2026-13-01", ""])
async def test_an_instant_that_is_none_is_told(run: Run, argument: str) -> None:
    ran = await run("list", "--since", argument)
    assert ran.code == 2
    assert "is no instant such as" in ran.err


# --- cancel


async def test_a_cancelled_watch_has_a_result_and_no_callback(run: Run, stage: Stage) -> None:
    key = await stage.watched(posted("1b2c"))
    ran = await run("cancel", "1b2c")
    assert (ran.code, ran.lines) == (0, [f"{key_text(key)} is watched no longer"])
    result = await stage.services.store.results.get(key)
    assert result is not None
    assert result.value.end.status is FinalStatus.STOPPED
    assert await stage.attempted(key, HttpResponse(204, {})) == []


async def test_what_has_ended_cannot_be_cancelled(run: Run, stage: Stage) -> None:
    await stage.ended(await stage.watched("1b2c"))
    ran = await run("cancel", "1b2c")
    assert (ran.code, ran.out) == (1, "")
    assert "has ended already" in ran.err


# --- redeliver


async def test_deliveries_are_replayed_under_their_ids(run: Run, stage: Stage) -> None:
    key = await stage.watched(posted("1b2c"))
    await stage.watched(posted("1b2c", f"{HOOK}/2"))
    await stage.ended(key)
    first = await stage.attempted(key, HttpResponse(204, {}))
    ran = await run("redeliver", key.partition, key.row)
    assert (ran.code, ran.lines) == (0, ["2 to be delivered again"])
    again = await stage.attempted(key, HttpResponse(204, {}), seq=2)
    assert len(first) == 2
    assert [(r.url, r.headers["webhook-id"]) for r in first] == [
        (r.url, r.headers["webhook-id"]) for r in again
    ]


async def test_what_is_owed_still_is_not_replayed(run: Run, stage: Stage) -> None:
    key = await stage.watched(posted("1b2c"))
    await stage.ended(key)
    await stage.attempted(key, HttpResponse(500, {}))
    ran = await run("redeliver", "1b2c")
    assert (ran.code, ran.out) == (1, "")
    assert "has no delivery that is settled" in ran.err


async def test_all_that_was_abandoned_since_an_instant_is_replayed(run: Run, stage: Stage) -> None:
    began = datetime.now(UTC)
    answers = {"gone": 410, "gone-too": 410, "taken": 204}
    for name, code in answers.items():
        key = await stage.watched(posted(name))
        await stage.ended(key)
        await stage.attempted(key, HttpResponse(code, {}))
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    assert (await run("redeliver", "--abandoned-since", later)).lines == ["0 to be delivered again"]
    ran = await run("redeliver", "--abandoned-since", began.isoformat())
    assert (ran.code, ran.lines) == (0, ["2 to be delivered again"])


@pytest.mark.parametrize(
    "arguments", [[], ["a", "b", "c"], ["1b2c", "--abandoned-since", "2026-11-23"]]
)
async def test_either_an_operation_or_an_instant_is_needed(run: Run, arguments: list[str]) -> None:
    ran = await run("redeliver", *arguments)
    assert ran.code == 2
    assert ran.err.startswith("Either an OPERATION or --abandoned-since INSTANT")
