"""What every test may ask for: the storage emulator, and nothing that a test can make itself."""

from collections.abc import Iterator
from functools import partial

import pytest

from opswatch.adapters import account
from opswatch.adapters.rest import Service
from opswatch.local.azurite import Azurite, running_azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """A storage emulator of this test process alone; its names are shared by all of its tests."""
    with running_azurite() as emulator:
        yield emulator


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of a storage account are repeated at once; how often, does not change."""
    monkeypatch.setattr(account, "Service", partial(Service, pauses=(0, 0)))
    for name, nothing in (
        ("_QUEUE_RETRIES", {"increment_base": 0, "random_jitter_range": 0}),
        ("_TABLE_RETRIES", {"retry_backoff_factor": 0}),
    ):
        monkeypatch.setattr(account, name, getattr(account, name) | nothing)
