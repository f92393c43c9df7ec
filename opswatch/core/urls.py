"""ARM URLs: which may be asked, and how they are sent."""

import re
from urllib.parse import quote, urlsplit

from opswatch.core.errors import Reason, RefusedError
from opswatch.core.texts import MAX_PROPERTY

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)([^?]*)(?:\?(.*))?", re.DOTALL)
# Hosts of which each region has its own: westus.management.azure.com.
_CLOUD_HOSTS = frozenset(
    {"management.azure.com", "management.usgovcloudapi.net", "management.chinacloudapi.cn"}
)
_REGION = re.compile(r"[a-z0-9-]{1,40}")
# Everything that a request line can hold is left as it is: newer status URLs are signed.
_SENT_AS_IS = "!#$%&'()*+,-./:;=?@[]_~^`{|}\"<>"


def own_url(text: str, endpoint: str) -> str:
    """Return the absolute URL or ARM path `text` as it will be sent to `endpoint`.

    The query is kept byte for byte. Raises `RefusedError` if the URL leads to another scheme or
    host, cannot be sent, or is longer than a table property.
    """
    if _CONTROL.search(text):
        raise RefusedError(Reason.INVALID_OPERATION, "a control character or backslash in the URL")
    if text.startswith("/") and not text.startswith("//"):
        text = endpoint + text
    match = _ABSOLUTE.fullmatch(text)
    if not match:
        raise RefusedError(Reason.INVALID_OPERATION, "neither an ARM path nor an absolute URL")
    scheme, authority, path, query = match.groups()
    if not same_origin(scheme, authority, endpoint):
        raise RefusedError(
            Reason.FOREIGN_HOST, f"{scheme}://{authority[:200]} is not {endpoint}, the ARM endpoint"
        )
    if "#" in text:
        raise RefusedError(Reason.INVALID_OPERATION, "a fragment (#) in the URL")
    tail = path if query is None else f"{path}?{query}"
    url = endpoint + quote(tail, safe=_SENT_AS_IS)
    if len(url) > MAX_PROPERTY:
        raise RefusedError(Reason.TOO_LARGE, f"a URL of {len(url)} characters")
    return url


def same_origin(scheme: str, authority: str, endpoint: str) -> bool:
    """Return whether a URL's scheme and authority are those of `endpoint`; user info never is.

    A region's own ARM host (`westus.management.azure.com`) is taken for that of its cloud.
    """
    if f"{scheme}://{authority}" == endpoint:  # as nearly all are
        return True
    try:
        ours, theirs = urlsplit(endpoint), urlsplit(f"{scheme.lower()}://{authority}")
        host = theirs.hostname or ""
        region, _, cloud = host.partition(".")
        if cloud == ours.hostname and cloud in _CLOUD_HOSTS and _REGION.fullmatch(region):
            host = cloud
        return "@" not in authority and (
            (ours.scheme, ours.hostname, ours.port or _DEFAULT_PORTS.get(ours.scheme))
            == (theirs.scheme, host, theirs.port or _DEFAULT_PORTS.get(theirs.scheme))
        )
    except ValueError:  # an invalid port or IPv6 address
        return False


def collection_of(url: str) -> str:
    """Return the last segment but one of an absolute URL's path, in lower case; empty without one.

    Of a status URL it names the collection of operations.
    """
    segments = url.partition("?")[0].rstrip("/").lower().split("/")[3:]
    return segments[-2] if len(segments) > 1 else ""


def is_resource_url(url: str) -> bool:
    """Return whether an absolute URL is a resource's: its collection is not one of operations."""
    collection = collection_of(url)
    return "operation" not in collection and "async" not in collection


def is_signed(url: str) -> bool:
    """Return whether ARM has signed a status URL (`t`, `c`, `s` and `h`): it may have a caller."""
    return {"s", "h"} <= _parameters(url).keys()


def without_signature(url: str) -> str:
    """Return a status URL with nothing in its query but the `api-version`."""
    version = _parameters(url).get("api-version")
    return url.partition("?")[0] + (f"?{version}" if version else "")


def _parameters(url: str) -> dict[str, str]:
    """Return the parameters of a URL's query by their names in lower case, each as it is sent."""
    query = url.partition("?")[2]
    return {part.partition("=")[0].lower(): part for part in query.split("&") if part}


def with_api_version(url: str, api_version: str | None) -> str:
    """Return `url` with an `api-version`, which ARM requires, if it has none yet.

    Raises `RefusedError` if that makes it longer than a table property.
    """
    if api_version is None or re.search(r"[?&]api-version=", url, re.IGNORECASE):
        return url
    separator = "&" if "?" in url else "?"
    url = f"{url}{separator}api-version={quote(api_version, safe='')}"
    if len(url) > MAX_PROPERTY:
        raise RefusedError(Reason.TOO_LARGE, f"a URL of {len(url)} characters")
    return url
