"""Builders of values for tests; each fills in what a test does not name."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any, TypeVar

from opswatch.core.arm_errors import ArmError
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.deliveries import Delivery, new_delivery
from opswatch.core.http import HttpResponse
from opswatch.core.intake import Defaults, Intake, Registration, Rejection
from opswatch.core.keys import Key, Operation, operation_from_url
from opswatch.core.observations import Ended, Missed, Running, UrlStyle
from opswatch.core.policy import Policy
from opswatch.core.watches import End, FinalStatus, OperationFacts, Result, Watch

NOW = datetime(2026, 11, 23, 3, 5, 40, tzinfo=UTC)
ENDPOINT = "https://management.azure.com"
SUBSCRIPTION = "9a9b5f8d-2f2b-4f3c-8e6d-0123456789ab"
ID = "6432a8f9-0fe6-4339-9303-772c92f35d02"
LOCATION = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Cache/locations/westus"
PATH = f"{LOCATION}/operationsStatus/{ID}"
API_VERSION = "api-version=2024-10-01"
URL = f"{ENDPOINT}{PATH}?{API_VERSION}"
KEY = Key(SUBSCRIPTION, f"microsoft.cache~westus~operationsstatus~{ID}")
HOOK = "https://example.com/hook"
LOOPBACK = CallbackRules(networks=(ip_network("127.0.0.0/8"),))


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def at(count: float) -> datetime:
    """Return the instant that many seconds after `NOW`."""
    return NOW + seconds(count)


# --- ARM's answers


def answer(
    body: Any = None, status_code: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    """Return an HTTP answer; a body that is not bytes is sent as JSON, None as nothing."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
    return HttpResponse(status_code, headers or {}, content)


def running(status: str = "InProgress", **known: Any) -> Running:
    """Return what a body with a status shows."""
    return Running(**({"status": status, "style": UrlStyle.STATUS} | known))


def missed(status_code: int = 500, **known: Any) -> Missed:
    unreadable = status_code in (401, 403, 404, 410)
    return Missed(reason=str(status_code), status_code=status_code, unreadable=unreadable, **known)


SILENCE = Missed(reason="connect: refused")
HasFacts = TypeVar("HasFacts", Watch, Result)
_FACTS = {field.name for field in fields(OperationFacts)}


def ended(**known: Any) -> Ended:
    usual: dict[str, Any] = {"status": "Succeeded"}
    return Ended(**(usual | known))


def arm_error(code: str = "Conflict", message: str = "It is in use.", **more: Any) -> ArmError:
    known = {"code": code, "message": message} | more
    return ArmError(code=code, message=message, json=json.dumps(known))


# --- nouns


def operation(url: str = URL) -> Operation:
    return operation_from_url(url)


def registration(**known: Any) -> Registration:
    return Registration(**({"operation": operation()} | known))


def watch(**known: Any) -> Watch:
    """Return a watch; `known` are its fields, or fields of its facts."""
    return change(Watch(facts=_facts(), due_at=NOW), **known)


def end(status: FinalStatus = FinalStatus.SUCCEEDED, **known: Any) -> End:
    usual: dict[str, Any] = {"finished_at": NOW}
    return End(status=status, **(usual | known))


def result(**known: Any) -> Result:
    """Return a result; `known` are its fields, or fields of its facts."""
    return change(Result(facts=_facts(), end=end()), **known)


def _facts() -> OperationFacts:
    deadline_at = NOW + timedelta(hours=24)
    return OperationFacts(operation=operation(), registered_at=NOW, deadline_at=deadline_at)


def change(noun: HasFacts, **changes: Any) -> HasFacts:
    """Return a watch or a result with changes to its fields, or to those of its facts."""
    of_facts = {name: value for name, value in changes.items() if name in _FACTS}
    own = {name: value for name, value in changes.items() if name not in _FACTS}
    return replace(noun, facts=replace(noun.facts, **of_facts), **own)


def delivery(**known: Any) -> Delivery:
    """Return a delivery to `HOOK`, due now."""
    return replace(new_delivery(KEY, HOOK, NOW, Policy()), **known)


# --- what users post

DEFAULTS = Defaults(subscription_id=SUBSCRIPTION, location="West US")


def intake(
    endpoint: str = ENDPOINT,
    defaults: Defaults = DEFAULTS,
    rules: CallbackRules | None = None,
) -> Intake:
    return Intake(endpoint=endpoint, defaults=defaults, rules=rules or CallbackRules())


def post(body: Any, **settings: Any) -> Registration | Rejection:
    """Read a message: bytes as given, a text in UTF-8, anything else as JSON."""
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return intake(**settings).read(body, NOW)


def accepted(body: Any, **settings: Any) -> Registration:
    posted = post(body, **settings)
    assert isinstance(posted, Registration), posted
    return posted


def rejected(body: Any, **settings: Any) -> Rejection:
    posted = post(body, **settings)
    assert isinstance(posted, Rejection), posted
    return posted
