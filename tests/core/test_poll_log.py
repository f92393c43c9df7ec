"""The log of polls: short, and true in its totals, ends, changes and order."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.poll_log import MISSED, MOST_BYTES, READ, PollEntry, add_poll
from opswatch.core.texts import to_json

CODES = st.sampled_from([0, 200, 202, 403, 429, 503])
POLLS = st.one_of(
    st.tuples(st.just(READ), st.just(200)),
    st.tuples(st.just(MISSED), CODES),
    st.tuples(st.sampled_from(["Creating", "Updating"]), st.just(200)),
)


def logged(polls: list[tuple[str, int]], every: float = 7) -> tuple[PollEntry, ...]:
    log: tuple[PollEntry, ...] = ()
    for number, (shown, code) in enumerate(polls):
        log = add_poll(log, number * every, shown, code)
    return log


def changes(entries: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return what was shown, each as often as it changed; reads go on with the last word."""
    states, word = [], READ
    for shown, code in entries:
        word = word if shown in (READ, MISSED) else shown
        states.append((MISSED, code) if shown == MISSED else (word, code))
    return [state for state, _ in groupby(states)]


def test_short_log_has_every_poll() -> None:
    polls = [("InProgress", 200), (READ, 200), (MISSED, 429), (READ, 200), ("Succeeded", 200)]
    assert logged(polls) == (
        (0, "InProgress", 200, 1),
        (7, READ, 200, 1),
        (14, MISSED, 429, 1),
        (21, READ, 200, 1),
        (28, "Succeeded", 200, 1),
    )


@given(st.lists(st.tuples(POLLS, st.integers(1, 90)), max_size=25))
def test_thinning_keeps_what_matters(runs: list[tuple[tuple[str, int], int]]) -> None:
    polls = [poll for poll, count in runs for poll in [poll] * count]
    log = logged(polls, 300)
    assert len(to_json(log).encode()) <= MOST_BYTES
    assert len(log) <= 120
    assert sum(count for *_, count in log) == len(polls)
    times = [at for at, *_ in log]
    assert times == sorted(set(times))
    if polls:
        assert (log[0][0], log[-1][0]) == (0, 300 * (len(polls) - 1))
        assert log[0][1:3] == polls[0]
    assert changes([(shown, code) for _, shown, code, _ in log]) == changes(polls)


def test_log_of_changes_alone_stays_short() -> None:
    polls = [(f"State{number:04}" * 8, 200) for number in range(400)]
    log = logged(polls)
    assert len(to_json(log).encode()) <= MOST_BYTES
    assert sum(count for *_, count in log) == 400
    assert log[0][1] == polls[0][0][:64]
    assert log[-1][1] == polls[-1][0][:64]


def test_first_and_last_polls_are_kept_one_by_one() -> None:
    log = logged([("InProgress", 200), *[(READ, 200)] * 300])
    assert [count for *_, count in log[:20]] == [1] * 20
    assert [count for *_, count in log[-20:]] == [1] * 20


def test_odd_words_are_cut() -> None:
    ((at, word, _, _),) = add_poll((), -5.0, "x" * 1000, 200)
    assert (at, len(word)) == (0, 64)
