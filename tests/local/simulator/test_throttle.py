from datetime import timedelta

from opswatch.local.simulator import Limit
from opswatch.local.simulator.throttle import Buckets
from tests.local.simulator.harness import ManualClock


def test_empty_bucket_says_when_to_retry(clock: ManualClock) -> None:
    buckets = Buckets(Limit(capacity=2, refill=0.5))
    assert [buckets.take("s", clock()).remaining for _ in range(2)] == [1, 0]
    refused = buckets.take("s", clock())
    assert not refused.granted
    assert refused.retry_after == timedelta(seconds=2)


def test_bucket_refills_up_to_its_capacity(clock: ManualClock) -> None:
    buckets = Buckets(Limit(capacity=2, refill=0.5))
    for _ in range(3):
        buckets.take("s", clock())
    clock.advance(2)
    assert buckets.take("s", clock()).granted
    assert not buckets.take("s", clock()).granted
    clock.advance(3600)
    assert buckets.take("s", clock()).remaining == 1


def test_each_subscription_has_a_bucket(clock: ManualClock) -> None:
    buckets = Buckets(Limit(capacity=1, refill=1))
    assert buckets.take("a", clock()).granted
    assert buckets.take("b", clock()).granted


def test_unlimited_bucket_still_counts_down(clock: ManualClock) -> None:
    buckets = Buckets(None)
    remaining = [buckets.take("s", clock()).remaining for _ in range(3)]
    assert remaining == [11_998, 11_997, 11_996]
