"""Learned durations: read in the background, summed in memory, merged into the table."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

import pytest

from opswatch.adapters.durations import LearnedDurations
from opswatch.bootstrap import open_services
from opswatch.core.keys import Key
from opswatch.core.kinds import KindDurations, Sample, count_sample
from opswatch.core.policy import Policy
from opswatch.core.schedule import expect_unknown
from opswatch.ports import Durations, Row
from opswatch.rows.tables import DURATIONS
from opswatch.testing import MemoryDurations, MemoryTable
from tests.support.builders import NOW
from tests.support.storage import running_stand_in

KIND, OTHER = Key("microsoft.cache", "redis~create"), Key("microsoft.cache", "redis~delete")
POLICY = Policy()


def sample(seconds: float = 600, kind: Key = KIND, at: datetime = NOW) -> Sample:
    return Sample(kind=kind, low=seconds, high=seconds, status="Succeeded", at=at)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class CountingTable(MemoryTable[KindDurations]):
    """A table that counts reads, and fails or runs something before a call on demand."""

    def __init__(self) -> None:
        super().__init__(DURATIONS)
        self.reads = 0
        self.failure: Exception | None = None
        self.before_write: Callable[[], Awaitable[object]] | None = None

    async def get(self, key: Key) -> Row[KindDurations] | None:
        self.reads += 1
        if self.failure:
            raise self.failure
        return await super().get(key)

    async def insert(self, value: KindDurations) -> Row[KindDurations] | None:
        await self._before()
        return await super().insert(value)

    async def replace(self, value: KindDurations, etag: str) -> Row[KindDurations] | None:
        await self._before()
        return await super().replace(value, etag)

    async def _before(self) -> None:
        before, self.before_write = self.before_write, None
        if before:
            await before()


class App:
    """Learned durations over a table in memory."""

    def __init__(self) -> None:
        self.clock, self.table = Clock(), CountingTable()
        self.errors: list[Exception] = []
        self.durations = self.another()

    def another(self) -> LearnedDurations:
        """Return the durations of one more process."""
        return LearnedDurations(self.table, POLICY, self.clock, self.errors.append, merge_every=60)

    @property
    def rows(self) -> dict[str, KindDurations]:
        return {row.kind: row for row in self.table.values()}


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App()
    yield app
    app.table.failure = None
    await app.durations.close()


async def settle() -> None:
    """Let the tasks in the background run until they wait for time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def fill(app: App, *durations: float) -> None:
    for seconds in durations:
        app.durations.add(sample(seconds))
    await app.durations.merge()


# --- the port


@asynccontextmanager
async def fake() -> AsyncIterator[tuple[Durations, Callable[[], Awaitable[object]]]]:
    yield MemoryDurations(POLICY), settle


@asynccontextmanager
async def learned() -> AsyncIterator[tuple[Durations, Callable[[], Awaitable[object]]]]:
    app = App()

    async def refresh() -> None:
        await app.durations.merge()
        app.clock.now += timedelta(minutes=2)
        app.durations.expectation(KIND)
        await settle()

    yield app.durations, refresh
    await app.durations.close()


@pytest.mark.parametrize("opened", [fake, learned])
async def test_samples_change_what_is_expected(opened: Any) -> None:
    async with opened() as (durations, refresh):
        assert durations.expectation(KIND) is expect_unknown(POLICY)
        for _ in range(6):
            durations.add(sample(600))
        await refresh()
        known = durations.expectation(KIND)
        assert known.samples == 6
        assert 400 < known.durations.quantile(0.5) < 800
        assert durations.expectation(OTHER) is expect_unknown(POLICY)


# --- reading


async def test_first_question_gets_the_prior_and_reads(app: App) -> None:
    await fill(app, *[600.0] * 6)
    reads = app.table.reads
    assert app.durations.expectation(KIND) is expect_unknown(POLICY)
    assert app.table.reads == reads  # nothing has waited for the table
    await settle()
    assert app.durations.expectation(KIND).samples == 6
    assert app.table.reads == reads + 1


async def test_kind_is_read_once_a_minute(app: App) -> None:
    for _ in range(50):
        app.durations.expectation(KIND)
        await settle()
    assert app.table.reads == 1
    app.clock.now += timedelta(seconds=61)
    for _ in range(50):
        app.durations.expectation(KIND)
    await settle()
    assert app.table.reads == 2


async def test_unchanged_row_keeps_its_plan(app: App) -> None:
    await fill(app, *[600.0] * 6)
    app.durations.expectation(KIND)
    await settle()
    before = app.durations.expectation(KIND)
    app.clock.now += timedelta(seconds=61)
    app.durations.expectation(KIND)
    await settle()
    assert app.durations.expectation(KIND) is before
    await settle()
    reads = app.table.reads
    app.durations.expectation(KIND)
    await settle()
    assert app.table.reads == reads  # it has been read within this minute
    await fill(app, 600)
    app.clock.now += timedelta(seconds=61)
    app.durations.expectation(KIND)
    await settle()
    assert app.durations.expectation(KIND).samples == 7


async def test_unreadable_table_leaves_what_is_known(app: App) -> None:
    await fill(app, *[600.0] * 6)
    app.durations.expectation(KIND)
    await settle()
    app.table.failure = OSError("no route")
    app.clock.now += timedelta(seconds=61)
    for kind in (KIND, OTHER):
        app.durations.expectation(kind)
    await settle()
    assert app.durations.expectation(KIND).samples == 6
    assert app.durations.expectation(OTHER) is expect_unknown(POLICY)
    assert [str(error) for error in app.errors] == ["no route"]  # once an outage


@pytest.mark.parametrize(
    "columns",
    [
        {"weights": "not JSON"},
        {"weights": '[[1,"x"]]'},
        {"weights": "[[9999,1]]"},
        {"weights": "[[3,1e400]]"},
        {"operations": "many"},
        {"recent": '[[1,"Succeeded","2026-01-01T00:00:00"]]'},
        {"bins": 77},
    ],
)
async def test_corrupted_row_means_the_prior_and_is_replaced(
    app: App, columns: dict[str, object]
) -> None:
    await fill(app, *[600.0] * 6)
    entity, _ = app.table.rows[KIND]
    app.table.rows[KIND] = (entity | columns, 'W/"x"')
    app.durations.expectation(KIND)
    await settle()
    if "recent" not in columns:  # which no plan follows from
        assert app.durations.expectation(KIND).samples == 0
    for _ in range(2):
        await fill(app, 50, 50)
    assert app.rows[KIND.row].operations in (4, 10)
    assert app.rows[KIND.row].p50 is not None
    counts = app.rows[KIND.row].history(NOW).counts(NOW)
    assert sum(counts) == pytest.approx(4, rel=1e-3)


async def test_garbled_answer_costs_no_history(app: App) -> None:
    await fill(app, *[600.0] * 6)
    for operations in (8, 10):  # each time: it was read well in between
        app.table.failure = ValueError("half a page of HTML")
        await fill(app, 600)
        app.table.failure = None
        await fill(app, 600)
        assert app.rows[KIND.row].operations == operations


# --- over the storage


@asynccontextmanager
async def storage_settings() -> AsyncIterator[dict[str, str]]:
    async with running_stand_in() as storage:
        yield {"AzureWebJobsStorage": storage.connection_string}


async def test_closing_the_services_merges_into_the_table() -> None:
    async with storage_settings() as env:
        for _ in range(2):  # the second process adds to the first one's row
            async with open_services(env, create=True, clock=lambda: NOW) as services:
                for _ in range(3):
                    services.durations.add(sample())
        async with open_services(env) as services:
            row = await services.store.durations.get(KIND)
            assert row is not None
            assert row.value.operations == 6
            assert row.value.recent == ((600.0, "Succeeded", NOW),) * 6
            assert row.value.p50 is not None
            services.durations.expectation(KIND)
            async with asyncio.timeout(10):
                while services.durations.expectation(KIND).samples != 6:
                    await asyncio.sleep(0.01)


async def test_missing_table_means_the_prior(caplog: pytest.LogCaptureFixture) -> None:
    async with storage_settings() as env:
        async with open_services(env) as services:
            services.durations.add(sample())
            services.durations.expectation(KIND)
        assert services.durations.expectation(KIND).samples == 0
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events.count("opswatch.durations_failed") == 1


# --- merging


async def test_samples_wait_for_the_next_merge(app: App) -> None:
    app.durations.add(sample(600))
    app.durations.add(sample(50, OTHER))
    await settle()
    assert not app.table.rows
    await app.durations.merge()
    assert {kind: row.operations for kind, row in app.rows.items()} == {
        KIND.row: 1,
        OTHER.row: 1,
    }
    writes = app.rows
    await app.durations.merge()
    assert app.rows == writes  # nothing counts twice


async def test_merges_come_by_themselves(app: App) -> None:
    soon = LearnedDurations(app.table, POLICY, app.clock, app.errors.append, merge_every=0)
    soon.add(sample())
    await settle()
    assert app.rows[KIND.row].operations == 1
    await soon.close()


async def test_processes_add_to_each_other(app: App) -> None:
    other = app.another()
    await fill(app, 600)
    other.add(sample(50))
    app.durations.add(sample(70))
    app.table.before_write = other.merge  # in the middle of ours
    await app.durations.merge()
    assert app.rows[KIND.row].operations == 3
    assert sum(app.rows[KIND.row].history(NOW).counts(NOW)) == pytest.approx(3, rel=1e-3)
    await other.close()


async def test_first_rows_of_two_processes_add_up(app: App) -> None:
    other = app.another()
    other.add(sample(50))
    app.durations.add(sample(70))
    app.table.before_write = other.merge
    await app.durations.merge()
    assert app.rows[KIND.row].operations == 2
    await other.close()


async def test_outage_keeps_what_was_counted(app: App) -> None:
    app.table.failure = OSError("no route")
    await fill(app, 600)
    await fill(app, 600)
    assert not app.table.rows
    assert len(app.errors) == 1
    app.table.failure = None
    await app.durations.merge()
    assert app.rows[KIND.row].operations == 2
    app.table.failure = OSError("again")
    await fill(app, 600)
    assert len(app.errors) == 2


async def test_failed_merge_adds_to_what_is_counted_since(app: App) -> None:
    async def count_and_fail() -> None:
        app.durations.add(sample(50))
        raise OSError("no route")

    app.table.before_write = count_and_fail
    await fill(app, 600)
    assert not app.table.rows
    await app.durations.merge()
    assert app.rows[KIND.row].operations == 2


async def test_closing_merges_what_is_left(app: App) -> None:
    app.durations.add(sample())
    await settle()
    await app.durations.close()
    assert app.rows[KIND.row].operations == 1


async def test_provider_keeps_the_most_used_kinds(app: App) -> None:
    for i in range(205):
        kind = Key("microsoft.cache", f"k{i:03}")
        known = count_sample(None, sample(10, kind))
        if i:
            known = count_sample(known, sample(10, kind))
        await app.table.put(known)
    await app.table.put(count_sample(None, sample(10, Key("microsoft.sql", "k000"))))
    await fill(app, 600, 600)
    cache = {row.kind for row in app.table.values() if row.provider == "microsoft.cache"}
    assert len(cache) == 200
    assert KIND.row in cache
    assert "k000" not in cache
    assert len(app.table.rows) == 201


async def test_kinds_that_are_asked_for_stay_in_memory(app: App) -> None:
    kinds = [Key("microsoft.cache", f"k{i}") for i in range(1001)]
    for asked in (kinds[:1000], kinds[:1], kinds[1000:]):
        app.clock.now += timedelta(seconds=61)
        for kind in asked:
            app.durations.expectation(kind)
        for _ in range(3000):
            await asyncio.sleep(0)
    assert list(app.durations._known) == [*kinds[2:1000], kinds[0], kinds[1000]]


async def test_reading_belongs_to_no_poll(app: App) -> None:
    poll: ContextVar[str] = ContextVar("poll", default="none")
    inner, seen = app.table.get, list[str]()

    async def get(key: Key) -> Row[KindDurations] | None:
        seen.append(poll.get())
        return await inner(key)

    app.table.get = get  # type: ignore[method-assign]
    poll.set("a poll's")
    app.durations.expectation(KIND)
    await settle()
    assert seen == ["none"]


async def test_any_kinds_take_bounded_memory(app: App) -> None:
    for i in range(1500):
        app.durations.add(sample(10, Key("microsoft.cache", f"k{i}")))
        app.durations.expectation(Key("microsoft.cache", f"k{i}"))
    for _ in range(3000):
        await asyncio.sleep(0)
    assert len(app.durations._sums) == 1000
    assert len(app.durations._known) <= 1000
    app.durations._sums.clear()
