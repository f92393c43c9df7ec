"""Cutting an error to what a row holds: it stays valid JSON and keeps its code."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.arm_errors import ArmError
from opswatch.core.limits import shrink_error
from opswatch.core.policy import Policy
from opswatch.core.polls import after_poll
from opswatch.core.texts import MAX_PROPERTY, to_json, utf16_length
from opswatch.core.watches import End
from tests.support.builders import NOW, arm_error, ended, watch

TEXTS = {
    "escapes": "\x01" * 40_000,
    "quotes": '"' * 40_000,
    "wide": "字" * 40_000,
    "astral": "\U0001f600" * 40_000,
}
huge = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


def kept_end(error: ArmError | None = None, result: str | None = None) -> End:
    """Return the end that a poll keeps, after checking that its values fit their columns."""
    seen = ended(status="Failed", error=error, result=result)
    kept = after_poll(watch(), seen, NOW, Policy()).watch.end
    assert kept is not None
    cut = kept.error or ArmError(code=None, message=None, json="")
    for text in (kept.result, cut.code, cut.message, cut.json):
        assert text is None or utf16_length(text) <= MAX_PROPERTY
    return kept


def cut_error(error: ArmError) -> ArmError:
    kept = kept_end(error)
    assert kept.truncated
    assert kept.error is not None
    return kept.error


def test_fitting_values_are_unchanged() -> None:
    error = arm_error(details=[{"code": "x"}])
    kept = kept_end(error, '{"a":1}')
    assert (kept.error, kept.result, kept.truncated) == (error, '{"a":1}', False)


def test_result_of_just_the_limit_fits() -> None:
    exact = json.dumps("x" * (MAX_PROPERTY - 2))
    assert kept_end(result=exact).result == exact
    assert not kept_end(result=exact).truncated
    assert kept_end(result=exact + " ").truncated


@huge
def test_huge_error_keeps_code_and_message_start(text: str) -> None:
    error = cut_error(arm_error("Conflict", text, target="x"))
    assert error.code == "Conflict"
    known = json.loads(error.json)
    assert known["code"] == "Conflict"
    assert known["message"]
    assert text.startswith(known["message"])


@huge
def test_huge_code_is_cut(text: str) -> None:
    error = cut_error(arm_error(text, text))
    assert error.code is not None
    assert 0 < utf16_length(error.code) <= 1024
    assert json.loads(error.json)["code"]


def test_least_useful_parts_are_removed_first() -> None:
    words = {"code": "Conflict", "message": "It is in use.", "target": "cache"}
    details = {"details": [{"message": "d" * 500}]}
    error = to_json(words | details | {"additionalInfo": [{"info": "i" * 500}]})
    assert json.loads(shrink_error(error, 700)) == words | details
    assert json.loads(shrink_error(error, 200)) == words
    only_words = arm_error("Conflict", "It is in use.", target="t" * 200)
    assert json.loads(shrink_error(only_words.json, 200)) == {
        "code": "Conflict",
        "message": "It is in use.",
    }


def test_error_within_the_limit_is_unchanged() -> None:
    small = {"code": "Conflict", "message": "m" * 300}
    error, without_details = to_json(small | {"details": []}), to_json(small)
    assert shrink_error(error, len(error)) == error
    assert shrink_error(error, len(error) - 1) == without_details
    assert shrink_error(error, len(without_details)) == without_details


def test_property_has_64_kib() -> None:
    assert 2 * MAX_PROPERTY == 64 * 1024


def test_error_without_code_and_message_is_cut() -> None:
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
