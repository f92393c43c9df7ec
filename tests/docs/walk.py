"""Runs the commands of docs/local.md as they are printed, each in its terminal.

`python -m tests.docs.walk [--apart]`: with `--apart` it is in a separate network, in which only
the loopback interface exists, and switches that on. The ports of the page are free there.

A block of commands belongs to the terminal that its language names (`bash 3`). A block of text
after it is what the terminal prints, in this order, where `…` is any text.
"""

import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "local.md"
SERVERS = ("1", "2", "3", "4", "6")  # terminals whose last command runs until it is stopped
_NEEDED = ("host.json", "function_app.py", "opswatch", "examples", ".venv", "node_modules")
_TIMEOUT = 60.0  # seconds, for what a terminal prints
_DONE = "the block is done"
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


class Terminal:
    """A shell, and what it has printed."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._printed: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Everything that was printed."""
        return "".join(self._printed)

    def send(self, code: str) -> None:
        """Type commands."""
        assert self._process.stdin is not None
        self._process.stdin.write(code)
        self._process.stdin.flush()

    def wait_for(self, expected: str) -> None:
        """Wait until the terminal has printed a text; raise `AssertionError`."""
        pattern = as_pattern(expected)
        with self._more:
            found = self._more.wait_for(lambda: pattern.search(self.text), _TIMEOUT)
        assert found, f"expected:\n{expected}\nprinted:\n{self.text}"

    def stop(self) -> None:
        """End the shell and what it runs."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(_TIMEOUT)
        self._reader.join(_TIMEOUT)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self._printed.append(line)
                self._more.notify_all()


def as_pattern(expected: str) -> re.Pattern[str]:
    """Return the pattern of lines in this order, where `…` is any text, or any other lines."""
    shown = [line for line in expected.strip().splitlines() if line != "…"]
    lines = [re.escape(line).replace("…", ".*") for line in shown]
    return re.compile("^" + r"\n(?:.*\n)*?".join(lines), re.MULTILINE)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return the language, the terminal (empty if none is named) and the text of each block."""
    return re.findall(r"^```(bash|text) ?(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def walk(page: str, folder: Path) -> None:
    """Run all commands of a page and compare what they print."""
    terminals = {name: Terminal(folder) for name in (*SERVERS, "5")}
    current = "5"
    try:
        for language, name, text in blocks(page):
            current = name or current
            if language == "bash":
                for terminal in terminals.values() if name == "all" else [terminals[name]]:
                    terminal.send(text)
                    if name == "5":
                        terminal.send(f"printf '\\n%s\\n' '{_DONE} {len(text)}'\n")
                        terminal.wait_for(f"{_DONE} {len(text)}")
            else:
                terminals[current].wait_for(text)
    finally:
        for terminal in reversed(terminals.values()):
            terminal.stop()


def switch_loopback_on() -> None:
    """Switch on the loopback interface of a new network."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", _IFF_UP)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


if __name__ == "__main__":
    if "--apart" in sys.argv:
        switch_loopback_on()
    with tempfile.TemporaryDirectory() as made:
        for name in _NEEDED:
            (Path(made) / name).symlink_to(ROOT / name)
        walk(PAGE.read_text(encoding="utf-8"), Path(made))
