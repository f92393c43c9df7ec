"""Texts in the sizes that Azure counts, and JSON as services really send it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.texts import (
    MAX_DEPTH,
    cut,
    from_json,
    from_lenient_json,
    one_line,
    to_json,
    utf16_length,
)

ANY_TEXT = st.text(st.characters())  # lone surrogates too


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("abc", 3), ("é", 1), ("字", 1), ("\U0001f600", 2), ("\ud800", 1)]
)
def test_length_is_in_utf16_units(text: str, length: int) -> None:
    assert utf16_length(text) == length


@pytest.mark.parametrize(
    ("text", "limit", "left"),
    [
        ("abc", 3, "abc"),
        ("abc", 2, "ab"),
        ("abc", 0, ""),
        ("a\U0001f600", 3, "a\U0001f600"),
        ("a\U0001f600", 2, "a"),
        ("\U0001f600\U0001f600", 3, "\U0001f600"),
    ],
)
def test_text_is_cut_between_characters(text: str, limit: int, left: str) -> None:
    assert cut(text, limit) == left


@given(ANY_TEXT, st.integers(0, 20))
def test_any_text_is_cut_to_its_limit(text: str, limit: int) -> None:
    left = cut(text, limit)
    assert utf16_length(left) <= limit
    if utf16_length(text) <= limit:
        assert left == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a\r\n\tb  ", "a b"),
        ("a\0b\x1b[31m", r"a\x00b\x1b[31m"),
        ("\u202eevil", r"\u202eevil"),
        ("\ud83d", r"\ud83d"),
        ("größe 字 \U0001f600", "größe 字 \U0001f600"),
        ("", ""),
    ],
)
def test_line_is_printable(text: str, line: str) -> None:
    assert one_line(text) == line


@given(ANY_TEXT, st.integers(1, 50))
def test_any_text_becomes_a_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line.isprintable()
    assert utf16_length(line) <= limit


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_json_survives_its_text(value: Any) -> None:
    text = to_json(value)
    assert from_json(text) == value
    assert from_json(text.encode()) == value
    assert from_lenient_json(json.dumps(value).encode()) == value
    assert json.loads(text) == value


@pytest.mark.parametrize("depth", [1, MAX_DEPTH, MAX_DEPTH + 1, 500, 5000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_nested_too_deeply_is_refused(depth: int, opening: str, closing: str) -> None:
    text = opening * depth + "1" + closing * depth
    if depth <= MAX_DEPTH:
        assert to_json(from_json(text)) == text
        return
    for read in (from_json, lambda text: from_lenient_json(text.encode())):
        with pytest.raises(ValueError, match="nested too deeply"):
            read(text)


@pytest.mark.parametrize("text", ["", " ", "{", "NaN", "[1,]", "'a'", '"\ud800"', "1 2", "1e999"])
def test_invalid_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|truncated|empty|range|utf"):
        from_json(text)


@given(st.binary() | st.text('{}[]",:0123eE.NaInfity\\u \n').map(str.encode))
def test_any_lenient_json_can_be_stored(body: bytes) -> None:
    try:
        value = from_lenient_json(body)
    except ValueError:
        return
    assert from_json(to_json(value)) == value
