"""Passes opswatch's callbacks on to what cannot verify them: GitHub, Azure Pipelines, Event Grid.

Each route is a callback URL. It verifies the signature, makes one request with the target's secret,
and answers 204 if that was accepted. After any other answer, opswatch calls again on its schedule.
"""

import json
import logging
import os
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import azure.functions as func
from standardwebhooks import Webhook, WebhookVerificationError

logger = logging.getLogger(__name__)
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)  # the signature is the key
RESULTS = {"Succeeded": "succeeded", "Canceled": "canceled"}  # of Azure Pipelines; else failed


@app.route(route="github", methods=["POST"])
def github(req: func.HttpRequest) -> func.HttpResponse:
    """Send a `repository_dispatch` to GITHUB_REPOSITORY, named like the event.

    GITHUB_TOKEN may write contents of that repository, and nothing else.
    """
    event = verified(req)
    if event is None:
        return func.HttpResponse(status_code=401)
    # GitHub accepts at most ten members in a payload.
    payload = {name: event[name] for name in ("id", "subject", "time", "data")}
    return forward(
        f"https://api.github.com/repos/{os.environ['GITHUB_REPOSITORY']}/dispatches",
        json.dumps({"event_type": event["type"], "client_payload": payload}).encode(),
        {
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "Content-Type": "application/json",
        },
    )


@app.route(route="pipelines", methods=["POST"])
def pipelines(req: func.HttpRequest) -> func.HttpResponse:
    """Complete the task of Azure Pipelines that `clientState` names.

    AZURE_DEVOPS_URL is https://dev.azure.com/ORGANIZATION, and AZURE_DEVOPS_TOKEN a personal access
    token for builds. The address is a setting, so a post cannot have the token sent elsewhere.
    """
    event = verified(req)
    if event is None:
        return func.HttpResponse(status_code=401)
    if event["type"] == "opswatch.test":
        return func.HttpResponse(status_code=204)
    state = event["data"]["clientState"]
    project, hub, plan = (quote(state[name], safe="") for name in ("project", "hub", "plan"))
    body = {
        "name": "TaskCompleted",
        "jobId": state["job"],
        "taskId": state["task"],
        "result": RESULTS.get(event["data"]["status"], "failed"),
    }
    token = b64encode(f":{os.environ['AZURE_DEVOPS_TOKEN']}".encode()).decode()
    return forward(
        f"{os.environ['AZURE_DEVOPS_URL']}/{project}/_apis/distributedtask/hubs/{hub}/plans/{plan}"
        "/events?api-version=7.1",
        json.dumps(body).encode(),
        {"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )


@app.route(route="event-grid", methods=["POST"])
def event_grid(req: func.HttpRequest) -> func.HttpResponse:
    """Publish the event, as it came, to the topic EVENT_GRID_TOPIC.

    The topic's input schema is CloudEvents 1.0. EVENT_GRID_KEY is one of its keys.
    """
    if verified(req) is None:
        return func.HttpResponse(status_code=401)
    return forward(
        f"{os.environ['EVENT_GRID_TOPIC']}?api-version=2018-01-01",
        req.get_body(),
        {
            "aeg-sas-key": os.environ["EVENT_GRID_KEY"],
            "Content-Type": "application/cloudevents+json; charset=utf-8",
        },
    )


def verified(req: func.HttpRequest) -> dict[str, Any] | None:
    """Return the event if one of WEBHOOK_SECRETS has signed it, else None.

    Without a secret, or with a malformed one, it raises: opswatch then tries again later.
    """
    secrets = os.environ["WEBHOOK_SECRETS"].split()
    if not secrets:
        raise ValueError("WEBHOOK_SECRETS is empty")
    for secret in secrets:
        try:
            event: dict[str, Any] = Webhook(secret).verify(
                req.get_body().decode(), dict(req.headers)
            )
        except (WebhookVerificationError, UnicodeDecodeError):
            continue
        return event
    return None


def forward(url: str, body: bytes, headers: dict[str, str]) -> func.HttpResponse:
    """POST to `url`; answer 204 if it is accepted, and 502 if not."""
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - a setting
    try:
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - as above
            return func.HttpResponse(status_code=204)
    except urllib.error.HTTPError as error:
        logger.warning("%s answered %d", request.host, error.code)
    except OSError as error:
        logger.warning("%s: %s", request.host, error)
    return func.HttpResponse(status_code=502)
