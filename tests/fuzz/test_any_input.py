"""Any message and any answer leads to a row, a rejection or a miss, never to an exception."""

from base64 import b64encode

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.observations import Ended, Missed
from tests.fuzz.properties import check_answer, check_message
from tests.fuzz.strategies import ANSWERS, FOLLOWED, MESSAGES, SILENCES
from tests.support.builders import answer
from tests.support.cases import cases
from tests.support.thorough import share

fuzzed = settings(
    max_examples=share(500),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@fuzzed
@given(MESSAGES | st.binary() | st.text('{}[]":,0aid/%\n=').map(str.encode))
@example(b"[" * 1000)
@example(b64encode(b'{"id":' * 1000))
def test_any_message_becomes_a_watch_or_a_rejection(body: bytes) -> None:
    check_message(body)


@fuzzed
@given(ANSWERS)
@example(answer(None, 202, {"retry-after": "Fri, 31 Dec 9999 23:59:59 -0500"}))
@example(answer(None, 202, {"retry-after": "31 DEC 9999 23:55:0-5"}))
@example(answer(None, 202, {"location": "/\udc80"}))
def test_any_answer_becomes_an_observation(response: HttpResponse) -> None:
    check_answer(response)


@fuzzed
@given(FOLLOWED)
def test_next_url_stays_on_our_host(response: HttpResponse) -> None:
    check_answer(response)


@settings(deadline=None)
@given(SILENCES)
def test_missing_answer_is_a_miss(silence: NoAnswer) -> None:
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
def test_unreadable_value_does_not_hide_the_end(value: bytes) -> None:
    body = b'{"status": "Failed", "error": {"code": "C"}, "odd": ' + value + b"}"
    seen = check_answer(answer(body))
    assert isinstance(seen, Ended)
    assert (seen.status, seen.error and seen.error.code) == ("Failed", "C")
