"""ARM's budget of reads: polls are postponed before they would be refused."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opswatch.adapters.read_budget import ReadBudget
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import Operation, operation_from_url
from opswatch.core.observations import Missed, Running
from tests.support.builders import at, seconds

READS = "x-ms-ratelimit-remaining-subscription-reads"
GLOBAL = "x-ms-ratelimit-remaining-subscription-global-reads"
RESOURCE = "x-ms-ratelimit-remaining-resource"
ZERO = timedelta(0)


def operation(subscription: str = "s", provider: str = "Microsoft.Cache") -> Operation:
    return operation_from_url(
        f"https://management.azure.com/subscriptions/{subscription}/providers/{provider}"
        "/locations/westus/operationsStatus/1"
    )


OURS = operation()


def answered(
    budget: ReadBudget,
    when: float,
    *,
    reads: str | None = None,
    overall: str | None = None,
    resource: str | None = None,
) -> None:
    texts = {READS: reads, GLOBAL: overall, RESOURCE: resource}
    headers = {name: text for name, text in texts.items() if text is not None}
    budget.record(OURS, HttpResponse(200, headers), Running(status="InProgress"), at(when))


def refused(
    budget: ReadBudget, when: float, retry_after: float | None, code: str = "TooManyRequests"
) -> None:
    wait = None if retry_after is None else seconds(retry_after)
    seen = Missed(reason=f"429 {code}: slow down", status_code=429, retry_after=wait)
    budget.record(OURS, HttpResponse(429, {}), seen, at(when))


def delay(
    budget: ReadBudget, when: float, of: Operation = OURS, *, has_waited: bool = False
) -> float:
    return budget.delay(of, at(when), has_waited=has_waited).total_seconds()


def test_nothing_known_postpones_nothing() -> None:
    assert delay(ReadBudget(), 0) == 0


@pytest.mark.parametrize(("left", "is_open"), [("100", True), ("30", True), ("29", False)])
def test_read_needs_a_third_of_the_bucket(left: str, is_open: bool) -> None:
    budget = ReadBudget()
    answered(budget, 0, reads="100")
    answered(budget, 1, reads=left)
    assert (delay(budget, 2) == 0) == is_open


@pytest.mark.parametrize(("left", "is_open"), [("10", True), ("9", False)])
def test_read_that_has_waited_goes_first(left: str, is_open: bool) -> None:
    budget = ReadBudget()
    answered(budget, 0, reads="100")
    answered(budget, 1, reads=left)
    assert (delay(budget, 2, has_waited=True) == 0) == is_open
    assert delay(budget, 2) > 0


def test_old_header_says_nothing() -> None:
    budget = ReadBudget()
    answered(budget, 0, reads="100")
    answered(budget, 1, reads="0")
    assert delay(budget, 2.9) > 0
    answered(budget, 2.9)  # without a header
    assert delay(budget, 3.1) == 0


def test_own_reads_count_until_the_next_header() -> None:
    budget = ReadBudget()
    answered(budget, 0, reads="100")
    assert [delay(budget, 1) == 0 for _ in range(72)] == [True] * 71 + [False]
    answered(budget, 1, reads="90")
    assert delay(budget, 1) == 0


@pytest.mark.parametrize(
    ("full", "low"),
    [
        ({"reads": "100"}, {"reads": "10"}),
        ({"overall": "100"}, {"overall": "10"}),
        ({"reads": "100", "overall": "100"}, {"reads": "100", "overall": "10"}),
        ({"resource": "M.C/A;100,M.C/B;900"}, {"resource": "M.C/A;10,M.C/B;900"}),
    ],
)
def test_each_bucket_counts(full: dict[str, str], low: dict[str, str]) -> None:
    budget = ReadBudget()
    answered(budget, 0, **full)
    assert delay(budget, 1) == 0
    answered(budget, 1, **low)
    assert delay(budget, 1) > 0


@pytest.mark.parametrize("text", ["", "many", "-5", "1.5", "Microsoft.Cache/Reads", ";,;"])
def test_unreadable_header_says_nothing(text: str) -> None:
    budget = ReadBudget()
    answered(budget, 0, reads=text, resource=text)
    assert delay(budget, 0) == 0


def test_subscriptions_have_budgets_apart() -> None:
    budget = ReadBudget()
    answered(budget, 0, reads="100")
    answered(budget, 1, reads="0")
    assert delay(budget, 1, operation("other")) == 0
    assert delay(budget, 1, operation(provider="Microsoft.Sql")) > 0


def test_provider_buckets_are_its_own() -> None:
    budget = ReadBudget()
    answered(budget, 0, resource="Microsoft.Cache/Reads;100")
    answered(budget, 1, resource="Microsoft.Cache/Reads;0")
    assert delay(budget, 1) > 0
    assert delay(budget, 1, operation(provider="Microsoft.Sql")) == 0


@pytest.mark.parametrize("retry_after", [1, 17, 600])
def test_throttled_subscription_pauses_until_retry_after(retry_after: float) -> None:
    budget = ReadBudget()
    refused(budget, 0, retry_after)
    assert delay(budget, 0, has_waited=True) > retry_after
    assert delay(budget, retry_after - 0.1, operation(provider="Microsoft.Sql")) > 0
    assert delay(budget, retry_after + 0.1) == 0


def test_throttled_resource_pauses_its_provider() -> None:
    budget = ReadBudget()
    refused(budget, 0, 30, "ResourceRequestsThrottled")
    assert delay(budget, 1) > 0
    assert delay(budget, 1, operation(provider="Microsoft.Sql")) == 0


def test_longer_of_two_pauses_counts() -> None:
    budget = ReadBudget()
    refused(budget, 0, 10)
    refused(budget, 0, 100, "ResourceRequestsThrottled")
    assert delay(budget, 0) > 100


def test_no_turn_is_within_a_pause() -> None:
    budget = ReadBudget()
    refused(budget, 0, 3000)
    assert all(delay(budget, 0) > 3000 for _ in range(400))


def test_refusal_without_a_wait_pauses_nothing_else() -> None:
    budget = ReadBudget()
    refused(budget, 0, None)
    assert delay(budget, 0) == 0


def test_new_process_knows_its_rate_at_once() -> None:
    budget = ReadBudget()
    for i in range(60):  # twenty a second, for three seconds
        answered(budget, i / 20, reads="100")
    refused(budget, 3, 2)
    turns = [delay(budget, 3) for _ in range(40)]
    assert turns[0] > 2
    assert turns[-1] < 5


def test_pause_is_never_longer_than_an_hour() -> None:
    budget = ReadBudget()
    refused(budget, 0, 1e9)
    assert delay(budget, 3601) == 0


def test_turns_are_as_far_apart_as_answers() -> None:
    budget = ReadBudget()
    for i in range(300):  # ten a second
        answered(budget, i / 10, reads="100")
    answered(budget, 30, reads="5")
    turns = [delay(budget, 30) for _ in range(20)]
    gaps = [b - a for a, b in pairwise(turns)]
    assert gaps == pytest.approx([0.1] * 19, rel=0.02)


def test_old_answers_are_forgotten() -> None:
    budget = ReadBudget()
    for i in range(1000):
        answered(budget, 10 * i, reads="100")
    assert max(len(gate.answered_at) for gate in budget._gates.values()) <= 4


def test_gates_in_memory_are_bounded() -> None:
    budget = ReadBudget()
    for i in range(5000):
        assert delay(budget, i, operation(f"s{i}")) == 0
    assert len(budget._gates) <= 2000


def test_far_turn_asks_again_within_minutes() -> None:
    budget = ReadBudget()
    answered(budget, 0, reads="100")
    answered(budget, 1, reads="0")
    delays = [delay(budget, 1) for _ in range(400)]
    assert max(delays) <= 300
    assert delays[-1] >= 150


def test_silence_teaches_nothing() -> None:
    budget = ReadBudget()
    silence: Any = Missed(reason="connect: refused")
    budget.record(OURS, NoAnswer("connect", "refused"), silence, at(0))
    assert budget.delay(OURS, at(0), has_waited=False) == ZERO


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),  # seconds since the step before
            st.sampled_from(["answer", "refusal", "ask"]),
            st.none() | st.floats(0, 10_000),  # Retry-After
            st.integers(0, 100),  # what is left of the bucket
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_refusal_never_makes_a_poll_sooner(
    steps: list[tuple[float, str, float | None, int, bool]],
) -> None:
    """Until what ARM asked for has passed, or an hour, no read of the subscription is let through.

    A read that is let through comes when its schedule said, and one that is not comes later.
    """
    budget, now, shut_until = ReadBudget(), 0.0, 0.0
    for gap, kind, wait, left, has_waited in steps:
        now += gap
        if kind == "answer":
            answered(budget, now, reads=str(left))
        elif kind == "refusal":
            refused(budget, now, wait)
            shut_until = max(shut_until, now + min(wait or 0, 3600))
        else:
            postponed = delay(budget, now, has_waited=has_waited)
            assert postponed >= max(0.0, shut_until - now - 1e-3)
            assert postponed <= max(0.0, shut_until - now) + 301
