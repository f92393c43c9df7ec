import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opswatch.local.simulator import (
    ClaimsChallenge,
    CutOff,
    Envelope,
    Fault,
    FixedReply,
    HandOver,
    PollContext,
    RetryAfter,
    Scenario,
    Slow,
    Style,
    TimestampFormat,
    respond,
)

STARTED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
TEN = timedelta(seconds=10)
PATH = "/subscriptions/s/providers/p/locations/West US/operationsStatus/1234"


def poll_at(age: float, poll: int = 1) -> PollContext:
    now = STARTED + timedelta(seconds=age)
    return PollContext(operation_id="1234", path=PATH, started_at=STARTED, now=now, poll=poll)


def body(scenario: Scenario, age: float, poll: int = 1) -> Any:
    return json.loads(respond(scenario, poll_at(age, poll)).response.body)


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
def test_style_sets_codes_and_statuses(
    style: Style,
    ending: dict[str, object] | None,
    final_code: int,
    running: tuple[int, str | None],
    final: tuple[int, str | None],
) -> None:
    scenario = Scenario(duration=TEN, style=style, ending=ending, final_code=final_code)
    seen = []
    for age in (9.9, 10):
        response = respond(scenario, poll_at(age)).response
        content = json.loads(response.body) if response.body else {}
        seen.append((response.status, content.get("status")))
    assert seen == [running, final]


def test_location_is_empty_until_the_resource() -> None:
    scenario = Scenario(duration=TEN, style=Style.LOCATION, ending=RESOURCE)
    assert respond(scenario, poll_at(1)).response.body == b""
    assert body(scenario, 10) == RESOURCE


def test_resource_shows_its_provisioning_state() -> None:
    scenario = Scenario(duration=TEN, style=Style.RESOURCE, ending=RESOURCE, running=("Creating",))
    running = {"name": "cache", "properties": {"provisioningState": "Creating", "sku": "B5"}}
    assert body(scenario, 1) == running
    assert body(scenario, 10) == RESOURCE


@pytest.mark.parametrize(("age", "ends"), [(0, False), (9.999, False), (10, True), (1e6, True)])
def test_scenario_ends_at_its_duration(age: float, ends: bool) -> None:
    assert respond(Scenario(duration=TEN), poll_at(age)).shows_end is ends


def test_never_ending_scenario_stays_in_progress() -> None:
    reply = respond(Scenario(duration=None), poll_at(1e9))
    assert not reply.shows_end
    assert json.loads(reply.response.body)["status"] == "InProgress"


def test_full_envelope_has_end_time_at_end() -> None:
    scenario = Scenario(duration=TEN, stamp=TimestampFormat.NONE_Z)
    assert body(scenario, 3) == {
        "id": PATH,
        "name": "1234",
        "status": "InProgress",
        "startTime": "2026-11-23T03:00:00Z",
    }
    assert body(scenario, 30)["endTime"] == "2026-11-23T03:00:10Z"


def test_early_end_time_precedes_the_end() -> None:
    scenario = Scenario(duration=TEN, stamp=TimestampFormat.NONE_Z, early_end_time=True)
    assert body(scenario, 5)["status"] == "InProgress"
    assert body(scenario, 5)["endTime"] == "2026-11-23T03:00:01Z"
    assert body(scenario, 10)["endTime"] == "2026-11-23T03:00:10Z"


def test_null_envelope_has_every_field() -> None:
    scenario = Scenario(duration=TEN, envelope=Envelope.NULLS)
    nulls = dict.fromkeys(["startTime", "endTime", "percentComplete", "properties", "error"])
    for age, status in ((1, "InProgress"), (10, "Succeeded")):
        expected = {"id": PATH, "name": "1234", "status": status, **nulls}
        assert body(scenario, age) == expected


def test_bare_envelope_is_only_the_status() -> None:
    scenario = Scenario(duration=TEN, envelope=Envelope.BARE)
    bodies = [body(scenario, age) for age in (1, 10)]
    assert bodies == [{"status": "InProgress"}, {"status": "Succeeded"}]


def test_progress_is_reported_in_percent() -> None:
    scenario = Scenario(duration=TEN, percent_complete=True)
    percents = [body(scenario, age)["percentComplete"] for age in (0, 2.5, 10)]
    assert percents == [0.0, 25.0, 100]


def test_running_statuses_share_the_duration() -> None:
    scenario = Scenario(duration=TEN, running=("Accepted", "Creating"))
    statuses = [body(scenario, age)["status"] for age in (0, 4.9, 5, 9.9)]
    assert statuses == ["Accepted", "Accepted", "Creating", "Creating"]


def test_unending_scenario_changes_status_per_poll() -> None:
    scenario = Scenario(duration=None, running=("Accepted", "Creating"))
    statuses = [body(scenario, 0, poll)["status"] for poll in (1, 2, 3)]
    assert statuses == ["Accepted", "Creating", "Creating"]


@pytest.mark.parametrize("style", Style)
def test_retry_after_is_sent_only_while_running(style: Style) -> None:
    scenario = Scenario(duration=TEN, style=style, retry_after=RetryAfter(wait=timedelta(0)))
    assert respond(scenario, poll_at(1)).response.headers["Retry-After"] == "0"
    assert "Retry-After" not in respond(scenario, poll_at(10)).response.headers


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
def test_ending_decides_success(ending: dict[str, object] | None, succeeds: bool) -> None:
    assert Scenario(ending=ending).succeeds is succeeds


def test_scenario_without_running_status_is_rejected() -> None:
    with pytest.raises(ValueError, match="running"):
        Scenario(running=())


# --- faults

NOT_FOUND = FixedReply(status=404, json={"error": {}})
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
def test_fault_applies_within_its_window(
    window: dict[str, Any], hit: list[tuple[int, float]]
) -> None:
    fault = FixedReply(status=404, **window)
    assert [(poll, age) for poll, age in POLLS if fault.applies_to(poll_at(age, poll))] == hit


def test_fault_share_hits_the_same_polls() -> None:
    fault = FixedReply(status=500, share=0.3)
    hits = [fault.applies_to(poll_at(1, poll)) for poll in range(1, 2001)]
    assert 500 < sum(hits) < 700
    assert hits == [fault.applies_to(poll_at(2, poll)) for poll in range(1, 2001)]


@pytest.mark.parametrize("fault", [NOT_FOUND, CutOff(), ClaimsChallenge()])
def test_fault_hides_the_end(fault: Fault) -> None:
    reply = respond(Scenario(duration=TEN, faults=(fault,)), poll_at(10))
    assert not reply.shows_end
    assert reply.response.status == (404 if fault is NOT_FOUND else 200)
    assert reply.response.cut_off is isinstance(fault, CutOff)
    assert reply.revoke_tokens is isinstance(fault, ClaimsChallenge)


def test_slow_faults_add_their_delays() -> None:
    slow = Slow(by=timedelta(seconds=2))
    reply = respond(Scenario(duration=TEN, faults=(slow, slow)), poll_at(10))
    assert (reply.response.delay, reply.shows_end) == (timedelta(seconds=4), True)


def test_faults_apply_in_order() -> None:
    faults = (NOT_FOUND, Slow(by=TEN), CutOff())
    response = respond(Scenario(faults=faults), poll_at(1)).response
    assert (response.status, response.delay, response.cut_off) == (404, TEN, True)


def test_hand_over_can_name_a_foreign_url() -> None:
    fault = HandOver(header="Location", to="https://attacker.example/")
    response = respond(Scenario(faults=(fault,)), poll_at(1)).response
    assert response.headers["Location"] == "https://attacker.example/"


def test_fixed_reply_can_send_any_bytes() -> None:
    fault = FixedReply(status=200, body="\ufeff\udcff")
    assert respond(Scenario(faults=(fault,)), poll_at(1)).response.body == b"\xef\xbb\xbf\xff"


def test_retry_after_date_counts_from_the_poll() -> None:
    scenario = Scenario.from_json(
        {"faults": [{"type": "reply", "status": 503, "retryAfter": {"wait": 5, "form": "date"}}]}
    )
    late = replace(poll_at(1), now=STARTED + timedelta(minutes=1))
    headers = respond(scenario, late).response.headers
    assert headers["Retry-After"] == "Mon, 23 Nov 2026 03:01:05 GMT"


# --- JSON


def test_scenario_round_trips_through_json() -> None:
    scenario = Scenario(
        duration=TEN,
        style=Style.LOCATION,
        ending={"a": [1]},
        retry_after=RetryAfter(wait=TEN),
        faults=(NOT_FOUND, CutOff(last_poll=3), Slow(by=TEN), HandOver()),
    )
    assert Scenario.from_json(json.loads(json.dumps(scenario.to_json()))) == scenario


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
def test_invalid_scenario_is_rejected(wrong: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Scenario.from_json(wrong)
