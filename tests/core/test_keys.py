"""Identity: one operation has one key, and so has the host of a callback."""

from hashlib import sha256

import pytest

from opswatch.core.keys import Key, host_key, key_from_text, parent_domain
from tests.fuzz.properties import check_key
from tests.support.builders import (
    API_VERSION,
    ID,
    KEY,
    LOCATION,
    PATH,
    SUBSCRIPTION,
    URL,
    accepted,
)
from tests.support.cases import cases

IN_SUBSCRIPTION = f"/subscriptions/{SUBSCRIPTION}"


def digest(text: str, digits: int = 32) -> str:
    return sha256(text.encode()).hexdigest()[:digits]


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        PATH.replace("westus", "West US"),
        PATH.replace("westus", "West%20US"),
        PATH.replace("westus", "WESTUS"),
        PATH.replace(ID, ID.upper()),
        PATH.replace(SUBSCRIPTION, SUBSCRIPTION.upper()),
        PATH.replace("operationsStatus", "OPERATIONSSTATUS"),
        PATH.replace("subscriptions", "Subscriptions").replace("locations", "Locations"),
        PATH.replace("Microsoft.Cache", "microsoft.cache"),
        f"{PATH}/",
        f"{PATH}?{API_VERSION}&t=1&c=0aA%2F%2f+~%3D%3d/&s=x_y-Z%2B+~==&h=q.%7E~",
        URL,
        ID,
    ],
)
def test_every_spelling_has_one_key(path: str) -> None:
    assert accepted(path).operation.key == KEY


@cases(
    "segment, part",
    {
        "an id keeps its case": ("AbC", "AbC"),
        "not a GUID": (f"{ID.upper()}x", f"{ID.upper()}x"),
        "an id of 128": ("a" * 128, "a" * 128),
        "an id of 129": ("a" * 129, digest("a" * 129)),
        "a space": ("a b", digest("a b")),
        "a slash": ("a%2Fb", digest("a/b")),
        "a tilde": ("a~b", digest("a~b")),
        "a percent": ("a%25b", digest("a%b")),
        "an id of 130 UTF-16 units": ("😀" * 65, digest("😀" * 65)),
        "a question mark": ("%3F", digest("?")),
    },
)
def test_id_is_kept_or_hashed(segment: str, part: str) -> None:
    key = accepted(f"{LOCATION}/x/{segment}").operation.key
    assert key == Key(SUBSCRIPTION, f"microsoft.cache~westus~x~{part}")


@cases(
    "segment, part",
    {
        "a character that keys cannot hold": ("a%23b", digest("a#b")),
        "spaces alone": ("%20", digest("")),
        "a location of 64": ("L" * 64, "l" * 64),
        "a location of 65": ("L" * 65, digest("l" * 65)),
    },
)
def test_location_is_kept_or_hashed(segment: str, part: str) -> None:
    key = accepted(PATH.replace("westus", segment)).operation.key
    assert key == Key(SUBSCRIPTION, f"microsoft.cache~{part}~operationsstatus~{ID}")


@cases(
    "path, parts",
    {
        "no location": (
            f"{IN_SUBSCRIPTION}/providers/Microsoft.Foo/operationResults/x",
            "microsoft.foo~-~operationresults~x",
        ),
        "no subscription": (
            "/providers/Microsoft.Foo/locations/West US/operations/x",
            "microsoft.foo~westus~operations~x",
        ),
        "no provider": (f"{IN_SUBSCRIPTION}/operationResults/x", "-~-~operationresults~x"),
        "below a resource": (
            f"{IN_SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Cache/redis/a/operationResults/x",
            "microsoft.cache~-~operationresults~x",
        ),
        "more segments": (
            f"{LOCATION}/a/b/operationResults/x",
            "microsoft.cache~westus~operationresults~x",
        ),
        "a provider within a provider": (
            f"{IN_SUBSCRIPTION}/providers/A.B/c/d/providers/E.F/locations/g/h/i",
            "e.f~g~h~i",
        ),
    },
)
def test_other_shape_ends_with_a_digest(path: str, parts: str) -> None:
    partition = SUBSCRIPTION if path.startswith(IN_SUBSCRIPTION) else "-"
    spelling = path.lower().replace(" ", "")
    expected = Key(partition, f"{parts}~{digest(spelling, 8)}")
    assert accepted(path).operation.key == expected


def test_parts_missing_in_the_url_are_none() -> None:
    operation = accepted(f"{IN_SUBSCRIPTION}/operationResults/x").operation
    assert (operation.provider, operation.location) == (None, None)
    assert operation.collection == "operationresults"


LONG_HOST = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.example.com"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://Hooks.Example.com/a?b=c", "hooks.example.com"),
        ("https://hooks.example.com:8443/a", "hooks.example.com:8443"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]"),
        (f"https://{LONG_HOST}/", digest(LONG_HOST)),
    ],
)
def test_host_key_has_name_and_port(url: str, name: str) -> None:
    assert host_key(url) == Key("hosts", name)
    check_key(host_key(url))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("s/a~b~c~d", Key("s", "a~b~c~d")),
        (" S-1/a~b~c~D~01234567\n", Key("s-1", "a~b~c~D~01234567")),
        ("-/-~-~-~-", Key("-", "-~-~-~-")),
        ("s/a~b~c", None),
        ("s/a~b~c~d~e~f", None),
        ("/s/a~b~c~d", None),
        ("s/a~b~c~d/result", None),
        ("s/a~b~c~d e", None),
        ("a~b~c~d", None),
        ("eyJ2ZXJzaW9uIjoxfQ==", None),
    ],
)
def test_written_key_is_read(text: str, key: Key | None) -> None:
    assert key_from_text(text) == key


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("hooks.example.com", "example.com"),
        ("a.b.example.com", "b.example.com"),
        ("Example.com.", "example.com"),
        ("localhost", None),
        ("localhost.", None),
    ],
)
def test_parent_domain_has_two_labels_or_more(host: str, domain: str | None) -> None:
    assert parent_domain(host) == domain
