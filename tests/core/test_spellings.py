"""One operation however its path is spelled, and ids that are not fit for a key."""

import re
from base64 import b64encode

import pytest

from opswatch.core.errors import Reason
from opswatch.core.keys import Key
from tests.support.builders import (
    API_VERSION,
    ENDPOINT,
    ID,
    KEY,
    LOCATION,
    SUBSCRIPTION,
    accepted,
    rejected,
)

STATUS = f"{ENDPOINT}{LOCATION}/operationsStatus/{ID}"
GROUP = f"{ENDPOINT}/subscriptions/{SUBSCRIPTION}/resourceGroups/Rg-One/providers/P.Q/things/t"


def key_of(url: str) -> Key:
    return accepted(url).operation.key


@pytest.mark.parametrize(
    "url",
    [
        STATUS + "/",
        STATUS + "/?" + API_VERSION,
        STATUS.replace("/subscriptions/", "/SUBSCRIPTIONS/"),
        STATUS.replace(SUBSCRIPTION, SUBSCRIPTION.upper()),
        STATUS.replace(ID, ID.upper()),
        STATUS.replace("Microsoft.Cache", "MICROSOFT.CACHE"),
        STATUS.replace("Microsoft.Cache", "Microsoft%2ECache"),
        STATUS.replace("westus", "West US"),
        STATUS.replace("westus", "West%20US"),
        STATUS.replace("westus", "%77estus"),
        STATUS.replace("operationsStatus", "operationsstatus"),
        STATUS.replace(ID, ID.replace("-", "%2D")),
        STATUS.replace("https://", "https://westus."),
        STATUS.replace("https://management", "HTTPS://Management"),
        STATUS.replace(".com/", ".com:443/"),
        STATUS.removeprefix(ENDPOINT),
        f"{STATUS}?{API_VERSION}&t=1&c=2&s=3&h=4",
    ],
)
def test_spellings_have_one_key(url: str) -> None:
    assert key_of(url) == KEY


@pytest.mark.parametrize(
    "url",
    [
        GROUP.lower() + "/operations/o-1",
        GROUP.replace("Rg-One", "RG-ONE") + "/operations/o-1",
        GROUP.replace("Rg-One", "Rg%2DOne") + "/operations/o-1/",
        GROUP.replace("resourceGroups", "resourcegroups") + "/Operations/o-1?a=1",
    ],
)
def test_spellings_of_other_shapes_have_one_key(url: str) -> None:
    assert key_of(url) == key_of(GROUP + "/operations/o-1")


@pytest.mark.parametrize(
    "url",
    [
        GROUP.replace("Rg-One", "Rg-Two") + "/operations/o-1",
        GROUP + "/operations/o-2",
        GROUP + "/operationResults/o-1",
        GROUP + "/x/operations/o-1",
    ],
)
def test_other_paths_have_other_keys(url: str) -> None:
    assert key_of(url) != key_of(GROUP + "/operations/o-1")


@pytest.mark.parametrize(
    "operation_id",
    ["a+b", "a%20b", "a&b", "a%25b", "a:b", "a%2Fb", "a~b", "a==", "gr%C3%BC", "x" * 129, "a;b"],
)
def test_key_of_any_id_stands_in_a_url_as_it_is(operation_id: str) -> None:
    operation = accepted(f"{ENDPOINT}{LOCATION}/operationsStatus/{operation_id}").operation
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", operation.key.row)
    assert operation.url.partition("?")[0].endswith(f"/{operation_id}")


def test_escaped_and_plain_ids_have_one_key() -> None:
    collection = f"{ENDPOINT}{LOCATION}/operationsStatus"
    assert key_of(f"{collection}/a%2Bb") == key_of(f"{collection}/a+b")


@pytest.mark.parametrize("segment", ["%09", ".", "%2E%2E", ""])
def test_path_with_an_unusable_segment_is_rejected(segment: str) -> None:
    refused = rejected(STATUS.replace(SUBSCRIPTION, segment))
    assert refused.reason is Reason.INVALID_OPERATION


@pytest.mark.parametrize("operation_id", ["AAAAAAAA", "A" * 32])
def test_id_that_decodes_to_nothing_is_an_id(operation_id: str) -> None:
    assert accepted(operation_id).operation.operation_id == operation_id


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("text", [ID, STATUS, '{"operation": "x", "clientState": "\u4e2d\u6587"}'])
def test_utf16_under_base64_is_rejected(text: str, encoding: str) -> None:
    assert rejected(b64encode(text.encode(encoding))).reason is Reason.NOT_UTF8
