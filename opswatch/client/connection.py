"""What both faces of the client do with a source: posting, reading, and keys of what is named."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, TypeVar

from azure.core.exceptions import AzureError

from opswatch.client.calls import Timing, settle
from opswatch.client.errors import RejectedError
from opswatch.client.posts import Options, key_of_url
from opswatch.client.row import OperationRow
from opswatch.client.source import Posted, Source
from opswatch.client.waiting import PATIENCE, Hiccups, Patience, Watched, not_found
from opswatch.config import Settings
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.errors import ConfigError
from opswatch.core.intake import Defaults, Intake, Rejection
from opswatch.core.keys import NOTHING, Key, key_from_text
from opswatch.core.mistakes import Part, problems_of

T = TypeVar("T")

_ARM = "https://management.azure.com"
# Any operation: what else a post says is checked before there is one.
_SAMPLE = f"/subscriptions/{NOTHING}/providers/{NOTHING}/locations/{NOTHING}/operations/{NOTHING}"
# What any app refuses: no setting permits it.
_WIDEST = Intake(
    endpoint=_ARM,
    defaults=Defaults(),
    rules=CallbackRules(networks=(ip_network("0.0.0.0/0"), ip_network("::/0"))),
)
_SOON = Patience(outage=timedelta(seconds=20))  # for a call that a person may wait for


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A source, and how its calls wait."""

    source: Source
    timing: Timing
    patience: Patience = PATIENCE

    def check(self, options: Options) -> None:
        """Raise `RejectedError` if a post with these options is refused for any operation."""
        intake = self.source.intake or _WIDEST
        read = intake.read(options.body(intake.endpoint + _SAMPLE), self.timing.now())
        if isinstance(read, Rejection):
            raise RejectedError(read.reason, read.detail)

    def key_of(self, named: str) -> Key:
        """Return the key of an operation as `SUBSCRIPTION/KEY` or in a form that can be posted.

        Raise `RejectedError` if it is none of them.
        """
        text = named.strip()
        if key := key_from_text(text):
            return key
        if self.source.intake is None:
            return key_of_url(_ARM + text if text.startswith("/") else text)
        read = self.source.intake.read(text.encode(), self.timing.now())
        if isinstance(read, Rejection):
            raise RejectedError(read.reason, read.detail)
        return read.operation.key

    async def post(
        self, operation: str, options: Options, patience: Patience | None = None
    ) -> Posted:
        """Post an operation; raise as the source's `post` does, or `UnreachableError`."""
        body = options.body(operation)
        return await self.persist(lambda: self.source.post(body, self.timing.now()), patience)

    async def read(self, key: Key) -> OperationRow:
        """Return an operation; raise `OperationNotFoundError` if it is unknown."""
        row = await self.persist(lambda: self.source.read(key))
        if row is None:
            raise not_found(key)
        return row

    async def persist(
        self, call: Callable[[], Awaitable[T]], patience: Patience | None = None
    ) -> T:
        """Return what `call` returns; try again while nothing answers, for 20 s by default."""
        hiccups = Hiccups(self.timing, patience or _SOON)
        while True:
            try:
                return await call()
            except AzureError as error:
                await settle(self.timing.sleep(hiccups.failed(error)))

    def watched(self, key: Key, posted: Posted | None = None) -> Watched:
        """Return what waits for an operation."""
        return Watched(
            source=self.source,
            timing=self.timing,
            patience=self.patience,
            key=key,
            posted=posted,
        )


def intake_from(settings: Mapping[str, str]) -> Intake:
    """Return the checks of an app with these settings; raise `ConfigError` if they are wrong."""
    read = Settings.read(settings)
    if problems := problems_of(read.mistakes, Part.POSTS):
        raise ConfigError(problems)
    defaults: Any = read.defaults
    return Intake(endpoint=read.arm_endpoint, defaults=defaults, rules=read.rules)
