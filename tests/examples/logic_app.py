"""Runs the definition of a Logic App: the actions and functions that an example uses."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession

TOKEN = re.compile(r"\s*('(?:[^']|'')*'|[A-Za-z]\w*|\?\[|[()\[\],])")


@dataclass
class Run:
    """One run: the values of its parameters, and the outputs of its actions."""

    definition: Mapping[str, Any]
    parameters: Mapping[str, str]
    trigger: Mapping[str, Any]
    callback_url: str
    until_called: Callable[[], Awaitable[None]]
    outputs: dict[str, dict[str, Any]]  # of actions that are not run, too
    statuses: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[str, str, int]] = field(default_factory=list)

    async def run(self) -> dict[str, str] | None:
        """Run the actions in their order; return the error of a Terminate, or None."""
        return await self._run_all(self.definition["actions"])

    async def _run_all(self, actions: Mapping[str, Any]) -> dict[str, str] | None:
        pending = dict(actions)
        while pending:
            name, action = next(
                (name, action)
                for name, action in pending.items()
                if all(self.statuses.get(n) in wanted for n, wanted in action["runAfter"].items())
            )
            del pending[name]
            if error := await self._run_one(name, action):
                return error
            self.statuses[name] = "Succeeded"
        return None

    async def _run_one(self, name: str, action: Mapping[str, Any]) -> dict[str, str] | None:
        inputs = self.evaluate(action.get("inputs"))
        match action["type"]:
            case "Http" if name not in self.outputs:
                self.outputs[name] = await self._send(inputs)
            case "HttpWebhook":
                await self._send(inputs["subscribe"])
                await self.until_called()
            case "If":
                ((left, right),) = (each["equals"] for each in action["expression"]["and"])
                branch = action if self.evaluate(left) == right else action["else"]
                return await self._run_all(branch["actions"])
            case "Terminate":
                error: dict[str, str] = inputs["runError"]
                return error
        return None

    async def _send(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        async with (
            ClientSession(headers=inputs["headers"]) as http,
            http.request(inputs["method"], inputs["uri"], json=inputs.get("body")) as answer,
        ):
            self.sent.append((inputs["method"], inputs["uri"], answer.status))
            assert answer.ok, await answer.text()
            return {"headers": answer.headers.copy(), "body": await answer.json()}  # of any case

    # --- expressions

    def evaluate(self, value: Any) -> Any:
        """Return `value` with its expressions evaluated."""
        match value:
            case dict():
                return {name: self.evaluate(each) for name, each in value.items()}
            case list():
                return [self.evaluate(each) for each in value]
            case str() if value.startswith("@") and not value.startswith("@{"):
                return self._expression(value[1:])
            case str():
                return re.sub(r"@\{(.*?)\}", lambda m: str(self._expression(m[1])), value)
        return value

    def _expression(self, text: str) -> Any:
        tokens = [match[1] for match in TOKEN.finditer(text)]
        assert "".join(tokens).replace(" ", "") == text.replace(" ", ""), text
        stream = iter([*tokens, ""])
        value, rest = self._value(next(stream), stream)
        assert rest == "", text
        return value

    def _value(self, token: str, stream: Iterator[str]) -> tuple[Any, str]:
        """Return a value, and the token after it."""
        if token.startswith("'"):
            value: Any = token[1:-1].replace("''", "'")
        else:
            assert next(stream) == "("
            arguments = []
            following = next(stream)
            while following != ")":
                argument, following = self._value(following, stream)
                arguments.append(argument)
                following = next(stream) if following == "," else following
            value = self._call(token, arguments)
        following = next(stream)
        while following in ("[", "?["):
            index, closing = self._value(next(stream), stream)
            assert closing == "]"
            value = (value or {}).get(index) if following == "?[" else value[index]
            following = next(stream)
        return value, following

    def _call(self, name: str, arguments: list[Any]) -> Any:
        match name, arguments:
            case "parameters", [parameter]:
                return self.parameters[parameter]
            case "triggerBody", []:
                return self.trigger
            case "outputs", [action]:
                return self.outputs[action]
            case "body", [action]:
                return self.outputs[action]["body"]
            case "listCallbackUrl", []:
                return self.callback_url
            case "coalesce", values:
                return next((each for each in values if each is not None), None)
        raise AssertionError(name)
