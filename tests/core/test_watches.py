"""What follows from a poll of a watch, from a conflict between workers, and from a stop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.keys import Key
from opswatch.core.observations import Observation, UrlStyle
from opswatch.core.policy import Policy
from opswatch.core.polls import (
    Finish,
    Wait,
    after_poll,
    is_same_poll,
    is_unpolled,
    merge_after_conflict,
    shows_change,
)
from opswatch.core.texts import MAX_PROPERTY
from opswatch.core.watches import (
    End,
    FinalStatus,
    Route,
    TimelineEntry,
    Watch,
    begin,
    postpone,
    stop,
    timeline_entry,
)
from tests.support.builders import (
    HOOK,
    ID,
    KEY,
    NOW,
    SILENCE,
    URL,
    arm_error,
    at,
    change,
    end,
    ended,
    missed,
    registration,
    result,
    running,
    seconds,
    watch,
)
from tests.support.cases import cases

POLICY = Policy()
GRACE = POLICY.miss_grace.total_seconds()
OBSERVATIONS = [running(), missed(500), missed(404), SILENCE]
NEW_URL = "https://management.azure.com/subscriptions/s/operations/new?api-version=1"


def wait(value: Watch, seen: Observation, after: float = 0) -> Watch:
    action = after_poll(value, seen, at(after), POLICY)
    assert isinstance(action, Wait), action
    return action.watch


def finish(value: Watch, seen: Observation, after: float = 0) -> tuple[Watch, End]:
    action = after_poll(value, seen, at(after), POLICY)
    assert isinstance(action, Finish), action
    assert action.watch.end is not None
    return action.watch, action.watch.end


# --- polls


@pytest.mark.parametrize(
    ("posted", "timeout"),
    [(None, timedelta(hours=24)), (timedelta(seconds=30), timedelta(seconds=30))],
)
def test_registration_begins_a_watch(posted: timedelta | None, timeout: timedelta) -> None:
    value = begin(
        registration(kind="k", callback_url=HOOK, timeout=posted, client_state="1"), NOW, POLICY
    )
    assert value == watch(
        kind="k", callbacks=(HOOK,), client_state="1", deadline_at=NOW + timeout, due_at=NOW, seq=1
    )
    assert begin(registration(), NOW, POLICY).facts.callbacks == ()


def test_running_operation_is_polled_again() -> None:
    value = wait(watch(), running("Creating", start_time=at(-30), percent_complete=10.0))
    assert value == watch(
        status="Creating",
        start_time=at(-30),
        percent_complete=10.0,
        route=Route(url_style=UrlStyle.STATUS),
        last_polled_at=NOW,
        last_running_at=NOW,
        polls=1,
        poll_log=((0, "Creating", 200, 1),),
        seq=2,
        due_at=at(20),
        far=True,
    )


@pytest.mark.parametrize(("delay", "is_far"), [(15, False), (16, True)])
def test_long_waits_are_far(delay: int, *, is_far: bool) -> None:
    until = at(delay)
    assert postpone(watch(), until, NOW).far is is_far
    overdue = watch(due_at=at(-9))
    assert postpone(overdue, until, NOW).far is is_far
    again = postpone(postpone(overdue, at(5), NOW), until, NOW)
    assert (again.postponed_since, again.seq) == (at(-9), 3)


@pytest.mark.parametrize(
    ("start", "due", "is_far"), [(0, 21, True), (-10, 11, False), (-300, 0, False)]
)
def test_first_poll_is_far_if_it_is_long_until_then(start: int, due: int, *, is_far: bool) -> None:
    """The wait counts from the registration, not from when the operation began."""
    policy = replace(POLICY, poll_min=seconds(20))
    begun = begin(registration(start_time=at(start)), NOW, policy)
    assert (begun.due_at, begun.far) == (at(due), is_far)


@pytest.mark.parametrize(("until", "shift"), [(30, 30), (0, 0), (-40, 0)])
def test_postponed_poll_never_shortens_the_grace(until: float, shift: float) -> None:
    """The due time is by the clock of another worker, which may be 40 s ahead."""
    value = replace(watch(), due_at=NOW, unreadable_since=at(-60))
    assert postpone(value, at(until), at(until)).unreadable_since == at(shift - 60)


def test_poll_keeps_known_facts() -> None:
    known = watch(start_time=at(-30), percent_complete=0.0, status="Creating", polls=4, seq=7)
    value = wait(known, running("Updating"))
    assert value.facts == replace(
        known.facts, status="Updating", polls=5, last_polled_at=NOW, poll_log=value.facts.poll_log
    )
    assert value.seq == 8
    done = finish(known, ended())[0].facts
    assert (done.start_time, done.percent_complete) == (at(-30), 0.0)
    newer = finish(known, ended(start_time=at(-31), percent_complete=100.0))[0].facts
    assert (newer.start_time, newer.percent_complete) == (at(-31), 100.0)
    assert wait(known, running(percent_complete=0.5)).facts.percent_complete == 0.5


@pytest.mark.parametrize(("posted", "kept"), [("/posted", "/posted"), (None, "/arms")])
def test_posted_resource_is_kept(posted: str | None, kept: str) -> None:
    value = wait(watch(resource_id=posted), running(resource_id="/arms"))
    assert value.facts.resource_id == kept


@pytest.mark.parametrize("seen", OBSERVATIONS)
def test_any_poll_ends_a_postponement(seen: Observation) -> None:
    assert wait(watch(postponed_since=at(-9)), seen).postponed_since is None


def test_new_url_replaces_the_polled_one() -> None:
    value = wait(watch(), running(next_url=f"{URL}&t=2"))
    assert value.facts.operation == replace(watch().facts.operation, url=f"{URL}&t=2")
    assert wait(value, running()).facts.operation.url == f"{URL}&t=2"


def test_path_stays_the_posted_one() -> None:
    posted = watch().facts.operation
    followed = wait(watch(), running(next_url=NEW_URL))
    assert followed.facts.operation.url == NEW_URL
    assert followed.facts.operation.path == posted.path
    assert finish(followed, ended())[0].facts.operation.path == posted.path
    assert wait(followed, missed(404)).facts.operation == posted


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Canceled"])
def test_end_is_kept(status: str) -> None:
    error = None if status == "Succeeded" else arm_error()
    seen = ended(status=status, end_time=at(-1), error=error, result='{"a":1}', start_time=at(-9))
    value, kept = finish(watch(seq=3, unreadable_since=at(-50)), seen, 5)
    assert kept == End(
        status=FinalStatus(status),
        finished_at=at(5),
        end_time=at(-1),
        error=error,
        result='{"a":1}',
    )
    assert value == watch(
        seq=3,
        status=status,
        start_time=at(-9),
        polls=1,
        poll_log=((5, status, 200, 1),),
        last_polled_at=at(5),
        end=kept,
    )


def test_every_poll_is_logged() -> None:
    value = wait(watch(), running("Creating"))
    value = wait(value, running("Creating"), 10)
    value = wait(value, missed(429), 20)
    value = wait(value, SILENCE, 30)
    done = finish(value, ended(), 40)[0]
    assert done.facts.poll_log == (
        (0, "Creating", 200, 1),
        (10, "o", 200, 1),
        (20, "x", 429, 1),
        (30, "x", 0, 1),
        (40, "Succeeded", 200, 1),
    )


def test_long_result_is_cut() -> None:
    _, kept = finish(watch(), ended(result="x" * (MAX_PROPERTY + 1)))
    assert kept.truncated
    assert kept.result is not None
    assert len(kept.result) == MAX_PROPERTY


def test_long_error_is_cut() -> None:
    error = arm_error(message="x" * (MAX_PROPERTY + 1))
    _, kept = finish(watch(), ended(status="Failed", error=error))
    assert kept.truncated
    assert kept.error is not None
    assert len(kept.error.json) <= MAX_PROPERTY


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Canceled"])
def test_end_after_the_deadline_counts(status: str) -> None:
    _, kept = finish(watch(deadline_at=at(-100)), ended(status=status))
    assert kept.status.value == status


@pytest.mark.parametrize("seen", [running("Creating"), missed(500), missed(404), SILENCE])
def test_watch_times_out_at_its_deadline(seen: Observation) -> None:
    value, kept = finish(watch(deadline_at=at(10)), seen, 10)
    last = value.facts.status
    assert kept == End(status=FinalStatus.TIMED_OUT, finished_at=at(10), last_status=last)
    assert (value.facts.polls, value.seq) == (1, 1)
    assert wait(watch(deadline_at=at(10)), seen, 9.9).due_at == at(10.9)


@pytest.mark.parametrize("seen", [*OBSERVATIONS, ended()])
def test_waiting_watch_has_no_end(seen: Observation) -> None:
    action = after_poll(watch(), seen, NOW, POLICY)
    assert (action.watch.end is None) is isinstance(action, Wait)
    assert action.watch.facts.polls == 1
    assert action.watch.facts.last_polled_at == NOW


@pytest.mark.parametrize("seen", OBSERVATIONS)
def test_miss_is_followed_by_the_usual_delay(seen: Observation) -> None:
    assert wait(watch(), seen).due_at == at(7)


def test_age_counts_from_arms_start_time() -> None:
    assert wait(watch(registered_at=at(100), start_time=NOW), running(), 100).due_at == at(127)
    assert wait(watch(registered_at=at(100)), running(), 100).due_at == at(107)


@pytest.mark.parametrize(
    ("first", "second", "is_change"),
    [
        (running(), running(), False),
        (running(percent_complete=10), running(percent_complete=11), False),
        (running(), running("Updating"), True),
        (running(), running(next_url=NEW_URL), True),
        (running(), missed(429), True),
        (missed(429), missed(429), True),
        (SILENCE, running(), True),
        (running(), ended(), True),
        (running(), ended(inferred_from="empty body"), True),
    ],
)
def test_poll_shows_change_unless_it_runs_as_before(
    first: Observation, second: Observation, is_change: bool
) -> None:
    before = wait(watch(), first)
    action = after_poll(before, second, at(60), POLICY)
    assert shows_change(watch(), before)
    assert shows_change(before, action.watch) is is_change


# --- misses


@cases(
    "seen, since",
    {
        "404": (missed(404), at(100)),
        "429": (missed(429), None),
        "no answer": (SILENCE, None),
        "running": (running(), None),
    },
)
def test_unreadable_answer_begins_the_grace(seen: Observation, since: datetime | None) -> None:
    assert wait(watch(), seen, 100).unreadable_since == since


INFERRED = ended(inferred_from="an empty 200")


def test_inferred_end_must_repeat() -> None:
    value = wait(watch(), INFERRED)
    assert value.doubted == "an empty 200"
    assert (value.facts.misses, value.facts.last_miss) == (1, "to be confirmed: an empty 200")
    _, kept = finish(value, INFERRED, 5)
    assert kept == End(status=FinalStatus.SUCCEEDED, finished_at=at(5))


@pytest.mark.parametrize("between", [*OBSERVATIONS, ended(inferred_from="a list")], ids=str)
def test_other_answer_resets_a_doubted_end(between: Observation) -> None:
    value = wait(wait(watch(), INFERRED), between, 5)
    assert wait(value, INFERRED, 10).doubted == "an empty 200"


def test_doubted_error_is_the_last_miss() -> None:
    seen = ended(status="Failed", error=arm_error(), inferred_from="Conflict under 409")
    value = wait(watch(), seen)
    assert value.facts.last_miss == "to be confirmed: Conflict under 409: It is in use."
    _, kept = finish(value, seen, 5)
    assert (kept.status, kept.error) == (FinalStatus.FAILED, arm_error())


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_watch_is_lost_after_the_grace(code: int) -> None:
    value = wait(watch(), missed(code))
    value = wait(value, missed(code), GRACE - 1)
    assert value.unreadable_since == NOW
    lost, kept = finish(value, missed(code), GRACE)
    assert kept == End(status=FinalStatus.LOST, finished_at=at(GRACE), lost_reason=str(code))
    assert (lost.facts.polls, lost.facts.misses, lost.facts.last_miss) == (3, 3, str(code))


@cases("between", {"running": running(), "429": missed(429), "500": missed(500)})
def test_readable_answer_restarts_the_grace(between: Observation) -> None:
    value = wait(watch(), missed(404))
    value = wait(value, between, 60)
    assert value.unreadable_since is None
    value = wait(value, missed(404), GRACE + 1)
    assert value.unreadable_since == at(GRACE + 1)
    finish(value, missed(404), 2 * GRACE + 1)


def test_silence_ends_neither_grace_nor_watch() -> None:
    value = wait(watch(), missed(404))
    value = wait(value, SILENCE, 60)
    assert value.unreadable_since == NOW
    value = wait(value, SILENCE, GRACE + 1)
    assert finish(value, missed(404), GRACE + 2)[1].lost_reason == "404"


def test_silence_alone_is_never_lost() -> None:
    value = watch()
    for hour in range(23):
        value = wait(value, SILENCE, hour * 3600)
    assert value.facts.misses == 23


def test_first_404_may_pass() -> None:
    value = wait(watch(), missed(404))
    value, kept = finish(value, ended(), 5)
    assert kept.status is FinalStatus.SUCCEEDED
    assert (value.facts.misses, value.facts.last_miss, value.unreadable_since) == (1, "404", None)


def test_lost_precedes_timed_out() -> None:
    value = watch(unreadable_since=NOW, deadline_at=at(GRACE))
    assert finish(value, missed(404), GRACE)[1].status is FinalStatus.LOST


def test_first_404_is_lost_without_a_grace() -> None:
    action = after_poll(watch(), missed(404), NOW, Policy(miss_grace=timedelta(0)))
    assert isinstance(action, Finish)


@given(st.lists(st.tuples(st.sampled_from(OBSERVATIONS), st.integers(1, 400)), max_size=30))
def test_only_unreadable_answers_lose_a_watch(
    polls: list[tuple[Observation, int]],
) -> None:
    value, now = watch(), 0
    unreadable_since: float | None = None
    for seen, gap in polls:
        if seen == missed(404):
            unreadable_since = now if unreadable_since is None else unreadable_since
        elif seen != SILENCE:
            unreadable_since = None
        action = after_poll(value, seen, at(now), POLICY)
        is_lost = (
            seen == missed(404) and unreadable_since is not None and now - unreadable_since >= GRACE
        )
        assert isinstance(action, Finish) is is_lost
        if is_lost:
            return
        assert action.watch.seq == value.seq + 1
        assert action.watch.due_at > at(now)
        value, now = action.watch, now + gap


# --- stops, conflicts and repairs


def test_stop_keeps_the_facts() -> None:
    value = watch(callbacks=(HOOK,), status="Creating", polls=3)
    stopped = End(status=FinalStatus.STOPPED, finished_at=at(9))
    assert stop(value, at(9)) == replace(value, end=stopped)


BEFORE = watch(seq=3, polls=2)
THEIRS = change(BEFORE, seq=4, polls=3, last_polled_at=at(2), callbacks=(HOOK,))
OURS = change(BEFORE, seq=4, polls=3, last_polled_at=at(1))


def with_url(value: Watch, url: str = NEW_URL) -> Watch:
    return change(value, operation=replace(value.facts.operation, url=url))


def with_style(value: Watch) -> Watch:
    return replace(value, route=Route(url_style=UrlStyle.LOCATION))


@cases(
    "current, is_same, unpolled",
    {
        "as it was": (THEIRS, True, True),
        "a receiver has joined": (change(THEIRS, callbacks=(HOOK,)), True, True),
        "it has been polled": (replace(THEIRS, seq=THEIRS.seq + 1), True, False),
        "it has ended": (replace(THEIRS, end=end()), True, False),
        "it has another URL": (with_url(THEIRS), False, True),
        "its URL has shown what it is": (with_style(THEIRS), False, True),
        "it is a later watch": (change(THEIRS, registered_at=at(5)), False, False),
        "it is of a later round": (change(THEIRS, round=2), False, False),
    },
)
def test_poll_of_a_copy_counts_for_the_same_url(
    current: Watch, is_same: bool, unpolled: bool
) -> None:
    assert is_same_poll(current, THEIRS) is is_same
    assert is_unpolled(current, THEIRS) is unpolled


@cases(
    "current, polled, merged",
    {
        "the poll showed nothing new": (THEIRS, OURS, None),
        "only the poll showed a new URL": (THEIRS, with_url(OURS), with_url(THEIRS)),
        "only the poll showed the URL's style": (THEIRS, with_style(OURS), with_style(THEIRS)),
        "the row has another new URL": (with_url(THEIRS, f"{NEW_URL}&x=1"), with_url(OURS), None),
        "the style is that of the URL before": (with_url(THEIRS), with_style(OURS), None),
        "the row has ended": (
            change(THEIRS, end=end(FinalStatus.FAILED)), change(OURS, end=end()), None
        ),
        "the row is a later watch": (
            change(THEIRS, registered_at=at(5)), change(OURS, end=end()), None
        ),
        "the row is a later watch of the same seq": (
            change(BEFORE, registered_at=at(5)), with_url(OURS), None
        ),
    },
)  # fmt: skip
def test_conflict_merges_news_of_the_poll(
    current: Watch, polled: Watch, merged: Watch | None
) -> None:
    assert merge_after_conflict(current, BEFORE, polled) == merged


@pytest.mark.parametrize("status", FinalStatus)
def test_conflict_keeps_only_ends_of_arm(status: FinalStatus) -> None:
    ours = change(OURS, status=status.value, end=end(status))
    is_arms = status in (FinalStatus.SUCCEEDED, FinalStatus.FAILED, FinalStatus.CANCELED)
    kept = change(THEIRS, status=status.value, end=end(status)) if is_arms else None
    assert merge_after_conflict(THEIRS, BEFORE, ours) == kept


def test_end_that_is_added_brings_its_times() -> None:
    known = {"start_time": at(-30), "percent_complete": 100.0, "resource_id": "/subscriptions/s"}
    ended = {"status": "Succeeded", "end": end()}
    merged = merge_after_conflict(THEIRS, BEFORE, change(OURS, **known, **ended))
    assert merged == change(THEIRS, **known, **ended)


# --- results and the timeline


@cases(
    "start, stop, duration",
    {
        "both": (NOW, at(490.25), 490.25),
        "the same": (NOW, NOW, 0.0),
        "no start": (None, NOW, None),
        "no end": (NOW, None, None),
        "an end before the start": (at(1), NOW, None),
    },
)
def test_duration_is_arms(
    start: datetime | None, stop: datetime | None, duration: float | None
) -> None:
    assert result(start_time=start, end=end(end_time=stop)).duration_seconds == duration


def test_timeline_entry_follows_the_operation() -> None:
    facts = watch(
        status="Creating", kind="k", start_time=at(-9), resource_id="/r", polls=3, misses=1
    ).facts
    entry = TimelineEntry(
        operation=KEY,
        registered_at=NOW,
        operation_id=ID,
        provider="microsoft.cache",
        resource_id="/r",
        status="Creating",
        kind="k",
        location="westus",
        start_time=at(-9),
        polls=3,
        misses=1,
    )
    assert timeline_entry(facts, None) == entry
    error = arm_error("Conflict", f"password=hunter22 {'x' * 300}", code_inner="Quota")
    kept = end(FinalStatus.FAILED, end_time=at(-1), error=replace(error, code_inner="Quota"))
    ended = timeline_entry(facts, kept)
    assert ended == replace(
        entry,
        status="Failed",
        end_time=at(-1),
        finished_at=NOW,
        duration_seconds=8.0,
        error_code="Conflict",
        error_code_inner="Quota",
        error_message=ended.error_message,
    )
    assert ended.error_message
    assert len(ended.error_message) == 200
    assert ended.error_message.endswith("x…")
    assert "hunter22" not in ended.error_message


def test_listed_reason_of_a_lost_operation_is_its_message() -> None:
    lost = end(FinalStatus.LOST, lost_reason="403 for 15 min")
    assert timeline_entry(watch().facts, lost).error_message == "403 for 15 min"


def entry_key(registered_at: datetime) -> Key:
    return TimelineEntry(operation=KEY, registered_at=registered_at).key


@given(st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), min_size=2))  # noqa: DTZ001 - hypothesis asks for it
def test_timeline_is_ordered_newest_first(naive: list[datetime]) -> None:
    keys = {at: entry_key(at) for at in (instant.replace(tzinfo=UTC) for instant in naive)}
    for first, first_key in keys.items():
        for second, second_key in keys.items():
            if first.date() != second.date():
                assert (first_key.partition < second_key.partition) == (first < second)
            elif abs(first - second) >= timedelta(milliseconds=1):
                assert (first_key.row < second_key.row) == (first > second)


def test_timeline_key_names_its_operation() -> None:
    key = entry_key(datetime(2026, 11, 23, 3, 5, 40, 500_000, tzinfo=UTC))
    inverted = 253_402_300_799_999 - 1_795_403_140_500
    assert key == Key("2026-11-23", f"{inverted}~{KEY.partition}~{KEY.row}")


def test_timeline_dates_are_utc() -> None:
    local = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert entry_key(local).partition == "2025-12-31"
