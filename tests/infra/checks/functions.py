"""The HTTP functions of function_app.py: their routes, and which of them need a key."""

import ast

from tests.infra.checks.project import Project

PLACE = "function_app.py"
# Function: route and level. The host tries routes in the order of the functions' names, so the two
# that catch all must come last; infra/README.md says whose keys are whose.
HTTP = {
    "health": ("health", "ANONYMOUS"),
    "page": ("dashboard/{*path}", "ANONYMOUS"),
    "read": ("{*path}", "FUNCTION"),
    "write": ("{*path}", "FUNCTION"),
}


def check(project: Project) -> list[str]:
    found: dict[str, tuple[str, str]] = {}
    for node in ast.parse(project.read(PLACE)).body:
        for decorator in getattr(node, "decorator_list", []):
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "app.route":
                given = {each.arg: each.value for each in decorator.keywords}
                level = ast.unparse(given["auth_level"]).rpartition(".")[2]
                found[getattr(node, "name", "")] = (ast.literal_eval(given["route"]), level)
    return [
        f"{PLACE}: {name} has {found.get(name)}, not {HTTP.get(name)}"
        for name in sorted(found.keys() | HTTP.keys())
        if found.get(name) != HTTP.get(name)
    ]
