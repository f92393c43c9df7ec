"""The commands stop and redeliver, over the storage and over HTTP, and an operator's rights."""

import base64
import hmac
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from opswatch.config import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, connection_parts
from opswatch.core.http import CallbackRequest, HttpResponse
from opswatch.core.keys import Key
from opswatch.core.watches import FinalStatus
from opswatch.ports import Query
from opswatch.steps import control
from tests.cli.api import serving_api
from tests.cli.conftest import Operations, Run

HOOK = "https://hook.example/a"


@pytest.fixture(params=["storage", "HTTP"])
async def where(
    request: pytest.FixtureRequest, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Let the commands work on the storage, or ask an app that does."""
    async with AsyncExitStack() as stack:
        if request.param == "HTTP":
            url = await stack.enter_async_context(serving_api(operations.services))
            monkeypatch.setenv("OPSWATCH_URL", url)
        yield


both = pytest.mark.usefixtures("where")


async def ended(
    operations: Operations, name: str, answer: int | None = None, host: str = "hook.example"
) -> tuple[Key, list[CallbackRequest]]:
    """End an operation whose receiver answers its first attempt so, if it is made."""
    url = f"https://{host}/a"
    key = await operations.watch(json.dumps({"operation": name, "callbackUrl": url}))
    await operations.end(key)
    if answer is None:
        return key, []
    return key, await operations.attempt(key, HttpResponse(answer, {}))


# --- stop


@both
async def test_stopped_watch_has_result_without_callback(run: Run, operations: Operations) -> None:
    key = await operations.watch(json.dumps({"operation": "1b2c", "callbackUrl": HOOK}))
    for _ in range(2):
        result = await run("stop", "1b2c")
        assert (result.code, result.lines) == (0, [f"stopped watching {key}"]), result.err
    row = await operations.services.store.results.get(key)
    assert row is not None
    assert row.value.end.status is FinalStatus.STOPPED
    assert await operations.attempt(key, HttpResponse(204, {})) == []


@both
async def test_ended_operation_cannot_be_stopped(run: Run, operations: Operations) -> None:
    await operations.end(await operations.watch("1b2c"))
    result = await run("stop", "1b2c")
    assert (result.code, result.out) == (1, "")
    assert "it has ended: Succeeded" in result.err


# --- redeliver an operation


@both
async def test_abandoned_delivery_is_sent_again_under_its_id(
    run: Run, operations: Operations
) -> None:
    key, first = await ended(operations, "1b2c", 410)
    result = await run("redeliver", "1b2c", "--dry-run")
    assert (result.code, result.lines) == (0, [f"would queue 1 delivery of {key}"])
    result = await run("redeliver", str(key))
    assert (result.code, result.lines) == (0, [f"queued 1 delivery of {key}"])
    shown = await run("show", "1b2c")
    assert "pending after 1 attempt" in shown.out
    assert "abandoned" not in shown.out
    again = await operations.attempt(key, HttpResponse(204, {}), seq=2)
    assert [r.headers["webhook-id"] for r in first] == [r.headers["webhook-id"] for r in again]


@both
async def test_pending_delivery_is_due_now(run: Run, operations: Operations) -> None:
    key, _ = await ended(operations, "1b2c", 404)
    assert (await run("redeliver", "1b2c")).lines == [f"queued 1 delivery of {key}"]
    query = Query(partition=key.partition, row_prefix=key.row)
    (row,) = [row async for row in operations.services.store.outbox.find(query)]
    assert row.value.next_attempt_at is not None
    assert row.value.next_attempt_at <= datetime.now(UTC)  # and not in five minutes


@both
async def test_arrived_delivery_is_sent_again_by_name_alone(
    run: Run, operations: Operations
) -> None:
    key, (first,) = await ended(operations, "1b2c", 204)
    result = await run("redeliver", "1b2c")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"{key} has no delivery that has not arrived; ")
    name = first.headers["webhook-id"]
    result = await run("redeliver", "1b2c", "--delivery", name)
    assert (result.code, result.lines) == (0, [f"queued 1 delivery of {key}"])
    result = await run("redeliver", "1b2c", "--delivery", f"msg_{'0' * 32}")
    assert (result.code, result.out) == (2, "")
    assert "DeliveryNotFound" in result.err


async def test_several_operations_are_redelivered(run: Run, operations: Operations) -> None:
    one, _ = await ended(operations, "1b2c", 410)
    two, _ = await ended(operations, "1b2d", 204)
    three, _ = await ended(operations, "1b2e", 410)
    result = await run("redeliver", "1b2c", "1b2d", "1b2e", "1b2c")
    assert (result.code, result.lines) == (1, [f"queued 1 delivery of {k}" for k in (one, three)])
    assert str(two) in result.err


# --- redeliver all


@pytest.fixture
async def host(operations: Operations) -> str:
    """A host of its own, with two abandoned deliveries, one that arrived and one elsewhere."""
    name = f"{operations.services.intake.defaults.subscription_id}.example"
    for operation, answer in (("gone", 410), ("gone-too", 410), ("taken", 204)):
        await ended(operations, operation, answer, name)
    await ended(operations, "elsewhere", 410, "other.example")
    return name


@both
async def test_all_abandoned_deliveries_of_a_host_are_sent(run: Run, host: str) -> None:
    chosen = ("redeliver", "--state", "abandoned", "--host", host)
    result = await run(*chosen, "--dry-run")
    assert (result.code, result.lines) == (0, ["would queue 2 deliveries"])
    result = await run(*chosen, "--since", "1h", "--yes")
    assert (result.code, result.lines, result.err) == (0, ["queued 2 deliveries"], "")
    result = await run(*chosen)  # there is nothing to ask about
    assert (result.code, result.lines) == (0, ["queued 0 deliveries"])


async def test_since_leaves_out_what_was_abandoned_before(run: Run, host: str) -> None:
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    chosen = ("redeliver", "--state", "abandoned", "--host", host)
    assert (await run(*chosen, "--since", later)).lines == ["queued 0 deliveries"]
    began = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    result = await run("redeliver", "--abandoned-since", began, "--host", host, "-y")
    assert result.lines == ["queued 2 deliveries"]


async def test_more_than_a_request_handles_are_sent(
    run: Run, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MOST_REDELIVERED", 1)
    result = await run("redeliver", "--state", "abandoned", "--host", host, "--yes")
    assert (result.code, result.lines) == (0, ["queued 2 deliveries"])


class Terminal(io.StringIO):
    """An input that a person types at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "code", "out"), [("y\n", 0, ["queued 2 deliveries"]), ("n\n", 1, []), ("", 130, [])]
)
async def test_person_is_asked_with_the_count(
    run: Run, host: str, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, out: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    result = await run("redeliver", "--state", "abandoned", "--host", host)
    assert (result.code, result.lines) == (code, out)
    assert "2 deliveries would be sent again. Go on? [y/N]" in result.err


async def test_without_a_terminal_yes_is_needed(
    run: Run, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    result = await run("redeliver", "--state", "abandoned", "--host", host)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "2 deliveries would be sent again: this is no terminal to ask on, so add --yes, or "
        "--dry-run\n"
    )


async def test_operators_key_alone_will_do(
    run: Run, operations: Operations, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = await operations.watch("running")
    monkeypatch.setenv("OPSWATCH_KEY", "w")
    async with serving_api(operations.services, {"read": "r", "write": "w"}) as url:
        for command in (
            ["redeliver", "--state", "abandoned", "--host", host, "--yes"],
            ["stop", str(watched)],
            ["post", "another"],
        ):
            result = await run(*command, "--url", url)
            assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "Either an OPERATION or --state abandoned is needed"),
        (["1b2c", "--state", "abandoned"], "Either an OPERATION or --state abandoned is needed"),
        (["1b2c", "--since", "1h"], "--since and --host go with --state"),
        (["1b2c", "1b2d", "--delivery", "msg_1"], "--delivery is of one OPERATION"),
        (["--state", "pending"], "Invalid value for '--state'"),
        (["--state", "abandoned", "--since", "soon"], "InvalidParameter: since: an instant such"),
    ],
)
@pytest.mark.usefixtures("operations")
async def test_unclear_redelivery_is_refused(run: Run, arguments: list[str], error: str) -> None:
    result = await run("redeliver", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(error)


# --- an operator's rights


def signed_connection(connection: str, permissions: str) -> str:
    """Return a connection string with an account's signature over queues and tables.

    https://learn.microsoft.com/rest/api/storageservices/create-account-sas
    """
    expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {"sp": permissions, "ss": "qt", "srt": "co", "se": expiry, "sv": "2020-08-04"}
    text = "\n".join(
        [
            *(DEVELOPMENT_ACCOUNT, fields["sp"], fields["ss"], fields["srt"], "", expiry, "", ""),
            *(fields["sv"], ""),
        ]
    )
    key = base64.b64decode(DEVELOPMENT_KEY)
    fields["sig"] = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
    parts = connection_parts(connection)
    return (
        f"QueueEndpoint={parts['queueendpoint']};TableEndpoint={parts['tableendpoint']};"
        f"SharedAccessSignature={urlencode(fields)}"
    )


async def test_operator_may_post_stop_and_redeliver(
    run: Run, operations: Operations, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages may be added, and not read or counted; nothing may be created."""
    watched = await operations.watch("1b2c")
    abandoned, _ = await ended(operations, "1b2d", 410)
    operator = signed_connection(settings["AzureWebJobsStorage"], "radu")
    monkeypatch.setenv("AzureWebJobsStorage", operator)
    for command, line in (
        (["post", "1b2e"], "~1b2e"),
        (["stop", "1b2c"], f"stopped watching {watched}"),
        (["redeliver", "1b2d"], f"queued 1 delivery of {abandoned}"),
    ):
        result = await run(*command)
        assert (result.code, result.err) == (0, "")
        assert result.lines[0].endswith(line)


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (["post", "1b2e"], "posting takes `q`, `o` and `a`"),
        (["stop", "1b2c"], "stopping and redelivering take `tq`, `co` and `rlaud`"),
        (["redeliver", "1b2d"], "stopping and redelivering take `tq`, `co` and `rlaud`"),
    ],
)
async def test_what_the_signature_needs_is_named(
    run: Run,
    operations: Operations,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    needs: str,
) -> None:
    await operations.watch("1b2c")
    await ended(operations, "1b2d", 410)
    reader = signed_connection(settings["AzureWebJobsStorage"], "r")
    monkeypatch.setenv("AzureWebJobsStorage", reader)
    result = await run(*command)
    assert (result.code, result.out) == (5, "")
    assert needs in result.err
    assert len(result.err.splitlines()) == 1
