"""A Bicep file as its syntax tree, and the few questions that the checks ask of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.infra.checks.finding import Finding

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_KINDS = {
    "metadata_declaration": "metadata",
    "module_declaration": "module",
    "output_declaration": "output",
    "parameter_declaration": "param",
    "resource_declaration": "resource",
    "type_declaration": "type",
    "user_defined_function": "func",
    "variable_declaration": "var",
}


@dataclass(frozen=True, slots=True)
class Declaration:
    kind: str
    name: str
    node: Node
    decorators: tuple[Node, ...]

    @property
    def literal(self) -> str:
        """The resource type with its version, or the module's path."""
        strings = [child for child in self.node.named_children if child.type == "string"]
        return (literal(strings[0]) or "") if strings else ""

    @property
    def resource_type(self) -> str:
        return self.literal.partition("@")[0]

    @property
    def existing(self) -> bool:
        head = text(self.node).partition("=")[0]
        return self.kind == "resource" and bool(re.search(r"'\s+existing\s*$", head))

    @property
    def body(self) -> Node | None:
        """The object of a resource or a module, out of its loop or condition."""
        todo = list(self.node.named_children)
        for node in todo:
            if node.type == "object":
                return node
            if node.type in ("for_statement", "if_statement"):
                todo.extend(node.named_children)
        return None

    @property
    def condition(self) -> str | None:
        for node in walk(self.node):
            if node.type == "if_statement":
                return text(node.named_children[0])
        return None

    @property
    def type_name(self) -> str | None:
        """What a parameter or an output is declared to be: `string`, `int`, `bool`, `object`, …"""
        types = [child for child in self.node.named_children if child.type == "type"]
        return text(types[0]) if types else None

    @property
    def value(self) -> Node | None:
        """What stands right of the `=`: a default, or the value of a variable or an output."""
        children = self.node.children
        signs = [index for index, child in enumerate(children) if child.type == "="]
        if not signs:
            return None
        after = [child for child in children[signs[0] + 1 :] if child.is_named]
        return after[0] if after else None


@dataclass(frozen=True)
class Source:
    """One file, parsed."""

    path: Path
    name: str  # within the project

    @cached_property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def root(self) -> Node:
        return _PARSER.parse(self.data).root_node

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(walk(self.root))

    @cached_property
    def declarations(self) -> tuple[Declaration, ...]:
        found: list[Declaration] = []
        waiting: list[Node] = []
        for node in self.root.named_children:
            if node.type == "decorators":
                waiting.append(node)
                continue
            kind = _KINDS.get(node.type)
            names = [child for child in node.named_children if child.type == "identifier"]
            if kind and names:
                found.append(Declaration(kind, text(names[0]), node, tuple(waiting)))
            waiting = []
        return tuple(found)

    def all(self, kind: str) -> tuple[Declaration, ...]:
        return tuple(each for each in self.declarations if each.kind == kind)

    def get(self, kind: str, name: str) -> Declaration | None:
        return next((each for each in self.all(kind) if each.name == name), None)

    @cached_property
    def scope(self) -> str:
        match = re.search(r"^targetScope\s*=\s*'(\w+)'", text(self.root), re.MULTILINE)
        return match[1] if match else "resourceGroup"

    def finding(self, node: Node, message: str) -> Finding:
        return Finding(f"{self.name}:{node.start_point.row + 1}", message)


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def ancestors(node: Node) -> Iterator[Node]:
    above = node.parent
    while above is not None:
        yield above
        above = above.parent


def text(node: Node) -> str:
    return (node.text or b"").decode()


def flat(node: Node | None) -> str:
    """The text on one line, each run of white space one space; empty where there is no node."""
    return " ".join(text(node).split()) if node is not None else ""


def literal(node: Node | None) -> str | None:
    """The value of a string without interpolation; None for anything else."""
    if node is None or node.type != "string":
        return None
    if any(child.type == "interpolation" for child in node.named_children):
        return None
    return text(node).strip("'")


def properties(obj: Node) -> Iterator[tuple[str, Node]]:
    """Yield name and value of each property; a computed name comes as it is written."""
    for prop in obj.named_children:
        if prop.type != "object_property":
            continue
        parts = [child for child in prop.named_children if child.type != "comment"]
        if len(parts) < 2:
            continue
        yield (literal(parts[0]) or text(parts[0])), parts[-1]


def lookup(node: Node | None, path: str) -> Node | None:
    """Follow `a.b.c` through nested objects and arrays of one item."""
    for step in path.split("."):
        while node is not None and node.type == "array":
            items = [child for child in node.named_children if child.type != "comment"]
            node = items[0] if len(items) == 1 else None
        if node is None or node.type != "object":
            return None
        node = dict(properties(node)).get(step)
    return node


def items(node: Node | None) -> list[Node]:
    """The items of an array; none for anything else."""
    if node is None or node.type != "array":
        return []
    return [child for child in node.named_children if child.type != "comment"]
