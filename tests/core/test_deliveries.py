"""What follows from an attempt at a delivery, from a pause of its host, and from a replay."""

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.core.deliveries import (
    Delivery,
    DeliveryState,
    Retry,
    Settle,
    abandon,
    after_attempt,
    attempt_at,
    count_attempt,
    delivery_ids,
    has_waited_enough,
    is_forced,
    is_settled,
    new_delivery,
    postpone,
    requeue,
    wait_for_host,
    wait_for_room,
)
from opswatch.core.keys import Key
from opswatch.core.policy import DEFAULT_CALLBACK_SCHEDULE, Policy, due_after
from opswatch.core.webhook import Accepted, Attempt, Failed, Final, Reply, Unacceptable
from tests.support.builders import HOOK, KEY, NOW, at, delivery, seconds
from tests.support.cases import cases

POLICY = Policy()
SCHEDULE = POLICY.callback_schedule
FAILED = Failed("500")


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
    """Return a delivery after `count` attempts."""
    return delivery(attempts=count, round_attempts=count, **known)


def made_to(path: str, count: int = 2, **known: Any) -> Delivery:
    """Return a delivery to another callback after `count` attempts."""
    return made(count, key=new_delivery(KEY, f"{HOOK}/{path}", NOW, POLICY).key, **known)


# --- a new delivery


def test_default_schedule_is_the_contracts() -> None:
    assert [gap.total_seconds() for gap in DEFAULT_CALLBACK_SCHEDULE] == [
        0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400,
    ]  # fmt: skip


@pytest.mark.parametrize("of_round", [1, 2])
def test_id_of_a_delivery_is_known_before_it_exists(of_round: int) -> None:
    made_with = [
        new_delivery(KEY, HOOK, NOW, POLICY, of_round=of_round, digits=digits).delivery_id
        for digits in (16, 64)
    ]
    assert delivery_ids(KEY, HOOK, of_round) == set(made_with)
    assert not delivery_ids(KEY, HOOK, of_round + 1) & set(made_with)


def test_new_delivery_is_due_at_once() -> None:
    value = new_delivery(KEY, HOOK, NOW, POLICY)
    assert value == Delivery(
        key=Key(KEY.partition, f"{KEY.row}~{sha256(HOOK.encode()).hexdigest()[:16]}"),
        operation=KEY,
        delivery_id=value.delivery_id,
        callback_url=HOOK,
        started_at=NOW,
        next_attempt_at=NOW,
    )


def test_delivery_is_identified_by_operation_and_callback() -> None:
    first, same, other_url, other_operation = (
        new_delivery(operation, url, now, POLICY)
        for operation, url, now in (
            (KEY, HOOK, NOW),
            (KEY, HOOK, at(9)),
            (KEY, HOOK + "/", NOW),
            (Key(KEY.partition, "other"), HOOK, NOW),
        )
    )
    assert first.delivery_id.startswith("msg_")
    assert (first.key, first.delivery_id) == (same.key, same.delivery_id)
    assert first.key != other_url.key
    assert first.delivery_id != other_operation.delivery_id


def test_first_gap_is_configurable() -> None:
    value = new_delivery(KEY, HOOK, NOW, Policy(callback_schedule=(seconds(100),)))
    assert value.next_attempt_at is not None
    assert seconds(80) <= value.next_attempt_at - NOW <= seconds(120)


# --- attempts


def test_accepted_attempt_settles() -> None:
    tried = attempt(2, status_code=204, error=None)
    assert after(made(2), Accepted(), tried=tried).delivery == made(
        3,
        state=DeliveryState.DELIVERED,
        delivered_at=NOW,
        settled_at=NOW,
        next_attempt_at=None,
        last_attempt_at=at(2),
        last_status_code=204,
        last_error=None,
        attempt_log=(tried,),
    )


def test_failed_attempt_is_retried() -> None:
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
def test_gap_is_the_schedules_within_a_fifth(count: int) -> None:
    planned = SCHEDULE[count + 1]
    assert planned * 0.8 <= gap(made(count)) <= planned * 1.2 + seconds(1)
    assert gap(made(count)).microseconds == 0
    assert gap(made(count)) == gap(made(count))


def test_gaps_are_spread_across_deliveries() -> None:
    gaps = {gap(made_to(str(number), 3)).total_seconds() / 7200 for number in range(200)}
    assert 0.8 <= min(gaps) < 0.83
    assert 1.17 < max(gaps) <= 1.2
    assert len(gaps) > 150


def test_gaps_are_spread_across_attempts() -> None:
    flat = Policy(callback_schedule=(seconds(10_000),) * 10)
    assert len({gap(made(count), policy=flat) for count in range(9)}) > 5


@pytest.mark.parametrize("reply", [FAILED, Failed("429", floor=seconds(60)), Unacceptable("400")])
def test_delivery_is_abandoned_after_the_schedule(reply: Failed | Unacceptable) -> None:
    value = settle(made(9, seq=12), reply)
    assert (value.state, value.reason) == (DeliveryState.ABANDONED, reply.reason)
    assert (value.attempts, value.next_attempt_at, value.delivered_at) == (10, None, None)


def test_default_schedule_has_ten_attempts() -> None:
    value, count = delivery(), 0
    while True:
        count += 1
        action = after(value)
        value = action.delivery
        if isinstance(action, Settle):
            break
    assert count == 10 == value.attempts


@pytest.mark.parametrize("count", range(10))
def test_final_answer_settles_at_once(count: int) -> None:
    value = settle(made(count), Final("410"))
    assert (value.state, value.reason) == (DeliveryState.ABANDONED, "410")


def test_third_unacceptable_answer_is_final() -> None:
    unacceptable = Unacceptable("400")
    value = retry(retry(delivery(), unacceptable), unacceptable)
    settled = settle(value, unacceptable)
    assert (settled.state, settled.reason) == (DeliveryState.ABANDONED, "400")
    assert settled.attempts == 3


@cases(
    "count, reply, least",
    {
        "60 s after a time-out": (0, Failed("timeout", floor=seconds(60)), 60),
        "5 min after a 404": (0, Failed("404", floor=seconds(300)), 300),
        "Retry-After": (0, Failed("503", retry_after=seconds(90)), 90),
        "Retry-After with a 413": (0, Unacceptable("413", seconds(90)), 90),
        "a short Retry-After": (0, Failed("503", retry_after=seconds(0.5)), 4),
        "the longer of both": (0, Failed("429", floor=seconds(60), retry_after=seconds(7)), 60),
        "the schedule's own is longer": (3, Failed("404", floor=seconds(300)), 5760),
    },
)
def test_gap_is_at_least_its_floor(count: int, reply: Reply, least: float) -> None:
    assert gap(made(count), reply) >= seconds(least)
    assert gap(made(count), reply) <= max(seconds(least), SCHEDULE[count + 1] * 1.2)


def test_short_schedule_shortens_floors() -> None:
    short = Policy(callback_schedule=(seconds(0), seconds(1), seconds(2)))
    assert gap(delivery(), Failed("404", floor=seconds(300)), short) == seconds(2)
    falling = Policy(callback_schedule=(seconds(0), seconds(20), seconds(1)))
    assert gap(made(1), Failed("404", floor=seconds(300)), falling) == seconds(20)


@cases(
    "count, asked, waited",
    {
        "the last gap remains": (8, timedelta(hours=30), timedelta(hours=24)),
        "two gaps remain": (7, timedelta(hours=40), timedelta(hours=40)),
        "more than remains": (7, timedelta(hours=50), timedelta(hours=44)),
        "without limit": (0, timedelta.max, sum(SCHEDULE, timedelta(0))),
    },
)
def test_retry_after_counts_up_to_the_rest(count: int, asked: timedelta, waited: timedelta) -> None:
    delay = gap(made(count), Failed("503", retry_after=asked))
    assert max(waited, SCHEDULE[count + 1]) <= delay <= max(waited, SCHEDULE[count + 1] * 1.2)


def test_gap_fits_a_queues_delay() -> None:
    long = Policy(callback_schedule=(timedelta(days=7),) * 3)
    longest = timedelta(days=7) - seconds(60)  # a clock may be set back
    assert gap(delivery(), Failed("503", retry_after=timedelta.max), long) == longest
    gaps = [gap(made_to(str(n), 1), policy=long) for n in range(20)]  # some have more than 7 days
    assert max(gaps) == longest
    assert min(gaps) < longest
    firsts = [new_delivery(KEY, f"{HOOK}/{n}", NOW, long).next_attempt_at for n in range(20)]
    assert max(filter(None, firsts)) == NOW + longest
    again = [requeue(settle(made_to(str(n), 9)), NOW, long).next_attempt_at for n in range(20)]
    assert max(filter(None, again)) == NOW + longest


def test_every_wait_fits_a_queues_delay() -> None:
    longest = NOW + timedelta(days=7) - seconds(60)
    far = NOW + timedelta(days=900)
    for waiting in (
        wait_for_host(delivery(), far, NOW),
        wait_for_room(delivery(), far, NOW),
        postpone(delivery(), "no secret", timedelta.max, NOW),
    ):
        assert waiting.delivery.next_attempt_at == longest


@pytest.mark.parametrize(("delay", "due"), [(-5, 0), (0, 0), (0.2, 1), (1, 1), (90.5, 91)])
def test_due_time_is_in_whole_seconds(delay: float, due: float) -> None:
    assert due_after(NOW, seconds(delay)) == at(due)


def test_log_keeps_the_newest_twenty() -> None:
    value = delivery()
    for number in range(25):
        value = after(replace(value, round_attempts=0), tried=attempt(number)).delivery
    assert value.attempts == 25
    assert [logged.at for logged in value.attempt_log] == [at(number) for number in range(5, 25)]


# --- replays


def test_replay_keeps_id_log_and_seq() -> None:
    settled = settle(made(9, seq=12, attempt_log=(attempt(1),)))
    again = requeue(settled, at(1000), POLICY)
    assert again == replace(
        settled,
        state=DeliveryState.PENDING,
        reason=None,
        started_at=at(1000),
        next_attempt_at=at(1000),
        settled_at=None,
        round_attempts=0,
        seq=13,
    )
    assert again.delivery_id == delivery().delivery_id
    assert len(again.attempt_log) == 2


def test_replay_has_the_whole_schedule() -> None:
    value = requeue(settle(made(9)), NOW, POLICY)
    assert seconds(4) <= gap(value) <= seconds(6)
    twice = retry(retry(value, Unacceptable("400")), Unacceptable("400"))
    assert settle(twice, Unacceptable("400")).attempts == 13


@pytest.mark.parametrize("now", [at(-60), NOW, at(60)], ids=["before", "at once", "later"])
def test_replay_begins_a_later_round(now: datetime) -> None:
    settled = settle(delivery(), Accepted())
    again = requeue(settled, now, POLICY)
    assert again.started_at > settled.started_at
    assert not is_settled(again, settled)


@pytest.mark.parametrize("was_far", [True, False])
@pytest.mark.parametrize(("first", "is_far"), [(0, False), (10, False), (60, True)])
def test_first_wait_of_a_round_may_be_far(first: float, *, is_far: bool, was_far: bool) -> None:
    policy = replace(POLICY, callback_schedule=(seconds(first),))
    begun = new_delivery(KEY, HOOK, NOW, policy)
    settled = settle(replace(begun, far=was_far), Accepted())
    assert begun.far is is_far
    assert requeue(settled, at(5), policy).far is is_far


def test_attempt_that_a_user_asks_for_is_a_message() -> None:
    waiting = delivery(far=True, next_attempt_at=at(3600))
    assert attempt_at(waiting, at(5)) == replace(
        waiting, far=False, next_attempt_at=at(5), seq=waiting.seq + 1
    )


def test_delivered_delivery_can_be_replayed() -> None:
    value = requeue(settle(delivery(), Accepted()), at(5), POLICY)
    assert value.state is DeliveryState.PENDING
    assert (value.delivered_at, value.next_attempt_at) == (None, at(5))


def test_record_settles_its_round_and_earlier_ones() -> None:
    record = settle(made(2), Accepted())
    assert is_settled(made(2), record)
    assert is_settled(made(1, started_at=at(-9)), record)
    assert is_settled(made(3, started_at=at(-600)), record)  # of before a purge
    assert not is_settled(made(3, started_at=at(-30)), record)  # perhaps by a slow clock
    assert not is_settled(requeue(record, at(9), POLICY), record)


# --- without an attempt


@pytest.mark.parametrize(("delay", "waited"), [(0, 1), (0.2, 1), (90, 90), (90.5, 91)])
def test_postponing_counts_no_attempt(delay: float, waited: float) -> None:
    value = made(2, attempt_log=(attempt(),), seq=5)
    assert postpone(value, "no secret", seconds(delay), NOW).delivery == replace(
        value, last_error="no secret", next_attempt_at=at(waited), far=waited > 15, seq=6
    )


def test_abandoned_delivery_has_its_reason() -> None:
    value = made(2, seq=5)
    assert abandon(value, "purged", NOW).delivery == replace(
        value,
        state=DeliveryState.ABANDONED,
        reason="purged",
        settled_at=NOW,
        next_attempt_at=None,
    )


def test_retries_after_a_host_pause_are_spread() -> None:
    instants = set()
    for number in range(50):
        value = made_to(str(number), seq=5)
        waiting = wait_for_host(value, at(600), NOW).delivery
        assert waiting.next_attempt_at is not None
        assert at(600) <= waiting.next_attempt_at <= at(600 * 2 + 1)
        assert (waiting.attempts, waiting.seq) == (2, 6)
        assert wait_for_host(value, at(600), NOW).delivery == waiting
        instants.add(waiting.next_attempt_at)
    assert len(instants) > 25


def test_past_host_pause_is_the_shortest_delay() -> None:
    assert wait_for_host(delivery(), at(-60), NOW).delivery.next_attempt_at == at(1)


def test_waiting_is_bounded_by_the_whole_schedule() -> None:
    policy = Policy(callback_schedule=(seconds(0), seconds(100)))
    assert not has_waited_enough(delivery(), at(120), policy)
    assert has_waited_enough(delivery(), at(121), policy)


# --- busy


def test_busy_delivery_counts_no_attempt() -> None:
    value = made(2, seq=5)
    waiting = wait_for_room(value, at(10), NOW).delivery
    assert (waiting.attempts, waiting.round_attempts, waiting.seq) == (2, 2, 6)
    assert waiting.busy_since == NOW
    assert waiting.next_attempt_at is not None
    assert at(10) <= waiting.next_attempt_at <= at(21)
    assert wait_for_room(waiting, at(30), at(20)).delivery.busy_since == NOW


@pytest.mark.parametrize(
    ("busy_for", "least", "most"), [(0, 1, 3), (40, 10, 21), (240, 60, 121), (9000, 60, 121)]
)
def test_long_busy_delivery_is_tried_rarely(busy_for: float, least: float, most: float) -> None:
    value = delivery(busy_since=at(-busy_for))
    next_attempt_at = wait_for_room(value, at(1), NOW).delivery.next_attempt_at
    assert next_attempt_at is not None
    assert at(least) <= next_attempt_at <= at(most)


def test_busy_for_the_whole_schedule_forces_an_attempt() -> None:
    policy = Policy(callback_schedule=(seconds(0), seconds(100)))
    assert not is_forced(delivery(started_at=at(-1000)), NOW, policy)
    assert not is_forced(delivery(busy_since=at(-99)), NOW, policy)
    assert is_forced(delivery(busy_since=at(-100)), NOW, policy)


def test_attempt_with_room_ends_being_busy() -> None:
    assert retry(delivery(busy_since=at(-100))).busy_since is None


def test_attempts_after_a_forced_one_are_forced() -> None:
    """If they were not, each could be busy for another whole schedule."""
    policy = Policy(callback_schedule=(seconds(0), seconds(100), seconds(100)))
    value = retry(delivery(busy_since=at(-200)), policy=policy)
    assert is_forced(value, at(1), policy)
    value = retry(value, policy=policy)
    assert settle(value, policy=policy).busy_since is None


def test_settled_and_replayed_deliveries_are_not_busy() -> None:
    value = delivery(busy_since=at(-100))
    assert settle(value, Accepted()).busy_since is None
    assert abandon(value, "purged", NOW).delivery.busy_since is None
    assert requeue(settle(value, Final("410")), NOW, POLICY).busy_since is None


def test_attempt_besides_is_counted_once() -> None:
    moved = made(2, attempt_log=(attempt(1),), seq=5)
    counted = count_attempt(moved, attempt(2))
    assert counted == replace(
        moved, attempts=3, round_attempts=3, attempt_log=(attempt(1), attempt(2))
    )
    assert count_attempt(counted, attempt(2)) is counted


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
def test_any_answers_end_within_the_schedule(
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
