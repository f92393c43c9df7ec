"""Messages and answers that are nearly valid, with the flaws that parsers mishandle."""

import base64
import json
from datetime import datetime
from typing import TypeVar

from hypothesis import strategies as st

from opswatch.core.http import HttpResponse, Layer, NoAnswer
from tests.support.builders import ENDPOINT, HOOK, ID, PATH, SUBSCRIPTION, URL

T = TypeVar("T")


def mostly(
    usual: st.SearchStrategy[T], *others: st.SearchStrategy[T], share: int = 3
) -> st.SearchStrategy[T]:
    """Draw from `usual` `share` times as often as from the others, which `|` would draw equally."""
    weighted = [usual] * (share * len(others)) + list(others)
    return st.sampled_from(weighted).flatmap(lambda chosen: chosen)


# --- texts

CONTROLS = "\x00\x01\x08\t\n\x0b\r\x1b\x1f\x7f\x80\x85\x9f"
ODD = "\ufeff\u200b\u2028\u202e\u00a0\ufffe\uffff\ud800\udc00\udfff\U0001f600\U0010ffffßİ\u017fé"
SYNTAX = "/\\?#%&=+~@:;,.-_'\"<>{}[]()|^`$!* "
# Lists: an alphabet that is a union is drawn from as one range, in which these are rare.
ODDITIES = st.lists(st.sampled_from(CONTROLS + ODD + SYNTAX), max_size=12).map("".join)
TEXTS = ODDITIES | st.text(st.characters(), max_size=40)
ESCAPES = st.sampled_from(
    ["%00", "%0a", "%2F", "%2f", "%5C", "%25", "%", "%4", "%zz", "%C3%A9", "%ff", "%u0041", "%7E"]
)
PARTS = st.sampled_from([".", "..", "", ID, "x" * 128, "x" * 129, "y" * 300, "\U0001f600" * 65])
SEGMENTS = st.lists(TEXTS | ESCAPES | PARTS, max_size=3).map("".join)
KEYWORDS = st.sampled_from(
    ["subscriptions", "Providers", "locations", "resourceGroups", "operationsStatus", SUBSCRIPTION]
)
HOSTS = st.sampled_from(
    [
        "management.azure.com", "MANAGEMENT.azure.com:443", "management.azure.com.", "[::1",
        "management.azure.com@evil.example", "evil.example", "management.azure.com:99999",
        "management.azure.com\\.evil.example", "management.azure.com%00.evil.example", "",
        "\uff4danagement.azure.com", "management.azure.com:", "[fe80::1%25eth0]", "xn--é",
    ]
)  # fmt: skip
_STANDARD = "/subscriptions/{}/providers/{}/locations/{}/{}/{}"
PATHS = (
    st.lists(KEYWORDS | SEGMENTS, max_size=10).map(lambda parts: "/" + "/".join(parts))
    | st.tuples(*[SEGMENTS.filter(bool)] * 5).map(lambda parts: _STANDARD.format(*parts))
    | PARTS.map(lambda part: _STANDARD.format(*[part] * 5))
)
QUERIES = st.lists(TEXTS | ESCAPES | st.sampled_from(["api-version=", "t=", "&", "="])).map("".join)
URLS = (
    st.builds("{}://{}{}{}{}".format, st.sampled_from(["https", "HTTPS", "http", "ftp", "h-+."]),
              HOSTS, PATHS, st.sampled_from(["", "?", "#", "?api-version=1&"]), QUERIES)
    | st.builds("{}{}".format, st.sampled_from([URL, PATH, f"{PATH}?", ID, HOOK]), QUERIES)
    | st.builds("{}{}".format, PATHS, QUERIES)
)  # fmt: skip

# --- JSON as texts, also such as `json.dumps` would not write

NUMBERS = st.sampled_from(
    ["NaN", "-Infinity", "1e999", "-1e-999", "-0", "0.1e1", "18446744073709551616", "01", "+1",
     "9" * 40, "-" + "9" * 4300, "9" * 4301, "1" * 20_000, "0." + "3" * 5000, "1E400"]
) | st.integers().map(str) | st.floats().map(json.dumps)  # fmt: skip
STRINGS = st.one_of(
    TEXTS.map(json.dumps),  # escaped, lone surrogates too
    st.text(max_size=40).map(json.dumps),
    TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    TEXTS.map(lambda text: f'"{text}"'),  # raw
    st.sampled_from(['"\\ud83d"', '"\\u0000"', '"\\x"', '"', "'a'", '"a\\', '"Succeeded"']),
)
WORDS = st.sampled_from(["null", "true", "false", "{}", "[]", "", "undefined", "True"])
PAIRS = [("[", "]"), ("[", "]"), ('{"a":', "}"), ("[", ""), ('{"error":', "1}"), ("[[],", "]")]
DEEP = st.builds(
    lambda depth, pair: pair[0] * depth + pair[1] * depth,
    st.sampled_from([1, 30, 60, 61, 62, 63, 64, 65, 66, 500, 5000]),
    st.sampled_from(PAIRS),
)
LONG = st.builds(
    lambda unit, length: json.dumps(unit * length, ensure_ascii=False),
    st.sampled_from(["x", "é", "\U0001f600", "\x00"]),
    st.sampled_from([255, 257, 1024, 4094, 4095, 11_000]),
)
USUAL = st.text(max_size=40).map(json.dumps) | st.integers().map(str) | st.just("{}")
SCALARS = mostly(USUAL, NUMBERS, STRINGS, WORDS, DEEP)


def _members(
    names: st.SearchStrategy[str],
    values: st.SearchStrategy[str],
    first: st.SearchStrategy[str] | None = None,
) -> st.SearchStrategy[str]:
    """Return objects, with duplicate names and sometimes with superfluous commas."""
    member = st.builds("{}:{}".format, names.map(json.dumps), values)
    return st.builds(
        lambda first, members, comma, end: "{" + comma.join([*first, *members]) + end,
        st.just(()) if first is None else st.tuples(first),
        st.lists(member, max_size=5),
        st.sampled_from([",", ",", ",", ",", ",", ",", ", ", ",,"]),
        st.sampled_from(["}", "}", "}", "}", "}", "}", "}", "}", ",}", ""]),
    )


ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | _members(TEXTS, inner)
    ),
    max_leaves=8,
)


def _case(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name, name, name.upper(), name[:1].upper() + name[1:]])


def _names(*names: str) -> st.SearchStrategy[str]:
    return st.sampled_from(names).flatmap(_case)


# --- bytes


def _wrapped(text: str, wrapping: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    match wrapping:
        case "base64":
            return base64.b64encode(raw)
        case "base64 in lines":
            return base64.encodebytes(raw)
        case "base64 twice":
            return base64.b64encode(base64.b64encode(raw))
        case "BOM":
            return b"\xef\xbb\xbf" + raw
        case "UTF-16":
            return text.encode("utf-16", "surrogatepass")
        case "cut":
            return raw[:-1]
        case "white space":
            return b" \r\n\t" + raw + b"\x0c\xc2\xa0"
        case _:
            return raw


WRAPPINGS = st.sampled_from(
    ["as it is"] * 6 + ["base64", "base64 in lines", "base64 twice", "BOM",
     "UTF-16", "cut", "white space"]
)  # fmt: skip


# --- messages

_POSTED = _members(
    _names(
        "operation", "id", "operationId", "subscriptionId", "location", "provider", "collection",
        "apiVersion", "kind", "callbackUrl", "timeout", "clientState", "wake",
    ),
    URLS.map(json.dumps) | ANY_JSON | st.sampled_from(['"PT6H"', '"P7D"', f'"{ID}"', f'"{HOOK}"']),
)  # fmt: skip
_GOOD = _members(
    st.sampled_from(["callbackUrl", "timeout", "kind", "clientState"]),
    URLS.map(json.dumps)
    | ANY_JSON
    | DEEP
    | LONG
    | st.sampled_from(['"PT6H"', '"P9D"', f'"{HOOK}"']),
    first=st.just(f'"operation":"{PATH}"'),
)
OBJECTS = _GOOD | _POSTED
_SHAPED = st.builds(_wrapped, mostly(_GOOD, URLS, TEXTS, ANY_JSON, _POSTED, share=1), WRAPPINGS)
_BLIND = st.binary(max_size=200)
MESSAGES = mostly(_SHAPED, _BLIND, _BLIND.map(base64.b64encode), share=6)

# --- answers

STATUSES = st.sampled_from(
    ['"Succeeded"', '"failed"', '" Canceled "', '"InProgress"', '"Completed"', '""', '"\\u0000"']
)
STAMPS = st.datetimes().map(datetime.isoformat).map(json.dumps) | st.sampled_from(
    ['"0001-01-01T00:00:00"', '"/Date(-62135596800000)/"', '"9999-12-31T23:59:59.9999999-14:00"']
)
_ERRORS = _members(
    _names("code", "message", "target", "details", "additionalInfo", "innererror"), ANY_JSON
)
_PROPERTIES = (
    STATUSES
    | STAMPS
    | NUMBERS
    | ANY_JSON
    | LONG
    | _ERRORS
    | _members(_names("provisioningState"), STATUSES | ANY_JSON)
)
_STATUS_NAMES = _names(
    "startTime", "endTime", "percentComplete", "properties", "error", "code", "message"
)
_STATUS_BODIES = _members(_STATUS_NAMES | _names("status"), _PROPERTIES)
_ENDED = _members(_STATUS_NAMES, _PROPERTIES, first=STATUSES.map('"status":{}'.format))
_SHAPED_BODIES = st.builds(
    _wrapped,
    mostly(_ENDED, _STATUS_BODIES, ANY_JSON, _ERRORS, share=1),
    st.sampled_from(["as it is"] * 9 + ["BOM", "UTF-16", "cut"]),
)
BODIES = mostly(_SHAPED_BODIES, _BLIND, share=9)
HEADER_NAMES = st.sampled_from(
    ["retry-after", "retry-after-ms", "x-ms-retry-after-ms", "date", "location",
     "azure-asyncoperation", "content-type", "x-ms-request-id"]
)  # fmt: skip
HEADER_VALUES = TEXTS | URLS | NUMBERS | st.sampled_from(
    ["Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359", "٣", "1_000", " 5 ",
     "Mon, 23 Nov 2026 03:05:41 GMT", "Thu, 32 Foo 2026 99:99:99 GMT", "0", "-1", "1e3", ENDPOINT]
)  # fmt: skip
CODES = st.sampled_from(
    [200] * 20 + [201, 202, 202, 202, 204, 302, 401, 403, 404, 410, 429, 429, 500, 503, -1, 10**20]
)
ANSWERS = st.builds(
    HttpResponse, CODES, st.dictionaries(HEADER_NAMES, HEADER_VALUES, max_size=4), BODIES
)
FOLLOWED = st.builds(
    HttpResponse,
    st.sampled_from([200, 202]),
    st.dictionaries(st.sampled_from(["location", "azure-asyncoperation"]), URLS, min_size=1),
    st.sampled_from([b'{"status": "InProgress"}', b""]),
)
SILENCES = st.builds(
    NoAnswer,
    st.sampled_from(list[Layer](["dns", "connect", "tls", "timeout", "http", "refused", "token"])),
    TEXTS,
)
