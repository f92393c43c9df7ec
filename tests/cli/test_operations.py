"""The commands show and list, over operations in real tables."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import click
import pytest

from opswatch.cli.source import StorageSource
from opswatch.core.arm_errors import ArmError
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.intake import Rejection
from opswatch.core.watches import FinalStatus
from opswatch.steps.register import reject
from tests.cli.conftest import Operations, Run

HOOK = "https://hook.example/a"
ORIGIN = "https://hook.example"  # what is shown: the rest may be a secret
NESTED = ArmError(
    code="DeploymentFailed",
    message="at least one",
    json='{"code":"DeploymentFailed","message":"at least one","details":[{"code":"Conflict"}]}',
    code_inner="Conflict",
)


def posted(operation_id: str, callback_url: str | None = HOOK) -> str:
    state = {"ticket": 42}
    posted = {"operation": operation_id, "callbackUrl": callback_url, "clientState": state}
    return json.dumps(posted)


# --- show


async def test_show_accepts_every_form_of_name(run: Run, operations: Operations) -> None:
    key = await operations.watch(posted("1b2c"))
    await operations.progress(key, "Creating", 40)
    url = f"https://management.azure.com/subscriptions/{key.partition}/providers/Microsoft.Cache"
    shown = [
        await run("show", form, "--time", "iso")  # ages differ from run to run
        for form in (
            "1b2c",
            str(key),
            f"{key.partition.upper()}/{key.row}",
            f"{url}/locations/West US/operationsStatus/1b2c",
            posted("1b2c"),
        )
    ]
    assert {result.code for result in shown} == {0}
    assert len({result.out for result in shown}) == 1
    assert shown[0].lines[:2] == ["status      Creating", f"operation   {key}"]
    assert "progress    40 %" in shown[0].lines
    assert 'state       {"ticket":42}' in shown[0].lines


async def test_show_prints_error_and_deliveries(run: Run, operations: Operations) -> None:
    key = await operations.watch(posted("1b2c"))
    await operations.end(key, FinalStatus.FAILED, NESTED)
    await operations.attempt(key, HttpResponse(503, {}, b"busy"))
    result = await run("show", "1b2c")
    assert result.lines[0] == "status      Failed"
    assert "error       DeploymentFailed: at least one" in result.lines
    (callback,) = [line for line in result.lines if line.startswith("callback")]
    assert callback.startswith(f"callback    {ORIGIN} pending after 1 attempt: 503 busy; next in ")


async def test_show_json_is_the_row(run: Run, operations: Operations) -> None:
    key = await operations.watch(posted("1b2c"))
    watching = json.loads((await run("show", "1b2c", "--json")).out)
    assert (watching["state"], watching["deliveries"]) == ("watching", [])
    assert (watching["subscriptionId"], watching["key"]) == (key.partition, key.row)
    await operations.end(key, FinalStatus.FAILED, NESTED)
    await operations.attempt(key, NoAnswer("dns", "no such name"))
    finished = json.loads((await run("show", "1b2c", "--json")).out)
    assert (finished["state"], finished["status"]) == ("finished", "Failed")
    assert finished["errorJson"]["details"] == [{"code": "Conflict"}]
    assert (finished["resultJson"], finished["clientState"]) == ({"a": 1}, {"ticket": 42})
    assert finished["callbacks"] == [ORIGIN]
    assert datetime.fromisoformat(finished["finishedAt"]).tzinfo is not None
    (delivery,) = finished["deliveries"]
    assert (delivery["state"], delivery["callbackUrl"]) == ("pending", ORIGIN)
    assert [attempt["layer"] for attempt in delivery["attemptLog"]] == ["dns"]


async def test_show_hides_signatures(run: Run, operations: Operations) -> None:
    signed = f"{HOOK}?sig=hush-hush"
    url = "https://management.azure.com/subscriptions/s/providers/p/locations/l/o/1?t=hush-hush"
    key = await operations.watch(posted(url, signed))
    await operations.end(key)
    result = await run("show", str(key))
    assert result.code == 0
    assert ORIGIN in result.out
    assert "hush-hush" not in result.out


async def test_stored_control_characters_are_escaped(run: Run, operations: Operations) -> None:
    hostile = "a\x1b[2J\x9b2J\tb"
    key = await operations.watch(json.dumps({"operation": "1b2c", "kind": hostile}))
    await operations.progress(key, hostile, 40)
    for command in (["show", "1b2c"], ["show", "1b2c", "--json"], ["list"], ["list", "--json"]):
        out = (await run(*command)).out
        assert "a" in out
        assert not {"\x1b", "\x9b"} & set(out)


@pytest.mark.parametrize("command", ["show", "stop", "redeliver"])
async def test_unknown_operation_fails(run: Run, command: str) -> None:
    result = await run(command, "s/a~b~c~d")
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1


async def test_show_ignores_deliveries_of_longer_keys(run: Run, operations: Operations) -> None:
    subscription = operations.services.intake.defaults.subscription_id
    place = "providers/Microsoft.Cache/locations/westus/operationsStatus/1b2c"
    key = await operations.watch(posted("1b2c"))
    longer = await operations.watch(
        posted(f"/subscriptions/{subscription}/resourceGroups/g/{place}", f"{HOOK}/longer")
    )
    assert longer.row.startswith(f"{key.row}~")
    for operation in (key, longer):
        await operations.end(operation)
    result = await run("show", str(key))
    assert [line.split()[1] for line in result.lines if line.startswith("callback")] == [ORIGIN]


# --- list


def listed(out: str, operations: Operations) -> list[list[str]]:
    """Return the cells of this test's lines: others use the same table."""
    mine = str(operations.services.intake.defaults.subscription_id)
    return [line.split("\t") for line in out.splitlines() if mine in line]


async def test_list_is_newest_first(run: Run, operations: Operations) -> None:
    now = datetime.now(UTC)
    for name, age in (("week", 7), ("now", 0), ("day", 1), ("year", 365)):
        await operations.watch(name, at=now - timedelta(days=age))
    cells = listed((await run("list", "-o", "tsv", "--top", "1000")).out, operations)
    assert [line[-1].rpartition("~")[2] for line in cells] == ["now", "day", "week"]
    since = (now - timedelta(days=1, hours=1)).isoformat()
    cells = listed((await run("list", "-o", "tsv", "--top", "0", "--since", since)).out, operations)
    assert [line[-1].rpartition("~")[2] for line in cells] == ["now", "day"]
    await operations.watch("minute", at=now - timedelta(minutes=1))
    since = (now - timedelta(seconds=30)).isoformat()
    cells = listed((await run("list", "-o", "tsv", "--top", "0", "--since", since)).out, operations)
    assert [line[-1].rpartition("~")[2] for line in cells] == ["now"]
    cells = listed((await run("list", "-o", "tsv", "--top", "1")).out, operations)
    assert [line[-1].rpartition("~")[2] for line in cells] == ["now"]


async def test_list_has_current_statuses(run: Run, operations: Operations) -> None:
    new, running, failed, done = [
        await operations.watch(name) for name in ("new", "running", "failed", "done")
    ]
    await operations.progress(running, "Creating", 40)
    await operations.end(failed, FinalStatus.FAILED, NESTED)
    await operations.end(done)
    cells = listed((await run("list", "-o", "tsv")).out, operations)
    assert {line[-1]: line[2] for line in cells} == {
        str(new): "registered",
        str(running): "Creating",
        str(failed): "Failed",
        str(done): "Succeeded",
    }
    assert {line[-1] for line in cells if line[4] == "Conflict"} == {str(failed)}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["--status", "failed"], {"failed"}),
        (["--status", "Creating"], {"running"}),
        (["--state", "watching"], {"new", "running"}),
        (["--status", "Lost"], set()),
    ],
)
async def test_list_filters_by_status(
    run: Run, operations: Operations, filters: list[str], names: set[str]
) -> None:
    _, running, failed = [await operations.watch(name) for name in ("new", "running", "failed")]
    await operations.progress(running, "Creating", 40)
    await operations.end(failed, FinalStatus.FAILED, NESTED)
    result = await run("list", "-o", "tsv", *filters)
    assert result.code == 0
    assert {line[-1].rpartition("~")[2] for line in listed(result.out, operations)} == names


async def test_status_that_nothing_has_is_named(run: Run, operations: Operations) -> None:
    await operations.watch("1b2c")
    result = await run("list", "--status", "Nope,failed", "--operation", "1b2c", "--since", "1s")
    assert result.code == 0
    text = "no running operation has the status Nope, in ARM's words; an end is Succeeded, Failed, "
    assert result.err.startswith(text)
    result = await run("list", "--status", "Nope", "--count")
    assert (result.out, result.err[: len(text)]) == ("0\n", text)
    assert (await run("list", "--status", "Lost", "--operation", "zz")).err == ""
    assert (await run("list", "--status", "Nope,registered", "--operation", "1b2c")).err == ""


async def test_rejections_are_newest_first(run: Run, operations: Operations) -> None:
    now = datetime.now(UTC)
    bodies = [f"rejected {uuid4()}" for _ in range(4)]
    for seconds, body in enumerate(bodies):
        at = now - timedelta(seconds=seconds)
        rejected = operations.services.intake.read(body.encode(), at)
        assert isinstance(rejected, Rejection)
        await reject(operations.services, rejected)
    listed = json.loads((await run("rejections", "--top", "0", "-o", "json")).out)
    assert [row["body"] for row in listed if row["body"] in bodies] == bodies


async def test_summary_counts_abandonments_and_paused_hosts(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {
        "watching": 0, "overdue": 0, "slow": 0, "pending": 1, "failing": 1,
        "last24Hours": {"delivered": 2, "abandoned": 3},
        "circuits": [
            {"host": "a.example:443", "failures": 6, "openUntil": "2999-01-01T00:00:00Z"},
            {"host": "b.example:443", "failures": 5, "openUntil": "2026-01-01T00:00:00Z"},
        ],
    }  # fmt: skip

    async def call(*_: object) -> object:
        return counted

    monkeypatch.setattr(StorageSource, "call", call)
    result = await run("summary")
    assert "2 callbacks delivered; abandoned 3 times; 0 posts rejected" in result.out
    waiting, probed = result.lines[-2:]
    assert waiting.startswith("paused      a.example:443 after 6 failures, next attempt in ")
    assert probed == "paused      b.example:443 after 5 failures, the next attempt decides"


async def test_list_json_is_array_of_rows(run: Run, operations: Operations) -> None:
    key = await operations.watch("1b2c")
    lines = json.loads((await run("list", "--json")).out)
    (line,) = [line for line in lines if line["subscriptionId"] == key.partition]
    assert (line["key"], line["status"]) == (key.row, "registered")
    assert "PartitionKey" not in line


async def test_list_is_a_table_of_80_columns(
    run: Run, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    body = {"operation": "1b2c", "resourceId": f"/subscriptions/s/{'x' * 90}/cache-1"}
    await operations.end(await operations.watch(json.dumps(body)), FinalStatus.FAILED, NESTED)
    subscription = str(operations.services.intake.defaults.subscription_id)
    result = await run("list", "--subscription", subscription, "--color", "always")
    header, line = [click.unstyle(line).split() for line in result.lines]
    assert header == ["AGE", "ID", "STATUS", "RESOURCE", "ERROR"]
    assert line[1:] == ["1b2c", "Failed", "cache-1", "Conflict"]
    assert "\x1b[31m" in result.lines[1]  # red
    plain = await run("list", "--subscription", subscription, "--color", "never")
    assert "\x1b" not in plain.out
    assert max(map(len, plain.lines)) <= 80


@pytest.mark.parametrize("argument", ["yesterday", "2026-13-01", ""])
async def test_list_rejects_wrong_timestamp(run: Run, argument: str) -> None:
    result = await run("list", "--since", argument)
    assert result.code == 2
    assert result.err.startswith("InvalidParameter: since: an instant such as 2026-11-25T21:00:00Z")
