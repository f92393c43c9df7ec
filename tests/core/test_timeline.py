"""The timeline's indexes: their keys, what they show, and what removes them."""

from dataclasses import replace

import pytest

from opswatch.core.deliveries import DeliveryState, abandon
from opswatch.core.keys import Key
from opswatch.core.timeline import (
    replaced_entries,
    settled_entry,
    timeline_keys,
    unsuccessful_entry,
    without_url,
)
from opswatch.core.watches import EarlierEnd, FinalStatus, timeline_entry
from tests.support.builders import NOW, at, delivery, end, result

SECRET_URL = "https://user:pw@hooks.example.com:8443/T0/secret?sig=abc"


@pytest.mark.parametrize("status", FinalStatus)
def test_every_status_but_succeeded_has_an_index(status: FinalStatus) -> None:
    entry = timeline_entry(result().facts, end(status))
    found = unsuccessful_entry(entry)
    if status is FinalStatus.SUCCEEDED:
        assert found is None
        assert timeline_keys(entry) == (entry.key,)
    else:
        assert found is not None
        assert found.key == Key(f"2026-11-23~{status}", entry.key.row)
        assert timeline_keys(entry) == (found.key, entry.key)


def test_running_operation_is_in_no_index() -> None:
    entry = timeline_entry(replace(result().facts, status="Failing"), None)
    assert timeline_keys(entry) == (entry.key,)


def test_later_end_replaces_entries_of_earlier_ones() -> None:
    earlier = tuple(
        EarlierEnd(status=status, finished_at=NOW)
        for status in (FinalStatus.LOST, FinalStatus.STOPPED, FinalStatus.LOST)
    )
    later = result(end=end(FinalStatus.FAILED), earlier_ends=earlier)
    partitions = [entry.key.partition for entry in replaced_entries(later)]
    assert partitions == ["2026-11-23~Lost", "2026-11-23~Stopped"]
    assert [key.partition for key in timeline_keys(later)] == [
        *partitions, "2026-11-23~Failed", "2026-11-23",
    ]  # fmt: skip
    again = result(end=end(FinalStatus.LOST), earlier_ends=earlier)
    assert [entry.entry.status for entry in replaced_entries(again)] == ["Stopped"]


def test_settled_delivery_is_listed_when_it_settled() -> None:
    pending = delivery(
        callback_url=SECRET_URL, last_error="500 no /T0/secret?sig=abc here", last_attempt_at=NOW
    )
    settled = abandon(pending, "500", at(24 * 3600)).delivery
    entry = settled_entry(settled)
    assert entry.key.partition == "2026-11-24~abandoned"
    assert entry.record == settled.key
    assert (entry.callback_url, entry.settled_at) == ("https://hooks.example.com:8443", at(86400))
    assert (entry.last_error, entry.last_attempt_at) == ("500 no /… here", NOW)
    assert timeline_keys(settled) == (entry.key,)
    assert timeline_keys(pending) == ()


def test_later_settling_is_listed_first() -> None:
    first, second = (
        settled_entry(abandon(delivery(), "500", at(seconds)).delivery) for seconds in (1, 2)
    )
    assert second.key.row < first.key.row


@pytest.mark.parametrize("known", [{"delivered_at": at(5)}, {"last_attempt_at": at(5)}])
def test_record_of_before_has_its_last_instant(known: dict[str, object]) -> None:
    record = delivery(state=DeliveryState.DELIVERED, **known)
    assert settled_entry(record).settled_at == at(5)
    started = delivery(state=DeliveryState.ABANDONED)
    assert settled_entry(started).settled_at == started.started_at


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, None),
        ("500", "500"),
        ("404 no route /T0/secret", "404 no route /…"),
        ("400 /T0/secret?sig=abc /T0/secret", "400 /… /…"),
    ],
)
def test_answers_do_not_repeat_the_secret(text: str | None, shown: str | None) -> None:
    assert without_url(text, SECRET_URL) == shown
    assert without_url("a / b", "https://example.com/") == "a / b"
