"""Cutting an end to what a row holds: valid JSON still, the code kept, and never silently."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.arm import ArmError
from opswatch.core.limits import fit_end, shrink_error
from opswatch.core.texts import MAX_PROPERTY, to_json, utf16_length
from opswatch.core.watches import End, FinalStatus
from tests.support.builders import arm_error, end

TEXTS = {
    "escapes": "\x01" * 40_000,
    "quotes": '"' * 40_000,
    "wide": "字" * 40_000,
    "astral": "\U0001f600" * 40_000,
}


def fitted(error: ArmError | None = None, result: str | None = None) -> End:
    kept = fit_end(end(FinalStatus.FAILED, error=error, result=result))
    cut = kept.error or ArmError(code=None, message=None, json="")
    for text in (kept.result, cut.code, cut.message, cut.json):
        assert text is None or utf16_length(text) <= MAX_PROPERTY
    return kept


def test_what_fits_stays_as_it_is() -> None:
    small = end(FinalStatus.FAILED, error=arm_error(details=[{"code": "x"}]), result='{"a":1}')
    assert fit_end(small) == small


def test_a_value_of_just_the_limit_fits() -> None:
    exact = json.dumps("x" * (MAX_PROPERTY - 2))
    assert fitted(result=exact).result == exact
    assert not fitted(result=exact).truncated
    assert fitted(result=exact + " ").truncated


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_huge_error_keeps_its_code_and_the_beginning_of_its_message(text: str) -> None:
    kept = fitted(arm_error("Conflict", text, target="x"))
    assert kept.truncated
    assert kept.error is not None
    assert kept.error.code == "Conflict"
    known = json.loads(kept.error.json)
    assert known["code"] == "Conflict"
    assert known["message"]
    assert text.startswith(known["message"])


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_huge_code_is_cut(text: str) -> None:
    kept = fitted(arm_error(text, text))
    assert kept.truncated
    assert kept.error is not None
    assert kept.error.code is not None
    assert 0 < utf16_length(kept.error.code) <= 1024
    assert json.loads(kept.error.json)["code"]


def test_what_tells_least_goes_first() -> None:
    error = arm_error(
        "Conflict",
        "It is in use.",
        target="cache",
        details=[{"message": "d" * 500}],
        additionalInfo=[{"info": "i" * 500}],
    )
    without_info = shrink_error(error.json, 700)
    assert json.loads(without_info) == {
        "code": "Conflict",
        "message": "It is in use.",
        "target": "cache",
        "details": [{"message": "d" * 500}],
    }
    without_details = shrink_error(error.json, 200)
    assert json.loads(without_details) == {
        "code": "Conflict",
        "message": "It is in use.",
        "target": "cache",
    }
    only_words = arm_error("Conflict", "It is in use.", target="t" * 200)
    assert json.loads(shrink_error(only_words.json, 200)) == {
        "code": "Conflict",
        "message": "It is in use.",
    }


def test_an_error_is_left_alone_up_to_the_limit() -> None:
    small = {"code": "Conflict", "message": "m" * 300}
    error, without_details = to_json(small | {"details": []}), to_json(small)
    assert shrink_error(error, len(error)) == error
    assert shrink_error(error, len(error) - 1) == without_details
    assert shrink_error(error, len(without_details)) == without_details


def test_a_property_is_64_kib() -> None:
    assert 2 * MAX_PROPERTY == 64 * 1024


def test_an_error_without_code_and_message_can_be_cut() -> None:
    json_text = json.dumps({"code": None, "message": {"a": 1}, "x": "y" * 200})
    assert json.loads(shrink_error(json_text, 200))["code"] == ""


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(["code", "message", "details", "additionalInfo", "x"]), JSON),
    st.integers(200, 800),
)
def test_any_error_shrinks_to_json_that_fits(error: dict[str, object], limit: int) -> None:
    text = json.dumps(error, ensure_ascii=False)
    shrunk = shrink_error(text, limit)
    assert utf16_length(shrunk) <= limit
    assert isinstance(json.loads(shrunk), dict)
    if utf16_length(text) <= limit:
        assert shrunk == text
