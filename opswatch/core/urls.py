"""ARM URLs: which may be asked, and how they are sent."""

import re
from urllib.parse import quote, urlsplit

from opswatch.core.errors import Reason, RefusedError
from opswatch.core.texts import MAX_PROPERTY

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)([^?]*)(?:\?(.*))?", re.DOTALL)
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
    """Return whether a URL's scheme and authority are those of `endpoint`; user info never is."""
    try:
        ours, theirs = urlsplit(endpoint), urlsplit(f"{scheme.lower()}://{authority}")
        return "@" not in authority and (
            (ours.scheme, ours.hostname, ours.port or _DEFAULT_PORTS.get(ours.scheme))
            == (theirs.scheme, theirs.hostname, theirs.port or _DEFAULT_PORTS.get(theirs.scheme))
        )
    except ValueError:  # an invalid port or IPv6 address
        return False


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
