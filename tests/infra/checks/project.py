"""A checkout, or a copy of what deploys it: where the checks find their files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.infra.checks.bicep import Source

ROOT = Path(__file__).resolve().parents[3]
# Bicep's own type files, where the checkout has them beside it.
TYPE_FILES = ROOT.parent / "shared" / "azure-types"


@dataclass(frozen=True)
class Project:
    root: Path = ROOT

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Every Bicep file by its name within the project."""
        paths = sorted((self.root / "infra").rglob("*.bicep"))
        names = [path.relative_to(self.root).as_posix() for path in paths]
        return {name: Source(path=path, name=name) for name, path in zip(names, paths, strict=True)}

    @property
    def main(self) -> Source:
        return self.sources["infra/main.bicep"]

    def module(self, name: str) -> Source:
        return self.sources[f"infra/modules/{name}.bicep"]

    def read(self, name: str) -> str:
        path = self.root / name
        return path.read_text("utf-8") if path.is_file() else ""

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def yaml(self, name: str) -> Any:
        return _load_yaml(self.read(name))

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of every query: the files, and those within the workbook."""
        for path in sorted((self.root / "infra" / "queries").glob("*.kql")):
            yield path.relative_to(self.root).as_posix(), path.read_text("utf-8")
        for item in self.json("infra/workbook.json")["items"]:
            if "query" in item["content"]:
                yield f"infra/workbook.json#{item['name']}", item["content"]["query"]


@cache  # the same few texts, for each fault that is sown somewhere else
def _load_yaml(text: str) -> Any:
    return yaml.safe_load(text)
