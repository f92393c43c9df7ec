import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opswatch.local.simulator import (
    ClaimsChallenge,
    CutOff,
    Envelope,
    HandOver,
    Life,
    Moment,
    Reply,
    RetryAfter,
    Slow,
    Stamp,
    Style,
    tell,
)
from opswatch.local.simulator.life import life_from_json, life_to_json

STARTED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
TEN = timedelta(seconds=10)


def moment(age: float, poll: int = 1) -> Moment:
    return Moment(
        operation_id="1234",
        path="/subscriptions/s/providers/p/locations/West US/operationsStatus/1234",
        started_at=STARTED,
        now=STARTED + timedelta(seconds=age),
        poll=poll,
    )


def body(life: Life, age: float, poll: int = 1) -> Any:
    return json.loads(tell(life, moment(age, poll)).answer.body)


FAILED = {"status": "Failed", "error": {"code": "Conflict", "message": "It failed."}}
RESOURCE = {"name": "cache", "properties": {"provisioningState": "Succeeded", "sku": "B5"}}


@pytest.mark.parametrize(
    ("style", "ending", "final_code", "running", "final"),
    [
        (Style.STATUS, FAILED, 200, (200, "InProgress"), (200, "Failed")),
        (Style.HYBRID, FAILED, 200, (202, "InProgress"), (200, "Failed")),
        (Style.LOCATION, RESOURCE, 201, (202, None), (201, None)),
        (Style.LOCATION, None, 204, (202, None), (204, None)),
        (Style.RESOURCE, RESOURCE, 200, (200, None), (200, None)),
    ],
)
def test_a_style_has_its_codes_and_words(
    style: Style,
    ending: dict[str, object] | None,
    final_code: int,
    running: tuple[int, str | None],
    final: tuple[int, str | None],
) -> None:
    life = Life(duration=TEN, style=style, ending=ending, final_code=final_code)
    seen = []
    for age in (9.9, 10):
        answer = tell(life, moment(age)).answer
        told = json.loads(answer.body) if answer.body else {}
        seen.append((answer.status, told.get("status")))
    assert seen == [running, final]


def test_a_location_life_is_empty_until_it_ends_with_the_resource() -> None:
    life = Life(duration=TEN, style=Style.LOCATION, ending=RESOURCE)
    assert tell(life, moment(1)).answer.body == b""
    assert body(life, 10) == RESOURCE


def test_a_resource_tells_by_its_provisioning_state() -> None:
    life = Life(duration=TEN, style=Style.RESOURCE, ending=RESOURCE, running=("Creating",))
    running = {"name": "cache", "properties": {"provisioningState": "Creating", "sku": "B5"}}
    assert body(life, 1) == running
    assert body(life, 10) == RESOURCE


@pytest.mark.parametrize(("age", "ends"), [(0, False), (9.999, False), (10, True), (1e6, True)])
def test_a_life_ends_at_its_duration(age: float, ends: bool) -> None:
    assert tell(Life(duration=TEN), moment(age)).ends is ends


def test_a_never_ending_life_does_not_end() -> None:
    told = tell(Life(duration=None), moment(1e9))
    assert not told.ends
    assert json.loads(told.answer.body)["status"] == "InProgress"


def test_a_full_envelope_has_the_times_and_the_end_only_at_the_end() -> None:
    life = Life(duration=TEN, stamp=Stamp.NONE_Z)
    assert body(life, 3) == {
        "id": moment(0).path,
        "name": "1234",
        "status": "InProgress",
        "startTime": "2026-11-23T03:00:00Z",
    }
    assert body(life, 30)["endTime"] == "2026-11-23T03:00:10Z"


def test_redis_enterprise_sends_an_end_time_a_second_after_the_start() -> None:
    life = Life(duration=TEN, stamp=Stamp.NONE_Z, early_end_time=True)
    assert body(life, 5)["status"] == "InProgress"
    assert body(life, 5)["endTime"] == "2026-11-23T03:00:01Z"
    assert body(life, 10)["endTime"] == "2026-11-23T03:00:10Z"


def test_classic_redis_sends_nulls_everywhere() -> None:
    life = Life(duration=TEN, envelope=Envelope.NULLS)
    nulls = dict.fromkeys(["startTime", "endTime", "percentComplete", "properties", "error"])
    for age, status in ((1, "InProgress"), (10, "Succeeded")):
        told = body(life, age)
        assert told == {"id": moment(0).path, "name": "1234", "status": status, **nulls}


def test_a_bare_envelope_is_the_status_alone() -> None:
    life = Life(duration=TEN, envelope=Envelope.BARE)
    assert [body(life, age) for age in (1, 10)] == [
        {"status": "InProgress"},
        {"status": "Succeeded"},
    ]


def test_progress_is_told_in_percent() -> None:
    life = Life(duration=TEN, percent_complete=True)
    assert [body(life, age)["percentComplete"] for age in (0, 2.5, 10)] == [0.0, 25.0, 100]


def test_running_words_share_the_duration() -> None:
    life = Life(duration=TEN, running=("Accepted", "Creating"))
    told = [body(life, age)["status"] for age in (0, 4.9, 5, 9.9)]
    assert told == ["Accepted", "Accepted", "Creating", "Creating"]


def test_running_words_of_a_never_ending_life_come_one_a_poll() -> None:
    life = Life(duration=None, running=("Accepted", "Creating"))
    told = [body(life, 0, poll)["status"] for poll in (1, 2, 3)]
    assert told == ["Accepted", "Creating", "Creating"]


@pytest.mark.parametrize("style", Style)
def test_a_wait_is_asked_for_only_while_it_runs(style: Style) -> None:
    life = Life(duration=TEN, style=style, retry_after=RetryAfter(wait=timedelta(0)))
    assert tell(life, moment(1)).answer.headers["Retry-After"] == "0"
    assert "Retry-After" not in tell(life, moment(10)).answer.headers


@pytest.mark.parametrize(
    ("ending", "succeeds"),
    [
        ({"status": "Succeeded"}, True),
        ({"status": "completed"}, True),
        (None, True),
        (RESOURCE, True),
        (FAILED, False),
        ({"status": "Cancelled"}, False),
    ],
)
def test_a_life_succeeds_in_whatever_word(ending: dict[str, object] | None, succeeds: bool) -> None:
    assert Life(ending=ending).succeeds is succeeds


def test_a_life_without_a_running_word_is_refused() -> None:
    with pytest.raises(ValueError, match="running"):
        Life(running=())


# --- faults

NOT_FOUND = Reply(status=404, json={"error": {}})


POLLS = [(1, 0.0), (1, 5.0), (2, 4.9), (2, 100.0), (3, 5.0)]  # (poll, age)


@pytest.mark.parametrize(
    ("window", "hit"),
    [
        ({}, POLLS),
        ({"last_poll": 2}, [(1, 0), (1, 5), (2, 4.9), (2, 100)]),
        ({"first_poll": 2}, [(2, 4.9), (2, 100), (3, 5)]),
        ({"from_age": timedelta(seconds=5)}, [(1, 5), (2, 100), (3, 5)]),
        ({"until_age": timedelta(seconds=5)}, [(1, 0), (2, 4.9)]),
        ({"first_poll": 2, "until_age": timedelta(seconds=5)}, [(2, 4.9)]),
    ],
)
def test_a_fault_keeps_to_its_window(window: dict[str, Any], hit: list[tuple[int, float]]) -> None:
    fault = Reply(status=404, **window)
    assert [(poll, age) for poll, age in POLLS if fault.befalls(moment(age, poll))] == hit


def test_a_share_of_the_polls_is_hit_and_always_the_same() -> None:
    fault = Reply(status=500, share=0.3)
    hits = [fault.befalls(moment(1, poll)) for poll in range(1, 2001)]
    assert 500 < sum(hits) < 700
    assert hits == [fault.befalls(moment(2, poll)) for poll in range(1, 2001)]


def test_a_reply_hides_the_end() -> None:
    told = tell(Life(duration=TEN, faults=(NOT_FOUND,)), moment(10))
    assert (told.answer.status, told.ends) == (404, False)


def test_a_cut_off_answer_has_not_told_of_the_end() -> None:
    told = tell(Life(duration=TEN, faults=(CutOff(),)), moment(10))
    assert (told.answer.cut, told.ends) == (True, False)


def test_a_claims_challenge_has_not_told_of_the_end() -> None:
    told = tell(Life(duration=TEN, faults=(ClaimsChallenge(),)), moment(10))
    assert (told.challenge, told.ends) == (True, False)


def test_a_slow_answer_is_the_true_one_and_waits_add_up() -> None:
    slow = Slow(by=timedelta(seconds=2))
    told = tell(Life(duration=TEN, faults=(slow, slow)), moment(10))
    assert (told.answer.delay, told.ends) == (timedelta(seconds=4), True)


def test_faults_bend_what_the_ones_before_left() -> None:
    faults = (NOT_FOUND, Slow(by=TEN), CutOff())
    answer = tell(Life(faults=faults), moment(1)).answer
    assert (answer.status, answer.delay, answer.cut) == (404, TEN, True)


def test_a_stranger_may_be_named_as_the_next_url() -> None:
    fault = HandOver(header="Location", to="https://attacker.example/")
    answer = tell(Life(faults=(fault,)), moment(1)).answer
    assert answer.headers["Location"] == "https://attacker.example/"


def test_a_reply_may_carry_any_bytes() -> None:
    answer = tell(Life(faults=(Reply(status=200, body="\ufeff\udcff"),)), moment(1)).answer
    assert answer.body == b"\xef\xbb\xbf\xff"


def test_a_retry_after_date_counts_from_the_poll() -> None:
    life = life_from_json(
        {"faults": [{"type": "reply", "status": 503, "retryAfter": {"wait": 5, "form": "date"}}]}
    )
    late = replace(moment(1), now=STARTED + timedelta(minutes=1))
    assert tell(life, late).answer.headers["Retry-After"] == "Mon, 23 Nov 2026 03:01:05 GMT"


# --- JSON


def test_a_life_survives_json() -> None:
    life = Life(
        duration=TEN,
        style=Style.LOCATION,
        ending={"a": [1]},
        retry_after=RetryAfter(wait=TEN),
        faults=(NOT_FOUND, CutOff(last_poll=3), Slow(by=TEN), HandOver()),
    )
    assert life_from_json(json.loads(json.dumps(life_to_json(life)))) == life


@pytest.mark.parametrize(
    "wrong",
    [
        {"durration": 5},
        {"duration": "soon"},
        {"style": "fancy"},
        {"running": []},
        {"faults": [{"type": "earthquake"}]},
        [],
    ],
)
def test_a_mistake_in_a_life_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        life_from_json(wrong)
