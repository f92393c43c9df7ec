"""The shapes of the API's JSON, for its OpenAPI document; posts are checked against theirs."""

from typing import Any

from opswatch.core.deliveries import DeliveryState
from opswatch.core.intake import CALLBACK_ENDS
from opswatch.web.problems import CODES

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_INSTANT: Schema = {"type": "string", "format": "date-time"}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(required: str, **properties: Any) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _page(item: str) -> Schema:
    return _object(
        "value",
        value={"type": "array", "items": _ref(item)},
        nextLink={
            **_TEXT,
            "format": "uri",
            "description": "The next page; absent on the last. A page may be empty and go on.",
        },
    )


# The properties of a post that are checked over HTTP, with the JSON type that each must have.
POST: Schema = {
    "type": "object",
    "description": (
        "`operation` (an ID, an ARM path or a URL; it wins) or `subscriptionId`, `location` and "
        "`operationId`. Unknown properties are ignored."
    ),
    "additionalProperties": True,
    "properties": {
        **{
            name: _or_null(_TEXT)
            for name in (
                "operation", "id", "subscriptionId", "location", "operationId", "provider",
                "collection", "apiVersion", "resourceId", "kind", "callbackUrl", "startTime",
                "timeout",
            )
        },
        "callbackOn": {"type": ["array", "null"], "items": {"enum": list(CALLBACK_ENDS)}},
        "clientState": {"description": "Any JSON of up to 4 KB."},
        "again": _or_null({"type": "boolean"}),
    },
    "examples": [
        {
            "operation": "6432a8f9-0fe6-4339-9303-772c92f35d02",
            "callbackUrl": "https://example.com/hook",
        }
    ],
}  # fmt: skip
REDELIVER: Schema = {
    **_object(
        "state",
        state={"type": "string", "enum": [DeliveryState.ABANDONED.value]},
        since={"type": "string", "maxLength": 64, "description": "As the parameter `since`."},
        until={"type": "string", "maxLength": 64, "description": "As the parameter `until`."},
        host={"type": "string", "minLength": 1, "maxLength": 255},
        dryRun={"type": "boolean", "default": False},
    ),
    "additionalProperties": False,
}
_HOUR = dict.fromkeys(
    (
        "succeeded", "failed", "canceled", "timedOut", "lost", "stopped", "delivered", "abandoned",
        "rejected",
    ),
    _COUNT,
)  # fmt: skip
_NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
_CHECK = _object("topic isGood text", topic=_TEXT, isGood={"type": "boolean"}, text=_TEXT)

SCHEMAS: dict[str, Schema] = {
    "Post": POST,
    "Redeliver": REDELIVER,
    "Operation": {
        **_object(
            "subscriptionId key operationId state status registeredAt deliveries",
            subscriptionId=_TEXT,
            key=_TEXT,
            operationId=_TEXT,
            state={"type": "string", "enum": ["watching", "finished"]},
            status=_TEXT,
            registeredAt=_INSTANT,
            deliveries={"type": "array", "items": _ref("Delivery")},
        ),
        "description": "The row of the table `watches` or `results`, by the names of its columns.",
    },
    "ListedOperation": _object(
        "subscriptionId key operationId state status registeredAt",
        subscriptionId=_TEXT,
        key=_TEXT,
        operationId=_TEXT,
        state={"type": "string", "enum": ["watching", "finished"]},
        status=_TEXT,
        registeredAt=_INSTANT,
    ),
    "OperationPage": _page("ListedOperation"),
    "OperationStatus": _object(
        "id status properties",
        id=_TEXT,
        status={
            "type": "string",
            "enum": ["NotStarted", "Running", "Succeeded", "Failed", "Canceled"],
        },
        percentComplete=_NUMBER_OR_NULL,
        startTime=_or_null(_INSTANT),
        endTime=_or_null(_INSTANT),
        resourceId=_or_null(_TEXT),
        error={"type": ["object", "null"]},
        properties=_ref("Operation"),
    ),
    "Delivery": _object(
        "deliveryId subscriptionId operationKey operationId callbackUrl state attempts",
        deliveryId=_TEXT,
        subscriptionId=_TEXT,
        operationKey=_TEXT,
        operationId=_TEXT,
        callbackUrl={**_TEXT, "description": "Its scheme and host."},
        state={"type": "string", "enum": [state.value for state in DeliveryState]},
        attempts=_COUNT,
    ),
    "DeliveryPage": _page("Delivery"),
    "Deliveries": _object("value", value={"type": "array", "items": _ref("Delivery")}),
    "Count": _object(
        "count",
        count=_COUNT,
        more={"const": True, "description": "There are more: repeat the request."},
    ),
    "Rejection": _object(
        "day id reason detail body receivedAt count",
        day={"type": "string", "format": "date"},
        id=_TEXT,
        reason=_TEXT,
        detail=_TEXT,
        body=_TEXT,
        receivedAt=_INSTANT,
        count=_COUNT,
    ),
    "RejectionPage": _page("Rejection"),
    "Kind": _object(
        "provider kind collection n p50 p90 p99 running slow",
        provider=_TEXT,
        kind=_or_null(_TEXT),
        collection=_or_null(_TEXT),
        n=_COUNT,
        p50=_NUMBER_OR_NULL,
        p90=_NUMBER_OR_NULL,
        p99=_NUMBER_OR_NULL,
        updatedAt=_or_null(_INSTANT),
        running=_COUNT,
        slow=_COUNT,
    ),
    "Kinds": _object("value", value={"type": "array", "items": _ref("Kind")}),
    "Summary": _object(
        "countedAt watching overdue slow pending failing circuits last24Hours hours",
        countedAt=_or_null(_INSTANT),
        watching=_COUNT,
        overdue=_COUNT,
        slow=_COUNT,
        oldestDueAt=_or_null(_INSTANT),
        pending=_COUNT,
        failing=_COUNT,
        queued={"type": "object", "additionalProperties": _COUNT},
        poisoned={"type": "object", "additionalProperties": _COUNT},
        circuits={
            "type": "array",
            "items": _object(
                "host failures openUntil", host=_TEXT, failures=_COUNT, openUntil=_INSTANT
            ),
        },
        last24Hours=_object(" ".join(_HOUR), **_HOUR),
        hours={"type": "array", "items": _object("hour", hour=_TEXT, **_HOUR)},
    ),
    "Health": _object("status", status={"type": "string", "enum": ["healthy", "unhealthy"]}),
    "HealthDetails": _object(
        "status checks",
        status={"type": "string", "enum": ["healthy", "unhealthy"]},
        checks={"type": "array", "items": _CHECK},
    ),
    "Problem": _object(
        "type title status detail code error",
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        detail=_TEXT,
        code={"type": "string", "enum": list(CODES)},
        error=_object(
            "code message details",
            code=_TEXT,
            message=_TEXT,
            details={"type": "array"},
        ),
    ),
}
