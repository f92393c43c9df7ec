"""Which URLs may be polled; `test_intake` and `test_arm` show how users and ARM name them."""

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opswatch.core.errors import Reason, RefusedError
from opswatch.core.keys import operation_from_url, path_of
from opswatch.core.texts import MAX_PROPERTY
from opswatch.core.urls import (
    collection_of,
    is_resource_url,
    own_url,
    same_origin,
    with_api_version,
    without_signature,
)
from tests.support.builders import ENDPOINT, PATH, URL

ENDPOINTS = [ENDPOINT, "http://localhost:7080", "https://[::1]:8443", "https://arm.example.com:443"]


@pytest.mark.parametrize(
    ("scheme", "authority", "endpoint"),
    [
        ("https", "management.azure.com", ENDPOINT),
        ("HTTPS", "Management.Azure.com:443", ENDPOINT),
        ("https", "management.azure.com:", ENDPOINT),
        ("https", "arm.example.com", "https://arm.example.com:443"),
        ("http", "LOCALHOST:7080", "http://localhost:7080"),
        ("http", "localhost", "http://localhost:80"),
        ("https", "[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_same_origin_is_accepted(scheme: str, authority: str, endpoint: str) -> None:
    assert same_origin(scheme, authority, endpoint)


@pytest.mark.parametrize(
    ("scheme", "authority"),
    [
        ("http", "management.azure.com"),
        ("http", "management.azure.com:443"),
        ("https", "management.azure.com:80"),
        ("https", "management.azure.com@management.azure.com"),
        ("https", ""),
        ("https", "management.azure.com:-443"),
        ("https", "management.azure.com:\u0664\u0664\u0663"),
        ("https", "[management.azure.com]"),
    ],
)
def test_other_origin_is_refused(scheme: str, authority: str) -> None:
    assert not same_origin(scheme, authority, ENDPOINT)


HOSTS = st.sampled_from(
    [*ENDPOINTS, "https://", "//", "/", "https://management.azure.com@", "https:/", "\\\\", ""]
)
TAILS = st.text(st.characters()) | st.text("/.:@?#%&=\\azAZ019~ \t\n[]")


@given(HOSTS, TAILS, st.sampled_from(ENDPOINTS))
@example("https://management.azure.com", ".evil.example/x", ENDPOINT)
@example("/", "/evil.example/x", ENDPOINT)
@example("/x?", "\udc80", ENDPOINT)
def test_any_url_stays_on_our_host(start: str, tail: str, endpoint: str) -> None:
    try:
        url = own_url(start + tail, endpoint)
    except RefusedError:
        return
    assert url.startswith(endpoint)
    ours, sent = urlsplit(endpoint), urlsplit(url)
    assert (sent.scheme, sent.netloc) == (ours.scheme, ours.netloc)
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert "#" not in url
    assert own_url(url, endpoint) == url
    assert path_of(url).startswith("/")


def test_longest_url_fits_a_property() -> None:
    longest = f"{URL}&t=".ljust(MAX_PROPERTY, "x")
    assert own_url(longest, ENDPOINT) == longest
    for text in (longest + "x", longest[:-1] + " ", longest[:-1] + "é"):
        with pytest.raises(RefusedError) as caught:
            own_url(text, ENDPOINT)
        assert caught.value.reason is Reason.TOO_LARGE
    with pytest.raises(RefusedError):
        with_api_version(f"{ENDPOINT}{PATH}".ljust(MAX_PROPERTY, "x"), "1")


@pytest.mark.parametrize(
    ("query", "version"),
    [
        ("", None),
        ("?api-version=2024-10-01", "2024-10-01"),
        ("?t=1&API-VERSION=2024-10-01&s=2", "2024-10-01"),
        ("?xapi-version=1", None),
        ("?api-version=2024%2D10-01", "2024-10-01"),
        ("?api-version=", ""),
    ],
)
def test_api_version_is_read_from_the_url(query: str, version: str | None) -> None:
    url = ENDPOINT + PATH + query
    assert operation_from_url(url).api_version == version
    assert (with_api_version(url, "9") == url) is (version is not None)


@pytest.mark.parametrize("tail", ["", "/", "?a=/b/c", "/?a=/b/c"])
def test_collection_is_the_last_segment_but_one(tail: str) -> None:
    assert collection_of(f"{ENDPOINT}{PATH}{tail}") == "operationsstatus"
    assert not is_resource_url(f"{ENDPOINT}{PATH}{tail}")


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("?t=1&API-Version=2024-10-01&s=2&h=3", "?API-Version=2024-10-01"),
        ("?t=1&s=2&h=3", ""),
        ("", ""),
    ],
)
def test_signature_is_left_out(query: str, left: str) -> None:
    assert without_signature(ENDPOINT + PATH + query) == ENDPOINT + PATH + left


def test_path_is_that_which_is_sent() -> None:
    assert path_of(own_url("/a b/%2f?c/d", ENDPOINT)) == "/a%20b/%2f"
    assert path_of(ENDPOINT) == path_of(f"{ENDPOINT}?x=/y") == "/"
