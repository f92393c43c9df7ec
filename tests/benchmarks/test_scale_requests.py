"""The requests that the model counts are those that the steps make."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from benchmarks.polls.storage import CountedStorage
from benchmarks.scaling import app, model
from opswatch.bootstrap import open_services
from opswatch.config import STORAGE
from opswatch.core.http import HttpResponse
from opswatch.ports import Services
from opswatch.rows.messages import QUEUES
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.repair import repair
from opswatch.testing import MemoryArm, MemoryCallbacks, MemoryDurations
from tests.support.harness import ENDPOINT, HOOK, ended, running, status_path
from tests.support.storage import connection_string
from tests.support.storage.http import serving

SECRET = "whsec_" + "a" * 44
COMMIT = Counter({"write": 1})  # of a row alone


@dataclass
class App:
    services: Services
    storage: CountedStorage
    answer: HttpResponse

    async def count(self, queue: str, body: bytes | None = None) -> Counter[str]:
        """Run the function of a queue on a message, the next one if none is given."""
        if body is None:
            (message,) = self.storage.queues.queues[queue].peek(1)
            self.storage.queues.queues[queue].clear()
            body = message.text.encode()
        self.storage.requests.clear()
        functions = dict(zip(QUEUES, (operations_message, deliveries_message), strict=True))
        await functions[queue](self.services, body)
        return self.storage.requests.copy()


@pytest.fixture
async def opened() -> AsyncIterator[App]:
    storage = CountedStorage()
    async with serving(storage.answer_queue) as queues, serving(storage.answer_table) as tables:
        env = {STORAGE: connection_string(queues, tables), "OPSWATCH_CALLBACK_SECRETS": SECRET}
        async with open_services(env, create=True) as real:
            services = replace(
                real,
                arm=MemoryArm(lambda _: one.answer),
                callbacks=MemoryCallbacks(),
                durations=MemoryDurations(),  # a kind's are read once a minute at most
            )
            one = App(services, storage, running(**{"retry-after": "60"}))
            yield one


def post() -> bytes:
    return f'{{"operation": "{ENDPOINT}{status_path()}", "callbackUrl": "{HOOK}"}}'.encode()


def together(*counts: Mapping[str, int]) -> Counter[str]:
    return sum((Counter(count) for count in counts), Counter())


async def test_far_wait_takes_the_requests_of_the_model(opened: App) -> None:
    counted = await opened.count("operations", post())
    assert counted == together(app.REGISTRATION, app.START_LOOKING, COMMIT)
    assert await opened.count("operations") == together(app.LOOK, {"query": 2})


async def test_end_takes_the_requests_of_the_model(opened: App) -> None:
    opened.answer = ended()
    counted = await opened.count("operations", post())
    assert counted == together(app.REGISTRATION, COMMIT, app.FINISH)
    assert await opened.count("deliveries") == app.DELIVERY


async def test_repair_takes_the_requests_of_the_model(opened: App) -> None:
    await opened.count("operations", post())
    opened.storage.requests.clear()
    await repair(opened.services)
    assert opened.storage.requests == together(model.REPAIR, {"query": 1})


async def test_look_that_finds_rows_asks_once(opened: App) -> None:
    opened.answer = running(**{"retry-after": "16"})
    clock = opened.services.clock
    await opened.count("operations", post())
    later = replace(opened.services, clock=lambda: clock() + timedelta(seconds=8))
    opened.services = later
    assert await opened.count("operations") == together(app.LOOK, {"query": 1, "send": 1})
