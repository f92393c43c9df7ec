"""Errors of unusual shapes: nothing is lost, and code and message are the first found."""

import json
from typing import Any

import pytest

from opswatch.core.arm_errors import ArmError, read_error

ENVELOPE = frozenset({"id", "name", "status", "properties"})
ERROR = {"code": "DeploymentFailed", "message": "At least one failed.", "details": []}


def failed(**body: Any) -> ArmError:
    error = read_error(body, ENVELOPE)
    assert error is not None
    return error


@pytest.mark.parametrize("name", ["error", "errors", "Error"])
def test_failed_properties_hold_the_error(name: str) -> None:
    error = failed(properties={name: [ERROR], "code": "not an error's"})
    assert (error.code, error.message) == ("DeploymentFailed", "At least one failed.")


def test_error_of_the_body_wins_over_properties() -> None:
    error = failed(error={"code": "Outer", "message": "m"}, properties={"error": ERROR})
    assert error.code == "Outer"


def test_properties_are_no_error_of_a_running_body() -> None:
    assert read_error({"properties": {"error": ERROR}}) is None


def test_code_beside_an_error_is_kept() -> None:
    error = failed(code="Outer", message="x", error={"code": "Inner", "message": "y"})
    assert (error.code, error.message) == ("Inner", "y")
    assert json.loads(error.json)["body"] == {"code": "Outer", "message": "x"}


def test_errors_beside_an_error_are_kept() -> None:
    error = failed(error={"code": "A", "message": "a"}, errors=[{"code": "B", "message": "b"}])
    assert (error.code, error.code_inner) == ("A", "B")


def test_code_is_the_first_one_found() -> None:
    error = failed(error={"message": "outer", "error": {"code": "X", "message": "inner"}})
    assert (error.code, error.message, error.code_inner) == ("X", "outer", "X")


def test_code_of_two_spellings_is_kept_twice() -> None:
    error = failed(error={"errorCode": "A", "CODE": "B", "code": [""], "Target": 1, "target": 2})
    assert error.code == "A"
    assert json.loads(error.json) == {
        "code": "A", "CODE": "B", "code_": [""], "target": 1, "target_": 2,
    }  # fmt: skip


def test_error_is_unpacked_from_json_twice() -> None:
    packed = json.dumps(json.dumps({"error": {"code": "Packed", "message": "m"}}))
    assert failed(error=packed).code == "Packed"


@pytest.mark.parametrize("value", [[{"x": 1}], {"value": {"x": 1}}, True])
@pytest.mark.parametrize("name", ["code", "message"])
def test_code_and_message_are_texts(name: str, value: Any) -> None:
    error = failed(error={name: value})
    assert getattr(error, name) == json.dumps(value, separators=(",", ":"))


def test_message_of_json_without_an_error_stays() -> None:
    assert failed(error={"message": '{"port": 1}'}).message == '{"port": 1}'


def test_target_without_a_code_is_kept() -> None:
    assert json.loads(failed(target="disk-1").json) == {"target": "disk-1"}


# --- deployments: each resource's error is wrapped in one that only says that it has failed

ENDED = "The resource write operation failed to complete successfully, because it reached "
RESOURCE = {"code": "ResourceDeploymentFailure", "message": f"{ENDED}terminal provisioning state."}
REAL = {"code": "SkuNotAvailable", "message": "Balanced_B5 is not available in westus."}


def deployment(*details: dict[str, Any]) -> dict[str, Any]:
    message = "At least one resource deployment operation failed."
    return {"code": "DeploymentFailed", "message": message, "details": list(details)}


def as_text(error: dict[str, Any]) -> dict[str, Any]:
    """Return an error as older API versions of deployments do: all of it in the message."""
    text = json.dumps({"status": "Failed", "error": error}, indent=2).replace("\n", "\r\n")
    return {"code": "Conflict", "message": text}


@pytest.mark.parametrize(
    "error",
    [
        deployment({**RESOURCE, "details": [REAL]}),
        deployment(REAL),
        deployment({**RESOURCE, "details": [deployment({**RESOURCE, "details": [REAL]})]}),
        deployment(as_text({**RESOURCE, "details": [REAL]})),
        deployment(as_text({**RESOURCE, "details": [deployment(as_text(REAL))]})),
        deployment(RESOURCE, {**RESOURCE, "details": [REAL]}, RESOURCE),
        deployment({**RESOURCE, "details": [REAL]}, {**RESOURCE, "details": [{"code": "Other"}]}),
    ],
)
def test_innermost_error_of_a_deployment_is_found(error: dict[str, Any]) -> None:
    read = failed(error=error)
    assert (read.code, read.code_inner) == ("DeploymentFailed", "SkuNotAvailable")
    assert read.message_inner == REAL["message"]
    assert json.loads(read.json) == error


def test_outer_code_is_of_the_first_error() -> None:
    error = failed(
        errors=[{"message": "m", "details": [RESOURCE, {**RESOURCE, "details": [REAL]}]}]
    )
    assert (error.code, error.code_inner) == ("ResourceDeploymentFailure", "SkuNotAvailable")
