"""No file of the repository holds a secret, whether tracked or new."""

import re
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha512
from pathlib import Path

import pytest

from opswatch.config import DEVELOPMENT_KEY

ROOT = Path(__file__).parents[2]
# The storage emulator's key, and the known answer of the Standard Webhooks specification.
PUBLIC = frozenset({DEVELOPMENT_KEY, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
PATTERNS = {
    "signing secret": r"whsec_[A-Za-z0-9+/_-]{30,}=*",
    "storage account key": r"(?<!sha512-)(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{86}==",
    "other account key": r"(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}=*",
    "shared access signature": r"[?&]sig=[A-Za-z0-9%+/]{40,}",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "JSON web token": r"eyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{15,}",
    "Entra client secret": r"(?<![\w.~-])[\w.~-]{3}[78]Q~[\w.~-]{31,34}",
    "function key": r"(?<![\w-])[\w-]{44}AzFu[\w-]{6}(?:==)?",
    "GitHub token": r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,}",
    "AWS key": r"AKIA[0-9A-Z]{16}",
    "Application Insights": r"InstrumentationKey=(?!0{8})[0-9a-f]{8}-[0-9a-f-]{27}",
}
SECRET = re.compile("|".join(f"({pattern})" for pattern in PATTERNS.values()))


def files() -> Iterator[Path]:
    """Yield the files that are tracked, and new files that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    yield from (ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def secrets_in(text: str) -> list[str]:
    """Return the kinds of apparent secrets in `text`, except public ones."""
    return [
        list(PATTERNS)[(match.lastindex or 1) - 1]
        for match in SECRET.finditer(text)
        if not any(public in match[0] for public in PUBLIC)
    ]


def test_no_file_holds_a_secret() -> None:
    texts = {path.relative_to(ROOT): path.read_text("utf-8", "replace") for path in files()}
    assert Path("function_app.py") in texts
    found = {str(path): kinds for path, text in texts.items() if (kinds := secrets_in(text))}
    assert found == {}


def test_local_settings_are_ignored() -> None:
    assert Path("local.settings.json") not in {path.relative_to(ROOT) for path in files()}
    ignored = subprocess.run(["git", "check-ignore", "local.settings.json"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


# --- secrets to find, made here so that this file passes too


def _key(size: int) -> str:
    """Return text that looks random and is the same in every process that collects the tests."""
    return b64encode(_digest(size)).decode()


def _hex(size: int) -> str:
    return _digest(size).hex()


def _digest(size: int) -> bytes:
    return sha512(f"{size} bytes".encode()).digest()[:size]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("signing secret", f"whsec_{_key(24)}"),
        ("storage account key", f"key: {_key(64)}"),
        ("other account key", f"SharedAccessKey={_key(32)};"),
        ("shared access signature", f"?sv=1&sig={_hex(32)}"),
        ("private key", "-----BEGIN " + "RSA PRIVATE KEY-----"),
        ("JSON web token", ".".join(["eyJ" + _hex(9)] * 2 + [_hex(20)])),
        ("Entra client secret", f"abc8Q~{_hex(16)}xy"),
        ("function key", f"code={_hex(22)}AzFu{_hex(3)}=="),
        ("GitHub token", f"ghp_{_hex(18)}"),
        ("AWS key", "AKIA" + _hex(8).upper()),
        ("Application Insights", "InstrumentationKey=" + "1234abcd-" * 4 + "123"),
    ],
)
def test_secret_is_found(kind: str, text: str) -> None:
    assert secrets_in(f"x = '{text}'") == [kind]


def test_public_key_is_accepted() -> None:
    assert secrets_in(f"AccountKey={DEVELOPMENT_KEY};") == []
