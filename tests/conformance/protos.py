"""The messages between the Functions host and its language worker that the worker uses.

They replace the generated classes of FunctionRpc.proto: the worker creates and reads them by these
names only, so no gRPC is needed.
https://github.com/Azure/azure-functions-language-worker-protobuf
"""

from collections.abc import Mapping
from enum import IntEnum
from types import SimpleNamespace
from typing import Any


class Message(SimpleNamespace):
    """A message with the fields that are passed."""

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802 - protobuf's
        """Return the one field that is set, for a message that has only alternatives."""
        return next(iter(vars(self)), None)


class ParameterBinding(Message):
    def WhichOneof(self, _: str) -> str:  # noqa: N802 - protobuf's
        return "data"


class BindingInfo(Message):
    undefined = 0  # DataType
    out, inout = 1, 2  # Direction; `in` is 0


class StatusResult(Message):
    Failure, Success = 0, 1


class RpcHttpCookie(Message):
    SameSite = IntEnum("SameSite", {"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})


TypedData = RpcHttp = RpcException = RpcRetryOptions = WorkerMetadata = Message
NullableBool = NullableDouble = NullableString = NullableTimestamp = RpcFunctionMetadata = Message
WorkerInitResponse = FunctionMetadataResponse = FunctionLoadResponse = InvocationResponse = Message


def typed_data(datum: Mapping[str, Any] | None) -> Message:
    """Read typed data in JSON, `{type: value}`: bytes as Latin-1, HTTP with its parts."""
    datum = datum or {}
    if "bytes" in datum:
        return TypedData(bytes=datum["bytes"].encode("latin-1"))
    if "http" in datum:
        body = typed_data(datum["http"]["body"])
        return TypedData(http=RpcHttp(**{**datum["http"], "body": body}))
    return TypedData(**datum)


def plain(value: Any) -> Any:
    """Return a message, or a value within one, as JSON."""
    match value:
        case SimpleNamespace():
            return {name: plain(field) for name, field in vars(value).items()}
        case dict():
            return {name: plain(field) for name, field in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case bytes():
            return value.decode("latin-1")
        case _:
            return value
