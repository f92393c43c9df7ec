"""Any message and any answer ends in a row, a rejection or a miss, and never in an exception."""

import pytest
from hypothesis import HealthCheck, given, settings

from opswatch.core.arm import Ended, Missed
from opswatch.core.http import HttpResponse, NoAnswer
from tests.fuzz.properties import check_answer, check_message
from tests.fuzz.strategies import ANSWERS, FOLLOWED, MESSAGES, SILENCES
from tests.support.builders import answer

fuzzed = settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@fuzzed
@given(MESSAGES)
def test_any_message_becomes_a_watch_or_a_rejection(body: bytes) -> None:
    check_message(body)


@fuzzed
@given(ANSWERS)
def test_any_answer_becomes_an_observation(response: HttpResponse) -> None:
    check_answer(response)


@fuzzed
@given(FOLLOWED)
def test_any_url_is_followed_on_our_host_or_not_at_all(response: HttpResponse) -> None:
    check_answer(response)


@settings(deadline=None)
@given(SILENCES)
def test_any_silence_is_a_miss(silence: NoAnswer) -> None:
    assert isinstance(check_answer(silence), Missed)


@cases(
    "value",
    {
        "endless number": b"9" * 20_000,
        "number one digit too long": b"-" + b"9" * 4301,
        "number out of range": b"1e999",
        "NaN": b"NaN",
        "half a pair": b'"\\ud800"',
        "bytes that are no text": b'"\xff\x00"',
        "a name twice": b'1, "status": "Failed"',
    },
)
def test_an_end_is_not_missed_for_a_value_that_cannot_be_read(value: bytes) -> None:
    body = b'{"status": "Failed", "error": {"code": "C"}, "odd": ' + value + b"}"
    seen = check_answer(answer(body))
    assert isinstance(seen, Ended)
    assert (seen.status, seen.error and seen.error.code) == ("Failed", "C")
