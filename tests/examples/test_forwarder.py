"""The forwarder: which callbacks it passes on, to whom, and what it answers."""

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPMessage
from io import BytesIO
from typing import Any

import pytest
from standardwebhooks.webhooks import EmptyWebhookSecretError

from opswatch.core.webhook import Secret
from tests.examples.apps import load_example, signed_request

OLD, NEW, FOREIGN = (Secret(bytes([number]) * 32) for number in (1, 2, 3))
EVENT = {
    "specversion": "1.0",
    "id": "msg_1",
    "source": "/opswatch",
    "type": "opswatch.operation.failed",
    "subject": "/subscriptions/s/operationsStatus/1",
    "time": "2026-11-23T03:05:40Z",
    "data": {
        "status": "Failed",
        "clientState": {"project": "p/1", "hub": "build", "plan": "2", "job": "3", "task": "4"},
    },
}
ROUTES = {
    "github": "https://api.github.com/repos/owner/name/dispatches",
    "pipelines": "https://dev.azure.com/org/p%2F1/_apis/distributedtask/hubs/build/plans/2/events"
    "?api-version=7.1",
    "event_grid": "https://topic.westus-1.eventgrid.azure.net/api/events?api-version=2018-01-01",
}


@dataclass
class Target:
    """Takes the place of `urlopen`: records requests, and answers them with a code."""

    code: int = 204
    requests: list[urllib.request.Request] = field(default_factory=list)

    def open(self, request: urllib.request.Request, timeout: float) -> BytesIO:
        assert timeout < 15  # opswatch waits no longer
        self.requests.append(request)
        if self.code >= 400:
            raise urllib.error.HTTPError(request.full_url, self.code, "", HTTPMessage(), None)
        if self.code == 0:
            raise urllib.error.URLError("refused")
        return BytesIO()


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.setenv("WEBHOOK_SECRETS", f"{NEW.text} {OLD.text}")
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    monkeypatch.setenv("GITHUB_TOKEN", "token")
    monkeypatch.setenv("AZURE_DEVOPS_URL", "https://dev.azure.com/org")
    monkeypatch.setenv("AZURE_DEVOPS_TOKEN", "token")
    monkeypatch.setenv("EVENT_GRID_TOPIC", "https://topic.westus-1.eventgrid.azure.net/api/events")
    monkeypatch.setenv("EVENT_GRID_KEY", "key")
    target = Target()
    monkeypatch.setattr(urllib.request, "urlopen", target.open)
    return target


def call(route: str, secret: Secret = NEW, at: datetime | None = None, **changes: Any) -> int:
    body = json.dumps(EVENT | changes).encode()
    answer = load_example("forwarder").functions[route](signed_request(body, secret, at))
    assert isinstance(answer.status_code, int)
    return answer.status_code


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("secret", [OLD, NEW], ids=["old", "new"])
def test_signed_event_is_passed_on(target: Target, route: str, secret: Secret) -> None:
    assert call(route, secret) == 204
    (request,) = target.requests
    assert (request.get_method(), request.full_url) == ("POST", ROUTES[route])


def test_github_gets_a_dispatch(target: Target) -> None:
    call("github")
    (request,) = target.requests
    assert isinstance(request.data, bytes)
    assert json.loads(request.data) == {
        "event_type": "opswatch.operation.failed",
        "client_payload": {name: EVENT[name] for name in ("id", "subject", "time", "data")},
    }
    assert request.get_header("Authorization") == "Bearer token"


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("Succeeded", "succeeded"),
        ("Canceled", "canceled"),
        ("Failed", "failed"),
        ("Lost", "failed"),
    ],
)
def test_task_of_a_pipeline_is_completed(target: Target, status: str, result: str) -> None:
    state = EVENT["data"]["clientState"]  # type: ignore[index]
    call("pipelines", data={"status": status, "clientState": state})
    (request,) = target.requests
    assert isinstance(request.data, bytes)
    assert json.loads(request.data) == {
        "name": "TaskCompleted", "jobId": "3", "taskId": "4", "result": result,
    }  # fmt: skip
    assert request.get_header("Authorization") == f"Basic {base64.b64encode(b':token').decode()}"


def test_event_grid_gets_the_event_unchanged(target: Target) -> None:
    call("event_grid")
    (request,) = target.requests
    assert request.data == json.dumps(EVENT).encode()
    assert request.get_header("Content-type") == "application/cloudevents+json; charset=utf-8"
    assert request.get_header("Aeg-sas-key") == "key"


def test_test_event_completes_no_task(target: Target) -> None:
    assert call("pipelines", type="opswatch.test", data={}) == 204
    assert target.requests == []


@pytest.mark.parametrize("route", ROUTES)
def test_forged_and_old_events_are_refused(target: Target, route: str) -> None:
    assert call(route, FOREIGN) == 401
    assert call(route, at=datetime.now(UTC) - timedelta(minutes=6)) == 401
    assert target.requests == []


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("secrets", ["", " ", "whsec_", "whsec_?"])
def test_unusable_secret_passes_nothing_on(
    target: Target, monkeypatch: pytest.MonkeyPatch, route: str, secrets: str
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRETS", secrets)
    with pytest.raises((ValueError, EmptyWebhookSecretError)):
        call(route, Secret(b"\0" * 32))
    assert target.requests == []


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("code", [0, 401, 404, 500])
def test_refusal_lets_opswatch_call_again(target: Target, route: str, code: int) -> None:
    target.code = code
    assert call(route) == 502
