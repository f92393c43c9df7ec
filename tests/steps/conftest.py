"""The house in which steps are tried."""

import pytest

from tests.steps.house import House


@pytest.fixture
def house() -> House:
    return House()
