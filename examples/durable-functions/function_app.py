"""Orchestrations that wait for an operation of ARM, which opswatch watches for them.

`watch` waits for the callback, and needs no polling. `follow` has `Location` polled.
Settings: OPSWATCH_URL (https://func-….azurewebsites.net), OPSWATCH_WRITE_KEY and OPSWATCH_READ_KEY
(the keys of its functions), WEBHOOK_SECRETS (its OPSWATCH_CALLBACK_SECRETS), OPSWATCH_AUDIENCE.
"""

import json
import os
import urllib.request
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from standardwebhooks import Webhook, WebhookVerificationError

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
ENDS = ("Succeeded", "Failed", "Canceled")
LONGEST = timedelta(hours=6)  # between two looks, if no callback arrives


@app.orchestration_trigger(context_name="context")
def watch(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Post the message that is the input, wait for its callback, and return the operation."""
    callback_url = f"https://{os.environ['WEBSITE_HOSTNAME']}/api/ended/{context.instance_id}"
    message = {**context.get_input(), "callbackUrl": callback_url}
    status_url = yield context.call_activity("post", message)
    ended = context.wait_for_external_event("ended")
    while True:
        again = context.create_timer(context.current_utc_datetime + LONGEST)
        if (yield context.task_any([ended, again])) == ended:
            again.cancel()
            ended = context.wait_for_external_event("ended")
        # Read the status in any case: the callback only says that it is time.
        status = yield context.call_activity("read", status_url)
        if status["status"] in ENDS:
            return status["properties"]


@app.orchestration_trigger(context_name="context")
def follow(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Post the message that is the input, and return the operation when `Location` has it.

    Durable Functions follows `Location` itself while the answer is 202, but it sends no
    `x-functions-key` then. So OPSWATCH_URL is a gateway that has the key, such as API Management,
    and lets this app's identity in.
    """
    answer = yield context.call_http(
        "POST",
        f"{os.environ['OPSWATCH_URL']}/api/operations",
        context.get_input(),
        {"content-type": "application/json"},
        df.ManagedIdentityTokenSource(os.environ["OPSWATCH_AUDIENCE"]),
    )
    if answer["statusCode"] != 200:  # noqa: PLR2004 - of HTTP
        raise RuntimeError(f"opswatch answered {answer['statusCode']}: {answer['content']}")
    return json.loads(answer["content"])


@app.activity_trigger(input_name="message")
def post(message: dict[str, Any]) -> str:
    """Post a message; return the URL of its status. Posting it again changes nothing."""
    request = urllib.request.Request(  # noqa: S310 - a setting
        f"{os.environ['OPSWATCH_URL']}/api/operations",
        json.dumps(message).encode(),
        {
            "content-type": "application/json",
            "x-functions-key": os.environ["OPSWATCH_WRITE_KEY"],
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        return str(answer.headers["Operation-Location"])


@app.activity_trigger(input_name="url")
def read(url: str) -> dict[str, Any]:
    """Return the status of an operation."""
    request = urllib.request.Request(  # noqa: S310 - of opswatch
        url, headers={"x-functions-key": os.environ["OPSWATCH_READ_KEY"]}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        status: dict[str, Any] = json.load(answer)
        return status


@app.route(route="ended/{instance}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def ended(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Receive a callback: raise the event `ended` of the orchestration that it names."""
    for secret in os.environ["WEBHOOK_SECRETS"].split():
        try:
            Webhook(secret).verify(req.get_body().decode(), dict(req.headers))
        except (WebhookVerificationError, UnicodeDecodeError):
            continue
        await client.raise_event(req.route_params["instance"], "ended")
        return func.HttpResponse(status_code=204)
    return func.HttpResponse(status_code=401)
