"""The app in a process of its own, over Azurite, whose operations have all ended."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.house import owe_one
from opswatch.bootstrap import open_services
from opswatch.local.azurite import running_azurite
from opswatch.ports import Query, Services
from tests.chaos.victims import App
from tests.support.harness import SECRET

_AT_A_TIME = 8


class WholeApp:
    """A house as `benchmarks.house` has it, but of real parts."""

    def __init__(self, services: Services, app: App, log: Path) -> None:
        self.services = services
        self._app = app
        self._log = log
        self._began_at = services.clock()

    async def started(self) -> None:
        """Return when the app listens."""
        while not self._app.is_up():
            await asyncio.sleep(0.1)

    async def owe_all(self, urls: Sequence[str], seconds: float) -> None:
        """Owe each of `urls` the end of an operation, one after another over `seconds`.

        Where that is 0 the app stands still until all are owed, and sees them at once.
        """
        if not seconds:
            self._app.pause()
        at_a_time = asyncio.Semaphore(_AT_A_TIME)

        async def new_delivery(number: int, url: str) -> None:
            await asyncio.sleep(seconds * number / len(urls))
            async with at_a_time:
                await owe_one(self.services, number, url)

        async with asyncio.TaskGroup() as owing:
            for number, url in enumerate(urls):
                owing.create_task(new_delivery(number, url))
        if not seconds:
            self._began_at = self.services.clock()
            self._app.resume()

    async def lags(self, url: str) -> list[float]:
        """Return how long the settled deliveries to `url` took, in seconds."""
        settled = [row.value async for row in self.services.store.deliveries.find(Query())]
        return [
            (delivery.delivered_at - max(delivery.started_at, self._began_at)).total_seconds()
            for delivery in settled
            if delivery.callback_url == url and delivery.delivered_at
        ]

    def waits(self) -> int:
        """Return how often a delivery has had to wait for its host."""
        return self._log.read_text().count("opswatch.host_waited_for")


@asynccontextmanager
async def open_whole_app() -> AsyncIterator[WholeApp]:
    """Yield a house whose deliveries `opswatch dev` makes."""
    with running_azurite() as azurite, tempfile.TemporaryDirectory() as folder:
        env = {
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_CALLBACK_SECRETS": SECRET.text,
            "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
        }
        log = Path(folder) / "app.log"
        app = App(env, 600, log)
        async with open_services(env) as services:
            await app.start()
            try:
                house = WholeApp(services, app, log)
                await house.started()
                yield house
            finally:
                await app.kill()
