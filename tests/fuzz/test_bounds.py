"""The worst inputs of full size cost memory in proportion to them, and little CPU."""

import base64
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from opswatch.core.intake import MAX_MESSAGE
from tests.fuzz.properties import check_answer, check_message
from tests.support.builders import HOOK, PATH, answer
from tests.support.thorough import share

MAX_BODY = share(4 * 1024 * 1024)  # bytes: the most that the adapter reads, if thorough
# Bytes for each byte of input. A list of empty lists in JSON takes 64 + 8 for each three.
MOST_MEMORY = 200
FIXED_MEMORY = 2 * 1024 * 1024
MOST_SECONDS = 20.0  # of CPU for the largest, on a slow machine; quadratic code takes hours


def filled(unit: bytes, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return `before`, as many whole units as fit, and `after`: no more than `size` bytes."""
    return before + unit * ((size - len(before) - len(after)) // len(unit)) + after


# Units that some parser, pattern or loop could mishandle.
UNITS = [
    b"[", b"{", b'{"a":', b"[[],", b'"', b"\\", b"\\u0000", b"\\ud800", b"9", b"1,", b"0.", b"1e9",
    b"%", b"%2F", b"%%", b"/", b"/.", b"a/", b"//", b"?", b"&api-version=", b"=", b"~", b" ", b"\n",
    b"\x00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xff", "\U0001f600".encode(), "é".encode(),
    b"eyJ", b"eyJa.", b"https://x?", b"after ", b"P1", b"a=", b"whsec_",
]  # fmt: skip
FRAMES: list[tuple[bytes, bytes]] = [
    (b"", b""),
    (PATH.encode(), b""),
    (b'{"operation":"', b'"}'),
    (f'{{"operation":"{PATH}","clientState":'.encode(), b"}"),
    (f'{{"operation":"{PATH}","callbackUrl":"{HOOK}'.encode(), b'"}'),
    (f'{{"operation":"{PATH}","timeout":"'.encode(), b'"}'),
    (f'{{"operation":"{PATH}","kind":"'.encode(), b'"}'),
]
BODIES: list[tuple[bytes, bytes]] = [
    (b"", b""),
    (b"[", b"1]"),
    (b'{"status":"', b'"}'),
    (b'{"status":"Failed","error":{"message":"', b'"}}'),
    (b'{"status":"Failed","error":{"code":"x","details":[', b"1]}}"),
    (b'{"status":"Succeeded","properties":{"a":"', b'"}}'),
    (b'{"status":"Succeeded","startTime":"', b'"}'),
]


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_message_costs_are_bounded(unit: bytes) -> None:
    for before, after in FRAMES:
        check_bounds(check_message, filled(unit, MAX_MESSAGE, before, after))
    packed = base64.b64encode(filled(unit, MAX_MESSAGE * 3 // 4))
    check_bounds(check_message, packed)


def test_answer_costs_are_bounded() -> None:
    for unit in UNITS:
        for before, after in BODIES:
            for code in (200, 500):
                body = filled(unit, MAX_BODY // 64, before, after)
                check_bounds(check_answer, answer(body, code), size=len(body))


@pytest.mark.parametrize("unit", [b"[[],", b'{"a":', b"1,", b"\\ud800", b"\xff", b"https://x?"])
def test_full_size_answer_costs_are_bounded(unit: bytes) -> None:
    for before, after in BODIES:
        body = filled(unit, MAX_BODY, before, after)
        check_bounds(check_answer, answer(body), size=len(body))


def check_bounds(check: Callable[[Any], object], given: Any, size: int | None = None) -> None:
    """Run `check` and compare its peak of memory and its CPU time with the bounds."""
    size = size or len(given)
    tracemalloc.start()
    began = time.process_time()
    try:
        check(given)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < MOST_SECONDS
    assert peak < FIXED_MEMORY + MOST_MEMORY * size, f"{peak / size:.0f} bytes for each"
