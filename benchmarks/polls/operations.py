"""What every poller gets: operations of an ARM that never ends them, and a token for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from azure.core.credentials import AccessToken

from tests.support.harness import status_path
from tests.support.servers import TOKEN

SCOPE: Final = "https://management.azure.com/.default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a poller does until it is cancelled."""

    arm: str  # its endpoint
    storage: str  # its connection string
    operations: int
    interval: int  # seconds between two polls of an operation

    @property
    def step(self) -> float:
        """Seconds between the beginnings of two operations: all begin within one interval."""
        return self.interval / self.operations


Poller = Callable[[Task], Awaitable[None]]


def url_path(number: int) -> str:
    """Return the path and query of the status of the operation `number`."""
    operation_id = f"{number:08}-0000-0000-0000-000000000000"
    return f"{status_path(operation_id)}?api-version=2024-10-01"


class SyncCredential:
    """Has a token already."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        """Return it."""
        return AccessToken(TOKEN, 2**33)

    def close(self) -> None:
        """Do nothing."""
