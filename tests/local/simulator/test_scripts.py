import json
from datetime import UTC, datetime, timedelta

import pytest

from opswatch.local.simulator import SCRIPTS, Moment, find_script, lasting, tell
from opswatch.local.simulator.life import life_from_json, life_to_json

STARTED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def moment(age: float, poll: int) -> Moment:
    now = STARTED + timedelta(seconds=age)
    return Moment(operation_id="1", path="/p/1", started_at=STARTED, now=now, poll=poll)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_answers_at_every_age(name: str) -> None:
    for poll, age in enumerate((0, 1, 4, 9, 11, 10_000), start=1):
        assert 200 <= tell(SCRIPTS[name], moment(age, poll)).answer.status < 600


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_survives_json(name: str) -> None:
    life = SCRIPTS[name]
    assert life_from_json(json.loads(json.dumps(life_to_json(life)))) == life


UNENDING = {"never-ending", "expired", "gone", "forbidden"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_tells_of_its_end_unless_its_name_says_otherwise(name: str) -> None:
    told = [tell(SCRIPTS[name], moment(10_000, poll)).ends for poll in range(1, 30)]
    assert any(told) is (name not in UNENDING)


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
def test_an_outcome_is_told_in_the_words_of_its_name(name: str, ending: dict[str, object]) -> None:
    body = json.loads(tell(SCRIPTS[name], moment(10, 1)).answer.body)
    assert body.items() >= ending.items()
    assert body.keys() - ending.keys() == {"id", "name", "startTime", "endTime"}


def test_the_blank_code_has_its_blank() -> None:
    body = json.loads(tell(SCRIPTS["failed-blank-code"], moment(10, 1)).answer.body)
    assert body["error"]["code"] == " NetcfgInvalidSubnet"


def test_the_detailed_failure_nests() -> None:
    error = json.loads(tell(SCRIPTS["failed"], moment(10, 1)).answer.body)["error"]
    assert error["details"][0]["details"][0]["code"] == "SkuNotAvailable"
    assert error["additionalInfo"][0]["type"] == "PolicyViolation"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'fail' is none of .* failed"):
        find_script("fail")


def test_a_script_may_last_longer() -> None:
    life = lasting(find_script("failed"), timedelta(hours=1))
    assert not tell(life, moment(3599, 1)).ends
    assert tell(life, moment(3600, 1)).ends
