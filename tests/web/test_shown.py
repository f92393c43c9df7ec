"""What the API shows of a row: every text that others have written is redacted again."""

from base64 import encodebytes
from dataclasses import replace

import pytest

from opswatch.core.errors import Reason
from opswatch.core.intake import rejection
from opswatch.core.watches import FinalStatus, Result, Watch, timeline_entry
from opswatch.queries import ListedOperation, OperationView
from opswatch.web import shown
from tests.support.builders import NOW, arm_error, end, result, watch

TEXT = "500 password=hunter22"
ERROR = replace(arm_error(message=TEXT), code_inner="X", message_inner=TEXT)


@pytest.mark.parametrize(
    "live",
    [
        watch(last_miss=TEXT),
        result(last_miss=TEXT, end=end(FinalStatus.LOST, lost_reason=TEXT)),
        result(end=end(FinalStatus.FAILED, error=ERROR)),
    ],
)
def test_texts_of_an_operation_are_redacted(live: Watch | Result) -> None:
    row = str(shown.operation(OperationView(live, ())))
    assert "password=[redacted]" in row
    assert "hunter22" not in row


def test_last_miss_in_a_list_is_redacted() -> None:
    value = watch(last_miss=TEXT)
    listed = ListedOperation(timeline_entry(value.facts, None), value)
    assert shown.listed_operation(listed)["lastMiss"] == "500 password=[redacted]"


@pytest.mark.parametrize(
    "body", [TEXT.encode(), b'{"password": "hunter22", "callbackUrl": "https://h.example/T0"}']
)
def test_rejected_post_is_redacted(body: bytes) -> None:
    row = shown.rejection(rejection(body, Reason.UNKNOWN_SHAPE, TEXT, NOW))
    assert "[redacted]" in row["body"]
    assert "[redacted]" in row["detail"]
    assert "hunter22" not in str(row)


@pytest.mark.parametrize(
    "body",
    [
        '{"callbackUrl": "https://h.example/T0", "clientState": "' + "x" * 5000 + '"}',
        '{"callbackUrl": "https://h.example/T0", "clientState": ',
        '{"data": {"callbackUrl": "https:\\/\\/h.example\\/T0"}}',
        '{"callback\\u0055rl": "https://h.example/T0"}',
    ],
    ids=["long", "cut off", "within", "escaped"],
)
def test_rejected_post_shows_of_a_callback_the_host(body: str) -> None:
    for posted in (body.encode(), encodebytes(body.encode())):
        shown_body = shown.rejection(rejection(posted, Reason.TOO_LARGE, "", NOW))["body"]
        assert "https://h.example" in shown_body
        assert "T0" not in shown_body
        assert len(shown_body) <= 4096


def test_ends_of_callbacks_at_one_host_are_joined() -> None:
    value = watch(
        callbacks=("https://h.example/1", "https://h.example/2"),
        callback_on={
            "https://h.example/1": ("Failed", "Lost"),
            "https://h.example/2": ("Lost", "TimedOut"),
        },
    )
    row = shown.operation(OperationView(value, ()))
    assert row["callbackOn"] == {"https://h.example": ["Failed", "Lost", "TimedOut"]}
