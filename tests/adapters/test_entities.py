"""Values as the table service's JSON has them."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from opswatch.adapters.entities import decode_entity, encode_entity, encode_filter
from tests.support.builders import NOW
from tests.support.cases import cases

INSTANT = "2026-11-23T03:05:40Z"
ELSEWHERE = NOW.astimezone(timezone(timedelta(hours=2)))


@cases(
    "value, written, kind",
    {
        "a text": ("x", "x", None),
        "true": (True, True, None),
        "a number": (7, 7, None),
        "the largest of 32 bits": (2**31 - 1, 2**31 - 1, None),
        "the least of 32 bits": (-(2**31), -(2**31), None),
        "one more": (2**31, "2147483648", "Edm.Int64"),
        "one less": (-(2**31) - 1, "-2147483649", "Edm.Int64"),
        "a fraction": (1.5, 1.5, "Edm.Double"),
        "a whole fraction": (1.0, 1.0, "Edm.Double"),
        "an instant": (NOW, INSTANT, "Edm.DateTime"),
        "an instant of another zone": (ELSEWHERE, INSTANT, "Edm.DateTime"),
    },
)
def test_value_is_written_with_its_type(value: Any, written: Any, kind: str | None) -> None:
    body = encode_entity({"at": value})
    assert json.loads(body) == {"at": written} | ({"at@odata.type": kind} if kind else {})
    read = decode_entity(body)
    assert read == {"at": value}
    assert type(read["at"]) is type(value)


@cases(
    "value, text",
    {
        "a text": ("x", "a eq 'x'"),
        "an apostrophe": ("o'x", "a eq 'o''x'"),
        "false": (False, "a eq false"),
        "an instant": (ELSEWHERE, f"a eq datetime'{INSTANT}'"),
    },
)
def test_condition_is_odata(value: str | bool | datetime, text: str) -> None:
    assert encode_filter({"a eq": value}) == text
    assert encode_filter({"a eq": value, "b gt": "1"}) == f"{text} and b gt '1'"
