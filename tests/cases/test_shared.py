"""The cases that were handed to the project, if their folder is there."""

from pathlib import Path

import pytest

from tests.cases.runner import play, read_cases

FOLDER = Path(__file__).parents[3] / "shared" / "cases"


@pytest.mark.timeout(240)
@pytest.mark.skipif(not FOLDER.is_dir(), reason="the folder of shared cases is absent")
async def test_shared_cases_come_out_right() -> None:
    cases = read_cases(*sorted(FOLDER.glob("*.json")))
    assert len(cases) > 50
    assert await play(cases) == {}
