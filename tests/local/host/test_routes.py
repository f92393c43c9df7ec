import pytest

from opswatch.local.host.routes import RouteTable, compile_route, decode_path


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("api/health", "/api/health", {}),
        ("api/health", "/API/Health/", {}),
        ("api/health", "/api/healthy", None),
        ("api/health", "/api/health/x", None),
        ("api/a.b", "/api/axb", None),
        ("/health", "/health", {}),
        ("api/{sub}/{key}", "/api/s/k~1", {"sub": "s", "key": "k~1"}),
        ("api/{sub}/{key}", "/api/s", None),
        ("api/{sub}", "/api/", None),
        ("api/{sub}", "/api/West%20US", {"sub": "West US"}),
        ("api/{sub}", "/api/a%2Fb", {"sub": "a%2Fb"}),
        ("api/{id:int}", "/api/42", {"id": "42"}),
        ("api/{id:int}", "/api/4x", None),
        ("api/{id:guid}", "/api/6432a8f9-0fe6-4339-9303-772c92f35d02", "any"),
        ("api/{id:guid}", "/api/6432a8f9", None),
        ("api/{id:alpha:length(2,3)}", "/api/abc", {"id": "abc"}),
        ("api/{id:alpha:length(2,3)}", "/api/abcd", None),
        ("api/{id:length(2)}", "/api/abc", None),
        ("api/{id:minlength(2)}", "/api/a", None),
        ("api/{id:minlength(2)}", "/api/abc", {"id": "abc"}),
        ("api/{id:maxlength(2)}", "/api/abc", None),
        ("api/{id:maxlength(2)}", "/api/a", {"id": "a"}),
        ("api/{id:min(5)}", "/api/4", None),
        ("api/{id:min(5)}", "/api/x", None),
        ("api/{id:min(5)}", "/api/50", {"id": "50"}),
        ("api/{id:max(5)}", "/api/6", None),
        ("api/{id:max(5)}", "/api/-6", {"id": "-6"}),
        ("api/{id:range(5,7)}", "/api/6", {"id": "6"}),
        ("api/{id:range(5,7)}", "/api/8", None),
        ("api/x/{id?}", "/api/x", {}),
        ("api/x/{id?}", "/api/x/1", {"id": "1"}),
        ("api/x/{id?}", "/api/x1", None),
        ("api/x/{id:int?}", "/api/x/y", None),
        ("api/x/{*rest}", "/api/x/a/b%20c/d", {"rest": "a/b c/d"}),
        ("api/x/{*rest}", "/api/x", {}),
        ("api/x/{*rest}", "/api/xy", None),
        ("{*rest}", "/", {}),
        ("{*rest}", "/a%0Ab", {"rest": "a\nb"}),
        ("api/{name}.{ext}", "/api/a.txt", {"name": "a", "ext": "txt"}),
    ],
)
def test_path_matches_template(template: str, path: str, values: object) -> None:
    found = RouteTable([compile_route(template, "target")]).find("GET", path)
    if values is None:
        assert found is None
    else:
        assert found is not None
        assert values in ("any", found[1])


def test_method_selects_the_route() -> None:
    table = RouteTable([compile_route("x", "read", ["GET"]), compile_route("x", "write", ["POST"])])
    assert table.find("POST", "/x") == ("write", {})
    assert table.find("DELETE", "/x") is None


def test_first_route_that_matches_is_taken() -> None:
    templates = ["a/{x:int}", "a/{x}", "a/b", "{*all}"]
    table = RouteTable([compile_route(template, template) for template in templates])
    found = [table.find("GET", path) for path in ("/a/1", "/a/b", "/c")]
    assert [each and each[0] for each in found] == ["a/{x:int}", "a/{x}", "{*all}"]


@pytest.mark.parametrize(
    "template", ["{", "{a", "a}", "{a:nope}", "{a:regex(x)}", "{a:min()}", "*"]
)
def test_invalid_template_is_rejected(template: str) -> None:
    with pytest.raises(ValueError, match="route"):
        compile_route(template, None)


def test_encoded_slash_stays_encoded() -> None:
    assert decode_path("/a%2Fb%2fc%20d%C3%A9%252F") == "/a%2Fb%2fc d\u00e9%2F"
