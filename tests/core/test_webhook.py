"""The event as receivers get it: public packages verify it, it is small, and it holds no secret."""

import base64
import json
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from opswatch.core import webhook
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.policy import Policy
from opswatch.core.polls import after_poll
from opswatch.core.watches import FinalStatus, Result
from opswatch.core.webhook import (
    MAX_BODY,
    Accepted,
    Attempt,
    Failed,
    Final,
    Reply,
    Secret,
    Unacceptable,
    attempt_of,
    event,
    is_host_failure,
    read_answer,
    request,
    sample_event,
)
from tests.support.builders import (
    ENDPOINT,
    HOOK,
    ID,
    NOW,
    PATH,
    SUBSCRIPTION,
    URL,
    answer,
    arm_error,
    at,
    change,
    end,
    ended,
    operation,
    result,
    seconds,
    watch,
)
from tests.support.cases import cases

NEW, OLD = (Secret(bytes([number]) * 32) for number in (1, 2))
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
FAILED = result(
    start_time=at(0),
    kind="redis/create",
    client_state='{"ticket":42}',
    end=end(
        FinalStatus.FAILED,
        finished_at=at(500),
        end_time=at(490),
        error=arm_error("Conflict", "It is in use."),
    ),
)


def body_of(value: Result) -> dict[str, Any]:
    body = event(value, MESSAGE_ID)
    assert len(body) < MAX_BODY
    read: dict[str, Any] = json.loads(body)
    return read


def data_of(value: Result) -> dict[str, Any]:
    data: dict[str, Any] = body_of(value)["data"]
    return data


def ended_with(**known: Any) -> Result:
    """Return the result of an operation that has ended so, cut to its row's size."""
    done = after_poll(watch(), ended(**known), NOW, Policy()).watch
    assert done.end is not None
    return Result(facts=done.facts, end=done.end)


# --- signatures


def test_signature_is_the_standards_known_answer() -> None:
    secret = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed_at = datetime.fromtimestamp(1614265330, UTC)
    assert secret.sign(MESSAGE_ID, signed_at, b'{"test": 2432232314}') == SIGNATURE


def signed(*secrets: Secret) -> CallbackRequest:
    # The package compares the timestamp with the clock.
    return request(HOOK, "msg_1", event(FAILED, "msg_1"), secrets, datetime.now(UTC))


def verify(sent: CallbackRequest, secret: Secret) -> Any:
    return Webhook(secret.text).verify(sent.body, sent.headers)


@pytest.mark.parametrize("secrets", [(NEW,), (NEW, OLD), (OLD, NEW, Secret(b"3" * 64))])
def test_each_secret_verifies_the_request(secrets: tuple[Secret, ...]) -> None:
    sent = signed(*secrets)
    assert len(sent.headers["webhook-signature"].split(" ")) == len(secrets)
    for secret in secrets:
        assert verify(sent, secret)["data"]["status"] == "Failed"


def test_newest_secret_signs_first() -> None:
    sent, other = signed(NEW, OLD), signed(NEW)
    assert sent.headers["webhook-signature"].startswith(other.headers["webhook-signature"])


@cases(
    "tamper",
    {
        "the body": lambda sent: replace(sent, body=sent.body + b" "),
        "the id": lambda sent: replace(sent, headers=sent.headers | {"webhook-id": "msg_2"}),
        "the timestamp": lambda sent: replace(
            sent,
            headers=sent.headers
            | {"webhook-timestamp": str(int(sent.headers["webhook-timestamp"]) + 1)},
        ),
    },
)
def test_tampered_request_is_refused(tamper: Any) -> None:
    with pytest.raises(WebhookVerificationError):
        verify(tamper(signed(NEW)), NEW)


def test_other_secret_is_refused() -> None:
    with pytest.raises(WebhookVerificationError):
        verify(signed(NEW), OLD)


@given(st.binary(min_size=24, max_size=64), st.text().map(str.encode))
def test_any_signature_is_the_packages(key: bytes, body: bytes) -> None:
    signature = Secret(key).sign(MESSAGE_ID, NOW, body)
    assert signature == Webhook(key).sign(MESSAGE_ID, NOW, body.decode())


def test_request_has_the_contracts_headers() -> None:
    sent = request(HOOK, MESSAGE_ID, b"{}", (NEW,), at(0.999), attempt=3)
    traceparent = sent.headers.pop("traceparent")
    assert sent == CallbackRequest(
        url=HOOK,
        headers={
            "content-type": "application/cloudevents+json",
            "webhook-id": MESSAGE_ID,
            "webhook-timestamp": str(int(NOW.timestamp())),
            "webhook-signature": NEW.sign(MESSAGE_ID, NOW, b"{}"),
            "opswatch-attempt": "3",
        },
        body=b"{}",
    )
    version, trace, span, flags = traceparent.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "00")
    assert int(trace, 16)
    assert int(span, 16)


def test_given_trace_is_continued() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = request(HOOK, MESSAGE_ID, b"", (NEW,), NOW, traceparent=trace)
    assert sent.headers["traceparent"] == trace


def test_message_has_its_own_trace() -> None:
    first, second, other = (
        request(HOOK, message_id, b"", (NEW,), NOW, attempt=attempt)
        for message_id, attempt in ((MESSAGE_ID, 1), (MESSAGE_ID, 2), ("msg_other", 1))
    )
    trace_ids = [sent.headers["traceparent"].split("-")[1] for sent in (first, second, other)]
    assert trace_ids[0] == trace_ids[1] != trace_ids[2]
    assert first.headers["traceparent"] != second.headers["traceparent"]


# --- secrets


@pytest.mark.parametrize("length", [24, 32, 64])
def test_secret_of_valid_length_is_read(length: int) -> None:
    text = "whsec_" + base64.b64encode(bytes(range(length))).decode()
    secret = Secret.parse(text)
    assert secret.key == bytes(range(length))
    assert secret.text == text


@pytest.mark.parametrize(
    "text",
    [
        "", "whsec_", "hunter2hunter2hunter2hunter2hunter2", "WHSEC_" + "aHVu" * 10,
        "whsec_" + "aHVu" * 7, "whsec_" + "aHVu" * 22, "whsec_hunter2!" + "aHVu" * 10,
        "whsec_aHVu aHVu" + "aHVu" * 10, "whsec_" + "aHVu" * 10 + "a",
        "whsec_hünter2" + "aHVu" * 10,
    ],
)  # fmt: skip
def test_invalid_secret_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        Secret.parse(text)
    shown = "".join(traceback.format_exception(caught.value, limit=0))
    for part in ("hunter2", "aHVu", "hünter2"):
        assert part not in shown


def test_secret_is_hidden_in_its_repr() -> None:
    for shown in (repr(NEW), str(NEW), f"{NEW}", repr((NEW,)), repr([NEW])):
        assert shown.replace("(", "").replace("[", "").startswith("Secret")
        assert "\\x01" not in shown
        assert NEW.text.removeprefix("whsec_") not in shown


# --- the event


def test_event_is_the_contracts() -> None:
    assert body_of(FAILED) == {
        "specversion": "1.0",
        "id": MESSAGE_ID,
        "source": "/opswatch",
        "type": "opswatch.operation.failed",
        "subject": PATH,
        "time": "2026-11-23T03:13:50Z",
        "datacontenttype": "application/json",
        "data": {
            "subscriptionId": SUBSCRIPTION,
            "provider": "microsoft.cache",
            "location": "westus",
            "operationId": ID,
            "kind": "redis/create",
            "status": "Failed",
            "startTime": "2026-11-23T03:05:40Z",
            "endTime": "2026-11-23T03:13:50Z",
            "durationSeconds": 490.0,
            "error": {
                "code": "Conflict",
                "message": "It is in use.",
                "target": None,
                "details": [],
                "additionalInfo": [],
            },
            "resourceId": None,
            "reason": None,
            "result": None,
            "clientState": {"ticket": 42},
            "truncated": False,
        },
    }


def test_unknown_values_are_null() -> None:
    url = f"{ENDPOINT}/providers/operationResults/x"
    value = result(operation=operation(url), end=end(FinalStatus.LOST, lost_reason="404"))
    assert data_of(value) == {
        "subscriptionId": None,
        "provider": None,
        "location": None,
        "operationId": "x",
        "kind": None,
        "status": "Lost",
        "startTime": None,
        "endTime": None,
        "durationSeconds": None,
        "error": None,
        "resourceId": None,
        "reason": "404",
        "result": None,
        "clientState": None,
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (FinalStatus.SUCCEEDED, "succeeded"),
        (FinalStatus.FAILED, "failed"),
        (FinalStatus.CANCELED, "canceled"),
        (FinalStatus.TIMED_OUT, "timedout"),
        (FinalStatus.LOST, "lost"),
    ],
)
def test_event_type_names_the_end(status: FinalStatus, kind: str) -> None:
    body = body_of(result(end=end(status, finished_at=at(7))))
    assert body["type"] == f"opswatch.operation.{kind}"
    assert body["data"]["status"] == status.value
    assert body["time"] == "2026-11-23T03:05:47Z"


@cases(
    "last_status, last_miss, reason",
    {
        "a word": ("Creating", None, "the last status was Creating"),
        "a word and a miss": (
            "Creating", "429 Busy", "the last status was Creating; the last miss was 429 Busy"
        ),
        "misses alone": (None, "500", "the last status was never read; the last miss was 500"),
    },
)  # fmt: skip
def test_reason_of_a_time_out_is_what_was_seen_last(
    last_status: str | None, last_miss: str | None, reason: str
) -> None:
    timed_out = end(FinalStatus.TIMED_OUT, last_status=last_status)
    assert data_of(result(end=timed_out, last_miss=last_miss))["reason"] == reason


@pytest.mark.parametrize(
    "body", [event(FAILED, MESSAGE_ID), sample_event(MESSAGE_ID, NOW)], ids=["result", "sample"]
)
def test_cloudevents_package_reads_the_event(body: bytes) -> None:
    sent = request(HOOK, MESSAGE_ID, body, (NEW,), NOW)
    read = from_http_event(HTTPMessage(sent.headers, sent.body))
    raw = json.loads(body)
    assert read.get_specversion() == "1.0"
    assert read.get_id() == MESSAGE_ID == sent.headers["webhook-id"]
    assert read.get_source() == "/opswatch"
    assert read.get_type() == raw["type"]
    assert read.get_subject() == raw["subject"]
    assert read.get_datacontenttype() == "application/json"
    assert read.get_time() == datetime.fromisoformat(raw["time"])
    assert read.get_data() == raw["data"]


def test_sample_has_its_own_type() -> None:
    body = json.loads(sample_event(MESSAGE_ID, NOW))
    assert body["type"] == "opswatch.test"
    assert body["time"] == "2026-11-23T03:05:40Z"


def test_same_end_makes_the_same_event() -> None:
    assert event(FAILED, "msg_1") == event(replace(FAILED), "msg_1")
    assert b"msg_2" in event(FAILED, "msg_2")


# --- size


HUGE = {
    "escapes": "\x01" * 40_000,
    "wide": "字" * 40_000,
    "astral": "\U0001f600" * 20_000,
    "plain": "x" * 40_000,
    "quotes": '"\\' * 20_000,
}
huge = pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
LONG_URL = f"{ENDPOINT}{PATH[:-36]}{'%E5%AD%97' * 2000}?t=secret"
FULL = {
    "operation": operation(LONG_URL),
    "kind": "\x02" * 256,
    "client_state": json.dumps("x" * 4094),
    "start_time": NOW,
}


@huge
@pytest.mark.parametrize("known", [{}, FULL], ids=["alone", "beside all else"])
def test_huge_message_is_cut_before_the_code(text: str, known: dict[str, Any]) -> None:
    value = change(ended_with(status="Failed", error=arm_error("Conflict", text)), **known)
    data = data_of(value)
    assert data["truncated"] is True
    assert data["error"]["code"] == "Conflict"
    assert data["error"]["message"]
    assert text.startswith(data["error"]["message"])


@huge
@pytest.mark.parametrize("name", ["details", "additionalInfo", "target", "innererror"])
def test_other_error_parts_are_removed_first(name: str, text: str) -> None:
    error = arm_error("Conflict", "It is in use.", **{name: [{"message": text}]})
    data = data_of(ended_with(status="Failed", error=error))
    assert data["error"]["code"] == "Conflict"
    assert data["error"]["message"] == "It is in use."
    assert data["truncated"] is (name != "innererror" or len(text) * 2 > 16_000)


@huge
def test_huge_code_is_cut(text: str) -> None:
    data = data_of(ended_with(status="Failed", error=arm_error(text, text)))
    assert data["truncated"] is True
    assert data["error"]["code"]
    assert text.startswith(data["error"]["code"])


@huge
@pytest.mark.parametrize("shape", [lambda t: {"a": t}, lambda t: [t], lambda t: t])
def test_huge_result_is_left_out(text: str, shape: Any) -> None:
    data = data_of(ended_with(result=json.dumps(shape(text), ensure_ascii=False)))
    assert (data["result"], data["truncated"]) == (None, True)


def test_fitting_result_is_whole() -> None:
    text = json.dumps({"a": "x" * 15_000})
    data = data_of(ended_with(result=text))
    assert (data["result"], data["truncated"]) == (json.loads(text), False)


def test_event_is_smaller_than_the_limit() -> None:
    room = MAX_BODY - len(event(result(end=end(result='""')), MESSAGE_ID))
    fits, too_long = (json.dumps("x" * (room - less)) for less in (1, 0))
    assert len(event(result(end=end(result=fits)), MESSAGE_ID)) == MAX_BODY - 1
    assert data_of(result(end=end(result=fits)))["truncated"] is False
    assert data_of(result(end=end(result=too_long)))["truncated"] is True


def test_cut_result_is_left_out() -> None:
    data = data_of(result(end=end(result='{"a":"cut o')))
    assert (data["result"], data["truncated"]) == (None, True)


def test_huge_result_is_removed_before_the_error() -> None:
    value = ended_with(
        status="Failed",
        error=arm_error("Conflict", "m" * 10_000, details=[{"code": "Inner"}]),
        result=json.dumps("x" * 15_000),
    )
    data = data_of(value)
    assert data["result"] is None
    assert len(data["error"]["message"]) == 10_000
    assert data["error"]["details"] == [{"code": "Inner"}]
    assert data["truncated"] is True


def test_value_cut_for_its_row_is_truncated() -> None:
    value = result(end=end(truncated=True, error=arm_error()))
    assert data_of(value)["truncated"] is True


TEXTS = st.text(st.characters(codec="utf-8")) | st.builds(
    lambda text, times: text * times, st.text(min_size=1, max_size=3), st.integers(0, 20_000)
)


@given(
    code=TEXTS,
    message=TEXTS,
    more=st.dictionaries(st.sampled_from(["details", "target", "x", "token"]), TEXTS),
    value=st.none() | TEXTS,
    known=st.sampled_from([{}, FULL]),
)
@example("a?b://c?d " * 3000, "a://b?c " * 5000, {}, "a://b?c " * 4000, FULL)
@example("Conflict", "字" * 3900, {"details": "x" * 20_000}, None, FULL)  # each three bytes
def test_any_event_is_under_20_kb(
    code: str, message: str, more: dict[str, str], value: str | None, known: dict[str, Any]
) -> None:
    error = arm_error(code, message, **more)
    seen = ended_with(status="Failed", error=error, result=value and json.dumps(value))
    record = change(seen, **known)
    data = data_of(record)
    assert event(record, MESSAGE_ID) == event(record, MESSAGE_ID)
    if data["truncated"] is False:
        assert data["result"] is None or value is not None
        assert data["error"]["code"] is not None


# --- redacted

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
SIGNED = "https://x.blob.core.windows.net/a/b?sv=2024-01-01&sig=c2VjcmV0%3D"


@cases(
    "text, secret",
    {
        "a signed URL": (f"See {SIGNED}.", "c2VjcmV0"),
        "a URL in capitals": (SIGNED.replace("https", "HTTPS"), "c2VjcmV0"),
        "a URL in brackets": (f"<{SIGNED}>", "c2VjcmV0"),
        "a bearer token": (f"Bearer {JWT}", "c2lnbmF0dXJl"),
        "a token in a text": (f"token={JWT}.", "c2lnbmF0dXJl"),
        "a connection string": ("AccountName=a;AccountKey=c2VjcmV0==;", "c2VjcmV0"),
        "a SAS": ("SharedAccessSignature=sv=1&sig=c2VjcmV0", "c2VjcmV0"),
        "a Redis connection": ("c.net:6380,password=c2VjcmV0,ssl=True", "c2VjcmV0"),
        "a webhook secret": ("whsec_c2VjcmV0c2VjcmV0", "c2VjcmV0"),
    },
)
def test_texts_are_redacted(text: str, secret: str) -> None:
    error = arm_error("Conflict", text, target=text, details=[{"code": "x", "message": text}])
    value = result(
        end=end(FinalStatus.FAILED, error=error, result=json.dumps({"a": [{"b": text}]}))
    )
    body = event(value, MESSAGE_ID).decode()
    assert secret not in body
    assert body.count("[redacted]") >= 4


@pytest.mark.parametrize(
    "name",
    [
        "primaryKey", "secondaryKey", "adminPassword", "accessToken", "clientSecret", "sasToken",
        "accessKey", "connectionString", "password", "apiKey", "accountKeys",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["c2VjcmV0", ["c2VjcmV0"], {"value": "c2VjcmV0"}])
def test_secret_properties_are_redacted(name: str, value: Any) -> None:
    value = result(end=end(result=json.dumps({"a": {name: value}, "hostName": "cache.net"})))
    assert data_of(value)["result"] == {"a": {name: "[redacted]"}, "hostName": "cache.net"}


def test_polled_url_is_left_out() -> None:
    value = result(operation=operation(f"{URL}&t=1&c=MIIH&s=c2VjcmV0"))
    body = event(value, MESSAGE_ID)
    assert b"c2VjcmV0" not in body
    assert json.loads(body)["subject"] == PATH


def test_harmless_values_are_kept() -> None:
    value = {
        "keyVaultProperties": None,
        "publicNetworkAccess": "Enabled",
        "monkey": "banana",
        "tokens": {"count": 1},
        "primaryKey": None,
        "hasPassword": True,
        "url": "https://cache.net/a?api-version=2024-10-01",
    }
    assert data_of(result(end=end(result=json.dumps(value))))["result"] == value


def test_client_state_is_echoed_unchanged() -> None:
    state = {"token": "mine", "url": SIGNED}
    assert data_of(result(client_state=json.dumps(state)))["clientState"] == state


# --- answers

MINUTE = seconds(60)


@pytest.mark.parametrize(
    ("response", "reply"),
    [
        *((answer(None, code), Accepted()) for code in (200, 204, 299)),
        (answer(None, 410), Final("410")),
        (answer(None, 500, {"webhook-delivery": " Abort-Message "}), Final("500 abort-message")),
        *((answer(None, code), Unacceptable(str(code))) for code in (400, 413, 415, 422)),
        (answer(None, 413, {"retry-after": "60"}), Unacceptable("413", MINUTE)),
        *(
            (answer(None, code), Failed(str(code)))
            for code in (100, 199, 300, 301, 302, 304, 307, 308, 402, 405, 408, 409, 500, 503, 599)
        ),
        *((answer(None, code), Failed(str(code), floor=5 * MINUTE)) for code in (401, 403, 404)),
        (answer(None, 429), Failed("429", floor=MINUTE)),
        (
            answer(None, 429, {"retry-after": "90"}),
            Failed("429", floor=MINUTE, retry_after=seconds(90)),
        ),
        (
            answer(None, 503, {"retry-after": "Mon, 23 Nov 2026 03:06:40 GMT"}),
            Failed("503", retry_after=MINUTE),
        ),
        (answer(None, 302, {"location": "https://127.0.0.1/"}), Failed("302")),
        (NoAnswer("timeout", "15 s"), Failed("timeout: 15 s", floor=MINUTE)),
        (NoAnswer("dns", "no such host"), Failed("dns: no such host")),
        (NoAnswer("tls", "expired"), Failed("tls: expired")),
        (NoAnswer("connect", "reset"), Failed("connect: reset")),
        (NoAnswer("refused", "private"), Final("refused: private")),
    ],
    ids=str,
)
def test_answer_is_read(response: HttpResponse | NoAnswer, reply: Reply) -> None:
    assert read_answer(response, NOW) == reply


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        *((NoAnswer(layer, ""), True) for layer in ("dns", "connect", "tls", "timeout", "http")),
        (NoAnswer("refused", ""), False),
        *((answer(None, code), True) for code in (500, 503, 429)),
        *((answer(None, code), False) for code in (204, 302, 404, 410)),
    ],
    ids=str,
)
def test_faults_of_the_host_are_recognized(
    response: HttpResponse | NoAnswer, *, expected: bool
) -> None:
    assert is_host_failure(response) is expected


@cases(
    "response, attempt",
    {
        "success": (answer(b"ok", 200), Attempt(at=NOW, duration=0.5, status_code=200)),
        "failure": (
            answer(b"<h1>\r\n Oops\0 </h1>", 500),
            Attempt(
                at=NOW,
                duration=0.5,
                status_code=500,
                layer="http",
                error=r"500 <h1> Oops\x00 </h1>",
            ),
        ),
        "no body": (
            answer(b"", 503),
            Attempt(at=NOW, duration=0.5, status_code=503, layer="http", error="503"),
        ),
        "no answer": (
            NoAnswer("dns", "no\nsuch host"),
            Attempt(at=NOW, duration=0.5, layer="dns", error="no such host"),
        ),
    },
)
def test_attempt_is_logged(response: HttpResponse | NoAnswer, attempt: Attempt) -> None:
    assert attempt_of(response, NOW, 0.5) == attempt


@given(
    st.builds(
        HttpResponse,
        st.integers(0, 1000),
        st.dictionaries(
            st.sampled_from(["retry-after", "date", "webhook-delivery"]), st.text(st.characters())
        ),
        st.binary(),
    )
)
def test_any_answer_is_read_and_logged(response: HttpResponse) -> None:
    assert isinstance(read_answer(response, NOW), Accepted | Failed | Final | Unacceptable)
    attempt = attempt_of(response, NOW, 1.0)
    assert attempt.error is None or (len(attempt.error) <= 512 and attempt.error.isprintable())
    assert webhook.MAX_UNACCEPTABLE == 3
