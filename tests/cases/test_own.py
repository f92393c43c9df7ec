"""The cases of our own: every kind of answer that reports describe, and its siblings."""

from pathlib import Path

import pytest

from tests.cases.runner import play, read_cases

FILES = sorted(Path(__file__).with_name("own").glob("*.json"))


def test_own_cases_have_distinct_titles() -> None:
    titles = [f"{case.group}: {case.title}" for case in read_cases(*FILES)]
    assert len(titles) >= 60
    assert len(set(titles)) == len(titles)


@pytest.mark.timeout(240)
async def test_own_cases_come_out_right() -> None:
    assert await play(read_cases(*FILES)) == {}
