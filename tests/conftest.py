"""What every test may ask for: the storage emulator, and nothing that a test can make itself."""

from collections.abc import Iterator

import pytest

from opswatch.local.azurite import Azurite, running_azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """A storage emulator of this test process alone; its names are shared by all of its tests."""
    with running_azurite() as emulator:
        yield emulator
