"""The life of an operation: what a poll at a given age is answered. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

import msgspec

from opswatch.local.simulator.faults import Fault, Moment, Told, bend
from opswatch.local.simulator.messages import Answer, json_answer
from opswatch.local.simulator.paths import OPERATIONS_STATUS
from opswatch.local.simulator.stamps import RetryAfter, Stamp, write_stamp

_EARLY_END = timedelta(seconds=1)  # what Redis Enterprise sends as endTime while InProgress
_NULLABLE = ("startTime", "endTime", "percentComplete", "properties", "error")


class Style(StrEnum):
    """Which of ARM's ways a status URL has.

    https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/async-api-reference.md
    """

    STATUS = "status"  # 200 with an envelope, always (Azure-AsyncOperation)
    LOCATION = "location"  # empty 202 while it runs, then `final_code` with `ending` or nothing
    HYBRID = "hybrid"  # 202 with an envelope while it runs, then 200 with one (Redis flush)
    RESOURCE = "resource"  # 200 with the resource; its properties.provisioningState tells


class Envelope(StrEnum):
    """How much a status body says besides `status`."""

    FULL = "full"  # startTime, and endTime at the end
    NULLS = "nulls"  # every field there, null unless `ending` fills it (classic Redis)
    BARE = "bare"  # the status alone


class Life(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What an operation does and how it is told.

    `running` words are shown one after another in equal parts of the duration (for never-ending
    ones, one a poll, then the last). `ending` is merged into the last envelope; in the styles
    without an envelope it is the whole body, and None is an empty one.
    """

    duration: timedelta | None = timedelta(seconds=10)  # None: it never ends
    style: Style = Style.STATUS
    running: tuple[str, ...] = ("InProgress",)
    ending: Mapping[str, object] | None = msgspec.field(
        default_factory=lambda: {"status": "Succeeded"}
    )
    final_code: int = 200
    envelope: Envelope = Envelope.FULL
    stamp: Stamp = Stamp.SEVEN_Z
    early_end_time: bool = False
    percent_complete: bool = False
    retry_after: RetryAfter | None = None  # asked for while it runs
    faults: tuple[Fault, ...] = ()
    template: str = OPERATIONS_STATUS  # of its path
    signed: bool = False  # the URL carries t, c, s and h, several KB, and is checked byte for byte

    def __post_init__(self) -> None:
        """Refuse what could never be answered."""
        if not self.running:
            raise ValueError("running: at least one word is needed")

    @property
    def succeeds(self) -> bool:
        """Say whether it ends well, in whatever word."""
        word = (self.ending or {}).get("status", "Succeeded")
        return str(word).lower() in {"succeeded", "completed"}

    def ended(self, age: timedelta) -> bool:
        """Say whether it has ended at `age`."""
        return self.duration is not None and age >= self.duration


def tell(life: Life, moment: Moment) -> Told:
    """Answer one poll."""
    ended = life.ended(moment.age)
    answer = _final(life, moment) if ended else _running(life, moment)
    return bend(Told(answer=answer, ends=ended), life.faults, moment)


def _running(life: Life, moment: Moment) -> Answer:
    headers = dict([life.retry_after.header(moment.now)] if life.retry_after else [])
    word = _running_word(life, moment)
    match life.style:
        case Style.STATUS:
            return json_answer(200, _running_envelope(life, moment, word), headers)
        case Style.HYBRID:
            return json_answer(202, _running_envelope(life, moment, word), headers)
        case Style.LOCATION:
            return Answer(status=202, headers=headers)
        case Style.RESOURCE:
            return json_answer(200, _provisioning(life.ending or {}, word), headers)
        case _:
            assert_never(life.style)


def _final(life: Life, moment: Moment) -> Answer:
    match life.style:
        case Style.STATUS | Style.HYBRID:
            return json_answer(life.final_code, _final_envelope(life, moment))
        case Style.LOCATION | Style.RESOURCE if life.ending is None:
            return Answer(status=life.final_code)
        case Style.LOCATION | Style.RESOURCE:
            return json_answer(life.final_code, life.ending)
        case _:
            assert_never(life.style)


def _running_word(life: Life, moment: Moment) -> str:
    if life.duration:
        index = int(moment.age / life.duration * len(life.running))
    else:
        index = moment.poll - 1
    return life.running[max(0, min(index, len(life.running) - 1))]


def _running_envelope(life: Life, moment: Moment, word: str) -> dict[str, object]:
    body = _envelope(life, moment, word)
    if life.early_end_time:
        early = moment.started_at + min(_EARLY_END, life.duration or _EARLY_END)
        body["endTime"] = write_stamp(life.stamp, early)
    if life.percent_complete:
        body["percentComplete"] = round(100 * moment.age / life.duration, 1) if life.duration else 0
    return body


def _final_envelope(life: Life, moment: Moment) -> dict[str, object]:
    body = _envelope(life, moment, "Succeeded")
    if life.envelope is Envelope.FULL and life.duration is not None:
        body["endTime"] = write_stamp(life.stamp, moment.started_at + life.duration)
    if life.percent_complete:
        body["percentComplete"] = 100
    return body | dict(life.ending or {})


def _envelope(life: Life, moment: Moment, status: str) -> dict[str, object]:
    body: dict[str, object] = {
        "id": moment.path,
        "name": moment.operation_id,
        "status": status,
    }
    match life.envelope:
        case Envelope.FULL:
            return body | {"startTime": write_stamp(life.stamp, moment.started_at)}
        case Envelope.NULLS:
            return body | dict.fromkeys(_NULLABLE)
        case Envelope.BARE:
            return {"status": status}
        case _:
            assert_never(life.envelope)


def _provisioning(resource: Mapping[str, object], state: str) -> dict[str, object]:
    properties = resource.get("properties")
    told = dict(properties) if isinstance(properties, Mapping) else {}
    return {**resource, "properties": {**told, "provisioningState": state}}


def life_from_json(body: object) -> Life:
    """Read a life (camelCase names, spans in seconds or ISO 8601); raise `ValueError`."""
    return msgspec.convert(body, Life, strict=False)


def life_to_json(life: Life) -> dict[str, object]:
    """Write a life as `life_from_json` reads it."""
    body: dict[str, object] = msgspec.to_builtins(life)
    return body
