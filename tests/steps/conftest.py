"""The harness in which steps are tested."""

import pytest

from tests.support.harness import Harness


@pytest.fixture
def harness() -> Harness:
    return Harness()
