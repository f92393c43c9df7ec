"""Callbacks as the app sends them, for the tests of a receiver."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opswatch.core import webhook
from opswatch.core.arm_errors import read_error
from opswatch.core.deliveries import new_delivery
from opswatch.core.keys import operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.texts import to_json
from opswatch.core.watches import End, FinalStatus, OperationFacts, Result

SECRET = webhook.Secret(b"of opswatch.testing alone: sign").text  # accepted nowhere else
OPERATION = (
    "https://management.azure.com/subscriptions/00000000-0000-0000-0000-000000000000/providers"
    "/Microsoft.Cache/locations/westus/operationsStatus/6432a8f9-0fe6-4339-9303-772c92f35d02"
    "?api-version=2024-10-01"
)


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """The body and the headers of a POST."""

    body: bytes
    headers: dict[str, str]


def signed_event(  # noqa: PLR0913 - what differs between events
    status: str = "Succeeded",
    *,
    secret: str = SECRET,
    operation: str = OPERATION,
    error: Mapping[str, Any] | None = None,
    result: Any = None,
    client_state: Any = None,
    resource_id: str | None = None,
    kind: str | None = None,
    reason: str | None = None,
    at: datetime | None = None,
) -> SignedEvent:
    """Return the callback of an operation that has ended as `status`, signed `at` (now).

    `operation` is a status URL, `error` an ARM error with `code` and `message`, `reason` why it is
    `Lost`. Pass `secret` as your receiver has it, or give your receiver `events.SECRET`.
    """
    now = at or datetime.now(UTC)
    facts = OperationFacts(
        operation=operation_from_url(operation),
        registered_at=now,
        deadline_at=now,
        start_time=now,
        kind=kind,
        resource_id=resource_id,
        client_state=None if client_state is None else to_json(client_state),
    )
    end = End(
        status=FinalStatus(status),
        finished_at=now,
        end_time=now,
        error=read_error({"error": dict(error)}) if error else None,
        result=None if result is None else to_json(result),
        lost_reason=reason,
    )
    ended = Result(facts=facts, end=end)
    url = "https://receiver.example/hook"
    message_id = new_delivery(ended.key, url, now, Policy()).delivery_id
    body = webhook.event(ended, message_id)
    secrets = tuple(webhook.Secret.parse(each) for each in secret.split())
    request = webhook.request(url, message_id, body, secrets, now)
    return SignedEvent(request.body, dict(request.headers))
