import pytest

from tests.support.harness import Harness
from tests.web.client import Client


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture
def client(harness: Harness) -> Client:
    return Client(harness)
