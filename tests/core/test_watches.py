"""What follows from a message's number, from a poll, and from an attempt."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opswatch.core.decide import Fence, fence, result_of
from opswatch.core.wire import delivery_id, delivery_key

from opswatch.core.arm import Observation
from opswatch.core.deliveries import (
    Delivery,
    DeliveryState,
    Retry,
    Settle,
    abandon,
    after_attempt,
    has_waited_enough,
    is_settled,
    new_delivery,
    postpone,
    requeue,
    reschedule_overdue,
    wait_for_host,
)
from opswatch.core.keys import operation_from_url
from opswatch.core.policy import DEFAULT_CALLBACK_SCHEDULE, Policy
from opswatch.core.texts import MAX_PROPERTY
from opswatch.core.watches import (
    End,
    FinalStatus,
    Finish,
    TimelineEntry,
    Wait,
    Watch,
    after_poll,
    begin,
    merge_after_conflict,
    reschedule_overdue,
    stop,
    timeline_entry,
)
from opswatch.core.webhook import Accepted, Attempt, Failed, Final, Reply, Unacceptable
from tests.support.builders import (
    HOOK,
    KEY,
    NOW,
    SILENCE,
    URL,
    arm_error,
    at,
    delivery,
    end,
    ended,
    missed,
    registration,
    running,
    seconds,
    watch,
)

POLICY = Policy()
GRACE = POLICY.miss_grace.total_seconds()


# --- the fence


@pytest.mark.parametrize(
    ("message", "row", "verdict"),
    [
        pytest.param(3, 3, Fence.WORK, id="equal: work"),
        pytest.param(2, 3, Fence.DROP, id="older: a duplicate"),
        pytest.param(0, 3, Fence.DROP, id="much older"),
        pytest.param(4, 3, Fence.NOT_YET, id="newer: not yet"),
        pytest.param(9, 3, Fence.NOT_YET, id="much newer"),
    ],
)
def test_the_fence(message: int, row: int, verdict: Fence) -> None:
    assert fence(message, row) is verdict


# --- watches


def wait(value: Watch, seen: Observation, after: float = 0) -> Watch:
    action = after_poll(value, seen, at(after), POLICY)
    assert isinstance(action, Wait), action
    return action.watch


def finish(value: Watch, seen: Observation, after: float = 0) -> tuple[Watch, End]:
    action = after_poll(value, seen, at(after), POLICY)
    assert isinstance(action, Finish), action
    assert action.watch.end is not None
    return action.watch, action.watch.end


@pytest.mark.parametrize(
    ("posted", "timeout"),
    [(None, timedelta(hours=24)), (timedelta(seconds=30), timedelta(seconds=30))],
)
def test_a_registration_begins_a_watch(posted: timedelta | None, timeout: timedelta) -> None:
    value = begin(
        registration(kind="k", callback_url=HOOK, timeout=posted, client_state="1"), NOW, POLICY
    )
    assert value == watch(
        kind="k", callbacks=(HOOK,), client_state="1", deadline_at=NOW + timeout, due_at=NOW, seq=1
    )
    assert begin(registration(), NOW, POLICY).facts.callbacks == ()


def test_a_running_operation_is_waited_for() -> None:
    value = wait(watch(), running("Creating", start_time=at(-30), percent_complete=10.0))
    assert value == watch(
        status="Creating",
        start_time=at(-30),
        percent_complete=10.0,
        last_polled_at=NOW,
        polls=1,
        seq=2,
        due_at=at(20),
    )


def test_what_was_known_stays_known() -> None:
    known = watch(start_time=at(-30), percent_complete=0.0, status="Creating", polls=4, seq=7)
    value = wait(known, running("Updating"))
    assert (value.facts.start_time, value.facts.percent_complete, value.facts.status) == (
        at(-30),
        0.0,
        "Updating",
    )
    assert (value.facts.polls, value.seq) == (5, 8)
    done, _ = finish(known, ended())
    assert (done.facts.start_time, done.facts.percent_complete) == (at(-30), 0.0)
    told, _ = finish(known, ended(start_time=at(-31), percent_complete=100.0))
    assert (told.facts.start_time, told.facts.percent_complete) == (at(-31), 100.0)
    assert wait(known, running(percent_complete=0.5)).facts.percent_complete == 0.5


def test_a_new_url_is_polled_from_now_on() -> None:
    value = wait(watch(), running(next_url=f"{URL}&t=2"))
    assert value.facts.operation == replace(watch().operation, url=f"{URL}&t=2")
    assert wait(value, running()).facts.operation.url == f"{URL}&t=2"


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Canceled"])
def test_an_end_is_kept(status: str) -> None:
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
        seq=3, status=status, start_time=at(-9), polls=1, last_polled_at=at(5), end=kept
    )


def test_an_end_is_cut_to_what_a_row_holds() -> None:
    _, kept = finish(watch(), ended(result="x" * (MAX_PROPERTY + 1)))
    assert kept.truncated
    assert kept.result is not None
    assert len(kept.result) == MAX_PROPERTY


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Canceled"])
def test_an_end_seen_past_the_deadline_still_counts(status: str) -> None:
    _, kept = finish(watch(deadline_at=at(-100)), ended(status=status))
    assert kept.status.value == status


@pytest.mark.parametrize("seen", [running("Creating"), missed(500), missed(404), SILENCE])
def test_at_the_deadline_the_watch_times_out(seen: Observation) -> None:
    value, kept = finish(watch(deadline_at=at(10)), seen, 10)
    assert kept == End(status=FinalStatus.TIMED_OUT, finished_at=at(10))
    assert (value.facts.polls, value.seq) == (1, 1)
    assert wait(watch(deadline_at=at(10)), seen, 9.9).due_at == at(10.9)


@pytest.mark.parametrize("seen", [running(), missed(500), missed(404), SILENCE, ended()])
def test_the_end_is_not_set_by_a_poll_that_goes_on(seen: Observation) -> None:
    action = after_poll(watch(), seen, NOW, POLICY)
    assert (action.watch.end is None) is isinstance(action, Wait)
    assert action.watch.facts.polls == 1
    assert action.watch.facts.last_polled_at == NOW


# --- misses


@pytest.mark.parametrize(
    ("seen", "since"),
    [
        pytest.param(missed(404), at(100), id="404 begins the grace"),
        pytest.param(missed(429), None, id="429 does not"),
        pytest.param(SILENCE, None, id="silence does not"),
        pytest.param(running(), None, id="an answer does not"),
    ],
)
def test_the_grace_begins(seen: Observation, since: Any) -> None:
    assert wait(watch(), seen, 100).unreadable_since == since


def test_an_end_without_a_word_from_a_status_url_is_a_miss_until_it_is_repeated() -> None:
    silent = ended(is_inferred=True)
    value = wait(watch(), silent)
    assert (value.is_doubted, value.facts.misses, value.facts.last_miss) == (
        True,
        1,
        "an answer without a status",
    )
    _, kept = finish(value, silent, 5)
    assert kept == End(status=FinalStatus.SUCCEEDED, finished_at=at(5))


@pytest.mark.parametrize("between", [running(), missed(500), missed(404), SILENCE], ids=str)
def test_a_doubted_end_is_forgotten_when_another_answer_comes(between: Observation) -> None:
    silent = ended(is_inferred=True)
    value = wait(wait(watch(), silent), between, 5)
    assert wait(value, silent, 10).is_doubted


def test_an_end_without_a_word_from_a_location_url_is_the_end() -> None:
    url = URL.replace("operationsStatus", "operationResults")
    _, kept = finish(watch(operation=operation_from_url(url)), ended(is_inferred=True))
    assert kept.status is FinalStatus.SUCCEEDED


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_nothing_but_unreadable_answers_for_the_grace_is_lost(code: int) -> None:
    value = wait(watch(), missed(code))
    value = wait(value, missed(code), GRACE - 1)
    assert value.unreadable_since == NOW
    lost, kept = finish(value, missed(code), GRACE)
    assert kept == End(status=FinalStatus.LOST, finished_at=at(GRACE), lost_reason=str(code))
    assert (lost.facts.polls, lost.facts.misses, lost.facts.last_miss) == (3, 3, str(code))


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(running(), id="an answer"),
        pytest.param(missed(429), id="429"),
        pytest.param(missed(500), id="500"),
    ],
)
def test_any_other_answer_begins_the_grace_anew(between: Observation) -> None:
    value = wait(watch(), missed(404))
    value = wait(value, between, 60)
    assert value.unreadable_since is None
    value = wait(value, missed(404), GRACE + 1)
    assert value.unreadable_since == at(GRACE + 1)
    finish(value, missed(404), 2 * GRACE + 1)


def test_silence_neither_ends_the_grace_nor_the_watch() -> None:
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


def test_a_first_404_may_pass() -> None:
    value = wait(watch(), missed(404))
    value, kept = finish(value, ended(), 5)
    assert kept.status is FinalStatus.SUCCEEDED
    assert (value.facts.misses, value.facts.last_miss, value.unreadable_since) == (1, "404", None)


def test_lost_comes_before_timed_out() -> None:
    value = watch(unreadable_since=NOW, deadline_at=at(GRACE))
    assert finish(value, missed(404), GRACE)[1].status is FinalStatus.LOST


def test_without_a_grace_the_first_404_is_the_end() -> None:
    action = after_poll(watch(), missed(404), NOW, Policy(miss_grace=timedelta(0)))
    assert isinstance(action, Finish)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([running(), missed(404), missed(500), SILENCE]), st.integers(1, 400)
        ),
        max_size=30,
    )
)
def test_a_watch_is_lost_only_after_a_grace_of_unreadable_answers(
    polls: list[tuple[Observation, int]],
) -> None:
    value, now = watch(), 0
    quiet_since: float | None = None
    for seen, gap in polls:
        if seen == missed(404):
            quiet_since = now if quiet_since is None else quiet_since
        elif seen != SILENCE:
            quiet_since = None
        action = after_poll(value, seen, at(now), POLICY)
        is_lost = seen == missed(404) and quiet_since is not None and now - quiet_since >= GRACE
        assert isinstance(action, Finish) is is_lost
        if is_lost:
            return
        assert action.watch.seq == value.seq + 1
        assert action.watch.due_at > at(now)
        value, now = action.watch, now + gap


# --- what else becomes of a watch


def test_stopping_keeps_what_was_known() -> None:
    value = watch(callbacks=(HOOK,), status="Creating", polls=3)
    stopped = stop(value, at(9)).watch
    assert stopped == replace(value, end=End(status=FinalStatus.STOPPED, finished_at=at(9)))


# --- who was overtaken

NEW_URL = "https://management.azure.com/subscriptions/s/operations/new?api-version=1"
BEFORE = watch(seq=3, polls=2)
THEIRS = replace(BEFORE, seq=4, polls=3, last_polled_at=at(2), callbacks=(HOOK,))
OURS = replace(BEFORE, seq=4, polls=3, last_polled_at=at(1))


def handed_over(value: Watch) -> Watch:
    return replace(value, operation=replace(value.facts.operation, url=NEW_URL))


def test_a_receiver_that_has_joined_meanwhile_is_kept() -> None:
    joined = replace(BEFORE, callbacks=(HOOK,))
    assert merge_after_conflict(joined, BEFORE, OURS) == replace(OURS, callbacks=(HOOK,))


def test_who_was_overtaken_with_nothing_new_has_nothing_to_say() -> None:
    assert merge_after_conflict(THEIRS, BEFORE, OURS) is None


@pytest.mark.parametrize("word", [FinalStatus.SUCCEEDED, FinalStatus.FAILED, FinalStatus.CANCELED])
def test_an_end_that_only_the_overtaken_has_read_is_kept(word: FinalStatus) -> None:
    ours = replace(OURS, status=word.value, end=end(word))
    news = merge_after_conflict(THEIRS, BEFORE, ours)
    assert news == replace(THEIRS, status=word.value, end=end(word))


@pytest.mark.parametrize("word", [FinalStatus.TIMED_OUT, FinalStatus.LOST, FinalStatus.STOPPED])
def test_an_end_of_our_own_is_not_forced_upon_who_was_first(word: FinalStatus) -> None:
    assert merge_after_conflict(THEIRS, BEFORE, replace(OURS, end=end(word))) is None


def test_a_new_url_that_only_the_overtaken_has_read_is_kept() -> None:
    assert merge_after_conflict(THEIRS, BEFORE, handed_over(OURS)) == handed_over(THEIRS)


def test_a_new_url_gives_way_to_the_one_that_is_followed_already() -> None:
    other = replace(THEIRS, operation=replace(THEIRS.facts.operation, url=f"{NEW_URL}&x=1"))
    assert merge_after_conflict(other, BEFORE, handed_over(OURS)) is None


def test_what_has_ended_and_what_was_begun_anew_lack_nothing() -> None:
    ours = replace(OURS, end=end())
    assert merge_after_conflict(replace(THEIRS, end=end(FinalStatus.FAILED)), BEFORE, ours) is None
    assert merge_after_conflict(replace(THEIRS, registered_at=at(5)), BEFORE, ours) is None
    assert (
        merge_after_conflict(replace(BEFORE, registered_at=at(5)), BEFORE, handed_over(OURS))
        is None
    )


def test_a_rewoken_watch_is_due_at_once_under_a_new_number() -> None:
    value = watch(due_at=at(-600), seq=4)
    assert reschedule_overdue(value, NOW) == watch(due_at=NOW, seq=5, first_due_at=at(-600))


def test_a_watch_is_late_from_when_it_was_due_until_it_is_polled() -> None:
    again = reschedule_overdue(watch(due_at=at(-130), first_due_at=at(-600)), NOW)
    assert again.first_due_at == at(-600)
    assert wait(again, running(), 1).first_due_at is None


def test_a_result_tells_all_that_the_watch_knew() -> None:
    known = {
        "kind": "k", "status": "Failed", "start_time": at(-9), "last_polled_at": NOW, "polls": 3,
        "percent_complete": 50.0, "misses": 1, "last_miss": "500", "callbacks": (HOOK,),
        "client_state": "1",
    }  # fmt: skip
    kept = end(FinalStatus.FAILED, end_time=at(-1), error=arm_error())
    value = watch(**known, end=kept)
    record = result_of(value, kept)
    assert record.end is kept
    for name in (*known, "operation", "registered_at", "deadline_at"):
        assert getattr(record, name) == getattr(value, name), name


def test_a_line_of_the_list_follows_the_operation() -> None:
    value = watch(status="Creating", kind="k", start_time=at(-9))
    line = TimelineEntry(
        operation=KEY,
        registered_at=NOW,
        status="Creating",
        kind="k",
        location="westus",
        start_time=at(-9),
    )
    assert timeline_entry(value) == line
    kept = end(FinalStatus.FAILED, end_time=at(-1), error=arm_error())
    told = replace(line, status="Failed", end_time=at(-1), finished_at=NOW, error_code="Conflict")
    assert timeline_entry(replace(value, end=kept)) == told
    assert timeline_entry(result_of(value, kept)) == told


# --- deliveries

FAILED = Failed("500")
SCHEDULE = POLICY.callback_schedule


def attempt(number: int = 0, **known: Any) -> Attempt:
    usual: dict[str, Any] = {"at": at(number), "duration": 0.1, "status_code": 500, "error": "500"}
    return Attempt(**(usual | known))


def after(
    value: Delivery, reply: Reply = FAILED, policy: Policy = POLICY, tried: Attempt | None = None
) -> Retry | Settle:
    return after_attempt(value, tried or attempt(), reply, NOW, policy)


def retry(value: Delivery, reply: Reply = FAILED, policy: Policy = POLICY) -> Delivery:
    action = after(value, reply, policy)
    assert isinstance(action, Retry), action
    return action.delivery


def settle(value: Delivery, reply: Reply = FAILED, policy: Policy = POLICY) -> Delivery:
    action = after(value, reply, policy)
    assert isinstance(action, Settle), action
    return action.delivery


def gap(value: Delivery, reply: Reply = FAILED, policy: Policy = POLICY) -> timedelta:
    next_attempt_at = retry(value, reply, policy).next_attempt_at
    assert next_attempt_at is not None
    return next_attempt_at - NOW


def made(count: int, **known: Any) -> Delivery:
    """Return a delivery of which so many attempts have been made."""
    return delivery(attempts=count, round_attempts=count, **known)


def test_the_schedule_is_that_of_the_contract() -> None:
    assert [gap.total_seconds() for gap in DEFAULT_CALLBACK_SCHEDULE] == [
        0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400,
    ]  # fmt: skip


def test_a_delivery_is_owed_at_once() -> None:
    value = new_delivery(KEY, HOOK, NOW, POLICY)
    key = delivery_key(KEY, HOOK)
    assert value == Delivery(
        key=key,
        operation=KEY,
        delivery_id=delivery_id(key, HOOK),
        callback_url=HOOK,
        started_at=NOW,
        next_attempt_at=NOW,
    )


def test_the_first_gap_may_be_set() -> None:
    value = new_delivery(KEY, HOOK, NOW, Policy(callback_schedule=(seconds(100),)))
    assert value.next_attempt_at is not None
    assert seconds(80) <= value.next_attempt_at - NOW <= seconds(120)


def test_an_accepted_attempt_settles() -> None:
    value = after(made(2), Accepted(), tried=attempt(2, status_code=204, error=None)).delivery
    assert value == made(
        3,
        state=DeliveryState.DELIVERED,
        delivered_at=NOW,
        next_attempt_at=None,
        last_attempt_at=at(2),
        last_status_code=204,
        last_error=None,
        attempt_log=(attempt(2, status_code=204, error=None),),
    )


def test_a_failed_attempt_is_repeated() -> None:
    value = retry(delivery(seq=4))
    assert value == delivery(
        seq=5,
        attempts=1,
        round_attempts=1,
        next_attempt_at=value.next_attempt_at,
        last_attempt_at=NOW,
        last_status_code=500,
        last_error="500",
        attempt_log=(attempt(),),
    )


@pytest.mark.parametrize("count", range(9))
def test_a_gap_is_the_schedules_give_or_take_a_fifth(count: int) -> None:
    planned = SCHEDULE[count + 1]
    assert planned * 0.8 <= gap(made(count)) <= planned * 1.2 + seconds(1)
    assert gap(made(count)).microseconds == 0
    assert gap(made(count)) == gap(made(count))


def test_gaps_are_spread_over_the_fifth() -> None:
    gaps = {
        gap(replace(made(3), key=delivery_key(KEY, f"{HOOK}/{number}"))).total_seconds() / 7200
        for number in range(200)
    }
    assert 0.8 <= min(gaps) < 0.83
    assert 1.17 < max(gaps) <= 1.2
    assert len(gaps) > 150


def test_gaps_of_later_attempts_are_spread_anew() -> None:
    flat = Policy(callback_schedule=(seconds(10_000),) * 10)
    assert len({gap(made(count), policy=flat) for count in range(9)}) > 5


@pytest.mark.parametrize("reply", [FAILED, Failed("429", floor=seconds(60)), Unacceptable("400")])
def test_after_the_schedule_the_delivery_is_abandoned(reply: Reply) -> None:
    value = settle(made(9, seq=12), reply)
    assert value.state is DeliveryState.ABANDONED
    assert value.reason == getattr(reply, "reason", None)
    assert (value.attempts, value.next_attempt_at, value.delivered_at) == (10, None, None)


def test_ten_attempts_are_made_in_all() -> None:
    value, count = delivery(), 0
    while True:
        count += 1
        action = after(value)
        value = action.delivery
        if isinstance(action, Settle):
            break
    assert count == 10 == value.attempts


@pytest.mark.parametrize("count", range(10))
def test_a_final_answer_settles_at_once(count: int) -> None:
    value = settle(made(count), Final("410"))
    assert (value.state, value.reason) == (DeliveryState.ABANDONED, "410")


def test_an_answer_that_blames_the_request_is_believed_the_third_time() -> None:
    blame = Unacceptable("400")
    value = retry(retry(delivery(), blame), blame)
    settled = settle(value, blame)
    assert (settled.state, settled.reason) == (DeliveryState.ABANDONED, "400")
    assert settled.attempts == 3


@pytest.mark.parametrize(
    ("count", "reply", "least"),
    [
        pytest.param(0, Failed("timeout", floor=seconds(60)), 60, id="60 s after a time-out"),
        pytest.param(0, Failed("404", floor=seconds(300)), 300, id="5 min after a 404"),
        pytest.param(0, Failed("503", retry_after=seconds(90)), 90, id="Retry-After"),
        pytest.param(0, Unacceptable("413", seconds(90)), 90, id="Retry-After with a 413"),
        pytest.param(0, Failed("503", retry_after=seconds(0.5)), 4, id="a short Retry-After"),
        pytest.param(
            0, Failed("429", floor=seconds(60), retry_after=seconds(7)), 60, id="the longer of both"
        ),
        pytest.param(3, Failed("404", floor=seconds(300)), 5760, id="the schedule's own is longer"),
    ],
)
def test_a_gap_is_no_shorter_than_its_floor(count: int, reply: Failed, least: float) -> None:
    assert gap(made(count), reply) >= seconds(least)
    assert gap(made(count), reply) <= max(seconds(least), SCHEDULE[count + 1] * 1.2)


def test_a_floor_is_no_longer_than_the_schedules_longest_gap() -> None:
    short = Policy(callback_schedule=(seconds(0), seconds(1), seconds(2)))
    assert gap(delivery(), Failed("404", floor=seconds(300)), short) == seconds(2)


@pytest.mark.parametrize(
    ("count", "asked", "waited"),
    [
        pytest.param(8, timedelta(hours=30), timedelta(hours=24), id="the last gap is left"),
        pytest.param(7, timedelta(hours=40), timedelta(hours=40), id="two gaps are left"),
        pytest.param(7, timedelta(hours=50), timedelta(hours=44), id="more than is left"),
        pytest.param(0, timedelta.max, sum(SCHEDULE, timedelta(0)), id="for ever"),
    ],
)
def test_a_receiver_is_granted_what_is_left_of_the_schedule(
    count: int, asked: timedelta, waited: timedelta
) -> None:
    delay = gap(made(count), Failed("503", retry_after=asked))
    assert max(waited, SCHEDULE[count + 1]) <= delay <= max(waited, SCHEDULE[count + 1] * 1.2)


def test_no_wait_is_longer_than_a_queue_can_hold() -> None:
    long = Policy(callback_schedule=(timedelta(days=7),) * 3)
    assert gap(delivery(), Failed("503", retry_after=timedelta.max), long) <= timedelta(days=7)


def test_the_log_keeps_the_newest_twenty() -> None:
    value = delivery()
    for number in range(25):
        value = after(replace(value, round_attempts=0), tried=attempt(number)).delivery
    assert value.attempts == 25
    assert [logged.at for logged in value.attempt_log] == [at(number) for number in range(5, 25)]


def test_a_replay_goes_on_with_id_log_and_number() -> None:
    settled = settle(made(9, seq=12, attempt_log=(attempt(1),)))
    again = requeue(settled, at(1000), POLICY)
    assert again == replace(
        settled,
        state=DeliveryState.PENDING,
        reason=None,
        started_at=at(1000),
        next_attempt_at=at(1000),
        round_attempts=0,
        seq=13,
    )
    assert again.delivery_id == delivery().delivery_id
    assert len(again.attempt_log) == 2


def test_a_replay_has_the_whole_schedule_before_it() -> None:
    value = requeue(settle(made(9)), NOW, POLICY)
    assert seconds(4) <= gap(value) <= seconds(6)
    blamed = retry(retry(value, Unacceptable("400")), Unacceptable("400"))
    assert settle(blamed, Unacceptable("400")).attempts == 13


@pytest.mark.parametrize("now", [at(-60), NOW, at(60)], ids=["before", "at once", "later"])
def test_a_replay_is_a_round_of_its_own_whatever_the_clock_says(now: datetime) -> None:
    settled = settle(delivery(), Accepted())
    again = requeue(settled, now, POLICY)
    assert again.started_at > settled.started_at
    assert not is_settled(again, settled)


def test_a_replay_of_what_was_delivered_is_owed_again() -> None:
    value = requeue(settle(delivery(), Accepted()), at(5), POLICY)
    assert (value.state, value.delivered_at, value.next_attempt_at) == (
        DeliveryState.PENDING,
        None,
        at(5),
    )


@pytest.mark.parametrize(("delay", "waited"), [(0, 1), (0.2, 1), (90, 90), (90.5, 91)])
def test_postponing_counts_no_attempt(delay: float, waited: float) -> None:
    value = made(2, attempt_log=(attempt(),), seq=5)
    assert postpone(value, "no secret", seconds(delay), NOW).delivery == replace(
        value, last_error="no secret", next_attempt_at=at(waited), seq=6
    )


def test_what_has_become_impossible_is_abandoned() -> None:
    value = made(2, seq=5)
    assert abandon(value, "purged").delivery == replace(
        value, state=DeliveryState.ABANDONED, reason="purged", next_attempt_at=None
    )


def test_a_rewoken_delivery_is_due_at_once_under_a_new_number() -> None:
    value = made(2, seq=5, next_attempt_at=at(-600))
    assert reschedule_overdue(value, NOW) == replace(value, next_attempt_at=NOW, seq=6)


def test_those_that_wait_for_a_host_come_back_one_after_another() -> None:
    instants = set()
    for number in range(50):
        value = replace(made(2, seq=5), key=delivery_key(KEY, f"{HOOK}/{number}"))
        waiting = wait_for_host(value, at(600), NOW).delivery
        assert waiting.next_attempt_at is not None
        assert at(600) <= waiting.next_attempt_at <= at(600 * 2 + 1)
        assert (waiting.attempts, waiting.seq) == (2, 6)
        assert wait_for_host(value, at(600), NOW).delivery == waiting
        instants.add(waiting.next_attempt_at)
    assert len(instants) > 25


def test_a_pause_that_is_over_is_no_wait() -> None:
    assert wait_for_host(delivery(), at(-60), NOW).delivery.next_attempt_at == at(1)


def test_a_round_has_waited_enough_when_its_whole_schedule_would_be_over() -> None:
    policy = Policy(callback_schedule=(seconds(0), seconds(100)))
    assert not has_waited_enough(delivery(), at(120), policy)
    assert has_waited_enough(delivery(), at(121), policy)


def test_a_record_settles_its_own_round_and_earlier_ones() -> None:
    record = settle(made(2), Accepted())
    assert is_settled(made(2), record)
    assert is_settled(made(1, started_at=at(-9)), record)
    assert not is_settled(requeue(record, at(9), POLICY), record)


REPLIES: st.SearchStrategy[Reply] = st.one_of(
    st.just(Accepted()),
    st.builds(Final, st.just("410")),
    st.builds(Unacceptable, st.just("400")),
    st.builds(
        Failed,
        st.just("500"),
        floor=st.sampled_from([seconds(0), seconds(60), seconds(300)]),
        retry_after=st.none() | st.timedeltas(timedelta(0)),
    ),
)


@given(
    st.lists(REPLIES, min_size=1, max_size=12),
    st.lists(st.timedeltas(timedelta(0), timedelta(days=7)), min_size=1, max_size=10),
)
def test_any_answers_lead_to_an_end_within_the_schedule(
    replies: list[Reply], schedule: list[timedelta]
) -> None:
    policy = Policy(callback_schedule=tuple(schedule))
    value = new_delivery(KEY, HOOK, NOW, policy)
    for number, reply in enumerate(replies, start=1):
        action = after(value, reply, policy)
        assert action.delivery.attempts == number <= len(schedule)
        if isinstance(action, Settle):
            assert action.delivery.state is not DeliveryState.PENDING
            assert action.delivery.next_attempt_at is None
            return
        value = action.delivery
        assert value.next_attempt_at is not None
        assert timedelta(0) <= value.next_attempt_at - NOW
        assert value.seq == number + 1


def test_not_yet_comes_back_soon() -> None:
    assert timedelta(0) < decide.EARLY_DELAY < decide.OVERDUE_GRACE
