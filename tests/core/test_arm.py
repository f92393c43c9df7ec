"""Reading ARM's status answers: a case for each known form; `tests.fuzz` tests any answer."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opswatch.core import arm
from opswatch.core.arm import PolledUrl
from opswatch.core.arm_errors import ArmError
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.observations import Ended, Missed, Observation, Running, UrlStyle
from tests.support.builders import (
    ENDPOINT,
    NOW,
    PATH,
    URL,
    answer,
    ended,
    missed,
    running,
    seconds,
)
from tests.support.cases import cases

START = datetime(2024, 1, 25, 22, 18, 46, tzinfo=UTC)
START_TEXT = "2024-01-25T22:18:46Z"
CONFLICT = ArmError(
    code="Conflict", message="Taken.", json='{"code":"Conflict","message":"Taken."}'
)
RESOURCE = {"id": "/subscriptions/x", "name": "cache", "properties": {"hostName": "cache.net"}}


STATUS, LOCATION = UrlStyle.STATUS, UrlStyle.LOCATION
RESULTS_URL = URL.replace("operationsStatus", "operationResults")
RUNNING = Running(status="InProgress", style=LOCATION)


def read(
    response: HttpResponse | NoAnswer, style: UrlStyle | None = None, url: str = URL
) -> Observation:
    polled = PolledUrl(url=url, endpoint=ENDPOINT, style=style, api_version="2024-10-01")
    return arm.read(response, polled, NOW)


def read_running(response: HttpResponse, style: UrlStyle | None = None) -> Running:
    seen = read(response, style)
    assert isinstance(seen, Running), seen
    return seen


def read_ended(response: HttpResponse) -> Ended:
    seen = read(response)
    assert isinstance(seen, Ended), seen
    return seen


def read_missed(response: HttpResponse | NoAnswer) -> Missed:
    seen = read(response)
    assert isinstance(seen, Missed), seen
    return seen


def error_of(**body: Any) -> ArmError | None:
    return read_ended(answer({"status": "Failed"} | body)).error


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


# --- what an answer means


@cases(
    "response, seen",
    {
        "AAO: in progress": (answer({"status": "InProgress"}), running()),
        "AAO: succeeded": (answer({"status": "Succeeded"}), ended()),
        "AAO: failed": (answer({"status": "Failed"}), ended(status="Failed")),
        "AAO: canceled": (answer({"status": "Canceled"}), ended(status="Canceled")),
        "AAO: an end in another case": (answer({"status": "sUCCEEDED"}), ended()),
        "AAO: white space around": (answer({"status": " Succeeded "}), ended()),
        "AAO: property in another case": (answer({"Status": "Succeeded"}), ended()),
        "seen: Cancelled": (answer({"status": "Cancelled"}), ended(status="Canceled")),
        "seen: Completed": (answer({"status": "Completed"}), ended()),
        "hybrid: 202 with a status": (answer({"status": "InProgress"}, 202), running()),
        "hybrid: an end, even in a 202": (answer({"status": "Succeeded"}, 202), ended()),
        "AAO: running in a 201": (answer({"status": "Running"}, 201), running("Running")),
        "AAO: a state of its own beside": (
            answer({"status": "InProgress", "properties": {"provisioningState": "Succeeded"}}),
            running(),
        ),
        "AAO: also in another case": (
            answer({"Status": "Failed", "status": "InProgress"}),
            running(),
        ),
    },
)
def test_status_decides(response: HttpResponse, seen: Observation) -> None:
    for style in (None, STATUS):
        assert read(response, style) == seen
        assert read(response, style, RESULTS_URL) == seen


@cases(
    "response, seen",
    {
        "an empty 202": (answer(None, 202), RUNNING),
        "a 202 with an empty object": (answer({}, 202), RUNNING),
        "a 202 with a body": (answer(RESOURCE, 202), RUNNING),
        "a 202 with white space": (answer(b" \r\n", 202), RUNNING),
        "a 202 with null": (answer(b"null", 202), RUNNING),
        "a 202 with a list": (answer([1], 202), RUNNING),
        "a 202 with a text": (answer(b"Accepted", 202), RUNNING),
        "a 202 with JSON called HTML": (
            answer({"a": 1}, 202, {"content-type": "text/html"}),
            RUNNING,
        ),
        "an empty 200 (Redis delete)": (answer(None), ended()),
        "a 200 with white space": (answer(b"\n"), ended()),
        "a 200 with a byte-order mark": (answer(b"\xef\xbb\xbf"), ended()),
        "a 200 with an empty object": (answer({}), ended()),
        "a 200 with null": (answer(b"null"), ended()),
        "a 204": (answer(None, 204), ended()),
        "a 203": (answer(RESOURCE, 203), ended(result=compact(RESOURCE))),
        "a 200 with the resource": (answer(RESOURCE), ended(result=compact(RESOURCE))),
        "a 201 with the resource": (answer(RESOURCE, 201), ended(result=compact(RESOURCE))),
        "a list": (answer([1]), ended(result="[1]")),
        "a JSON text": (answer(b'"https://x"'), ended(result='"https://x"')),
        "a number": (answer(b"1"), ended(result="1")),
        "XML": (answer(b"<a/>"), ended(result='"<a/>"')),
        "a status of another kind": (
            answer({"status": "Enabled", "a": 1}),
            ended(result='{"status":"Enabled","a":1}'),
        ),
        "a status of another kind beside times": (
            answer({"status": "Enabled", "startTime": START_TEXT}),
            ended(result=compact({"status": "Enabled", "startTime": START_TEXT})),
        ),
        "a status that is an object": (
            answer({"status": {"phase": 1}}),
            ended(result='{"status":{"phase":1}}'),
        ),
        "a code without a message": (answer({"code": "A1"}), ended(result='{"code":"A1"}')),
        "a status that is running": (answer({"status": "InProgress"}), running()),
        "a status that has failed": (answer({"status": "Failed"}), ended(status="Failed")),
        "provisioningState running": (
            answer({"properties": {"provisioningState": "Creating"}}),
            Running(status="Creating", style=LOCATION),
        ),
        "provisioningState at the top": (
            answer({"provisioningState": "Updating"}),
            Running(status="Updating", style=LOCATION),
        ),
        "provisioningState of another kind": (
            answer({"provisioningState": "Enabled"}),
            ended(result='{"provisioningState":"Enabled"}'),
        ),
        "provisioningState succeeded": (
            answer({"properties": {"provisioningState": "Succeeded"}}),
            ended(result='{"properties":{"provisioningState":"Succeeded"}}'),
        ),
        "provisioningState failed": (
            answer({"properties": {"provisioningState": "failed"}}),
            ended(status="Failed", result='{"properties":{"provisioningState":"failed"}}'),
        ),
        "status null counts as absent": (
            answer({"status": None, "properties": {"provisioningState": "Updating"}}),
            Running(status="Updating", style=LOCATION),
        ),
        "provisioningState null": (
            answer({"properties": {"provisioningState": None}}),
            ended(result='{"properties":{"provisioningState":null}}'),
        ),
        "properties that are a text": (
            answer({"properties": "none"}),
            ended(result='{"properties":"none"}'),
        ),
    },
)
def test_location_url_ends_with_another_2xx(response: HttpResponse, seen: Observation) -> None:
    assert read(response, LOCATION, RESULTS_URL) == seen
    assert read(response, LOCATION) == seen  # its name does not matter


@cases(
    "response, seen",
    {
        "an empty 202": (answer(None, 202), RUNNING),
        "an empty 200": (answer(None), ended(inferred_from="an empty 200")),
        "an empty object": (answer({}), ended(inferred_from="an empty 200")),
        "a 204": (answer(None, 204), ended(inferred_from="an empty 204")),
        "a list": (answer([1]), ended(result="[1]", inferred_from="a list")),
        "the resource": (answer(RESOURCE), ended(result=compact(RESOURCE))),
        "a state": (answer({"provisioningState": "Odd"}), Running(status="Odd")),
    },
)
def test_url_of_unknown_style_is_doubted(response: HttpResponse, seen: Observation) -> None:
    assert read(response, None, RESULTS_URL) == seen


NO_STATUS = {
    "empty": (None, "200 no status"),
    "an empty object": ({}, "200 no status"),
    "null": (b"null", "200 no status"),
    "an empty status": ({"status": ""}, "200 no status"),
    "a status that is null": ({"status": None, "id": "x"}, "200 no status"),
    "a resource": (RESOURCE, "200 no status"),
    "an error": (
        {"error": {"code": "Boom", "message": "m"}},
        "200 malformed body: an error without a status: Boom: m",
    ),
    "code and message": (
        {"code": "Boom", "message": "m"},
        "200 malformed body: an error without a status: Boom: m",
    ),
    "a list": ([1], "200 malformed body: not an object"),
}


@cases("body, reason", NO_STATUS)
def test_status_url_ends_with_a_status_only(body: Any, reason: str) -> None:
    expected = Missed(reason=reason, status_code=200)
    assert read(answer(body), STATUS, RESULTS_URL) == expected
    for name in ("operationsStatus", "operationStatuses", "azureAsyncOperation"):
        assert read(answer(body), None, URL.replace("operationsStatus", name)) == expected


def test_204_of_a_status_url_is_doubted() -> None:
    assert read(answer(None, 204), STATUS) == ended(inferred_from="an empty 204")


@cases(
    "body",
    {
        "its path": {"id": PATH.replace("operationsStatus", "operationResults")},
        "its path in another spelling": {
            "id": PATH.replace("operationsStatus", "OPERATIONRESULTS").replace("us/", "%20us/")
        },
        "a start": {"startTime": START_TEXT},
        "a percentage": {"percentComplete": 5},
    },
)
def test_marks_of_a_status_body_are_no_end(body: dict[str, Any]) -> None:
    url = RESULTS_URL.replace("westus", "west us")
    assert isinstance(read(answer(body), None, RESULTS_URL), Missed)
    assert isinstance(read(answer(body | {"name": "x"}), None, url), Missed)


def test_location_error_is_its_failure_if_repeated() -> None:
    body = {"error": {"code": "Conflict", "message": "Taken."}}
    for code in (400, 409, 412, 422):
        seen = read(answer(body, code), LOCATION)
        inferred = f"Conflict under {code}"
        assert seen == ended(status="Failed", error=CONFLICT, inferred_from=inferred)
        assert isinstance(read(answer(body, code), STATUS), Missed)
        assert isinstance(read(answer(None, code), LOCATION), Missed)
        listed = read(answer([body["error"]], code), LOCATION)
        assert isinstance(listed, Ended)
        assert (listed.status, listed.inferred_from) == ("Failed", inferred)
    for code in (401, 403, 404, 408, 410, 429, 500, 503):
        assert isinstance(read(answer(body, code), LOCATION), Missed)


@pytest.mark.parametrize("code", [400, 404, 409, 500])
def test_envelope_under_an_error_code_is_an_end_if_repeated(code: int) -> None:
    body = {"id": PATH, "name": "x", "status": "Failed", "error": {"code": "Boom"}}
    seen = read_ended(answer(body, code))
    assert (seen.status, seen.inferred_from) == ("Failed", f"Failed under {code}")
    assert isinstance(read(answer(body | {"status": "Running"}, code)), Missed)
    assert isinstance(read(answer({"status": "Failed"}, code)), Missed)  # no envelope


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Success", "Succeeded"), ("Completed", "Succeeded"), ("Error", "Failed"),
        ("Failure", "Failed"), ("Aborted", "Failed"), ("TimedOut", "Failed"),
        ("Cancelled", "Canceled"),
    ],
)  # fmt: skip
def test_further_words_are_ends(word: str, status: str) -> None:
    assert read_ended(answer({"status": word})).status == status


def test_202_without_a_status_leaves_the_style() -> None:
    assert read_running(answer(None, 202), STATUS).style is STATUS


def test_result_may_be_beside_the_envelope() -> None:
    body = {"status": "Completed", "name": "x", "manifest": {"a": 1}, "left": 0, "error": None}
    assert read_ended(answer(body)).result == '{"manifest":{"a":1},"left":0}'
    assert read_ended(answer(body | {"properties": {"b": 2}})).result == '{"b":2}'


@cases(
    "response, seen",
    {
        "no answer": (
            NoAnswer("timeout", "after 30 s"),
            Missed(reason="timeout: after 30 s"),
        ),
    },
)
def test_silence_is_a_miss(response: NoAnswer, seen: Observation) -> None:
    assert read(response) == seen


@pytest.mark.parametrize(
    "word",
    [
        "InProgress", "inProgress", "Running", "Accepted", "Pending", "NotStarted", "Creating",
        "Enqueued", "Dequeued", "Updating", "Deleting", "Succeeding", "Failing", "完了",
    ],
)  # fmt: skip
def test_every_other_status_means_running(word: str) -> None:
    assert read(answer({"status": word})) == running(word)


def test_long_status_is_cut_to_a_line() -> None:
    word = read_running(answer({"status": "In\nProgress\0" * 100})).status
    assert len(word) == 128
    assert word.startswith(r"In Progress\x00In")


# --- times, percentage and result


@pytest.mark.parametrize("name", ["startTime", "endTime", "percentComplete", "properties", "error"])
@pytest.mark.parametrize("status", ["InProgress", "Succeeded", "Failed", "Canceled"])
def test_null_counts_as_absent(status: str, name: str) -> None:
    assert read(answer({"status": status, name: None})) == read(answer({"status": status}))


def test_end_time_alone_ends_nothing() -> None:
    body = {"status": "InProgress", "startTime": START_TEXT, "endTime": "2024-01-25T22:18:47Z"}
    assert read(answer(body)) == running(start_time=START)


def test_full_body_is_read() -> None:
    body = {
        "id": "/subscriptions/x/providers/Microsoft.Cache/locations/East US/operationsStatus/y",
        "name": "y",
        "status": "Succeeded",
        "startTime": START_TEXT,
        "endTime": "2024-01-25T22:26:56.1234567Z",
        "percentComplete": 100,
        "properties": {"output": {"a": 1}},
        "error": {},
    }
    assert read(answer(body)) == ended(
        start_time=START,
        end_time=datetime(2024, 1, 25, 22, 26, 56, 123456, tzinfo=UTC),
        percent_complete=100.0,
        result='{"output":{"a":1}}',
    )


@cases(
    "text, instant",
    {
        "2 digits": ("2024-01-25T22:18:46.12Z", START.replace(microsecond=120_000)),
        "6 digits": ("2024-01-25T22:18:46.123456Z", START.replace(microsecond=123_456)),
        "7 digits, cut": ("2024-01-25T22:18:46.1234567Z", START.replace(microsecond=123_456)),
        "7 digits with an offset": (
            "2024-01-25T22:18:46.1234567+00:00",
            START.replace(microsecond=123_456),
        ),
        "no zone": ("2024-01-25T22:18:46", START),
        "a space for the T": ("2024-01-25 22:18:46Z", START),
        "a space before the offset": ("2024-01-25 22:18:46 +0000", START),
        "another zone": ("2024-01-26T01:18:46+03:00", START),
        "Microsoft's JSON date": ("/Date(1706221126000)/", START),
        ".NET's missing date": ("0001-01-01T00:00:00", None),
        "a word": ("yesterday", None),
        "no such day": ("2024-02-30T00:00:00Z", None),
        "past the last year": ("9999-12-31T23:59:59-14:00", None),
        "a date past the last year": ("/Date(999999999999999)/", None),
        "a number": (1706221126, None),
        "an object": ({}, None),
        "an empty text": ("", None),
    },
)
def test_timestamp_is_read(text: object, instant: datetime | None) -> None:
    assert read_running(answer({"status": "Running", "startTime": text})).start_time == instant
    done = read_ended(answer({"status": "Failed", "startTime": text, "endTime": text}))
    assert (done.start_time, done.end_time) == (instant, instant)


@cases(
    "text, percent",
    {
        "0": ("0", 0.0),
        "a whole number": ("42", 42.0),
        "a fraction": ("99.5", 99.5),
        "100": ("100", 100.0),
        "1.0": ("1.0", 1.0),
        "more than 100": ("100.1", None),
        "less than 0": ("-1", None),
        "bool": ("true", None),
        "text": ('"50"', None),
        "NaN": ("NaN", None),
        "Infinity": ("Infinity", None),
        "1e999": ("1e999", None),
        "a huge integer": ("9" * 400, None),
        "a list": ("[50]", None),
    },
)
def test_percentage_is_read(text: str, percent: float | None) -> None:
    body = f'{{"status":"Running","percentComplete":{text}}}'.encode()
    assert read(answer(body)) == running("Running", percent_complete=percent)


# --- errors


@cases(
    "body, error",
    {
        "none (Redis Enterprise)": ({}, None),
        "null": ({"error": None}, None),
        "empty": ({"error": {}}, None),
        "a space before the code (Network)": (
            {"error": {"code": " Conflict", "message": "Taken."}},
            CONFLICT,
        ),
        "names in capitals (409 on a resource group)": (
            {"Error": {"Code": "Conflict", "Message": "Taken."}},
            CONFLICT,
        ),
        "no code": (
            {"error": {"message": "Taken."}},
            ArmError(code=None, message="Taken.", json='{"message":"Taken."}'),
        ),
        "a code that is a number": (
            {"error": {"code": 409, "message": None}},
            ArmError(code="409", json='{"code":"409"}'),
        ),
        "a text": (
            {"error": "Taken."},
            ArmError(code=None, message="Taken.", json='{"message":"Taken."}'),
        ),
        "beside the status": (
            {"code": "Conflict", "message": "Taken."},
            CONFLICT,
        ),
        "a list of numbers": ({"error": [1]}, ArmError(json='{"error":[1]}')),
        "nested (reference of OperationsStatus_Get)": (
            {"error": {"error": {"code": "Conflict", "message": "Taken."}}},
            CONFLICT,
        ),
        "a list": ({"error": [{"code": "Conflict", "message": "Taken."}]}, CONFLICT),
        "errors (Microsoft.Web)": (
            {"errors": [{"code": "Conflict", "message": "Taken."}]},
            CONFLICT,
        ),
        "empty, beside code and message": (
            {"error": {}, "code": "Conflict", "message": "Taken."},
            CONFLICT,
        ),
        "OData": (
            {"odata.error": {"code": "Conflict", "message": {"lang": "en", "value": "Taken."}}},
            CONFLICT,
        ),
        "JSON in a text": ({"error": '{"code":"Conflict","message":"Taken."}'}, CONFLICT),
        "errorCode and errorMessage": (
            {"errorCode": "Conflict", "errorMessage": "Taken."},
            CONFLICT,
        ),
        "anything else beside the envelope": ({"why": 1}, ArmError(json='{"why":1}')),
    },
)
def test_error_is_read(body: dict[str, Any], error: ArmError | None) -> None:
    assert error_of(**body) == error
    assert read_ended(answer({"status": "Succeeded"} | body)).error is None


@cases(
    "error, inner",
    {
        "itself": ({"code": "A", "message": "m"}, (None, None)),
        "details": ({"code": "A", "details": [{"code": "B", "message": "b"}]}, ("B", "b")),
        "details of details": (
            {"code": "A", "details": [{"code": "B", "details": [{"code": "C"}]}]},
            ("C", None),
        ),
        "innererror": ({"code": "A", "innererror": {"code": "B"}}, ("B", None)),
        "JSON in the message": (
            {"code": "A", "message": '{"error":{"code":"B","message":"b"}}'},
            ("B", "b"),
        ),
        "a message that is not JSON": ({"code": "A", "message": "{x"}, (None, None)),
    },
)
def test_innermost_error_is_found(
    error: dict[str, Any], inner: tuple[str | None, str | None]
) -> None:
    seen = error_of(error=error)
    assert seen is not None
    assert (seen.code, seen.code_inner, seen.message_inner) == ("A", *inner)


def test_error_is_kept_whole() -> None:
    error = {
        "code": "DeploymentFailed",
        "message": "At least one resource failed.",
        "target": None,
        "details": [{"code": "Conflict", "details": [{"code": "Inner", "message": "Deep."}]}],
        "additionalInfo": [{"type": "PolicyViolation", "info": {"policy": "x"}}],
        "innererror": {"exception": "y"},
    }
    read_error = error_of(error=error)
    assert read_error is not None
    assert json.loads(read_error.json) == {n: v for n, v in error.items() if v is not None}
    assert (read_error.code_inner, read_error.message_inner) == ("Inner", "Deep.")


def test_failed_provisioning_state_has_its_error() -> None:
    body = {"properties": {"provisioningState": "Failed"}, "error": {"code": "Conflict"}}
    seen = read(answer(body), None, RESULTS_URL)
    assert isinstance(seen, Ended)
    assert seen.error is not None
    assert (seen.status, seen.error.code) == ("Failed", "Conflict")


# --- misses


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_unreadable_codes_are_marked(code: int) -> None:
    seen = read_missed(answer({"error": {"code": "Gone", "message": "It is gone."}}, code))
    assert seen == Missed(reason=f"{code} Gone: It is gone.", status_code=code, unreadable=True)


@pytest.mark.parametrize("code", [400, 402, 405, 408, 409, 412, 429, 499, 500, 502, 503, 504, 999])
def test_other_error_codes_are_misses(code: int) -> None:
    seen = read_missed(answer({"status": "Failed", "error": {"code": "Nope"}}, code))
    assert seen == Missed(reason=f"{code} Nope", status_code=code)


@pytest.mark.parametrize("code", [100, 206, 301, 302, 303, 307, 308])
def test_redirects_and_unusual_codes_are_misses(code: int) -> None:
    headers = {"location": URL, "azure-asyncoperation": URL}
    seen = read_missed(answer({"status": "Succeeded"}, code, headers))
    assert seen.reason.startswith(str(code))
    assert not seen.unreadable


@cases(
    "response, reason",
    {
        "no body": (answer(None, 404), "404 NotFound"),
        "HTML": (answer(b"<html>no</html>", 502), "502 BadGateway"),
        "an empty error": (answer({"error": {}}, 503), "503 ServiceUnavailable"),
        "no code": (answer({"message": "No."}, 404), "404 NotFound: No."),
        "names in capitals": (
            answer({"Error": {"Code": "Conflict", "Message": "Taken."}}, 409),
            "409 Conflict: Taken.",
        ),
        "a list": (answer([], 500), "500 InternalServerError"),
        "a code without a phrase": (answer(None, 599), "599 Unknown"),
        "control characters": (
            answer({"error": {"code": "A\r\nB", "message": "c\0"}}, 500),
            r"500 A B: c\x00",
        ),
        "HTML with a 200": (answer(b"<html>", 200), "200 malformed body"),
        "HTML with a 202": (answer(b"<html>", 202), "202 malformed body"),
        "cut off": (answer(b'{"status":"Succ', 200), "200 malformed body"),
        "a text": (answer(b'"Succeeded"', 200), "200 malformed body"),
        "a number": (answer(b"1", 200), "200 malformed body"),
        "a status that is a number": (answer({"status": 1}), "200 malformed body"),
        "a status list": (answer({"status": ["Succeeded"]}), "200 malformed body"),
        "100,000 levels": (answer(nested(100_000)), "200 malformed body"),
        "100,000 levels, cut off": (answer(b"[" * 100_000), "200 malformed body"),
        "50,000 objects": (answer(b'{"status":' * 50_000), "200 malformed body"),
    },
)
def test_miss_has_a_reason(response: HttpResponse, reason: str) -> None:
    seen = read_missed(response)
    assert seen.reason == reason or seen.reason.startswith(f"{reason}: ")
    assert seen.reason.isprintable()
    assert len(seen.reason) <= 512


@cases(
    "body, seen",
    {
        "a BOM": (b'\xef\xbb\xbf{"status":"Succeeded"}', ended()),
        "two BOMs": (b'\xef\xbb\xbf\xef\xbb\xbf{"status":"Succeeded"}', ended()),
        "a BOM after white space": (b'\r\n\xef\xbb\xbf{"status":"Succeeded"}', ended()),
        "UTF-16": ('{"status":"Succeeded"}'.encode("utf-16"), ended()),
        "UTF-16 without a mark": ('{"status":"Succeeded"}'.encode("utf-16-be"), ended()),
        "a NUL after the body": (b'{"status":"Succeeded"}\0', ended()),
        "half a pair": (b'{"status":"Succeeded","properties":"\\ud83d"}', ended(result='"?"')),
        "Latin-1": (b'{"status":"Succeeded","properties":"\xff"}', ended(result='"\ufffd"')),
        "numbers out of range": (
            b'{"status":"Succeeded","properties":[NaN,-Infinity,1e999,1]}',
            ended(result="[null,null,null,1]"),
        ),
        "a huge integer": (
            b'{"status":"Succeeded","properties":123456789012345678901234567890}',
            ended(result="123456789012345678901234567890"),
        ),
        "the same property twice": (b'{"status":"InProgress","status":"Succeeded"}', ended()),
        "a NUL": (b'{"status":"Succeeded","properties":"a\0b"}', ended(result='"a\\u0000b"')),
        "a line end": (b'{"status":"Succeeded","properties":"a\nb"}', ended(result='"a\\nb"')),
        "50 levels": (
            b'{"status":"Succeeded","properties":' + nested(50) + b"}",
            ended(result=nested(50).decode()),
        ),
    },
)
def test_flawed_body_does_not_hide_the_end(body: bytes, seen: Ended) -> None:
    assert read(answer(body)) == seen


@pytest.mark.parametrize("depth", [50, 62, 63, 64, 65, 300, 900, 960, 990, 1000])
def test_deep_nesting_is_read_or_missed(depth: int) -> None:
    body = b'{"status":"Failed","properties":%b,"error":{"details":%b}}'
    match read(answer(body.replace(b"%b", nested(depth)))):
        case Missed(reason=reason):
            assert "nested too deeply" in reason
            assert depth > 62
        case Ended(error=error, result=result):
            assert error is not None
            assert result == nested(depth).decode()
            assert error.json == f'{{"details":{result}}}'
            assert depth <= 62
        case other:
            pytest.fail(str(other))


# --- Retry-After


DATE = "Mon, 23 Nov 2026 03:05:40 GMT"  # NOW


@cases(
    "headers, delay",
    {
        "absent": ({}, None),
        "seconds": ({"retry-after": "10"}, 10),
        "10 minutes, spaces": ({"retry-after": " 600 "}, 600),
        "2": ({"retry-after": "2"}, 2),
        "0 counts as absent": ({"retry-after": "0"}, None),
        "a fraction": ({"retry-after": "0.5"}, 0.5),
        "negative": ({"retry-after": "-5"}, None),
        "a word": ({"retry-after": "soon"}, None),
        "an exponent": ({"retry-after": "1e3"}, None),
        "other digits": ({"retry-after": "\u0661\u0660"}, None),
        "empty": ({"retry-after": ""}, None),
        "a date, our clock": ({"retry-after": "Mon, 23 Nov 2026 03:06:40 GMT"}, 60),
        "a date from the answer's own": (
            {"retry-after": "Mon, 23 Nov 2026 03:06:40 GMT", "date": DATE},
            60,
        ),
        "a date from a clock that is behind ours": (
            {
                "retry-after": "Wed, 01 Jan 2025 00:00:30 GMT",
                "date": "Wed, 01 Jan 2025 00:00:00 GMT",
            },
            30,
        ),
        "RFC 850": ({"retry-after": "Monday, 23-Nov-26 03:06:40 GMT", "date": DATE}, 60),
        "asctime": ({"retry-after": "Mon Nov 23 03:06:40 2026", "date": DATE}, 60),
        "an offset": ({"retry-after": "Mon, 23 Nov 2026 04:06:40 +0100", "date": DATE}, 60),
        "the past": ({"retry-after": "Mon, 23 Nov 2026 03:05:39 GMT", "date": DATE}, None),
        "no Date": ({"retry-after": "Mon, 23 Nov 2026 03:06:40 GMT", "date": "x"}, 60),
        "past the last year": ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -0500"}, None),
        "before the first year": ({"retry-after": "Sat, 01 Jan 0001 00:00:00 +0500"}, None),
        "no such offset": ({"retry-after": "Mon, 23 Nov 2026 03:06:40 +9999"}, None),
        "retry-after-ms": ({"retry-after-ms": "1500"}, 1.5),
        "x-ms-retry-after-ms": ({"x-ms-retry-after-ms": "2500"}, 2.5),
        "ms before seconds": ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        "0 ms, then seconds": ({"retry-after-ms": "0", "retry-after": "9"}, 9),
        "no ms, then seconds": ({"retry-after-ms": "x", "retry-after": "9"}, 9),
    },
)
def test_retry_after_is_read(headers: dict[str, str], delay: float | None) -> None:
    expected = None if delay is None else seconds(delay)
    assert read_running(answer({"status": "Running"}, 200, headers)).retry_after == expected
    assert read_running(answer(None, 202, headers)).retry_after == expected
    assert read_missed(answer(None, 429, headers)).retry_after == expected
    assert read_missed(answer(None, 503, headers)).retry_after == expected


def test_huge_retry_after_is_kept() -> None:
    wait = read_running(answer(None, 202, {"retry-after": "9" * 15})).retry_after
    assert wait is not None
    assert wait > timedelta(days=365)


@cases(
    "code, message, delay",
    {
        "quoted": (429, "Please try again after '372' seconds.", 372),
        "plain": (429, "Please try after 11 seconds.", 11),
        "one": (429, "Please try again after '1' second.", 1),
        "minutes": (429, "Please try again after '5' minutes.", 300),
        "in capitals": (429, "PLEASE TRY AGAIN AFTER 5 MINUTES.", 300),
        "none": (429, "Please try again later.", None),
        "not throttled": (503, "Please try again after '372' seconds.", None),
    },
)
def test_throttling_text_names_the_delay(code: int, message: str, delay: float | None) -> None:
    body = {"error": {"code": "ResourceRequestsThrottled", "message": message}}
    expected = None if delay is None else seconds(delay)
    assert read_missed(answer(body, code)).retry_after == expected
    with_header = answer(body, code, {"retry-after": "7"})
    assert read_missed(with_header).retry_after == seconds(7)


# --- a new status URL

NEW = f"{PATH}2?api-version=2024-11-01&t=1&c=a%2Fb%2fc&s=x+y~z==&h=q"


@cases(
    "headers, code, url",
    {
        "none": ({}, 200, None),
        "AAO": ({"azure-asyncoperation": ENDPOINT + NEW}, 200, ENDPOINT + NEW),
        "AAO wins over Location": (
            {"azure-asyncoperation": ENDPOINT + NEW, "location": URL},
            202,
            ENDPOINT + NEW,
        ),
        "Location beside a status: the resource's": ({"location": ENDPOINT + NEW}, 200, None),
        "Location beside a status, under 202": ({"location": ENDPOINT + NEW}, 202, None),
    },
)
def test_azure_asyncoperation_is_followed(
    headers: dict[str, str], code: int, url: str | None
) -> None:
    seen = read_running(answer({"status": "Running"}, code, headers))
    assert (seen.next_url, seen.next_style) == (url, url and STATUS)


@cases(
    "location, url",
    {
        "a URL": (ENDPOINT + NEW, ENDPOINT + NEW),
        "a path": (NEW, ENDPOINT + NEW),
        "spaces around": (f"  {ENDPOINT + NEW} ", ENDPOINT + NEW),
        "case": ("https://MANAGEMENT.azure.com:443" + NEW, ENDPOINT + NEW),
        "a region's host": ("https://westus.management.azure.com" + NEW, ENDPOINT + NEW),
        "no api-version": (f"{PATH}2?t=1", f"{ENDPOINT}{PATH}2?t=1&api-version=2024-10-01"),
        "the same URL": (URL, None),
    },
)
def test_location_of_a_202_is_followed(location: str, url: str | None) -> None:
    seen = read_running(answer(None, 202, {"location": location}))
    assert (seen.next_url, seen.next_style) == (url, url and LOCATION)
    assert seen.style is LOCATION


@cases(
    "location",
    {
        "empty": "",
        "foreign host": "https://evil.example" + NEW,
        "suffix": "https://management.azure.com.evil.example" + NEW,
        "our host as user info": "https://management.azure.com@evil.example" + NEW,
        "user info": "https://user@management.azure.com" + NEW,
        "other port": "https://management.azure.com:8443" + NEW,
        "other scheme": "http://management.azure.com" + NEW,
        "scheme-relative": "//evil.example" + NEW,
        "relative": "operationsStatus/x",
        "a query": "?t=1",
        "backslashes": "\\\\evil.example" + NEW,
        "one slash": "https:/evil.example" + NEW,
        "a fragment": f"{URL}#x",
        "# in the host": f"{ENDPOINT}#.evil.example{NEW}",
        "a line end": f"{URL}\r\nx: y",
        "a byte that is not UTF-8": f"{URL}\udcff",
        "too long": f"{URL}&t={'x' * 40_000}",
        "too long as sent": f"{URL}&t={'é' * 20_000}",
        "half a host": "https://[::1",
    },
)
def test_next_url_stays_on_our_host(location: str) -> None:
    assert read_running(answer(None, 202, {"location": location})).next_url is None
    headers = {"azure-asyncoperation": location}
    assert read_running(answer({"status": "Running"}, 200, headers)).next_url is None


def test_end_has_no_next_url() -> None:
    assert read(answer({"status": "Succeeded"}, 200, {"azure-asyncoperation": URL})) == ended()


SIGNED = f"{URL}&t=1&c=a&s=b&h=c"
ORIGINAL_CALLER = "Only the original caller of an asynchronous operation is allowed."


def test_refused_signature_is_marked() -> None:
    body = {"error": {"code": "Forbidden", "message": ORIGINAL_CALLER}}
    polled = PolledUrl(url=SIGNED, endpoint=ENDPOINT, style=STATUS)
    for code in (400, 403, 404):
        seen = arm.read(answer(body, code), polled, NOW)
        assert isinstance(seen, Missed)
        assert seen.unreadable
        assert seen.reason == f"{code} OnlyOriginalCaller: Forbidden: {ORIGINAL_CALLER}"
        assert arm.may_have_refused_signature(seen, polled)
        assert not arm.may_have_refused_signature(seen, replace(polled, url=URL))
    assert not arm.may_have_refused_signature(missed(500), polled)


def test_unsigned_url_is_polled_from_now_on() -> None:
    unsigned = PolledUrl(url=URL, endpoint=ENDPOINT)
    assert arm.merge_unsigned(missed(403), missed(404), unsigned) == missed(403)
    assert arm.merge_unsigned(missed(403), ended(), unsigned) == ended()
    merged = arm.merge_unsigned(missed(403), running(), unsigned)
    assert merged == running(next_url=URL, next_style=STATUS)


def test_builders_make_misses_that_arm_reads() -> None:
    assert read(answer(None, 404)) == replace(missed(404), reason="404 NotFound")
