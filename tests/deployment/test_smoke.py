"""The smoke test of a deployment, against a stand-in for az and a simulated clock."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.smoke import __main__ as smoke
from opswatch.core.keys import operation_from_url
from tests.deployment.fake_az import FakeAz

Outcome = Callable[[], tuple[int, str]]
LIST = "functionapp function list"
PUT = "storage message put --queue-name operations"
REJECTIONS = "query --table-name rejections"
RESULTS = "query --table-name results"
WATCHES = "query --table-name watches"
WHAT_IF = "/whatIf?api-version="
SUBSCRIPTION = "11111111-1111-1111-1111-11111111AAAA"
URL = (
    f"https://management.azure.com/subscriptions/{SUBSCRIPTION}/operationresults/eyJqb2JJZCI6?"
    "api-version=2022-09-01&t=638481622558841711&c=MIIH&s=abc&h=def"
)
# What `az rest --verbose` writes beside the (empty) body of a 202.
HEADERS = f"""INFO: Response status: 202
INFO: Response headers:
INFO:     'Cache-Control': 'no-cache'
INFO:     'Location': '{URL}'
INFO:     'Retry-After': '15'
INFO: Response content:"""


@dataclass
class Api:
    """The deployed app's HTTP side: each request has a status, from an instant on."""

    now: Callable[[], float]
    answers: list[tuple[str, int, float]] = field(default_factory=list)
    robots: str | None = "noindex"
    url: str = ""

    def answer(self, request: str, status: int, *, since: float = 0) -> None:
        """Answer a request such as `GET /api/health`; the last matching answer counts."""
        self.answers.append((request, status, since))

    def status(self, request: str) -> int:
        return next(
            status
            for known, status, since in reversed(self.answers)
            if known == request and self.now() >= since
        )


@pytest.fixture
def api(az: FakeAz) -> Iterator[Api]:
    """Serve a healthy app on a port of this machine."""
    api = Api(az.now)
    for request, status in [
        ("GET /api/health", 200), ("HEAD /api/health", 200), ("GET /api/dashboard", 200),
        ("GET /api/operations", 401), ("POST /api/operations", 401),
    ]:  # fmt: skip
        api.answer(request, status)

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            assert not {"x-functions-key", "authorization"} & {*map(str.lower, self.headers)}
            status = api.status(f"{self.command} {self.path}")
            self.send_response(status)
            if status == 302:
                self.send_header("location", "/api/health")
            if api.robots:
                self.send_header("x-robots-tag", api.robots)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = respond  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        yield api
        server.shutdown()
        thread.join()


def listed(*names: str) -> str:
    return json.dumps([{"name": f"func-ops/{name}"} for name in names])


def rows(*found: dict[str, str]) -> str:
    return json.dumps({"items": found, "nextMarker": {}})


@pytest.fixture
def az(tmp_path: Path) -> FakeAz:
    az = FakeAz(tmp_path)
    az.answer(LIST, listed(*smoke.declared_functions()))
    az.answer(PUT, "{}")
    az.answer(REJECTIONS, rows())
    az.answer(REJECTIONS, rows({"reason": "UnknownShape"}), since=10)
    az.answer(WHAT_IF, " ", error=HEADERS)
    az.answer(RESULTS, rows())
    az.answer(RESULTS, rows({"status": "Succeeded"}), since=40)
    az.answer(WATCHES, rows())
    return az


@pytest.fixture
def outcome(
    az: FakeAz, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Outcome:
    """Run the smoke test; return its exit code and what it prints."""

    def run() -> tuple[int, str]:
        env = az.environment({"OPSWATCH_URL": api.url})
        monkeypatch.setenv("PATH", env["PATH"])
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        code = smoke.main(env, smoke.Clock(az.now, az.sleep))
        assert [call["command"] for call in az.calls if not call["expected"]] == []
        return code, capsys.readouterr().out

    return run


def test_healthy_app_passes(outcome: Outcome) -> None:
    code, printed = outcome()
    assert code == 0
    assert printed.splitlines() == [
        f"passed  functions   {len(smoke.declared_functions())} listed",
        "passed  api         healthy, and closed without a key, after 0 s",
        "passed  rejection   UnknownShape after 10 s",
        "passed  operation   Succeeded after 30 s",
    ]


def test_posted_url_is_that_of_the_started_operation(az: FakeAz, outcome: Outcome) -> None:
    outcome()
    unreadable, post = (call["files"][0] for call in az.calls if PUT in call["command"])
    posted = json.loads(post)
    assert posted["operation"] == URL
    (query, *_) = (call["command"] for call in az.calls if RESULTS in call["command"])
    assert f"clientState eq '\"{posted['clientState']}\"'" in query
    (started,) = (call for call in az.calls if WHAT_IF in call["command"])
    assert json.loads(started["files"][0])["properties"]["template"]["resources"] == []
    assert f"/subscriptions/{SUBSCRIPTION}/providers/" in started["command"]
    query = next(call["command"] for call in az.calls if REJECTIONS in call["command"])
    assert sha256(unreadable.encode()).hexdigest() in query


def test_filter_finds_the_row_of_the_operation() -> None:
    key = operation_from_url(URL).key
    condition = smoke.watch_filter(SUBSCRIPTION, "smoke-1")
    assert f"PartitionKey eq '{key.partition}'" in condition
    least, most = re.findall(r"RowKey (?:ge|lt) '([^']*)'", condition)
    assert least < key.row < most
    assert "clientState eq '\"smoke-1\"'" in condition


def test_functions_appear_late(az: FakeAz, outcome: Outcome) -> None:
    az.answer(LIST, "[]")
    az.answer(LIST, listed(*smoke.declared_functions()), since=60)
    assert outcome()[0] == 0


def test_app_without_functions_fails(az: FakeAz, outcome: Outcome) -> None:
    az.answer(LIST, "[]")
    code, printed = outcome()
    assert code == 1
    assert "FAILED  functions   the app lists no function" in printed
    assert "Set OPSWATCH_PYTHON_VERSION to 3.11" in printed
    assert printed.count("not run") == 3
    assert az.called(PUT) == 0


def test_missing_function_is_named(az: FakeAz, outcome: Outcome) -> None:
    az.answer(LIST, listed(*smoke.declared_functions() - {"deliveries"}))
    code, printed = outcome()
    assert code == 1
    assert "not listed: deliveries" in printed


def test_health_may_come_late(api: Api, outcome: Outcome) -> None:
    api.answer("GET /api/health", 503)
    api.answer("GET /api/health", 200, since=90)
    code, printed = outcome()
    assert code == 0
    assert "closed without a key, after 90 s" in printed


@pytest.mark.parametrize(
    ("request_", "status", "advice"),
    [
        ("GET /api/health", 503, "/api/health/details names what fails"),
        ("HEAD /api/health", 404, "section errors"),
        ("GET /api/health", 302, "section errors"),
        ("GET /api/dashboard", 401, "section errors"),
        ("GET /api/operations", 200, "stop the app"),
        ("POST /api/operations", 400, "stop the app"),
        ("POST /api/operations", 500, "section errors"),
    ],
)
def test_wrong_answer_of_api_fails(
    api: Api, outcome: Outcome, request_: str, status: int, advice: str
) -> None:
    api.answer(request_, status)
    code, printed = outcome()
    assert code == 1
    _, line, hint, *_ = printed.splitlines()
    assert line.startswith(f"FAILED  api         {request_}: {status}, not ")
    assert ";" not in line
    assert advice in hint
    assert "passed  operation" in printed


def test_page_that_may_be_indexed_fails(api: Api, outcome: Outcome) -> None:
    api.robots = None
    code, printed = outcome()
    assert code == 1
    assert "GET /api/dashboard: search engines may list it" in printed
    assert "operations: search" not in printed


def test_app_that_does_not_answer_fails(az: FakeAz, api: Api, outcome: Outcome) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        api.url = f"http://127.0.0.1:{closed.server_port}"
    code, printed = outcome()
    assert code == 1
    assert "refused" in printed
    assert az.called(PUT) == 2


def test_unread_message_fails(az: FakeAz, outcome: Outcome) -> None:
    az.answer(REJECTIONS, rows())
    code, printed = outcome()
    assert code == 1
    assert "FAILED  rejection   no row in the table rejections after 60 s" in printed
    assert "passed  operation" in printed


@pytest.mark.parametrize(
    ("watch", "detail", "advice"),
    [
        ({"lastMiss": "403 OnlyOriginalCaller …"}, "403 Only", "'Whose operation?'"),
        ({"lastMiss": "400 OnlyOriginalCaller …"}, "400 Only", "'Whose operation?'"),
        ({"lastMiss": "401 InvalidToken"}, "401", "sections access"),
        ({"lastMiss": "429 TooManyRequests"}, "429", "section overdue"),
        ({"status": "Running"}, "watched", "section overdue"),
        (None, "no watch either", "tables rejections and watches"),
    ],
)
def test_unread_canary_fails(
    az: FakeAz, outcome: Outcome, watch: dict[str, str] | None, detail: str, advice: str
) -> None:
    az.answer(RESULTS, rows())
    az.answer(WATCHES, rows(watch) if watch else rows())
    code, printed = outcome()
    assert code == 1
    line, hint = printed.splitlines()[-2:]
    assert line.startswith("FAILED  operation   no result after 240 s; ")
    assert detail in line
    assert advice in hint


def test_lost_canary_fails(az: FakeAz, outcome: Outcome) -> None:
    az.answer(RESULTS, rows({"status": "Lost", "lostReason": "403 OnlyOriginalCaller"}))
    code, printed = outcome()
    assert code == 1
    assert "Lost: 403 OnlyOriginalCaller" in printed
    assert "'Whose operation?'" in printed


def test_answer_without_location_fails(az: FakeAz, outcome: Outcome) -> None:
    az.answer(WHAT_IF, "{}", error="INFO: Response status: 200")
    code, printed = outcome()
    assert code == 1
    assert "no Location" in printed


def test_refused_post_is_explained(az: FakeAz, outcome: Outcome) -> None:
    az.answer(PUT, error="ERROR: AuthorizationPermissionMismatch")
    code, printed = outcome()
    assert code == 1
    assert printed.count("AuthorizationPermissionMismatch") == 2
    assert "as an operator" in printed


def test_missing_az_is_explained(az: FakeAz, outcome: Outcome) -> None:
    (az.folder / "az").unlink()
    code, printed = outcome()
    assert code == 1
    assert "FAILED  functions   the Azure CLI (az) is not installed" in printed


def test_unknown_deployment_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert smoke.main({}) == 2
    assert "AZURE_SUBSCRIPTION_ID is not set" in capsys.readouterr().out


def test_variables_come_from_azd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    azd = tmp_path / "azd"
    azd.write_text("#!/bin/sh\necho 'AZURE_FUNCTION_NAME=\"func-dev\"'\n")
    azd.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert smoke.values_of_azd({"AZURE_LOCATION": "x"}) == {
        "AZURE_FUNCTION_NAME": "func-dev",
        "AZURE_LOCATION": "x",
    }


def test_functions_are_those_of_the_app() -> None:
    assert {"operations", "deliveries", "purge"} <= smoke.declared_functions()
