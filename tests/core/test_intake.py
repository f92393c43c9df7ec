"""Posted messages: every accepted form, and every reason for a rejection."""

import base64
import json
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.errors import Reason
from opswatch.core.intake import MAX_MESSAGE, Defaults, Registration
from opswatch.core.texts import utf16_length
from tests.fuzz.strategies import OBJECTS
from tests.support.builders import (
    API_VERSION,
    ENDPOINT,
    HOOK,
    ID,
    KEY,
    LOCATION,
    LOOPBACK,
    NOW,
    PATH,
    SUBSCRIPTION,
    URL,
    accepted,
    post,
    rejected,
)
from tests.support.cases import cases

# As newer providers sign their URLs: kept byte for byte, or the signature breaks.
SIGNED = (
    f"{API_VERSION}&t=638700000000000000&c=MIIH{'0aA%2F%2f+~%3D%3d/' * 200}&s=x_y-Z%2B+~==&h=q.%7E~"
)


# --- the forms


@cases(
    "body, url",
    {
        "bare ID": (ID, f"{LOCATION}/operationsStatus/{ID}"),
        "bare ID of one character": ("a", f"{LOCATION}/operationsStatus/a"),
        "bare ID of 126": ("Az09._-" * 18, f"{LOCATION}/operationsStatus/{'Az09._-' * 18}"),
        "path": (PATH, PATH),
        "path with its api-version": (f"{PATH}?{API_VERSION}", PATH),
        "path with a space": (
            PATH.replace("westus", "West US"),
            PATH.replace("westus", "West%20US"),
        ),
        "URL": (URL, PATH),
        "URL with the usual port": (f"{ENDPOINT}:443{PATH}", PATH),
        "URL in capitals": (f"HTTPS://Management.Azure.COM{PATH}", PATH),
        "JSON: ID": ({"operation": ID}, f"{LOCATION}/operationsStatus/{ID}"),
        "JSON: path": ({"operation": PATH}, PATH),
        "JSON: URL": ({"operation": URL}, PATH),
        "JSON: white space around": ({"operation": f" {URL}\n"}, PATH),
        "JSON: id": ({"id": PATH}, PATH),
        "JSON: bare id": ({"id": ID}, f"{LOCATION}/operationsStatus/{ID}"),
        "JSON: a status body": (
            {"id": PATH, "name": ID, "status": "InProgress", "error": None, "properties": {}},
            PATH,
        ),
        "JSON: parts": (
            {"subscriptionId": SUBSCRIPTION, "location": "West US", "operationId": ID},
            PATH.replace("westus", "West%20US"),
        ),
        "JSON: all parts": (
            {
                "operationId": ID,
                "provider": "My.Sql",
                "collection": "results",
                "location": "eastus",
            },
            f"/subscriptions/{SUBSCRIPTION}/providers/My.Sql/locations/eastus/results/{ID}",
        ),
        "JSON: parts beside a bare ID": (
            {"operation": ID, "location": "eastus"},
            PATH.replace("westus", "eastus"),
        ),
        "JSON: operation wins": (
            {"operation": PATH, "id": "x", "operationId": "y", "location": "z"},
            PATH,
        ),
        "JSON: id wins over operationId": ({"id": PATH, "operationId": "y"}, PATH),
        "JSON: null counts as absent": ({"operation": None, "id": PATH}, PATH),
        "JSON: properties that are not needed": (
            {"operation": PATH, "Operation": "x", "OPERATION": 1, "subscriptionId": 7},
            PATH,
        ),
    },
)
def test_form_is_accepted(body: Any, url: str) -> None:
    defaults = Defaults(subscription_id=SUBSCRIPTION, location="westus")
    operation = accepted(body, defaults=defaults).operation
    assert operation.url == f"{ENDPOINT}{url}?{API_VERSION}"
    assert operation.api_version == "2024-10-01"


@cases(
    "body, query",
    {
        "the setting's": (ID, API_VERSION),
        "the message's": ({"operation": ID, "apiVersion": "2025-04-01"}, "api-version=2025-04-01"),
        "the URL's": (f"{PATH}?api-version=2023-11-01", "api-version=2023-11-01"),
        "in capitals": (f"{PATH}?API-Version=2023-11-01", "API-Version=2023-11-01"),
        "beside another parameter": (f"{PATH}?t=1", f"t=1&{API_VERSION}"),
        "an empty query": (f"{PATH}?", f"&{API_VERSION}"),
        "the URL's own wins": (
            {"operation": f"{PATH}?api-version=2023-11-01", "apiVersion": "2025-04-01"},
            "api-version=2023-11-01",
        ),
    },
)
def test_missing_api_version_is_added(body: Any, query: str) -> None:
    assert accepted(body).operation.url.partition("?")[2] == query


def test_unset_api_version_is_left_to_arm() -> None:
    operation = accepted(PATH, defaults=Defaults(api_version=None)).operation
    assert operation.url == ENDPOINT + PATH
    assert operation.api_version is None


@cases(
    "body",
    {
        "URL": f"{ENDPOINT}{PATH}?{SIGNED}",
        "JSON": {"operation": f"{ENDPOINT}{PATH}?{SIGNED}"},
        "path": f"{PATH}?{SIGNED}",
        "base64": base64.b64encode(f"{ENDPOINT}{PATH}?{SIGNED}".encode()),
    },
)
def test_signed_query_is_kept_byte_for_byte(body: Any) -> None:
    operation = accepted(body).operation
    assert len(SIGNED) > 3000
    assert operation.url == f"{ENDPOINT}{PATH}?{SIGNED}"
    assert operation.key == KEY


@given(st.text("abcXYZ019-._~%2Ff+/=&?@:;,!*'()[]{}|^`\"<>$", max_size=200))
def test_any_query_is_kept_byte_for_byte(query: str) -> None:
    url = f"{ENDPOINT}{PATH}?{API_VERSION}&t={query}"
    assert accepted(url).operation.url == url


# --- how a message is written


@cases(
    "wrap",
    {
        "raw": lambda raw: raw,
        "white space": lambda raw: b" \r\n\t" + raw + b"\n ",
        "BOM": lambda raw: b"\xef\xbb\xbf" + raw,
        "BOM and white space": lambda raw: b"\n\xef\xbb\xbf " + raw + b"\r\n",
        "base64": base64.b64encode,
        "base64 in lines": base64.encodebytes,
        "base64 in CRLF lines": lambda raw: base64.encodebytes(raw).replace(b"\n", b"\r\n"),
        "base64 in white space": lambda raw: b" " + base64.b64encode(raw) + b"\n",
        "BOM in base64": lambda raw: base64.b64encode(b"\xef\xbb\xbf" + raw),
        "line end in base64": lambda raw: base64.b64encode(raw + b"\r\n"),
    },
)
@cases(
    "body",
    {
        "bare ID": ID,
        "path": PATH.replace("westus", "West US"),
        "URL": URL,
        "JSON": json.dumps({"operation": URL, "clientState": "é\n"}, indent=1),
        "JSON with characters newer than Python's tables": json.dumps(
            {"operation": ID, "clientState": "\U0001fae8 \ue000"}, ensure_ascii=False
        ),
        "JSON with a joiner": '{"operation":"x","clientState":"\u200d"}',
    },
)
def test_raw_and_base64_read_the_same(body: str, wrap: Any) -> None:
    assert accepted(wrap(body.encode())) == accepted(body)


def test_base64_of_bytes_is_an_id() -> None:
    assert accepted("AAAA").operation.operation_id == "AAAA"  # three NULs
    assert accepted("abcd").operation.operation_id == "abcd"  # not UTF-8
    assert accepted("abc").operation.operation_id == "abc"  # not whole


def test_base64_within_base64_is_rejected() -> None:
    twice = base64.b64encode(base64.b64encode(URL.encode()))
    assert rejected(twice).reason is Reason.INVALID_OPERATION


# --- rejections


REJECTED: dict[Reason, dict[str, tuple[Any, str]]] = {
    Reason.EMPTY: {
        "nothing": (b"", "empty"),
        "white space": (b" \r\n\t", "empty"),
        "a BOM": (b"\xef\xbb\xbf", "empty"),
        "white space in base64": (base64.b64encode(b" \n "), "empty"),
    },
    Reason.NOT_UTF8: {
        "UTF-16": (b"\xff\xfe{\0}\0", "UTF-16"),
        "UTF-16 without a mark": ("{}".encode("utf-16-le"), "UTF-16"),
        "UTF-16 in base64": (base64.b64encode('{"id": "x"}'.encode("utf-16")), "UTF-16"),
        "Latin-1": (b"caf\xe9", "position 3"),
        "a surrogate": (b"\xed\xa0\x80", "utf-8"),
    },
    Reason.NOT_JSON: {
        "cut off": ("{", "truncated"),
        "no quotes": ('{"operation": x}', ""),
        "single quotes": ("{'operation': 'x'}", ""),
        "a comma too many": ('{"operation": "x",}', ""),
        "two objects": ('{"operation": "x"} {}', ""),
        "NaN": ('{"operation": "x", "a": NaN}', ""),
        "half a pair": ('{"operation": "\\ud800"}', ""),
        "half an array": ("[", ""),
        "60,000 arrays": ("[" * 60_000, "nested"),
        "900 levels": (
            '{"operation":"x","clientState":' + "[" * 900 + "]" * 900 + "}",
            "nested too deeply",
        ),
        "1,900 levels in a text's place": (
            '{"operation":"x","timeout":' + "[" * 1900 + "]" * 1900 + "}",
            "nested too deeply",
        ),
    },
    Reason.UNKNOWN_SHAPE: {
        "an array": ([ID], "array"),
        "an empty array": ("[]", "array"),
        "an empty object": ({}, "'operation'"),
        "another case": ({"Operation": ID}, "'operation'"),
        "ID in capitals": ({"ID": ID, "name": ID}, "'id'"),
        "parts without an ID": (
            {"subscriptionId": SUBSCRIPTION, "location": "westus"},
            "'operationId'",
        ),
        "kind": ({"operation": ID, "kind": 1}, "'kind'"),
    },
    Reason.INVALID_OPERATION: {
        "a message of 64 KiB": ("x" * 65_536, "neither"),
        "words": ("hello world", "neither"),
        "an ID of 129": ("x" * 129, "neither"),
        "a relative path": ("a/b", "neither"),
        "an ID beyond ASCII": ("ümlaut", "neither"),
        "a JSON text": (f'"{ID}"', "neither"),
        "an ID with a mark": ("true?", "neither"),
        "two IDs": (f"{ID}\n{ID}", "neither"),
        "a number": ({"operation": 1}, "'operation'"),
        "no text": ({"operation": ""}, "'operation'"),
        "a space": ({"operation": " "}, "'operation'"),
        "an id that is an object": ({"id": {"a": 1}}, "'id'"),
        "a location that is a number": ({"operationId": ID, "location": 5}, "'location'"),
        "an apiVersion that is a number": ({"operation": ID, "apiVersion": 5}, "'apiVersion'"),
        "a slash": ("/", "names no operation"),
        "not ARM's": ("/a/b/c", "names no operation"),
        "too short": (f"/subscriptions/{SUBSCRIPTION}", "names no"),
        "the host alone": (ENDPOINT, "names no operation"),
        "empty segment": (f"{LOCATION}//{ID}", "segment"),
        "dots": (f"{LOCATION}/../x/{ID}", "segment"),
        "%2e%2e": (f"{LOCATION}/%2e%2E/{ID}", "segment"),
        "%0a": (f"{LOCATION}/x/%0a", "segment"),
        "no escape": (f"{LOCATION}/x/%zz", "segment"),
        "not UTF-8": (f"{LOCATION}/x/%ff", "segment"),
        "a fragment": (f"{PATH}#x", "fragment"),
        "a NUL": (f"{PATH}\0", "control"),
        "a line end": (f"{PATH}?a\nb", "control"),
        "a backslash": (f"{PATH}\\x", "backslash"),
    },
    Reason.INVALID_CALLBACK: {
        "a callback over http": ({"operation": ID, "callbackUrl": "http://example.com"}, "http"),
        "a callback to ourselves": (
            {"operation": ID, "callbackUrl": "https://127.0.0.1/x"},
            "loopback",
        ),
        "empty": ({"operation": ID, "callbackUrl": ""}, "absolute"),
        "a callback that is a list": ({"operation": ID, "callbackUrl": [HOOK]}, "must be a string"),
    },
    Reason.TOO_LARGE: {
        "a message of 64 KiB + 1": ("x" * 65_537, "65537 bytes"),
        "a long kind": ({"operation": ID, "kind": "k" * 257}, "'kind'"),
        "a clientState of 4,097 bytes": (
            {"operation": ID, "clientState": "x" * 4095},
            "'clientState'",
        ),
        "a clientState of 4,098 bytes, 2,050 characters": (
            {"operation": ID, "clientState": "é" * 2048},
            "'clientState'",
        ),
        "a long URL": (f"{URL}&t={'x' * 33_000}", "a URL of"),
        "a URL that is long as sent": (f"{URL}&t={'é' * 10_000}", "a URL of"),
        "a long api-version": ({"operation": ID, "apiVersion": "x" * 40_000}, "a URL of"),
        "a long collection": ({"operation": ID, "collection": "x" * 40_000}, "a URL of"),
    },
}


@cases(
    "body, reason, detail",
    {
        f"{reason}: {name}": (body, reason, detail)
        for reason, table in REJECTED.items()
        for name, (body, detail) in table.items()
    },
)
def test_message_is_rejected_with_its_reason(body: Any, reason: Reason, detail: str) -> None:
    rejection = rejected(body)
    assert rejection.reason is reason
    assert detail in rejection.detail
    assert utf16_length(rejection.detail) <= 1024


@cases(
    "body, defaults, missing",
    {
        "all": (
            ID,
            Defaults(provider=None),
            "OPSWATCH_SUBSCRIPTION_ID, OPSWATCH_PROVIDER, OPSWATCH_LOCATION",
        ),
        "subscription": (ID, Defaults(location="x"), "OPSWATCH_SUBSCRIPTION_ID"),
        "location": ({"operation": ID, "subscriptionId": "x"}, Defaults(), "OPSWATCH_LOCATION"),
        "null": (
            {"operationId": ID, "subscriptionId": None, "location": "x"},
            Defaults(),
            "OPSWATCH_SUBSCRIPTION_ID",
        ),
    },
)
def test_missing_setting_is_named(body: Any, defaults: Defaults, missing: str) -> None:
    rejection = rejected(body, defaults=defaults)
    assert rejection.reason is Reason.MISSING_SETTING
    assert rejection.detail.endswith(f": {missing}")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "https://management.azure.com.evil.example",
        "https://evil.example/management.azure.com", "https://management.azure.com@evil.example",
        "https://user@management.azure.com", "https://:x@management.azure.com",
        "https://@management.azure.com", "https://management.azure.com:8443",
        "https://management.azure.com:80", "https://management.azure.com:x",
        "https://management.azure.com:99999", "http://management.azure.com", "ftp://management.azure.com",
        "https://management.azure.com.", "https://management%2Eazure.com", "https://",
        "https://management.azure.com%00.evil.example", "https://[::1]", "https://[::1",
        "https://management\uff0eazure.com", "https://\uff4danagement.azure.com",
        "https://management.azure.com;evil.example", "https://management.azure.com ",
        "https://management.usgovcloudapi.net", "https://169.254.169.254",
    ],
)  # fmt: skip
def test_foreign_host_is_rejected(origin: str) -> None:
    for body in (origin + PATH, {"operation": origin + PATH}, {"id": origin + PATH}):
        assert rejected(body).reason is Reason.FOREIGN_HOST


@pytest.mark.parametrize(
    "text",
    [
        f"//evil.example{PATH}", f"///evil.example{PATH}", f"/\\evil.example{PATH}",
        f"https:/evil.example{PATH}", f"https:evil.example{PATH}", f"https:\\\\evil.example{PATH}",
        f"{ENDPOINT}#@evil.example{PATH}", f"{ENDPOINT}\\@evil.example{PATH}",
        f"{ENDPOINT}#.evil.example{PATH}", f"javascript:alert(1)//{PATH}",
    ],
)  # fmt: skip
def test_disguised_host_is_rejected(text: str) -> None:
    assert rejected(text).reason in (Reason.INVALID_OPERATION, Reason.FOREIGN_HOST)


def test_only_the_configured_endpoint_is_accepted() -> None:
    own = "http://localhost:7080"
    assert accepted(own + PATH, endpoint=own).operation.url == f"{own}{PATH}?{API_VERSION}"
    assert rejected(URL, endpoint=own).reason is Reason.FOREIGN_HOST
    assert rejected("https://localhost:7080" + PATH, endpoint=own).reason is Reason.FOREIGN_HOST
    assert rejected("http://localhost" + PATH, endpoint=own).reason is Reason.FOREIGN_HOST


def test_rejection_keeps_the_message() -> None:
    body = "?" + "\U0001f600" * 20_000
    rejection = rejected(body)
    assert rejection.body_sha256 == sha256(body.encode()).hexdigest()
    assert rejection.received_at == NOW
    assert rejection.count == 1
    assert body.startswith(rejection.body)
    assert utf16_length(rejection.body) == 32 * 1024 - 1  # no half of a pair
    assert rejected(b"caf\xe9").body == "caf\ufffd"


# --- what else a message says


def test_optional_properties_are_kept() -> None:
    posted = accepted(
        {
            "operation": URL,
            "kind": " redisEnterprise/create ",
            "resourceId": " /subscriptions/s ",
            "callbackUrl": HOOK,
            "callbackOn": ["Lost", "Failed", "Lost"],
            "startTime": "2026-11-23T03:05:40Z",
            "timeout": "PT6H",
            "again": True,
            "clientState": {"ticket": 42, "é": [None, True, 1.5]},
            "color": "unknown",
        }
    )
    assert posted == Registration(
        operation=posted.operation,
        kind="redisEnterprise/create",
        resource_id="/subscriptions/s",
        callback_url=HOOK,
        callback_on=("Lost", "Failed"),
        start_time=NOW,
        timeout=timedelta(hours=6),
        again=True,
        client_state='{"ticket":42,"é":[null,true,1.5]}',
    )


def test_optional_properties_may_be_null() -> None:
    names = ("kind", "resourceId", "callbackUrl", "callbackOn", "startTime", "timeout", "again")
    posted = accepted({"operation": URL, "clientState": None} | dict.fromkeys(names))
    assert posted == Registration(operation=posted.operation) == accepted(URL)


def test_message_callback_replaces_the_default() -> None:
    defaults = Defaults(callback_url=HOOK)
    other = "https://example.org/x"
    assert accepted(URL, defaults=defaults).callback_url == HOOK
    assert accepted({"id": URL}, defaults=defaults).callback_url == HOOK
    assert accepted({"id": URL, "callbackUrl": other}, defaults=defaults).callback_url == other


def test_permitted_network_may_be_called_back() -> None:
    body = {"operation": URL, "callbackUrl": "http://127.0.0.1:8080/x"}
    assert accepted(body, rules=LOOPBACK).callback_url == "http://127.0.0.1:8080/x"


@cases(
    "text, timeout",
    {
        "the least": ("PT30S", timedelta(seconds=30)),
        "the most": ("P7D", timedelta(days=7)),
        "a week": ("P1W", timedelta(days=7)),
        "a fraction": ("PT0.5H", timedelta(minutes=30)),
        "all": ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        "spaces": (" PT1M ", timedelta(minutes=1)),
    },
)
def test_timeout_is_read(text: str, timeout: timedelta) -> None:
    assert accepted({"operation": URL, "timeout": text}).timeout == timeout


@pytest.mark.parametrize(
    "text",
    [
        "PT29S", "PT29.9S", "P7DT1S", "P1M", "P1Y", "PT", "P", "", "6h", "-PT1H", "PT1H30", 3600,
        True, ["PT1H"], "PT" + "9" * 100 + "S", "P999999999D", "PT1H\0", "pt1h", {"a": "x" * 5000},
    ],
)  # fmt: skip
def test_invalid_timeout_is_rejected(text: Any) -> None:
    rejection = rejected({"operation": URL, "timeout": text})
    assert rejection.reason is Reason.INVALID_TIMEOUT
    assert len(rejection.detail) < 256


@cases(
    "state, text",
    {
        "zero": (0, "0"),
        "false": (False, "false"),
        "an empty text": ("", '""'),
        "an empty object": ({}, "{}"),
        "arrays": ([[]], "[[]]"),
        "control characters": ("\0\n\u2028", '"\\u0000\\n\u2028"'),
        "a huge integer": (2**70, str(2**70)),
        "4,096 bytes": ("x" * 4094, '"' + "x" * 4094 + '"'),
    },
)
def test_client_state_is_any_json(state: Any, text: str) -> None:
    assert accepted({"operation": URL, "clientState": state}).client_state == text


def test_last_of_duplicate_properties_counts() -> None:
    assert accepted('{"operation": "x", "operation": "y"}').operation.operation_id == "y"


def test_escapes_in_json_are_read() -> None:
    assert accepted('{"\\u006fperation": "\\u0061bc"}').operation.operation_id == "abc"


# --- any post


LETTERS = st.text(st.characters(codec="utf-8"), max_size=30)
SEGMENTS = LETTERS.map(lambda text: quote(text, safe=" é~:")).filter(bool)
PATHS = st.lists(SEGMENTS, min_size=3, max_size=9).map(
    lambda parts: "/subscriptions/" + "/".join(parts)
)


@given(PATHS | OBJECTS)
def test_base64_of_any_post_reads_the_same(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    posted, packed = post(raw), base64.b64encode(raw)
    if isinstance(posted, Registration) and len(packed) <= MAX_MESSAGE:
        assert post(packed) == posted


@given(PATHS)
def test_any_accepted_path_is_on_our_host(path: str) -> None:
    posted = post(path)
    if isinstance(posted, Registration):
        key = posted.operation.key
        assert posted.operation.url.startswith(f"{ENDPOINT}/subscriptions/")
        assert posted.operation.url.isascii()
        assert utf16_length(key.partition) <= 64
        assert utf16_length(key.row) <= 400
        assert accepted(posted.operation.url).operation == posted.operation
