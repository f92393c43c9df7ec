"""Syntax, names, and what modules ask of each other: the part of a compiler that needs no types."""

import re
from collections import Counter
from collections.abc import Mapping

from tree_sitter import Node

from tests.infra.checks.bicep import (
    Declaration,
    Source,
    ancestors,
    flat,
    items,
    literal,
    lookup,
    properties,
    text,
    walk,
)
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

FUNCTIONS = frozenset(
    re.findall(
        r"\w+",
        """
        any array base64 base64ToJson base64ToString bool cidrHost cidrSubnet cidrSubnets coalesce
        concat contains createArray dataUri dataUriToString dateTimeAdd dateTimeFromEpoch
        dateTimeToEpoch deployer deployment empty endsWith environment extensionResourceId filter
        first flatten format getSecret groupBy guid indexOf int intersection items join json last
        lastIndexOf length list loadFileAsBase64 loadJsonContent loadTextContent loadYamlContent
        managementGroup managementGroupResourceId map mapValues max min newGuid objectKeys padLeft
        parseCidr pickZones providers range reduce reference replace resourceGroup resourceId
        shallowMerge skip sort split startsWith string subscription subscriptionResourceId substring
        take tenant tenantResourceId toLogicalZone toObject toLower toUpper trim union uniqueString
        uri uriComponent uriComponentToString utcNow
        """,
    )
)
_DECORATORS = {
    "allowed": {"param"},
    "batchSize": {"module", "resource"},
    "description": {"metadata", "module", "output", "param", "resource", "type", "var"},
    "maxLength": {"output", "param"},
    "maxValue": {"output", "param"},
    "metadata": {"output", "param"},
    "minLength": {"output", "param"},
    "minValue": {"output", "param"},
    "secure": {"output", "param"},
}
_RETURNS = {
    "string": "cidrSubnet concat format guid join replace string toLower toUpper trim uniqueString "
    "loadTextContent subscriptionResourceId resourceId substring",
    "bool": "contains empty endsWith startsWith bool",
    "int": "indexOf int length",
    "array": "array filter items map range skip split take objectKeys",
    "object": "toObject loadJsonContent",
}
_LITERALS = {
    "string": "string",
    "number": "int",
    "boolean": "bool",
    "array": "array",
    "object": "object",
}
_SCOPE_FUNCTIONS = {"subscription", "resourceGroup", "managementGroup", "tenant"}


def check(project: Project) -> list[Finding]:
    found: list[Finding] = []
    for source in project.sources.values():
        found += _syntax(source)
        found += _names(source)
        found += _parameters(source)
        found += _members(source)
        found += _modules(project, source)
        found += _loaded_files(source)
    used = {
        (source.path.parent / module.literal).resolve()
        for source in project.sources.values()
        for module in source.all("module")
    }
    for source in project.sources.values():
        if source is not project.main and source.path.resolve() not in used:
            found.append(Finding(source.name, "no template uses this module"))
    return found


def kind_of(source: Source, node: Node) -> str | None:
    """Return `string`, `int`, `bool`, `array` or `object`; None where that cannot be told."""
    if node.type in _LITERALS:
        return _LITERALS[node.type]
    if node.type == "for_statement":
        return "array"
    if node.type == "call_expression":
        name = text(node.named_children[0])
        return next((kind for kind, names in _RETURNS.items() if name in names.split()), None)
    if node.type == "unary_expression":
        return "bool" if text(node).startswith("!") else "int"
    if node.type == "identifier":
        declared = source.get("param", text(node))
        if declared:
            return _plain(declared.type_name)
        variable = source.get("var", text(node))
        if variable and variable.value is not None:
            return kind_of(source, variable.value)
    return None


def _plain(type_name: str | None) -> str | None:
    if type_name is None:
        return None
    if type_name.endswith("[]"):
        return "array"
    return type_name if type_name in _LITERALS.values() else None


def _syntax(source: Source) -> list[Finding]:
    return [
        source.finding(node, f"syntax error near {text(node)[:40]!r}")
        for node in source.nodes
        if node.type == "ERROR" or node.is_missing
    ]


def _names(source: Source) -> list[Finding]:
    found: list[Finding] = []
    # Outputs have names of their own; everything else shares one space.
    declared = [each for each in source.declarations if each.kind not in ("output", "metadata")]
    counts = Counter(each.name for each in declared)
    outputs = Counter(each.name for each in source.all("output"))
    for name, count in (counts + outputs).items():
        if counts[name] > 1 or outputs[name] > 1:
            found.append(Finding(source.name, f"{name} is declared {count} times"))
    used = set()
    for node in source.nodes:
        if node.type != "identifier" or _is_naming(node):
            continue
        name = text(node)
        used.add(name)
        called = _is_called(source, node)
        if called and name not in FUNCTIONS and name not in _DECORATORS and name not in counts:
            found.append(source.finding(node, f"there is no function {name}"))
        elif not called and name not in counts and name not in _locals(node):
            found.append(source.finding(node, f"{name} is not declared"))
    found += [
        source.finding(each.node, f"{each.kind} {each.name} is never used")
        for each in declared
        if each.kind in ("param", "var") and each.name not in used
    ]
    for node in source.nodes:
        if node.type == "object":
            keys = Counter(name for name, _ in properties(node))
            found += [
                source.finding(node, f"property {name} is given twice")
                for name, count in keys.items()
                if count > 1
            ]
    return found


def _members(source: Source) -> list[Finding]:
    """Modules have outputs, nothing else has; what a loop declares is reached by an index."""
    found: list[Finding] = []
    for each in source.all("resource"):
        given = dict(properties(each.body)) if each.body is not None else {}
        child = each.resource_type.count("/") > 1
        if "name" not in given or (child and "parent" not in given):
            found.append(source.finding(each.node, f"{each.name} has no name or no parent"))
    for node in source.nodes:
        if node.type != "member_expression":
            continue
        match = re.fullmatch(r"(\w+)!?\.(\w+)", text(node))
        if match is None:
            continue
        module = source.get("module", match[1])
        if (match[2] == "outputs") != (module is not None) and match[2] != "name":
            found.append(source.finding(node, f"{text(node)} is nothing"))
        resource = source.get("resource", match[1])
        param = source.get("param", match[1])
        if param and _plain(param.type_name) != "object":
            found.append(source.finding(node, f"{match[1]} is no object"))
        if resource and any(
            child.type == "for_statement" for child in resource.node.named_children
        ):
            found.append(source.finding(node, f"{match[1]} is many"))
    return found


def _is_called(source: Source, node: Node) -> bool:
    # By its text: the grammar takes a call that begins an array for two items.
    return source.data[node.end_byte : node.end_byte + 1] == b"("


def _is_naming(node: Node) -> bool:
    """Whether the identifier names something here: a property, a declaration, a loop's item."""
    parent = node.parent
    if parent is None:
        return True
    first = parent.named_children[0] == node
    if parent.type == "object_property":
        return first
    if parent.type == "lambda_expression" or parent.type.startswith(("parameter", "decorator")):
        return first
    if parent.type == "for_statement":
        return parent.child_by_field_name("initializer") == node
    if parent.type.endswith("_declaration") or parent.type == "user_defined_function":
        names = [child for child in parent.named_children if child.type == "identifier"]
        return bool(names) and names[0] == node
    return parent.type in ("type", "parameter", "parameters")


def _locals(node: Node) -> set[str]:
    """The names that loops and lambdas around the node bind."""
    bound: set[str] = set()
    for above in ancestors(node):
        if above.type == "lambda_expression":
            bound |= set(re.findall(r"\w+", text(above).partition("=>")[0]))
        elif above.type == "for_statement":
            bound |= set(re.findall(r"\w+", re.split(r"\sin\s", text(above))[0])) - {"for"}
    return bound


def _parameters(source: Source) -> list[Finding]:
    found: list[Finding] = []
    for each in source.declarations:
        decorators = dict(_decorators(each))
        found += [
            source.finding(each.node, f"@{name} does not decorate a {each.kind}")
            for name in decorators
            if each.kind not in _DECORATORS.get(name, ())
        ]
        if each.kind not in ("param", "output"):
            continue
        have = kind_of(source, each.value) if each.value is not None else None
        want = _plain(each.type_name)
        if want is None:
            found.append(source.finding(each.node, f"{each.name}: no type {each.type_name}"))
        elif have and have != want:
            found.append(source.finding(each.node, f"{each.name} is {want}, its value {have}"))
        found += _bounds(source, each, decorators)
    return found


def _decorators(declaration: Declaration) -> list[tuple[str, list[Node]]]:
    calls = [
        node
        for decorator in declaration.decorators
        for node in walk(decorator)
        if node.type == "call_expression"
        and node.parent is not None
        and node.parent.type == "decorator"
    ]
    return [
        (
            text(call.named_children[0]),
            [arg for group in call.named_children[1:] for arg in group.named_children],
        )
        for call in calls
    ]


def _bounds(
    source: Source, param: Declaration, decorators: Mapping[str, list[Node]]
) -> list[Finding]:
    found: list[Finding] = []
    default = param.value
    want = _plain(param.type_name)
    allowed = [
        flat(item)
        for args in [decorators.get("allowed", [])]
        for arg in args
        for item in items(arg)
    ]
    if default is not None and allowed and flat(default) not in allowed:
        found.append(source.finding(param.node, f"{param.name}: the default is not allowed"))
    for low, high, kinds in (
        ("minValue", "maxValue", {"int"}),
        ("minLength", "maxLength", {"string", "array"}),
    ):
        least, most = (_number(decorators.get(name)) for name in (low, high))
        if (least is not None or most is not None) and want not in kinds:
            found.append(source.finding(param.node, f"{param.name}: @{low} or @{high} on a {want}"))
        if least is not None and most is not None and least > most:
            found.append(source.finding(param.node, f"{param.name}: @{low} is above @{high}"))
        size = _size(default, want)
        if size is not None and (
            (least is not None and size < least) or (most is not None and size > most)
        ):
            found.append(source.finding(param.node, f"{param.name}: the default is out of bounds"))
    return found


def _number(arguments: list[Node] | None) -> int | None:
    return int(text(arguments[0])) if arguments and arguments[0].type == "number" else None


def _size(default: Node | None, want: str | None) -> int | None:
    if default is None:
        return None
    if want == "int":
        return int(text(default)) if default.type == "number" else None
    given = literal(default)
    return len(given) if given is not None else None


def _modules(project: Project, source: Source) -> list[Finding]:
    found: list[Finding] = []
    names: Counter[str] = Counter()
    targets: dict[str, Source] = {}
    by_path = {each.path.resolve(): each for each in project.sources.values()}
    for module in source.all("module"):
        target = by_path.get((source.path.parent / module.literal).resolve())
        if target is None:
            found.append(source.finding(module.node, f"there is no module {module.literal}"))
            continue
        targets[module.name] = target
        names[flat(lookup(module.body, "name"))] += 1
        found += _call(source, module, target)
    found += [
        Finding(source.name, f"{count} deployments are named {name or 'nothing'}")
        for name, count in names.items()
        if count > 1 or not name
    ]
    for node in source.nodes:
        match = re.fullmatch(r"(\w+)(?:\[[^\]]*\])?[!?]?\.outputs\.(\w+)", text(node))
        if node.type != "member_expression" or match is None or match[1] not in targets:
            continue
        if targets[match[1]].get("output", match[2]) is None:
            found.append(source.finding(node, f"module {match[1]} has no output {match[2]}"))
        called = source.get("module", match[1])
        guarded = any(above.type == "ternary_expression" for above in ancestors(node))
        if called and called.condition and not guarded:
            found.append(source.finding(node, f"module {match[1]} may not be deployed"))
    return found


def _call(source: Source, module: Declaration, target: Source) -> list[Finding]:
    found: list[Finding] = []
    if module.body is None:
        return [source.finding(module.node, f"module {module.name} has no body")]
    for name, value in properties(module.body):
        if name not in ("name", "scope", "params", "dependsOn"):
            found.append(source.finding(value, f"module {module.name} has no property {name}"))
    scope = _scope(source, lookup(module.body, "scope"))
    if scope and scope != target.scope:
        found.append(
            source.finding(module.node, f"{module.literal} is for a {target.scope}, not a {scope}")
        )
    given_node = lookup(module.body, "params")
    given = dict(properties(given_node)) if given_node is not None else {}
    params = {param.name: param for param in target.all("param")}
    for name, value in given.items():
        if name not in params:
            found.append(source.finding(value, f"{module.literal} has no parameter {name}"))
            continue
        want, have = _plain(params[name].type_name), kind_of(source, value)
        if want and have and want != have:
            found.append(source.finding(value, f"parameter {name} is {want}, {have} given"))
    for name, param in params.items():
        if param.value is None and name not in given:
            found.append(source.finding(module.node, f"{module.literal}: {name} is not given"))
    return found


def _scope(source: Source, node: Node | None) -> str | None:
    if node is None:
        return source.scope
    name = text(node).partition("(")[0]
    if name in _SCOPE_FUNCTIONS:
        return name
    resource = source.get("resource", name)
    if resource and resource.resource_type == "Microsoft.Resources/resourceGroups":
        return "resourceGroup"
    return "unknown"


def _loaded_files(source: Source) -> list[Finding]:
    found: list[Finding] = []
    for node in source.nodes:
        match = re.fullmatch(r"load\w+\('([^']+)'.*\)", text(node), re.DOTALL)
        loads = node.type == "call_expression" and match
        if loads and match and not (source.path.parent / match[1]).is_file():
            found.append(source.finding(node, f"there is no file {match[1]}"))
    return found
