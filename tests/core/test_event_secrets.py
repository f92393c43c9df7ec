"""Events: which of their members are redacted, and events without a result."""

import json
from typing import Any

import pytest

from opswatch.config import Settings
from opswatch.core.errors import ConfigError
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.watches import FinalStatus
from opswatch.core.webhook import MAX_BODY, attempt_of, event
from tests.support.builders import NOW, arm_error, end, operation, result

SECRET = "Qx7fW2mPz9KdL4sVb8Nt3Rg6"
TEXT = f"password={SECRET}"
MESSAGE_ID = "msg_1"


def data_of(body: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(body)["data"]
    return data


def test_whole_event_but_client_state_is_redacted() -> None:
    error = arm_error(TEXT, TEXT, target=TEXT, details=[{"code": "x", "message": TEXT}])
    failed = result(
        kind=TEXT,
        client_state=json.dumps({"note": TEXT, "password": SECRET}),
        end=end(FinalStatus.FAILED, error=error, result=json.dumps({"a": [TEXT], "key1": SECRET})),
    )
    data = data_of(event(failed, MESSAGE_ID))
    assert data.pop("clientState") == {"note": TEXT, "password": SECRET}
    assert SECRET not in json.dumps(data)
    assert data["result"] == {"a": ["password=[redacted]"], "key1": "[redacted]"}
    assert data["error"]["code"] == "password=[redacted]"


def test_operation_is_named_as_it_is() -> None:
    url = (
        "https://management.azure.com/subscriptions/s/providers/Microsoft.X/locations/westus"
        f"/operationStatuses/eyJ0eXAiOiJKV1Qi{SECRET}?api-version=1"
    )
    known = operation(url)
    body = event(result(operation=known), MESSAGE_ID)
    assert data_of(body)["operationId"] == known.operation_id
    assert json.loads(body)["subject"] == known.path


@pytest.mark.parametrize("value", [{"a": 1}, "text", ["x" * MAX_BODY], None])
def test_event_can_leave_result_out(value: Any) -> None:
    ended = result(end=end(result=None if value is None else json.dumps(value)))
    data = data_of(event(ended, MESSAGE_ID, with_result=False))
    assert "result" not in data
    assert data["truncated"] is False
    with_result = data_of(event(ended, MESSAGE_ID))
    assert "result" in with_result
    assert data == {name: v for name, v in with_result.items() if name != "result"} | {
        "truncated": False
    }


def test_long_error_is_cut_without_result() -> None:
    error = arm_error("Conflict", "x" * (2 * MAX_BODY))
    failed = result(end=end(FinalStatus.FAILED, error=error, result='"y"'))
    body = event(failed, MESSAGE_ID, with_result=False)
    assert len(body) < MAX_BODY
    assert data_of(body)["error"]["code"] == "Conflict"
    assert data_of(body)["truncated"] is True
    assert "result" not in data_of(body)


@pytest.mark.parametrize(
    ("text", "has_result"),
    [(None, True), ("", True), ("redacted", True), ("none", False), (" NONE ", False)],
)
def test_setting_decides_on_result(text: str | None, has_result: bool) -> None:
    env = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    if text is not None:
        env["OPSWATCH_CALLBACK_RESULT"] = text
    assert Settings.from_env(env).policy.callback_result is has_result


def test_wrong_setting_is_reported() -> None:
    env = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "OPSWATCH_CALLBACK_RESULT": "all"}
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(env)
    assert caught.value.problems == ["OPSWATCH_CALLBACK_RESULT: 'all' is none of redacted, none"]


@pytest.mark.parametrize(
    "answer",
    [
        HttpResponse(400, {}, f'{{"seen": {{"authorization": "Bearer {SECRET}"}}}}'.encode()),
        HttpResponse(500, {}, f"no {TEXT}".encode()),
        NoAnswer("connect", f"no way to https://a.b/c?code={SECRET}"),
    ],
)
def test_attempt_keeps_no_secret_of_answer(answer: HttpResponse | NoAnswer) -> None:
    attempt = attempt_of(answer, NOW, 0.1)
    assert attempt.error
    assert SECRET not in attempt.error
