"""The Bicep CLI, one process for all tests of a worker."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.bicep import MISSING, Bicep, find_bicep
from tests.infra.deployment import ROOT


@pytest.fixture(scope="session")
def bicep() -> Iterator[Bicep]:
    if not find_bicep():
        # The workflow installs it, so there a missing CLI is a failure.
        (pytest.fail if os.environ.get("GITHUB_ACTIONS") else pytest.skip)(MISSING)
    bicep = Bicep()
    yield bicep
    bicep.close()


@pytest.fixture(scope="session")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of infra/, because a snapshot needs a file beside the templates."""
    return Path(shutil.copytree(ROOT / "infra", tmp_path_factory.mktemp("templates") / "infra"))
