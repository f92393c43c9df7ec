"""The error of a resource that has failed, in its `properties`."""

from typing import Any

import pytest

from opswatch.core.arm_errors import read_error

ENVELOPE = frozenset({"id", "name", "status", "properties"})
ERROR = {"code": "DeploymentFailed", "message": "At least one failed.", "details": []}


@pytest.mark.parametrize("name", ["error", "errors", "Error"])
def test_failed_properties_hold_the_error(name: str) -> None:
    value: Any = [ERROR] if name == "errors" else ERROR
    error = read_error({"properties": {name: value, "code": "not an error's"}}, ENVELOPE)
    assert error is not None
    assert (error.code, error.message) == ("DeploymentFailed", "At least one failed.")


def test_error_of_the_body_wins_over_properties() -> None:
    body = {"error": {"code": "Outer", "message": "m"}, "properties": {"error": ERROR}}
    error = read_error(body, ENVELOPE)
    assert error is not None
    assert error.code == "Outer"


def test_properties_are_no_error_of_a_running_body() -> None:
    assert read_error({"properties": {"error": ERROR}}) is None
