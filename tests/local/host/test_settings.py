import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opswatch.core.errors import ConfigError
from opswatch.local.host.settings import (
    CORES,
    HostSettings,
    QueueSettings,
    local_values,
    parse_timespan,
    resolve,
)


def parse(document: dict[str, Any], env: dict[str, str] | None = None) -> HostSettings:
    return HostSettings.parse({"version": "2.0"} | document, env or {})


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("00:00:02", timedelta(seconds=2)),
        ("00:00:00.1", timedelta(milliseconds=100)),
        ("00:00:00.0000015", timedelta(microseconds=1)),
        ("7.00:00:00", timedelta(days=7)),
        ("1.02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("1:05", timedelta(hours=1, minutes=5)),
    ],
)
def test_time_span_is_read_like_dotnet(text: str, span: timedelta) -> None:
    assert parse_timespan(text) == span


@pytest.mark.parametrize("text", ["", "5", "24:00:00", "00:60:00", "00:00:60", "-00:00:01", "PT1S"])
def test_invalid_time_span_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not a time span"):
        parse_timespan(text)


def test_empty_host_json_gives_defaults() -> None:
    assert parse({}) == HostSettings(
        queues=QueueSettings(
            batch_size=16,
            new_batch_threshold=8 * CORES,
            max_dequeue_count=5,
            visibility_timeout=timedelta(0),
            max_polling_interval=timedelta(minutes=1),
            base64=True,
        ),
        route_prefix="api",
        function_timeout=timedelta(minutes=30),
    )


def test_every_value_is_read() -> None:
    queues = {
        "batchSize": 32,
        "newBatchThreshold": 224,
        "maxDequeueCount": 3,
        "visibilityTimeout": "00:00:10",
        "maxPollingInterval": "00:00:02",
        "messageEncoding": "None",
    }
    extensions = {"queues": queues, "http": {"routePrefix": ""}}
    assert parse({"extensions": extensions, "functionTimeout": "00:05:00"}) == HostSettings(
        queues=QueueSettings(
            batch_size=32,
            new_batch_threshold=224,
            max_dequeue_count=3,
            visibility_timeout=timedelta(seconds=10),
            max_polling_interval=timedelta(seconds=2),
            base64=False,
        ),
        route_prefix="",
        function_timeout=timedelta(minutes=5),
    )


@pytest.mark.parametrize(
    ("document", "env", "expected"),
    [
        ({"batchSize": 5}, {}, (5, 2 * CORES)),
        (
            {"batchSize": 32},
            {"AzureFunctionsJobHost__extensions__queues__batchSize": "4"},
            (4, 2 * CORES),
        ),
    ],
)
def test_app_setting_overrides_batch_size(
    document: dict[str, Any], env: dict[str, str], expected: tuple[int, int]
) -> None:
    queues = parse({"extensions": {"queues": document}}, env).queues
    assert (queues.batch_size, queues.new_batch_threshold) == expected


def test_function_timeout_minus_one_is_none() -> None:
    assert parse({"functionTimeout": "-1"}).function_timeout is None


def test_all_problems_are_reported_together() -> None:
    document = {
        "functionTimeout": "forever",
        "extensions": {
            "queues": {"batchSize": 33, "maxDequeueCount": True, "messageEncoding": "utf-8"},
            "http": {"routePrefix": 7},
        },
    }
    visibility = "AzureFunctionsJobHost__extensions__queues__visibilityTimeout"
    env = {visibility: "8.00:00:00"}
    with pytest.raises(ConfigError) as caught:
        HostSettings.parse(document, env)
    assert caught.value.problems == [
        'host.json: version: is not "2.0"',
        "host.json: extensions.queues.batchSize: 33 is not between 1 and 32",
        "host.json: extensions.queues.maxDequeueCount: True is not a whole number",
        f"{visibility}: '8.00:00:00' is not between 0:00:00 and 7 days, 0:00:00",
        "host.json: extensions.queues.messageEncoding: 'utf-8' is neither 'none' nor 'base64'",
        "host.json: extensions.http.routePrefix: 7 is not a string",
        "host.json: functionTimeout: 'forever' is not a time span such as 00:00:30",
    ]


@pytest.mark.parametrize(
    ("content", "error"), [(None, "not found"), ("{", "not JSON"), ("[]", "not a JSON object")]
)
def test_missing_or_invalid_host_json_is_rejected(
    tmp_path: Path, content: str | None, error: str
) -> None:
    if content is not None:
        (tmp_path / "host.json").write_text(content)
    with pytest.raises(ConfigError, match=error):
        HostSettings.load(tmp_path, {})


def test_local_values_are_optional_strings(tmp_path: Path) -> None:
    assert local_values(tmp_path) == {}
    path = tmp_path / "local.settings.json"
    path.write_text("\ufeff" + json.dumps({"IsEncrypted": False, "Values": {"A": "1"}}))
    assert local_values(tmp_path) == {"A": "1"}
    path.write_text(json.dumps({"Values": {"A": 1, "B": "2"}}))
    with pytest.raises(ConfigError, match="A is not a string"):
        local_values(tmp_path)
    path.write_text(json.dumps({"IsEncrypted": True}))
    with pytest.raises(ConfigError, match="encrypted"):
        local_values(tmp_path)


def test_settings_in_a_text_are_resolved() -> None:
    assert resolve("%A%-x-%B%", {"A": "1", "B": "2"}) == "1-x-2"
    assert resolve("plain", {}) == "plain"
    with pytest.raises(ValueError, match="%A% is not an app setting"):
        resolve("%A%", {})
