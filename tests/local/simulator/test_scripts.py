import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opswatch.local.simulator import SCRIPTS, PollContext, Reply, Scenario, find_script, respond

STARTED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
UNENDING = {"never-ending", "expired", "gone", "forbidden"}


def poll(scenario: Scenario, age: float, number: int = 1) -> Reply:
    now = STARTED + timedelta(seconds=age)
    return respond(
        scenario,
        PollContext(operation_id="1", path="/p/1", started_at=STARTED, now=now, poll=number),
    )


def final_body(name: str) -> Any:
    return json.loads(poll(SCRIPTS[name], 10).response.body)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_replies_at_every_age(name: str) -> None:
    for number, age in enumerate((0, 1, 4, 9, 11, 10_000), start=1):
        assert 200 <= poll(SCRIPTS[name], age, number).response.status < 600


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_round_trips_through_json(name: str) -> None:
    script = SCRIPTS[name]
    assert Scenario.from_json(json.loads(json.dumps(script.to_json()))) == script


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_shows_its_end_unless_unending(name: str) -> None:
    ends = [poll(SCRIPTS[name], 10_000, number).shows_end for number in range(1, 30)]
    assert any(ends) is (name not in UNENDING)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("succeeded", {"status": "Succeeded", "properties": {"provisioned": True}}),
        ("failed-no-error", {"status": "Failed"}),
        ("failed-null-error", {"status": "Failed", "error": None}),
        ("failed-empty-error", {"status": "Failed", "error": {}}),
        ("cancelled", {"status": "Cancelled"}),
        ("completed", {"status": "Completed"}),
        ("percent-one", {"status": "Succeeded", "percentComplete": 1.0}),
    ],
)
def test_final_body_matches_the_scripts_name(name: str, ending: dict[str, object]) -> None:
    body = final_body(name)
    assert body.items() >= ending.items()
    assert body.keys() - ending.keys() == {"id", "name", "startTime", "endTime"}


def test_blank_code_starts_with_a_blank() -> None:
    assert final_body("failed-blank-code")["error"]["code"] == " NetcfgInvalidSubnet"


def test_failed_script_has_nested_details() -> None:
    error = final_body("failed")["error"]
    assert error["details"][0]["details"][0]["code"] == "SkuNotAvailable"
    assert error["additionalInfo"][0]["type"] == "PolicyViolation"


def test_unknown_script_error_lists_known_names() -> None:
    with pytest.raises(ValueError, match=r"'fail' is not one of .* failed"):
        find_script("fail")


def test_script_accepts_a_longer_duration() -> None:
    scenario = find_script("failed").with_duration(timedelta(hours=1))
    assert not poll(scenario, 3599).shows_end
    assert poll(scenario, 3600).shows_end
