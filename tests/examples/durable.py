"""The parts of the Durable Functions extension that an example needs: it replays an orchestrator.

Each turn gives the whole history to the orchestrator's handler, which is azure-functions-durable's
own, and carries out the actions that it returns and has not returned before.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientSession

ORCHESTRATOR_STARTED, EXECUTION_STARTED = 12, 0
TASK_SCHEDULED, TASK_COMPLETED = 4, 5
TIMER_CREATED, TIMER_FIRED = 10, 11
EVENT_RAISED = 15
CALL_ACTIVITY, CREATE_TIMER, CALL_HTTP = 0, 5, 8


@dataclass
class Orchestration:
    """One orchestration, its history, and what it may call."""

    handler: Callable[[str], str]
    given: Any
    activities: dict[str, Callable[[Any], Any]]
    next_event: Callable[[], Awaitable[str | None]]  # the name of one; None: the timer fires
    gateway: dict[str, str] = field(default_factory=dict)  # the key that it adds, by method
    history: list[dict[str, Any]] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 26, tzinfo=UTC)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    _ids: int = 0

    async def run(self) -> Any:
        """Return the output."""
        self._add(ORCHESTRATOR_STARTED)
        self._add(EXECUTION_STARTED, Name="", Version="", Input=json.dumps(self.given))
        done = 0  # actions
        while True:
            state = json.loads(self.handler(json.dumps(self._context())))
            if state["isDone"]:
                return state["output"]
            if state.get("error"):
                raise RuntimeError(state["error"])
            actions = [action for turn in state["actions"] for action in turn]
            await self._carry_out(flattened(actions[done:]))
            done = len(actions)

    async def _carry_out(self, actions: list[dict[str, Any]]) -> None:
        timers = [
            self._create_timer(each) for each in actions if each["actionType"] == CREATE_TIMER
        ]
        results = [
            (self._scheduled(each), await self._result(each))
            for each in actions
            if each["actionType"] in (CALL_ACTIVITY, CALL_HTTP)
        ]
        self._add(ORCHESTRATOR_STARTED)
        for number, result in results:
            self._add(TASK_COMPLETED, TaskScheduledId=number, Result=json.dumps(result))
        if not results:
            name = await self.next_event()
            if name is not None:
                self._add(EVENT_RAISED, Name=name, Input="null")
            for number, at in timers if name is None else []:
                self.now = at
                self._add(TIMER_FIRED, TimerId=number, FireAt=at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    async def _result(self, action: dict[str, Any]) -> Any:
        if action["actionType"] == CALL_ACTIVITY:
            given = json.loads(action["input"]) if action.get("input") else None
            return await asyncio.to_thread(self.activities[action["functionName"]], given)
        return await self._call_http(action["httpRequest"])

    async def _call_http(self, request: dict[str, Any]) -> dict[str, Any]:
        """Follow `Location` while the answer is 202, without the key, as the extension does."""
        method, url, content = request["method"], request["uri"], request["content"]
        headers = dict(request["headers"] or {})
        async with ClientSession() as http:
            while True:
                key = {"x-functions-key": self.gateway[method]} if method in self.gateway else {}
                sent = {**headers, **key}
                async with http.request(method, url, data=content, headers=sent) as answer:
                    text = await answer.text()
                self.requests.append((method, url, answer.status))
                if answer.status != 202 or "Location" not in answer.headers:
                    return {
                        "statusCode": answer.status,
                        "headers": dict(answer.headers),
                        "content": text,
                    }
                method, url, content = "GET", answer.headers["Location"], None
                headers.pop("x-functions-key", None)
                await asyncio.sleep(0.1)

    def _create_timer(self, action: dict[str, Any]) -> tuple[int, datetime]:
        at = datetime.fromisoformat(action["fireAt"])
        return self._add(TIMER_CREATED, FireAt=action["fireAt"]), at

    def _scheduled(self, action: dict[str, Any]) -> int:
        name = action.get("functionName", "BuiltIn::HttpActivity")
        return self._add(TASK_SCHEDULED, Name=name)

    def _add(self, kind: int, **values: Any) -> int:
        number = -1
        if kind in (TASK_SCHEDULED, TIMER_CREATED):
            number, self._ids = self._ids, self._ids + 1
        self.now += timedelta(milliseconds=1)
        at = self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.history.append(
            {"EventType": kind, "EventId": number, "IsPlayed": False, "Timestamp": at, **values}
        )
        return number

    def _context(self) -> dict[str, Any]:
        return {
            "history": self.history,
            "instanceId": "instance-1",
            "isReplaying": False,
            "parentInstanceId": None,
            "input": json.dumps(self.given),
            "upperSchemaVersion": 2,
        }


def flattened(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the actions, those of groups of tasks among them."""
    found = []
    for action in actions:
        found += flattened(action["compoundActions"]) if "compoundActions" in action else [action]
    return found
