"""The function app: loads `function_app.py` from a folder and reads the functions it declares."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

from opswatch.core.errors import ConfigError, OpswatchError
from opswatch.core.texts import one_line
from opswatch.local.host.ncrontab import Schedule
from opswatch.local.host.settings import resolve
from opswatch.local.host.timers import parse_schedule

MODULE = "function_app"
_COPY = Path(__file__).parents[1] / "app"  # an installed package has it, a checkout does not
_CHECKOUT = Path(__file__).parents[3]
_DEFAULT_CONNECTION = "AzureWebJobsStorage"


class AppImportError(OpswatchError):
    """The import of function_app.py failed; the message has the error and its place."""


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """Run for each message of `queue`, in the account of the setting `connection`."""

    queue: str
    connection: str


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """Run on `schedule`."""

    text: str  # the schedule as written
    schedule: Schedule
    run_on_startup: bool


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """Run for each request to `route`."""

    route: str
    methods: frozenset[str]  # empty: every method

    @property
    def path(self) -> str:
        """The route as the host compares it with others."""
        return self.route.strip("/").lower()

    def conflicts_with(self, other: "HttpTrigger") -> bool:
        """Whether both have one route and a method in common."""
        is_shared = not self.methods or not other.methods or bool(self.methods & other.methods)
        return self.path == other.path and is_shared


Trigger = QueueTrigger | TimerTrigger | HttpTrigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function as the app declares it."""

    name: str
    trigger: Trigger
    binding: str  # the trigger's type in function.json
    parameter: str  # receives the trigger's value
    takes_text: bool  # the parameter is annotated as `str` or `bytes`
    takes_context: bool
    call: Callable[..., Any]

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop; if not, it runs in a thread."""
        return inspect.iscoroutinefunction(self.call)

    @property
    def returns_http(self) -> bool:
        """Whether its return value is an HTTP response."""
        return isinstance(self.trigger, HttpTrigger)


def own_app() -> Path:
    """Return the folder of opswatch's own function app."""
    return _COPY if _COPY.is_dir() else _CHECKOUT


def load_app(app_dir: Path, env: Mapping[str, str]) -> tuple[Function, ...]:
    """Import `app_dir`/function_app.py again and read its functions.

    Raises:
        ConfigError: the app, or one of its functions, cannot run here.
        AppImportError: the import raised an error, which is its cause.
    """
    path = app_dir / f"{MODULE}.py"
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError([f"{path}: not found; is this the folder of a function app?"])
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        # A SyntaxError names the place itself, and its frames are those of the importer.
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename.startswith(str(app_dir))]
        place = f"{own[-1].filename}, line {own[-1].lineno}" if own else str(path)
        raise AppImportError(f"The app cannot be imported: {reason} ({place})") from error
    apps = {id(app): app for app in vars(module).values() if isinstance(app, func.FunctionApp)}
    if len(apps) != 1:
        raise ConfigError([f"{path}: holds {len(apps)} function apps, must hold 1"])
    (app,) = apps.values()
    declarations: list[Any] = app.get_functions()
    functions, problems = [], []
    for declaration in declarations:
        name = declaration.get_function_name()
        if env.get(f"AzureWebJobs.{name}.Disabled", "").lower() in ("true", "1"):
            continue
        try:
            functions.append(_read_function(name, declaration, env))
        except ValueError as error:
            problems.append(f"function {name}: {error}")
    if problems:
        raise ConfigError(problems)
    return tuple(functions)


def _read_function(name: str, declaration: Any, env: Mapping[str, str]) -> Function:
    trigger = declaration.get_trigger().get_dict_repr()
    for binding in declaration.get_bindings():
        kind = binding.get_dict_repr()["type"]
        if kind not in (trigger["type"], "http"):
            raise ValueError(f"the binding {kind} is not supported")
    call = declaration.get_user_function()
    parameters = inspect.signature(call, eval_str=True).parameters
    if trigger["name"] not in parameters:
        raise ValueError(f"has no parameter {trigger['name']}, which its trigger binds")
    return Function(
        name=name,
        trigger=_read_trigger(trigger, env),
        binding=trigger["type"],
        parameter=trigger["name"],
        takes_text=parameters[trigger["name"]].annotation in (str, bytes),
        takes_context="context" in parameters and trigger["name"] != "context",
        call=call,
    )


def _read_trigger(trigger: Mapping[str, Any], env: Mapping[str, str]) -> Trigger:
    match trigger["type"]:
        case "queueTrigger":
            connection = trigger.get("connection") or _DEFAULT_CONNECTION
            return QueueTrigger(resolve(trigger["queueName"], env), connection)
        case "timerTrigger":
            text = resolve(trigger["schedule"], env)
            run_on_startup = bool(trigger.get("runOnStartup"))
            return TimerTrigger(text, parse_schedule(text), run_on_startup)
        case "httpTrigger":
            methods = frozenset(method.value for method in trigger.get("methods") or ())
            return HttpTrigger(resolve(trigger["route"], env), methods)
        case other:
            raise ValueError(f"the trigger {other} is not supported")
