"""`opswatch.verify`: what it accepts, and everything that it refuses."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from opswatch import VerificationError, verify
from opswatch.core.webhook import Secret, request, sample_event
from opswatch.testing import SignedEvent, signed_event
from opswatch.testing.events import SECRET

OLD, NEW, FOREIGN = (Secret(bytes([number]) * 32) for number in (1, 2, 3))
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
ERROR = {"code": "Quota", "message": "full", "details": [{"code": "Inner", "message": "i"}]}
DEEP = b'{"id": "msg_1", "data": {"result": ' + b"[" * 100_000
Change = Callable[[SignedEvent], tuple[Any, dict[str, Any]]]


def header(name: str, value: str | None) -> Change:
    def change(event: SignedEvent) -> tuple[Any, dict[str, Any]]:
        return event.body, {**event.headers, name: value}

    return change


def signed(**more: Any) -> SignedEvent:
    return signed_event(secret=NEW.text, at=NOW, **more)


# --- what is accepted


def test_event_is_typed() -> None:
    event = signed(
        status="Failed", error=ERROR, client_state={"ticket": 42}, kind="k", resource_id="/r"
    )
    read = verify(event.body, event.headers, NEW.text, now=NOW)
    assert (read.id, read.type) == (event.headers["webhook-id"], "opswatch.operation.failed")
    assert (read.time, read.is_test, read.source) == (NOW, False, "/opswatch")
    data = read.data
    assert (data.status, data.kind, data.resource_id, data.client_state) == (
        "Failed",
        "k",
        "/r",
        {"ticket": 42},
    )
    assert data.error is not None
    assert (data.error.code, data.error.message) == ("Quota", "full")
    assert data.error.details == ERROR["details"]
    assert (data.start_time, data.duration_seconds) == (NOW, 0.0)
    with pytest.raises(AttributeError):
        read.id = "another"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("status", "more"),
    [
        ("Succeeded", {"result": {"provisioned": True}}),
        ("Canceled", {}),
        ("TimedOut", {}),
        ("Lost", {"reason": "403 for 15 min"}),
    ],
)
def test_every_end_is_read(status: str, more: dict[str, Any]) -> None:
    event = signed(status=status, **more)
    data = verify(event.body, event.headers, NEW.text, now=NOW).data
    assert (data.status, data.result) == (status, more.get("result"))
    if "reason" in more:
        assert data.reason == more["reason"]


def test_test_event_is_read() -> None:
    sent = request("https://x", "msg_1", sample_event("msg_1", NOW), (NEW,), NOW)
    assert verify(sent.body, sent.headers, NEW.text, now=NOW).is_test


def test_members_that_are_new_are_passed_over() -> None:
    body = json.loads(signed().body)
    body |= {"traceparent": "00", "data": {**body["data"], "new": 1}}
    event = request("https://x", body["id"], json.dumps(body).encode(), (NEW,), NOW)
    assert verify(event.body, event.headers, NEW.text, now=NOW).data.status == "Succeeded"


@pytest.mark.parametrize(
    "secrets",
    [
        NEW.text,
        f"{NEW.text} {OLD.text}",
        f"{OLD.text}\n{NEW.text}",
        [OLD.text, NEW.text],
        (NEW.text,),
    ],
)
def test_secrets_of_a_rotation_are_tried(secrets: Any) -> None:
    event = signed()
    assert verify(event.body, event.headers, secrets, now=NOW).data.status == "Succeeded"


def test_one_signature_of_several_is_enough() -> None:
    event = signed_event(secret=f"{FOREIGN.text} {NEW.text}", at=NOW)
    assert verify(event.body.decode(), event.headers, NEW.text, now=NOW).data.status == "Succeeded"


def test_names_of_headers_have_any_case() -> None:
    event = signed()
    headers = {name.title(): value for name, value in event.headers.items()}
    assert verify(event.body, headers, NEW.text, now=NOW).data.status == "Succeeded"


@pytest.mark.parametrize("seconds", [-299, 0, 299])
def test_clocks_may_differ_by_minutes(seconds: int) -> None:
    event = signed()
    assert (
        verify(
            event.body, event.headers, NEW.text, now=NOW + timedelta(seconds=seconds)
        ).data.status
        == "Succeeded"
    )


def test_public_package_agrees() -> None:
    """What `signed_event` makes is what Standard Webhooks' own package accepts, too."""
    event = signed_event("Failed", error=ERROR)
    assert Webhook(SECRET).verify(event.body.decode(), event.headers)["data"]["status"] == "Failed"
    assert verify(event.body, event.headers, SECRET).data.status == "Failed"


# --- what is refused


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda event: (event.body + b" ", event.headers), "no signature"),
        (lambda event: (b"", event.headers), "no signature"),
        (lambda event: (event.body, {}), "no header webhook-id"),
        (header("webhook-id", None), "no header webhook-id"),
        (header("webhook-timestamp", None), "no header webhook-timestamp"),
        (header("webhook-signature", ""), "no header webhook-signature"),
        (header("webhook-id", "msg_2"), "no signature"),
        (header("webhook-id", "msg_\ud800"), "ASCII"),
        (header("webhook-timestamp", "now"), "number"),
        (header("webhook-timestamp", "-1"), "number"),
        (header("webhook-timestamp", "1e9"), "number"),
        (header("webhook-timestamp", "٣"), "number"),
        (header("webhook-timestamp", "9" * 11), "number"),
        (header("webhook-timestamp", "9" * 10), "no signature"),
        (header("webhook-signature", "v1,"), "no signature"),
        (header("webhook-signature", "v1a,c2ln v2,c2ln"), "no signature"),
        (header("webhook-signature", "v1,é"), "ASCII"),
        (header("webhook-signature", " "), "no signature"),
    ],
)
def test_forgery_is_refused(change: Change, why: str) -> None:
    body, headers = change(signed())
    with pytest.raises(VerificationError, match=why):
        verify(body, headers, NEW.text, now=NOW)


def test_foreign_secret_is_refused() -> None:
    event = signed()
    with pytest.raises(VerificationError, match="no signature"):
        verify(event.body, event.headers, [FOREIGN.text, OLD.text], now=NOW)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_old_request_is_refused(seconds: int) -> None:
    event = signed()
    with pytest.raises(VerificationError, match="five minutes"):
        verify(event.body, event.headers, NEW.text, now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"id": "msg_1"}', b"\xff", b"[" * 10_000, DEEP]
)
def test_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    sent = request("https://x", "msg_1", body, (NEW,), NOW)
    with pytest.raises(VerificationError, match="no event"):
        verify(sent.body, sent.headers, NEW.text, now=NOW)


def test_event_under_another_id_is_refused() -> None:
    sent = request("https://x", "msg_2", sample_event("msg_1", NOW), (NEW,), NOW)
    with pytest.raises(VerificationError, match="webhook-id names"):
        verify(sent.body, sent.headers, NEW.text, now=NOW)


@pytest.mark.parametrize(
    "secrets",
    [
        "",
        " \n",
        [],
        [""],
        "whsec_",
        "whsec_c2hvcnQ=",
        "not a secret",
        [NEW.text, "whsec_"],
        "whsec_%%",
    ],
)
def test_secret_that_would_accept_forgeries_is_refused(secrets: Any) -> None:
    """Signed with an empty key, as anybody can do."""
    event = signed()
    with pytest.raises(ValueError, match="secret") as caught:
        verify(event.body, event.headers, secrets, now=NOW)
    assert not isinstance(caught.value, VerificationError)
