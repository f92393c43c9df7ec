"""Every resource against the types that Bicep itself uses: properties, choices, what is required.

The files are those of Azure/bicep-types-az, `<namespace>/<api version>/*.json`. Where they are not
beside the checkout only the types of `known_types` are checked; the workflow compiles everything.
"""

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from tree_sitter import Node

from tests.infra.checks.bicep import Declaration, Source, items, literal, lookup, properties, text
from tests.infra.checks.finding import Finding
from tests.infra.checks.known_types import KNOWN, to_type_file
from tests.infra.checks.project import TYPE_FILES, Project
from tests.infra.checks.symbols import kind_of

Type = Mapping[str, Any]
_REQUIRED, _READ_ONLY = 1, 2
_BICEP_OWN = frozenset({"parent", "scope", "dependsOn"})
_KINDS = {
    "StringType": "string",
    "StringLiteralType": "string",
    "UnionType": "string",
    "IntegerType": "int",
    "BooleanType": "bool",
    "ArrayType": "array",
    "ObjectType": "object",
    "DiscriminatedObjectType": "object",
}


def check(project: Project) -> list[Finding]:
    found: list[Finding] = []
    for source in project.sources.values():
        checker = _Checker(source)
        for resource in source.all("resource"):
            checker.resource(resource)
        checker.references()
        found += checker.found
    return found


@cache
def _types_of(namespace: str, version: str) -> tuple[list[Type], ...]:
    folder = TYPE_FILES / namespace.lower() / version
    return tuple(json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json")))


@cache
def _own_types() -> list[dict[str, Any]]:
    return to_type_file()


def _find(name: str) -> tuple[list[Type], Type] | str | None:
    """Return the file and the type, why there is none, or None where nobody can tell."""
    kind, _, version = name.partition("@")
    namespace = kind.partition("/")[0]
    own = any(known.startswith(namespace + "/") for known in KNOWN)
    if not own and not TYPE_FILES.is_dir():
        return None
    files = (_own_types(),) if own else _types_of(namespace, version)
    for types in files:
        for entry in types:
            # Spelt as Azure spells it: deployments forgive, tools that compare do not.
            if entry["$type"] == "ResourceType" and entry["name"] == name:
                return types, entry  # type: ignore[return-value]
    if own or (TYPE_FILES / namespace.lower()).is_dir():
        return f"no resource type {kind} at {version}"
    return f"no types for {namespace}"


class _Checker:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Finding] = []
        self.bodies: dict[str, tuple[list[Type], Type]] = {}

    def say(self, node: Node, message: str) -> None:
        self.found.append(self.source.finding(node, message))

    def resource(self, resource: Declaration) -> None:
        found = _find(resource.literal)
        if found is None or isinstance(found, str):
            if found:
                self.say(resource.node, found)
            return
        types, entry = found
        body_type = _resolve(types, entry["body"])
        self.bodies[resource.name] = (types, body_type)
        if resource.body is None:
            self.say(resource.node, f"{resource.name} has no body")
        elif not resource.existing:
            self.object(resource.body, types, body_type, resource.resource_type, top=True)

    def references(self) -> None:
        """Follow `symbol.a.b` into the type of the resource."""
        for node in self.source.nodes:
            parent = node.parent
            if node.type != "member_expression" or parent is None:
                continue
            if parent.type == "member_expression" and parent.named_children[0] == node:
                continue
            first, *rest = re.sub(r"\[[^\]]*\]|[!?]", "", text(node)).split(".")
            if first not in self.bodies or "(" in text(node):
                continue
            types, current = self.bodies[first]
            for step in rest:
                known = current.get("properties") or current.get("baseProperties") or {}
                if _KINDS.get(current["$type"]) in ("string", "int", "bool"):
                    self.say(node, f"{text(node)}: {step} of a {_KINDS[current['$type']]}")
                if not known or current["$type"] != "ObjectType":
                    break
                if step not in known:
                    if "additionalProperties" not in current:
                        self.say(
                            node, f"{first} has no {'.'.join(rest)} ({step}{_near(step, known)})"
                        )
                    break
                current = _resolve(types, known[step]["type"])

    def object(
        self, node: Node, types: list[Type], kind: Type, path: str, *, top: bool = False
    ) -> None:
        given = dict(properties(node))
        known = self.known(node, types, kind, path)
        if known is None:
            return
        extra = kind.get("additionalProperties")
        for name, value in given.items():
            if (top and name in _BICEP_OWN) or "${" in name:
                continue
            if name in known:
                self.property(value, types, known[name], f"{path}.{name}")
            elif extra:
                self.value(value, types, _resolve(types, extra), f"{path}.{name}")
            else:
                self.say(value, f"{path} has no property {name}{_near(name, known)}")
        for name, spec in known.items():
            required = spec["flags"] & _REQUIRED and not spec["flags"] & _READ_ONLY
            if required and name not in given:
                self.say(node, f"{path}: {name} is missing")

    def known(self, node: Node, types: list[Type], kind: Type, path: str) -> dict[str, Any] | None:
        """Return what an object may hold; None where its discriminator leaves that open."""
        known = dict(kind.get("properties") or kind.get("baseProperties") or {})
        if kind["$type"] != "DiscriminatedObjectType":
            return known
        name, elements = kind["discriminator"], kind["elements"]
        chosen = lookup(node, name)
        if chosen is None:
            self.say(node, f"{path}: {name} is missing")
        if literal(chosen) is None:
            return None
        if literal(chosen) not in elements:
            self.say(node, f"{path}: {literal(chosen)!r} is none of {', '.join(elements)}")
            return None
        return known | dict(_resolve(types, elements[literal(chosen)])["properties"])

    def property(self, node: Node, types: list[Type], spec: Mapping[str, Any], path: str) -> None:
        if spec["flags"] & _READ_ONLY:
            self.say(node, f"{path} is read-only")
        else:
            self.value(node, types, _resolve(types, spec["type"]), path)

    def value(self, node: Node, types: list[Type], kind: Type, path: str) -> None:
        want = _KINDS.get(kind["$type"])
        if node.type == "ternary_expression":
            for branch in node.named_children[1:]:
                self.value(branch, types, kind, path)
            return
        have = kind_of(self.source, node)
        if want and have and have != want:
            self.say(node, f"{path}: {want} expected, {have} given")
        elif node.type == "object" and want == "object":
            self.object(node, types, kind, path)
        elif node.type == "array" and want == "array":
            item = _resolve(types, kind["itemType"])
            for child in items(node):
                self.value(child, types, item, f"{path}[]")
        else:
            self.choice(node, types, kind, path)

    def choice(self, node: Node, types: list[Type], kind: Type, path: str) -> None:
        given = literal(node)
        if given is None:
            return
        if kind["$type"] == "StringLiteralType" and given != kind["value"]:
            self.say(node, f"{path}: {given!r} must be {kind['value']!r}")
        elif kind["$type"] == "UnionType":
            options = [_resolve(types, element) for element in kind["elements"]]
            values = [each["value"] for each in options if each["$type"] == "StringLiteralType"]
            # An open choice takes other words too, but a near miss is a slip.
            slip = difflib.get_close_matches(given, values, 1, 0.8)
            if given not in values and (len(values) == len(options) or slip):
                self.say(node, f"{path}: {given!r} is none of {', '.join(values)}")


def _resolve(types: list[Type], reference: Type) -> Type:
    return types[int(reference["$ref"].rsplit("/", 1)[1])]


def _near(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; {near[0]}?" if near else ""
