"""The HTTP API of a deployed app: where it is, and the keys that it asks for."""

import re
from urllib.parse import urlsplit

from opswatch.core.callback_policy import is_loopback_host

API_PATH = "/api"  # host.json's route prefix
_EXAMPLE_URL = "https://APP.azurewebsites.net"
_BOTH_KEYS = re.compile(r"(?:read|write)=[^,]+(?:,(?:read|write)=[^,]+)*")


def api_base(url: str) -> str:
    """Return the URL of an app's HTTP API; raise `ValueError` if no key may be sent to `url`."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    is_local = parts.scheme == "http" and is_loopback_host(parts.hostname or "")
    is_plain = parts.hostname and not (parts.query or parts.fragment or "@" in parts.netloc)
    if not is_plain or not (parts.scheme == "https" or is_local):
        raise ValueError(f"an https URL, or http on this machine, such as {_EXAMPLE_URL}")
    path = parts.path.rstrip("/")
    if not path.lower().endswith(API_PATH):
        path += API_PATH
    return f"{parts.scheme}://{parts.netloc}{path}"


def api_keys(text: str) -> dict[str, str]:
    """Return the keys of the functions `read` and `write`: one for both, or `read=…,write=…`."""
    text = text.strip()
    if _BOTH_KEYS.fullmatch(text):
        return dict(pair.split("=", 1) for pair in text.split(","))
    return {"read": text, "write": text} if text else {}
