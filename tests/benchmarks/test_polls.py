"""The parts of `python -m benchmarks.polls`: what is counted, and that each poller polls."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from benchmarks.polls.arm import PolledArm
from benchmarks.polls.figures import Figures, summary, table
from benchmarks.polls.hand_over import calling, serving_functions
from benchmarks.polls.host import UnsignedQueue, pump
from benchmarks.polls.runs import OURS, Load, measure
from benchmarks.polls.storage import CountedStorage, queue_kind, table_kind
from opswatch.config import DEVELOPMENT_ACCOUNT
from opswatch.local.host.leases import Lease
from tests.support.storage import running_stand_in
from tests.support.storage.http import Request

FIGURES = Figures(
    operations=3000,
    seconds=20.0,
    polls=6000,
    cpu=1.5,
    grown=4.0,
    late={"earliest": 0.0, "late_p50": 0.5, "late_p99": 1.25, "latest": 2.0},
    requests={"send": 600, "write": 900},
    messages_median=40.0,
    messages_most=56.0,
)


def request(method: str, path: str, **query: str) -> Request:
    return Request(method=method, path=path, query=query, headers={"host": "arm"}, body=b"")


def test_lateness_is_gap_beyond_retry_after() -> None:
    times = iter([100.0, 101.0, 110.5, 113.0, 121.5])
    arm = PolledArm(10, clock=lambda: next(times))
    for path in ("a", "b", "a", "b", "a"):
        assert arm.answer(request("GET", path)).headers["Retry-After"] == "10"
    assert arm.late == [0.5, 2.0, 1.0]
    assert arm.figures() == {
        "polls": 5,
        "earliest": 0.5,
        "late_p50": 1.0,
        "late_p99": 2.0,
        "latest": 2.0,
    }
    arm.answer(request("POST", "begin"))
    assert arm.figures()["polls"] == 0


def test_slow_answer_does_not_count_as_lateness() -> None:
    times = iter([100.0, 111.5])
    arm = PolledArm(10, latency=(0.5, 0.5), clock=lambda: next(times))
    assert [arm.answer(request("GET", "a")).delay for _ in range(2)] == [0.5, 0.5]
    assert arm.late == [1.0]


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (request("PUT", "operations"), "queue"),
        (request("GET", "operations", comp="metadata"), "queue"),
        (request("POST", "operations/messages"), "send"),
        (request("GET", "operations/messages", numofmessages="32"), "receive"),
        (request("GET", "operations/messages", peekonly="true"), "peek"),
        (request("DELETE", "operations/messages/1"), "delete message"),
        (request("PUT", "operations/messages/1"), "update message"),
    ],
)
def test_queue_requests_are_counted_by_kind(asked: Request, kind: str) -> None:
    assert queue_kind(asked) == kind


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (request("POST", "Tables"), "table"),
        (request("POST", "watches"), "insert"),
        (request("POST", "$batch"), "transaction"),
        (request("GET", "watches(PartitionKey='p',RowKey='r')"), "read"),
        (request("GET", "watches()"), "query"),
        (request("PATCH", "watches(PartitionKey='p',RowKey='r')"), "write"),
        (request("DELETE", "watches(PartitionKey='p',RowKey='r')"), "remove"),
    ],
)
def test_table_requests_are_counted_by_kind(asked: Request, kind: str) -> None:
    assert table_kind(asked) == kind


def test_storage_counts_requests_and_messages() -> None:
    storage = CountedStorage()
    storage.answer_queue(request("PUT", "operations"))
    storage.answer_table(request("GET", "watches()"))
    storage.sample()
    assert storage.figures() == {
        "requests": {"queue": 1, "query": 1},
        "messages_median": 0,
        "messages_most": 0,
    }
    storage.answer_question(request("POST", "begin"))
    assert storage.figures()["requests"] == {}


async def test_hand_over_brings_each_body_and_its_outcome(tmp_path: Path) -> None:
    ran: list[tuple[str, bytes]] = []

    async def succeed(body: bytes) -> None:
        await asyncio.sleep(0)
        ran.append(("succeed", body))

    async def fail(body: bytes) -> None:
        ran.append(("fail", body))
        raise ValueError("as planned")

    async with (
        serving_functions(tmp_path / "socket", (succeed, fail)),
        calling(tmp_path / "socket") as calls,
    ):
        bodies = [b"", b"two\nlines", b"x" * 65_536]
        outcomes = await asyncio.gather(
            *(calls.call(place, body) for place in (0, 1) for body in bodies)
        )
    assert outcomes == [True] * 3 + [False] * 3
    assert sorted(ran) == sorted((name, body) for name in ("succeed", "fail") for body in bodies)


async def test_host_deletes_what_succeeds_and_releases_what_fails(tmp_path: Path) -> None:
    seen: list[bytes] = []
    settled: list[Lease] = []
    both_settled = asyncio.Event()

    class Watched(UnsignedQueue):
        async def delete(self, lease: Lease) -> None:
            await super().delete(lease)
            self.note(lease)

        async def release(self, lease: Lease, delay: timedelta) -> None:
            await super().release(lease, delay)
            self.note(lease)

        def note(self, lease: Lease) -> None:
            settled.append(lease)
            if len(settled) == 2:
                both_settled.set()

    async def function(body: bytes) -> None:
        seen.append(body)
        if body == b"bad":
            raise ValueError("as planned")

    async with (
        running_stand_in() as storage,
        aiohttp.ClientSession() as session,
        serving_functions(tmp_path / "socket", (function,)),
        calling(tmp_path / "socket") as calls,
    ):
        uri = f"http://127.0.0.1:{storage.ports[0]}/{DEVELOPMENT_ACCOUNT}"
        queue = UnsignedQueue(session, uri, "operations")
        assert not await queue.send("early")
        async with session.put(f"{uri}/operations"):
            pass
        for text in ("good", "bad"):
            assert await queue.send(text)

        pumping = asyncio.create_task(pump([Watched(session, uri, "operations")], calls))
        async with asyncio.timeout(10):
            await both_settled.wait()
        pumping.cancel()
        left = storage.queues.queues["operations"]
        assert (sorted(seen), len(left)) == ([b"bad", b"good"], 1)
        assert left.peek(32) == [], "it is not hidden before the next try"


def test_summary_is_json_of_medians() -> None:
    measured = {OURS: [FIGURES] * 3, "lro": [FIGURES]}
    assert json.loads(summary(measured, OURS)) == {
        "cpu_per_poll": {"opswatch": 250.0, "lro": 250.0},
        "storage_requests_per_poll": 0.25,
        "messages": 56.0,
        "late_p99": 1.25,
    }
    ours, lro = table(measured, OURS).splitlines()[1:]
    assert ours.split()[:5] == ["opswatch", "3000", "300", "250", "1.00x"]
    assert "0.25" in ours.split()
    assert len(lro.split()) < len(ours.split()), "a poller in memory has no requests to storage"


@pytest.mark.parametrize("name", [OURS, "sdk_loop"])
async def test_poller_polls_what_it_is_given(name: str) -> None:
    load = Load(operations=3, interval=1, seconds=2.0, latency=(0.01, 0.02))
    figures = await measure(name, load)
    assert figures.polls > 0
    assert figures.cpu > 0
    assert figures.requests["send"] > 0
