"""How rows are printed: formats, instants, ages, short ids, and what fits 80 columns."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from opswatch.cli.columns import DELIVERY_COLUMNS, KIND_COLUMNS, operation_columns
from opswatch.cli.operations import short_ids
from opswatch.cli.output import Format, Output, age, span
from opswatch.cli.terminal import print_json

NOW = datetime.now(UTC)
ROWS = [
    {
        "subscriptionId": "0b1f6471-1bf0-4dda-aec3-cb9272f09590",
        "key": f"microsoft.cache~westus~operationsstatus~{number}432a8f9-0fe6-4339",
        "operationId": f"{number}432a8f9-0fe6-4339",
        "state": "finished",
        "status": "Failed",
        "registeredAt": (NOW - timedelta(days=3, hours=4, minutes=30)).isoformat(),
        "resourceId": f"/subscriptions/s/resourceGroups/rg/providers/p/redisEnterprise/{'c' * 60}",
        "errorCode": "DeploymentFailed",
        "errorCodeInner": "OperationPreemptedByAnotherOperation",
        "errorMessage": 'a "quoted", message\twith\x1b[2J control',
        "durationSeconds": 490.5,
        "slow": False,
    }
    for number in (1, 2)
]


def printed(
    capsys: pytest.CaptureFixture[str], format_: Format, *, color: str = "auto"
) -> list[str]:
    output = Output(format_, None, color)
    output.print_rows(ROWS, operation_columns(ROWS), lambda row: str(row["key"]))
    return capsys.readouterr().out.splitlines()


def test_table_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(capsys, Format.TABLE)
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("3d4h  1432a8f9  Failed  cccccc")
    assert "OperationPreempted" in lines[1]
    assert lines[1].count("…") == 2


def test_wide_table_cuts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = "\n".join(printed(capsys, Format.WIDE))
    for value in ("c" * 60, ROWS[0]["errorCodeInner"], ROWS[0]["key"], "490.5"):
        assert str(value) in text
    assert "…" not in text


@pytest.mark.parametrize("format_", [Format.TABLE, Format.WIDE, Format.CSV, Format.TSV])
def test_control_characters_are_escaped(
    capsys: pytest.CaptureFixture[str], format_: Format
) -> None:
    text = "".join(printed(capsys, format_, color="never"))
    assert "\x1b" not in text


def test_csv_is_quoted_and_has_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    header, first, _ = csv.reader(io.StringIO("\n".join(printed(capsys, Format.CSV))))
    row = dict(zip(header, first, strict=True))
    assert row["message"].startswith('a "quoted", message with')
    assert datetime.fromisoformat(row["registered"]) <= NOW
    assert row["id"] == ROWS[0]["operationId"]


def test_lines_of_json_are_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert [json.loads(line) for line in printed(capsys, Format.JSONL)] == ROWS
    assert json.loads("".join(printed(capsys, Format.JSON))) == ROWS


def test_names_are_what_commands_take(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, Format.NAME) == [row["key"] for row in ROWS]


@pytest.mark.parametrize("is_relative", [True, False])
def test_time_overrides_the_format(
    capsys: pytest.CaptureFixture[str], *, is_relative: bool
) -> None:
    for format_ in (Format.TABLE, Format.TSV):
        output = Output(format_, is_relative, "never")
        output.print_rows(ROWS[:1], operation_columns(ROWS), lambda row: str(row["key"]))
        line = capsys.readouterr().out.splitlines()[-1]
        assert line.startswith("3d4h" if is_relative else "20")


@pytest.mark.parametrize(
    ("color", "no_color", "is_colored"),
    [("always", None, True), ("auto", None, False), ("never", None, False), ("auto", "1", False)],
)
def test_color_is_asked_for(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    color: str,
    no_color: str | None,
    *,
    is_colored: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("FORCE_COLOR", "1")
    assert ("\x1b[31m" in "".join(printed(capsys, Format.TABLE, color=color))) == is_colored


def test_empty_list_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Format.TABLE, None, "auto")
    output.print_rows([], DELIVERY_COLUMNS, str)
    assert capsys.readouterr().out.split() == [
        "AGE", "STATE", "OPERATION", "CALLBACK", "TRIES", "WHY",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (13.4, "13s"),
        (13.5, "14s"),
        (59.9, "1m"),
        (60, "1m"),
        (125, "2m5s"),
        (601, "10m"),
        (3600, "1h"),
        (3661, "1h1m"),
        (36_000, "10h"),
        (90_000, "1d1h"),
        (30 * 86_400, "30d"),
    ],
)
def test_span_is_one_unit_or_two(seconds: float, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text
    assert age(NOW - timedelta(seconds=seconds), NOW) == text
    assert age(NOW + timedelta(seconds=seconds), NOW) == (f"in {text}" if seconds >= 1 else text)


@pytest.mark.parametrize(
    ("names", "shorts"),
    [
        ([], []),
        (["ab"], ["ab"]),
        (["12345678-9", "22345678-9"], ["12345678", "22345678"]),
        (["12345678-1", "12345678-2"], ["12345678-1", "12345678-2"]),
        (["deployment-1", "deployment-10"], ["deployment-1", "deployment-10"]),
        (["ABCDEFGH-i", "abcdefgh-j"], ["ABCDEFGH-i", "abcdefgh-j"]),
    ],
)
def test_short_ids_distinguish(names: list[str], shorts: list[str]) -> None:
    assert short_ids(names) == dict(zip(names, shorts, strict=True))


@pytest.mark.parametrize("text", ["été", "東京", "😀"])
def test_json_is_printed_as_it_is_if_it_can_be(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    print_json({"name": text})
    assert text in capsys.readouterr().out


def test_data_is_whole_and_has_no_stand_in(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**ROWS[0], "kind": "create"}, {**ROWS[1], "kind": "create", "resourceId": None}]
    Output(Format.CSV, None, "auto").print_rows(rows, operation_columns(rows), str)
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (first["id"], first["resource"]) == (ROWS[0]["operationId"], ROWS[0]["resourceId"])
    assert (second["id"], second["resource"]) == (ROWS[1]["operationId"], "")
    Output(Format.TSV, None, "auto").print_rows(rows, operation_columns(rows), str)
    cells = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[3] for line in cells] == [ROWS[0]["resourceId"], ""]


def test_wide_deliveries_say_why_once(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "subscriptionId": "s", "operationKey": "k", "operationId": "1b2c", "attempts": 1,
        "state": "abandoned", "callbackUrl": "https://hook.example", "reason": "410",
        "lastStatusCode": 410, "lastError": "410",
    }  # fmt: skip
    Output(Format.WIDE, None, "auto").print_rows([row], DELIVERY_COLUMNS, str)
    assert capsys.readouterr().out.splitlines()[1].count("410") == 2  # WHY and CODE
    Output(Format.CSV, None, "auto").print_rows([row], DELIVERY_COLUMNS, str)
    (cells,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (cells["error"], cells["callback"]) == ("410", "https://hook.example")


@pytest.mark.parametrize(("ended", "mark"), [(19, "~"), (20, "")])
def test_durations_of_few_operations_are_marked(
    capsys: pytest.CaptureFixture[str], ended: int, mark: str
) -> None:
    row = {"kind": "x", "provider": "p", "n": ended, "running": 0, "slow": 0, "updatedAt": None}
    rows = [{**row, "p50": 6.0, "p90": 164.0, "p99": None}]
    Output(Format.TABLE, None, "auto").print_rows(rows, KIND_COLUMNS, str)
    assert capsys.readouterr().out.splitlines()[1].split()[2:4] == [f"{mark}6s", f"{mark}2m44s"]
    Output(Format.TSV, None, "auto").print_rows(rows, KIND_COLUMNS, str)
    assert capsys.readouterr().out.split("\t")[2:5] == ["6s", "2m44s", ""]


def test_reason_stands_for_a_code_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    lost = {
        **{name: value for name, value in ROWS[0].items() if not name.startswith("error")},
        "status": "Lost",
        "errorMessage": "401 for an hour",
    }
    Output(Format.TABLE, None, "auto").print_rows([lost], operation_columns([lost]), str)
    assert "401 for" in capsys.readouterr().out
    Output(Format.CSV, None, "auto").print_rows([lost], operation_columns([lost]), str)
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["error"], row["message"]) == ("", "401 for an hour")
