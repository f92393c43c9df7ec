"""Secrets are removed from what leaves the app; `test_webhook` tests the whole event."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.redact import redact, redact_text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://a.b/c?sig=x", "https://a.b/c?[redacted]"),
        ("GET https://a.b?x=1 failed", "GET https://a.b?[redacted] failed"),
        ('{"url":"https://a.b/c?sig=x","n":1}', '{"url":"https://a.b/c?[redacted]","n":1}'),
        ("https://a.b/c?api-version=1", "https://a.b/c?api-version=1"),
        ("https://a.b/c?api-version=1&t=2", "https://a.b/c?[redacted]"),
        ("https://a.b/c?API-version=1&view=2", "https://a.b/c?API-version=1&view=2"),
        (
            "amqps://a.b/c?x=1 and ftp://d/e?y=2",
            "amqps://a.b/c?[redacted] and ftp://d/e?[redacted]",
        ),
        ("what? nothing", "what? nothing"),
        ("https://a.b/c", "https://a.b/c"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: [redacted]"),
        ("Bearer of news", "Bearer of news"),
        ("AccountName=a;AccountKey=abcd==;x=y", "AccountName=a;AccountKey=[redacted];x=y"),
        ("see_https://a.b/c?sig=x", "see_https://a.b/c?[redacted]"),
        ("eyJ0eXAiOiJKV1QifQ.e30.c2ln.", "[redacted]."),
        ("", ""),
    ],
)
def test_text_is_redacted(text: str, redacted: str) -> None:
    assert redact_text(text) == redacted


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        (None, None),
        (1, 1),
        ({"a": [{"primaryKey": "x", "b": True}]}, {"a": [{"primaryKey": "[redacted]", "b": True}]}),
        ({"key": "y"}, {"key": "y"}),
        ({"password": ""}, {"password": ""}),
        ({"admin_password": "x"}, {"admin_password": "[redacted]"}),
        ({"sharedAccessKeys": ["x", "y"]}, {"sharedAccessKeys": "[redacted]"}),
    ],
)
def test_value_is_redacted(value: Any, redacted: Any) -> None:
    assert redact(value) == redacted


@given(st.text() | st.text("htps:/?a&=.[]red ct\"'<>eyJ-_Bearer "))
def test_redaction_is_idempotent(text: str) -> None:
    assert redact_text(redact_text(text)) == redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "a." * 16_000, "eyJ-" * 8_000, "a://" * 8_000, "eyJaaaaaaaa." * 3_000, "Key" * 10_000,
        "a" * 32_768, "Bearer " * 4_000, "a://b?" * 5_000, "\u017f" * 32_768,
    ],
)  # fmt: skip
def test_redaction_is_fast(text: str) -> None:
    begun = time.process_time()
    redact_text(text)
    assert time.process_time() - begun < 0.5
