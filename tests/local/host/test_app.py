import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opswatch.core.errors import ConfigError
from opswatch.local.host.app import (
    AppImportError,
    Function,
    HttpTrigger,
    QueueTrigger,
    TimerTrigger,
    load_app,
)

EVERYTHING = """
    @app.queue_trigger(arg_name="msg", queue_name="%PREFIX%-in", connection="")
    async def pump(msg: func.QueueMessage, context: func.Context) -> None: ...

    @app.queue_trigger(arg_name="msg", queue_name="texts", connection="Other")
    def texts(msg: str) -> None: ...

    @app.timer_trigger(arg_name="timer", schedule="%EVERY%", run_on_startup=True)
    def tick(timer: func.TimerRequest) -> None: ...

    @app.function_name("named")
    @app.route(route="items/{id:int}", methods=["GET", "POST"])
    def item(req: func.HttpRequest) -> str: return ""

    @app.route(trigger_arg_name="context")
    def plain(context): return ""
"""
ENV = {"PREFIX": "ops", "EVERY": "0 */5 * * * *"}


@pytest.fixture
def load(make_app: Any) -> Iterator[Any]:
    def load(code: str, **env: str) -> tuple[Function, ...]:
        return load_app(make_app(code), ENV | env)

    yield load
    del sys.modules["function_app"]


def by_name(app: tuple[Function, ...]) -> dict[str, Function]:
    return {function.name: function for function in app}


def test_functions_are_read_with_their_triggers(load: Any) -> None:
    functions = by_name(load(EVERYTHING))
    assert functions["pump"].trigger == QueueTrigger("ops-in", "AzureWebJobsStorage")
    assert functions["texts"].trigger == QueueTrigger("texts", "Other")
    assert functions["named"].trigger == HttpTrigger("items/{id:int}", frozenset({"GET", "POST"}))
    assert functions["plain"].trigger == HttpTrigger("plain", frozenset())
    tick = functions["tick"].trigger
    assert isinstance(tick, TimerTrigger)
    assert (tick.text, tick.run_on_startup) == ("0 */5 * * * *", True)
    assert tick.schedule(datetime(2026, 1, 1, tzinfo=UTC)).minute == 5


def test_function_parameters_are_read(load: Any) -> None:
    functions = by_name(load(EVERYTHING))
    assert functions["pump"].is_async
    assert not functions["texts"].is_async
    assert functions["texts"].takes_text
    assert not functions["pump"].takes_text
    assert functions["pump"].takes_context
    assert not functions["plain"].takes_context, "`context` is the trigger's parameter"


def test_disabled_function_is_skipped(load: Any) -> None:
    assert "tick" not in by_name(load(EVERYTHING, **{"AzureWebJobs.tick.Disabled": "true"}))


def test_every_invalid_function_is_reported(load: Any) -> None:
    code = """
        @app.queue_trigger(arg_name="msg", queue_name="%MISSING%", connection="")
        def unresolved(msg) -> None: ...

        @app.timer_trigger(arg_name="timer", schedule="often")
        def unscheduled(timer) -> None: ...

        @app.blob_trigger(arg_name="blob", path="x", connection="")
        def unknown(blob) -> None: ...

        @app.route()
        @app.queue_output(arg_name="out", queue_name="x", connection="")
        def output(req, out) -> None: ...

        @app.route()
        def misnamed(request) -> None: ...
    """
    with pytest.raises(ConfigError) as caught:
        load(code)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "function unresolved",
        "function unscheduled",
        "function unknown",
        "function output",
        "function misnamed",
    ]


def test_refused_schedule_is_named_with_its_function(load: Any) -> None:
    code = """
        @app.timer_trigger(arg_name="timer", schedule="0 0 0 * * 7")
        def weekly(timer) -> None: ...

        @app.timer_trigger(arg_name="timer", schedule="0 0 0 30 2 *")
        def never(timer) -> None: ...
    """
    with pytest.raises(ConfigError) as caught:
        load(code)
    assert caught.value.problems == [
        (
            "function weekly: '0 0 0 * * 7' is not an NCRONTAB expression: "
            "'7' is not between 0 and 6, as the field day of week must be"
        ),
        "function never: '0 0 0 30 2 *' is never due",
    ]


def test_module_must_hold_one_function_app(load: Any) -> None:
    load("same = app")
    with pytest.raises(ConfigError, match="2 function apps"):
        load("other = func.FunctionApp()")
    with pytest.raises(ConfigError, match="0 function apps"):
        load("del app")


def test_folder_without_app_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"function_app.py: not found"):
        load_app(tmp_path, {})


@pytest.mark.parametrize(
    ("source", "error", "line"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero", ", line "),
        (
            "import no_such_module",
            "ModuleNotFoundError: No module named 'no_such_module'",
            ", line ",
        ),
        ("x = = 1", "SyntaxError: invalid syntax (function_app.py, line ", ""),
    ],
)
def test_import_error_is_one_line(load: Any, source: str, error: str, line: str) -> None:
    with pytest.raises(AppImportError) as raised:
        load(source)
    text = str(raised.value)
    assert text.startswith(f"The app cannot be imported: {error}")
    assert f"function_app.py{line}" in text
    assert "\n" not in text
