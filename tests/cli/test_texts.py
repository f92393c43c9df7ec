"""How an operation goes on, as `show`, `tail` and `list` print it: its expected end, its misses."""

import pytest

from opswatch.cli.columns import operation_columns
from opswatch.cli.texts import change_text, operation_lines, short_instant
from opswatch.core.keys import Key
from opswatch.core.schedule import ExpectedEnd
from opswatch.core.watches import Watch
from opswatch.queries import OperationView
from opswatch.web import shown
from tests.support.builders import at, watch

EXPECTED = ExpectedEnd(at=at(100), earliest_at=at(80), latest_at=at(160))


def running(polled: float = 50, percent: float | None = None, **known: object) -> Watch:
    return watch(status="InProgress", last_polled_at=at(polled), percent_complete=percent, **known)


def lines(watch: Watch) -> list[str]:
    return operation_lines(shown.operation(OperationView(watch, ())), short_instant)


def change(watch: Watch, bars: dict[tuple[Key, int], int] | None = None) -> str:
    return change_text(shown.operation(OperationView(watch, ())), {} if bars is None else bars)


def test_show_prints_the_expected_end_and_its_range() -> None:
    printed = lines(running(expected=EXPECTED, slow=True))
    assert (
        "expected    2026-11-23T03:07:20Z (2026-11-23T03:07:00Z to 2026-11-23T03:08:20Z)" in printed
    )
    assert "slow        it runs longer than 99 of 100 of its kind" in printed


def test_show_leaves_out_what_is_unknown() -> None:
    text = "\n".join(lines(running(slow=False)))
    assert "expected" not in text
    assert "slow" not in text


def test_tail_prints_a_progress_bar() -> None:
    assert change(running(50, expected=EXPECTED)) == "InProgress [#####-----] until about 03:07"
    assert change(running(54, expected=EXPECTED)) == change(running(50, expected=EXPECTED))


def test_bar_follows_arms_percentage() -> None:
    text = change(running(50, 20.0, expected=EXPECTED))
    assert text == "InProgress 20 % [##--------] until about 03:07"


def test_bar_is_full_only_at_the_end() -> None:
    late = change(running(5000, expected=EXPECTED, slow=True))
    assert late == "InProgress [#########-] until about 03:07, slow"


def test_bar_is_never_drawn_back() -> None:
    bars: dict[tuple[Key, int], int] = {}
    later = ExpectedEnd(at=at(200), earliest_at=at(180), latest_at=at(300))
    assert "[######----]" in change(running(60, expected=EXPECTED), bars)
    assert "[######----] until about 03:09" in change(running(65, expected=later), bars)
    assert "[#######---]" in change(running(150, expected=later), bars)
    assert "[###-------]" in change(running(65, expected=later))  # of another run
    assert "[###-------]" in change(running(65, expected=later, round=2), bars)


def test_tail_without_expectation_prints_the_status() -> None:
    assert change(running()) == "InProgress"
    assert change(running(50, 40.0)) == "InProgress 40 %"


# --- polls that miss

REFUSED = "connect: Cannot connect to host management.azure.com"


def missing(*shown: str, **known: object) -> Watch:
    """Return a watch whose polls have shown this, `x` for a miss."""
    log = tuple((number, each, 0, 1) for number, each in enumerate(shown))
    facts = {"polls": len(shown), "misses": shown.count("x"), "last_miss": REFUSED, "poll_log": log}
    return running(**(facts | known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("watch", "polls"),
    [
        (missing("InProgress", "o"), "2 (0 missed)"),
        (missing("x", "x", "InProgress"), "3 (2 missed)"),
        (missing("x", "InProgress", "x", "x"), "4 (3 missed, the latest 2 in a row)"),
    ],
)
def test_show_distinguishes_misses_that_go_on(watch: Watch, polls: str) -> None:
    assert f"polls       {polls}" in lines(watch)


def test_show_says_when_it_was_polled_and_will_be() -> None:
    printed = lines(running(50, due_at=at(80)))
    assert "polled      2026-11-23T03:06:30Z" in printed
    assert "next poll   2026-11-23T03:07:00Z" in printed


def test_tail_says_that_polls_fail() -> None:
    assert change(missing("InProgress", "x", "x")) == "InProgress"  # a few misses are everyday
    assert change(missing("InProgress", "x", "x", "x")) == "InProgress, polls fail: connect"
    assert change(missing("InProgress", "x", "x", "x", "o")) == "InProgress"


def test_list_says_that_a_watch_was_never_read() -> None:
    known = shown.operation(OperationView(missing("x", "x", "x"), ()))
    listed = {name: value for name, value in known.items() if name != "pollLog"}
    (error,) = [column for column in operation_columns([listed]) if column.name == "error"]
    assert error.value(listed) == "connect"
    assert error.value({**listed, "misses": 2}) is None
