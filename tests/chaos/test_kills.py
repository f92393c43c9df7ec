"""A few kills while deliveries are under way, and that excess repeats are found.

`make kills` is the same with 200 kills, 300 deliveries and receivers that fail: then circuits open,
which takes minutes.
"""

from pathlib import Path

import pytest

from tests.chaos.kills import Options, ReplyPattern, run
from tests.chaos.repeats import excess_repeats
from tests.support.endpoints import ReceivedPost

Posted = tuple[float, int]  # when, and the attempt's number


@pytest.mark.timeout(300)
async def test_kills_lose_nothing_and_repeat_little(tmp_path: Path) -> None:
    at_once = (ReplyPattern(),)
    few = Options(seed=1, kills=6, deliveries=24, apps=2, retry=2, lease=5.0, patterns=at_once)
    audit, kills = await run(few, tmp_path)
    assert audit.problems() == []
    assert excess_repeats(audit.received, kills.at) == []
    assert len(kills.at) == few.kills
    assert len(audit.deliveries) == few.deliveries


def excess(posts: list[Posted], kills: list[float]) -> list[str]:
    received = [
        ReceivedPost(endpoint="hook", delivery_id="msg_1", attempt=attempt, event=None, at=at)
        for at, attempt in posts
    ]
    return excess_repeats(received, kills)


@pytest.mark.parametrize(
    ("posts", "kills"),
    [([(1, 1)], []), ([(1, 1), (3, 1), (5, 2), (6, 2)], [2])],
)
def test_kill_may_repeat_two_attempts(posts: list[Posted], kills: list[float]) -> None:
    assert excess(posts, kills) == []


@pytest.mark.parametrize(
    ("posts", "kills", "problem"),
    [
        ([(1, 1), (2, 1)], [], "1 repeats of an attempt, and 0 kills"),
        ([(1, 1), (2, 1)], [3], "1 repeats of an attempt, and 0 kills"),
        ([(1, 1), (4, 2), (5, 3), (6, 3)], [2], "1 repeats of an attempt, and 0 kills"),
        ([(1, 1), (3, 1), (4, 1)], [2], "2 repeats of an attempt, and 1 kills"),
    ],
)
def test_excess_repeat_is_found(posts: list[Posted], kills: list[float], problem: str) -> None:
    (found,) = excess(posts, kills)
    assert problem in found
