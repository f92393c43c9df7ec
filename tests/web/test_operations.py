"""Posting, reading, stopping and redelivering operations over HTTP."""

import json
from datetime import timedelta
from typing import Any

import pytest

from opswatch.core.http import HttpResponse
from tests.support.harness import (
    HOOK,
    KEY,
    OPERATION,
    OTHER,
    Harness,
    ended,
    running,
    status_path,
)
from tests.web.client import BASE, Client

ONE = f"operations/{KEY.partition}/{KEY.row}"
SIGNED = f"https://management.azure.com{status_path()}?api-version=1&t=9&c=cert&s=sign&h=hash"
SECRET_HOOK = "https://hooks.example.com/T0/secret?sig=abc"


# --- post


async def test_post_registers_before_it_answers(harness: Harness, client: Client) -> None:
    body = {"operation": SIGNED, "callbackUrl": SECRET_HOOK, "clientState": {"ticket": 42}}
    answer = await client.post("operations", body)
    assert answer.status == 202
    assert answer.headers["location"] == f"{BASE}/{ONE}/result"
    assert answer.headers["operation-location"] == f"{BASE}/{ONE}/status"
    assert 1 <= int(answer.headers["retry-after"]) <= 15
    row = answer.json
    assert (row["subscriptionId"], row["key"]) == (KEY.partition, KEY.row)
    assert (row["operationId"], row["state"], row["status"]) == (
        OPERATION,
        "watching",
        "registered",
    )
    assert row["clientState"] == {"ticket": 42}
    assert row["url"] == SIGNED.partition("?")[0]
    assert row["callbacks"] == ["https://hooks.example.com"]
    assert harness.watch.facts.callbacks == (SECRET_HOOK,)
    assert not harness.arm.asked
    assert harness.seqs(harness.operations) == [1]


@pytest.mark.parametrize(
    "body",
    [json.dumps(OPERATION), OPERATION, json.dumps(status_path()), f'{{"id": "{OPERATION}"}}'],
)
async def test_every_form_can_be_posted(client: Client, body: str) -> None:
    answer = await client.post("operations", body.encode(), content_type="application/json")
    assert (answer.status, answer.json.get("key")) == (202, KEY.row)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "Empty"),
        (b'{"operation"', "NotJson"),
        (b"[]", "UnknownShape"),
        (b"12345", "UnknownShape"),
        (b"null", "UnknownShape"),
        (b'"{}"', "UnknownShape"),
        (b'" {\\"operation\\": \\"x\\"}"', "UnknownShape"),
        (b"{}", "UnknownShape"),
        (b'{"operation": "x", "kind": 1}', "UnknownShape"),
        (b'{"operation": "x", "startTime": 1}', "UnknownShape"),
        (b'{"operation": "x", "location": []}', "UnknownShape"),
        (b'{"eventType": "x"}', "UnknownShape"),
        (b'{"operation": "https://evil.example/a/b"}', "ForeignHost"),
        (b'{"operation": "x", "callbackUrl": "http://169.254.169.254/"}', "InvalidCallback"),
        (b'{"operation": "x", "timeout": "PT1S"}', "InvalidTimeout"),
        (b'{"operation": "x", "callbackOn": ["Stopped"]}', "InvalidCallback"),
    ],
)
async def test_refused_post_leaves_no_row(
    harness: Harness, client: Client, body: bytes, code: str
) -> None:
    answer = await client.post("operations", body, content_type="application/json")
    assert (answer.status, answer.code) == (400, code)
    assert not any(harness.rows().values())


async def test_post_of_an_ended_operation_adds_its_receiver(
    harness: Harness, client: Client
) -> None:
    await harness.ended(HOOK)
    answer = await client.post("operations", {"operation": OPERATION, "callbackUrl": OTHER})
    assert (answer.status, answer.json["state"]) == (202, "finished")
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]


# --- one operation


async def test_running_operation_says_when_to_come_back(harness: Harness, client: Client) -> None:
    await harness.watched(HOOK)
    due_in = (harness.watch.due_at - harness.now).total_seconds()
    for path in (ONE, f"{ONE}/status", f"{ONE}/result"):
        answer = await client.get(path)
        assert int(answer.headers["retry-after"]) == max(1, min(due_in, 15))
        assert answer.status == (202 if path.endswith("result") else 200)
    assert (await client.get(f"{ONE}/result")).headers["location"] == f"{BASE}/{ONE}/result"
    harness.advance(hours=1)
    assert (await client.get(ONE)).headers["retry-after"] == "1"


async def test_subscription_is_compared_without_case(harness: Harness, client: Client) -> None:
    await harness.watched()
    answer = await client.get(f"operations/{KEY.partition.upper()}/{KEY.row}")
    assert (answer.status, answer.json["key"]) == (200, KEY.row)


@pytest.mark.parametrize("path", ["", "/status", "/result"])
async def test_unknown_operation_is_not_found(client: Client, path: str) -> None:
    answer = await client.get(ONE + path)
    assert (answer.status, answer.code) == (404, "OperationNotFound")


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        ("Succeeded", "Succeeded", None),
        ("Failed", "Failed", "Conflict"),
        ("Canceled", "Canceled", None),
    ],
)
async def test_end_has_arms_shape(
    harness: Harness, client: Client, status: str, expected: str, code: str | None
) -> None:
    await harness.watched()
    error = {"error": {"code": code, "message": "It is in use."}} if code else {}
    harness.status = HttpResponse(200, {}, json.dumps({"status": status, **error}).encode())
    await harness.settle()
    answer = await client.get(f"{ONE}/status")
    assert answer.status == 200
    assert "retry-after" not in answer.headers
    body = answer.json
    assert (body["id"], body["status"]) == (status_path(), expected)
    assert (body["error"] or {}).get("code") == code
    assert body["properties"]["status"] == status
    assert body["endTime"]
    result = await client.get(f"{ONE}/result")
    assert (result.status, result.json["status"]) == (200, status)


async def test_operation_past_its_deadline_failed_by_its_code(
    harness: Harness, client: Client
) -> None:
    await harness.watched()
    harness.now = harness.watch.facts.deadline_at + timedelta(minutes=1)
    await harness.settle()
    body = (await client.get(f"{ONE}/status")).json
    assert (body["status"], body["error"]["code"]) == ("Failed", "OperationTimedOut")
    assert body["properties"]["status"] == "TimedOut"


async def test_lost_operation_failed_by_its_code(harness: Harness, client: Client) -> None:
    await harness.watched()
    harness.status = HttpResponse(404, {})
    await harness.settle()
    body = (await client.get(f"{ONE}/status")).json
    assert (body["status"], body["error"]["code"]) == ("Failed", "OperationLost")
    assert "404" in body["error"]["message"]


async def test_not_started_until_the_first_poll(harness: Harness, client: Client) -> None:
    await client.post("operations", {"operation": OPERATION})
    assert (await client.get(f"{ONE}/status")).json["status"] == "NotStarted"
    await harness.pump()
    assert (await client.get(f"{ONE}/status")).json["status"] == "Running"


# --- what is not shown


async def test_secrets_are_not_shown(harness: Harness, client: Client) -> None:
    """Nothing of signed URLs, of callback URLs beyond the host, and of what looks like a secret."""
    await client.post(
        "operations",
        {"operation": SIGNED, "callbackUrl": SECRET_HOOK, "callbackOn": ["Failed"]},
    )
    await harness.pump()
    error = {"code": "X", "message": f"see {SIGNED} password=hunter22"}
    harness.status = HttpResponse(
        200, {}, json.dumps({"status": "Failed", "error": error}).encode()
    )
    harness.callbacks.answer = lambda _: HttpResponse(500, {}, b"no route /T0/secret?sig=abc")
    harness.advance(minutes=1)
    await harness.pump()
    await harness.pump()
    seen = [
        (await client.get(path)).response.body.decode()
        for path in (ONE, f"{ONE}/status", f"{ONE}/result", "operations", "deliveries")
    ]
    for text in seen:
        for secret in ("s=sign", "hunter22", "/T0", "sig=abc"):
            assert secret not in text, text
    row = (await client.get(ONE)).json
    assert row["callbackOn"] == {"https://hooks.example.com": ["Failed"]}
    assert row["deliveries"][0]["callbackUrl"] == "https://hooks.example.com"
    assert row["deliveries"][0]["attemptLog"][0]["error"] == "500 no route /…?sig=[redacted]"
    await harness.settle()
    for path in ("deliveries", ONE):
        assert "/T0" not in (await client.get(path)).response.body.decode()


async def test_body_of_a_resource_is_not_shown(harness: Harness, client: Client) -> None:
    path = f"/subscriptions/{KEY.partition}/resourceGroups/g/providers/Microsoft.Cache/redis/r"
    posted = (await client.post("operations", {"operation": f"{path}?api-version=1"})).json
    body = {"properties": {"provisioningState": "Succeeded", "hostName": "r.example"}}
    harness.status = HttpResponse(200, {}, json.dumps(body).encode())
    await harness.settle()
    row = (await client.get(f"operations/{posted['subscriptionId']}/{posted['key']}")).json
    assert (row["status"], "resultJson" in row) == ("Succeeded", False)
    assert harness.result.end.result


async def test_result_is_shown_unfolded(harness: Harness, client: Client) -> None:
    await harness.watched()
    body = {"status": "Succeeded", "properties": {"a": [1], "primaryKey": "c2VjcmV0c2VjcmV0"}}
    harness.status = HttpResponse(200, {}, json.dumps(body).encode())
    await harness.settle()
    result = (await client.get(ONE)).json["resultJson"]
    assert result["a"] == [1]
    assert "c2Vj" not in json.dumps(result)


# --- stop


async def test_stop_ends_the_watch_and_may_be_repeated(harness: Harness, client: Client) -> None:
    await harness.watched(HOOK)
    for _ in range(2):
        answer = await client.post(f"{ONE}/stop")
        assert (answer.status, answer.json["status"]) == (200, "Stopped")
    await harness.settle()
    assert not harness.called()
    body = (await client.get(f"{ONE}/status")).json
    assert (body["status"], body["properties"]["status"]) == ("Canceled", "Stopped")


async def test_ended_operation_cannot_be_stopped(harness: Harness, client: Client) -> None:
    await harness.ended()
    answer = await client.post(f"{ONE}/stop")
    assert (answer.status, answer.code) == (409, "OperationEnded")


# --- redeliver


async def test_redelivery_sends_what_has_not_arrived(harness: Harness, client: Client) -> None:
    harness.callbacks.answer = lambda request: HttpResponse(204 if request.url == HOOK else 410, {})
    await harness.ended(HOOK, OTHER)
    answer = await client.post(f"{ONE}/redeliver")
    assert answer.status == 202
    assert [each["callbackUrl"] for each in answer.json["value"]] == ["https://other.example.com"]
    assert answer.json["value"][0]["state"] == "pending"
    await harness.settle()
    assert harness.called() == [HOOK, OTHER, OTHER]


async def test_delivered_is_sent_again_by_name_only(harness: Harness, client: Client) -> None:
    await harness.ended(HOOK)
    assert (await client.post(f"{ONE}/redeliver")).json == {"value": []}
    name = harness.settled.delivery_id
    answer = await client.post(f"{ONE}/redeliver?delivery={name}")
    assert [each["deliveryId"] for each in answer.json["value"]] == [name]
    await harness.settle()
    assert harness.called() == [HOOK, HOOK]
    unknown = await client.post(f"{ONE}/redeliver?delivery=msg_{'0' * 32}")
    assert (unknown.status, unknown.code) == (404, "DeliveryNotFound")


async def test_pending_delivery_is_attempted_now(harness: Harness, client: Client) -> None:
    harness.callbacks.answer = lambda _: HttpResponse(500, {})
    await harness.watched(HOOK)
    harness.status = ended()
    harness.advance(hours=1)
    for _ in range(3):  # the end, and the first attempt
        await harness.pump()
    pending = harness.pending
    assert pending.next_attempt_at
    assert pending.next_attempt_at > harness.now
    answer = await client.post(f"{ONE}/redeliver")
    assert [each["deliveryId"] for each in answer.json["value"]] == [pending.delivery_id]
    assert harness.pending.next_attempt_at == harness.now
    calls = len(harness.called())
    await harness.pump()
    assert len(harness.called()) == calls + 1
    assert harness.pending.attempts == pending.attempts + 1


async def abandon(harness: Harness, count: int) -> None:
    harness.callbacks.answer = lambda _: HttpResponse(410, {})
    harness.status = running()
    for number in range(count):
        harness.post(f"https://h{number % 2}.example.com/x", operation=status_path(f"op{number}"))
    await harness.pump()
    harness.status = ended()
    await harness.settle()


async def test_abandoned_are_counted_and_delivered_again(harness: Harness, client: Client) -> None:
    await abandon(harness, 4)

    async def ask(**more: Any) -> Any:
        answer = await client.post("deliveries/redeliver", {"state": "abandoned", **more})
        assert answer.status == 202
        return answer.json

    assert await ask(dryRun=True) == {"count": 4}
    assert await ask(dryRun=True, host="h1.example.com") == {"count": 2}
    later = (harness.now + timedelta(seconds=1)).isoformat()
    assert await ask(dryRun=True, since=later) == {"count": 0}
    assert len(harness.called()) == 4
    harness.callbacks.answer = lambda _: HttpResponse(204, {})
    assert await ask(host="h0.example.com") == {"count": 2}
    assert await ask(dryRun=True) == {"count": 2}
    await harness.settle()
    states = [each["state"] for each in await client.all_pages("deliveries")]
    assert sorted(states) == ["abandoned", "abandoned", "delivered", "delivered"]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"state": "pending"}, {"state": "abandoned", "x": 1}, [], "x",
        {"state": "abandoned", "since": 1},
        {"state": "abandoned", "since": None}, {"state": "abandoned", "dryRun": "yes"},
        {"state": "abandoned", "host": ""}, {"state": "abandoned", "since": "soon"},
    ],
)  # fmt: skip
async def test_unclear_redelivery_is_refused(client: Client, body: object) -> None:
    answer = await client.post("deliveries/redeliver", body)
    assert (answer.status, answer.code) == (400, "InvalidBody")
