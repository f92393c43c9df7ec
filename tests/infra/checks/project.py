"""The files that the checks read: of this checkout, or of a copy with a fault."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.infra.deployment import ROOT


@dataclass(frozen=True)
class Project:
    root: Path = ROOT

    def read(self, name: str) -> str:
        path = self.root / name
        return path.read_text("utf-8") if path.is_file() else ""

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def yaml(self, name: str) -> Any:
        return _load_yaml(self.read(name))

    def templates(self) -> dict[str, str]:
        """Return the text of every Bicep file by its path within the project."""
        paths = sorted((self.root / "infra").rglob("*.bicep*"))
        return {
            path.relative_to(self.root).as_posix(): path.read_text("utf-8")
            for path in paths
            if path.suffix in (".bicep", ".bicepparam")
        }

    def variables(self) -> set[str]:
        """Return the names that main.bicepparam reads."""
        text = self.read("infra/main.bicepparam")
        return set(re.findall(r"readEnvironmentVariable\('(\w+)'", text))

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of every query: the files, and those in the workbook."""
        for path in sorted((self.root / "infra/queries").glob("*.kql")):
            yield path.relative_to(self.root).as_posix(), path.read_text("utf-8")
        for item in self.json("infra/workbook.json")["items"]:
            if "query" in item["content"]:
                yield f"infra/workbook.json#{item['name']}", item["content"]["query"]


@cache  # the same few texts for each fault in a different file
def _load_yaml(text: str) -> Any:
    return yaml.safe_load(text)
