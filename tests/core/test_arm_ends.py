"""Which answers end an operation, beyond `test_arm`: repetitions, resources, followed URLs."""

import json
from typing import Any

import pytest

from opswatch.core.arm import PolledUrl, read
from opswatch.core.http import NoAnswer
from opswatch.core.observations import Ended, Missed, Observation, Running, UrlStyle
from opswatch.core.policy import Policy
from opswatch.core.polls import Action, Finish, Wait, after_poll, polled_url
from opswatch.core.watches import Watch
from tests.support.builders import API_VERSION, ENDPOINT, NOW, PATH, URL, answer, at
from tests.support.builders import watch as new_watch

RESULTS_URL = URL.replace("operationsStatus", "operationResults")
RESOURCE_URL = f"{ENDPOINT}/subscriptions/s/resourceGroups/g/providers/P.Q/things/t?{API_VERSION}"
SIGNED = f"{RESULTS_URL}&t=1&c=2&s=3&h=4"
MOVED = URL.replace("/operationsStatus/", "/operationsStatus/moved-")
CONFLICT = {"error": {"code": "Conflict", "message": "It is in use."}}
ONLY_CALLER = "Only the original caller of an asynchronous operation is allowed to read it."


def look(url: str, style: UrlStyle | None, *response: Any) -> Observation:
    polled = PolledUrl(url=url, endpoint=ENDPOINT, style=style, api_version="2024-10-01")
    return read(answer(*response), polled, NOW)


@pytest.mark.parametrize("code", [200, 203, 206, 226])
def test_location_url_ends_with_any_2xx(code: int) -> None:
    seen = look(RESULTS_URL, UrlStyle.LOCATION, {"name": "made"}, code)
    assert isinstance(seen, Ended)
    assert seen.inferred_from is None


@pytest.mark.parametrize(
    "body", [{"id": PATH.replace("operationsStatus", "operationResults"), "x": 1}, b'{"cut": ']
)
def test_odd_final_body_must_repeat(body: Any) -> None:
    seen = look(RESULTS_URL, UrlStyle.LOCATION, body)
    assert isinstance(seen, Ended)
    assert seen.inferred_from


def test_envelope_with_null_status_ends_no_location_url() -> None:
    body = {"id": PATH.replace("operationsStatus", "operationResults"), "status": None}
    assert isinstance(look(RESULTS_URL, UrlStyle.LOCATION, body), Missed)


@pytest.mark.parametrize("body", [b'"a text"', b"17", b"plain text"])
def test_url_of_results_posted_late_must_repeat(body: bytes) -> None:
    seen = look(RESULTS_URL, None, body)
    assert isinstance(seen, Ended)
    assert seen.inferred_from == "not an object"


@pytest.mark.parametrize("body", [b'{"cut": ', b"[1, "])
def test_cut_json_of_unknown_url_is_a_miss(body: bytes) -> None:
    assert isinstance(look(RESULTS_URL, None, body), Missed)


@pytest.mark.parametrize("style", [None, UrlStyle.LOCATION, UrlStyle.STATUS])
@pytest.mark.parametrize("name", ["errors", "odata.error"])
def test_errors_without_a_status_are_no_success(style: UrlStyle | None, name: str) -> None:
    error: Any = {"code": "Conflict", "message": "m"}
    seen = look(RESULTS_URL, style, {name: [error] if name == "errors" else error})
    assert not (isinstance(seen, Ended) and seen.status == "Succeeded")


def test_result_with_errors_in_it_is_a_result() -> None:
    body = {"isValid": False, "errors": [{"code": "X", "message": "m"}]}
    seen = look(RESULTS_URL, UrlStyle.LOCATION, body)
    assert isinstance(seen, Ended)
    assert seen.status == "Succeeded"


@pytest.mark.parametrize(
    ("state", "kind"), [("Updating", Running), ("Succeeded", Ended), ("Failed", Ended)]
)
@pytest.mark.parametrize("status", ["Enabled", "Running", "Failed"])
def test_resource_is_read_by_its_provisioning_state(
    status: str, state: str, kind: type[Observation]
) -> None:
    body = {"status": status, "properties": {"provisioningState": state}}
    seen = look(RESOURCE_URL, None, body)
    assert isinstance(seen, kind)
    assert getattr(seen, "status") == state  # noqa: B009 - of two types


@pytest.mark.parametrize(
    "code",
    ["InvalidApiVersionParameter", "MissingApiVersionParameter", "NoRegisteredProviderFound"],
)
def test_error_about_the_poll_fails_no_operation(code: str) -> None:
    seen = look(RESULTS_URL, UrlStyle.LOCATION, {"error": {"code": code, "message": "m"}}, 400)
    assert isinstance(seen, Missed)


@pytest.mark.parametrize("url", [SIGNED, RESULTS_URL])
def test_refused_caller_fails_no_operation(url: str) -> None:
    body = {"error": {"code": "BadRequest", "message": ONLY_CALLER}}
    seen = look(url, UrlStyle.LOCATION, body, 400)
    assert isinstance(seen, Missed)
    assert "OnlyOriginalCaller" in seen.reason
    assert seen.unreadable is (url == SIGNED)


@pytest.mark.parametrize("state", ["ResolvingDNS", "InfrastructureCreating", "Configuring"])
def test_state_in_progress_ends_no_location_url(state: str) -> None:
    seen = look(RESULTS_URL, UrlStyle.LOCATION, {"properties": {"provisioningState": state}})
    assert isinstance(seen, Running)


@pytest.mark.parametrize("state", ["Online", "CompletedWithWarnings"])
def test_other_state_ends_a_location_url(state: str) -> None:
    seen = look(RESULTS_URL, UrlStyle.LOCATION, {"properties": {"provisioningState": state}})
    assert isinstance(seen, Ended)


def test_running_word_with_a_space_ends_no_location_url() -> None:
    assert isinstance(look(RESULTS_URL, UrlStyle.LOCATION, {"status": "In Progress"}), Running)


@pytest.mark.parametrize(
    "page", [b"<!-- 1 --><html>no</html>", b"<?xml version='1.0'?><!DOCTYPE html><html/>"]
)
def test_page_ends_no_location_url(page: bytes) -> None:
    assert isinstance(look(RESULTS_URL, UrlStyle.LOCATION, page), Missed)


def test_error_beside_a_success_is_in_its_result() -> None:
    report = {"error": {"code": "0", "message": "0 errors reported"}, "installed": 3}
    seen = look(URL, UrlStyle.STATUS, {"status": "Succeeded"} | report)
    assert isinstance(seen, Ended)
    assert seen.error is None
    assert seen.result is not None
    assert json.loads(seen.result) == report


# --- over several polls


def polls(watch: Watch, *responses: Any) -> Action:
    """Return what follows from the last of several polls; the others must not end the watch."""
    action: Action = Wait(watch)
    for number, response in enumerate(responses):
        assert isinstance(action, Wait), (number, action)
        polled = polled_url(action.watch, ENDPOINT)
        now = at(10.0 * number)
        action = after_poll(action.watch, read(response, polled, now), now, Policy())
    return action


EMPTY_202 = answer(None, 202)
OUTAGES = {
    "500": answer(None, 500),
    "429": answer(None, 429),
    "silence": NoAnswer("connect", "refused"),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_outage_does_not_reset_a_named_end(outage: Any) -> None:
    failure = answer(CONFLICT, 409)
    assert isinstance(polls(new_watch(), EMPTY_202, failure, outage, failure), Finish)


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_outage_resets_an_empty_end(outage: Any) -> None:
    empty = answer(None, 204)
    assert isinstance(polls(new_watch(), empty, outage, empty), Wait)


@pytest.mark.parametrize("between", [EMPTY_202, answer(None, 404), answer(None, 409)])
def test_other_answer_resets_a_named_end(between: Any) -> None:
    failure = answer(CONFLICT, 409)
    assert isinstance(polls(new_watch(), EMPTY_202, failure, between, failure), Wait)


LEADS_ON = answer({"status": "InProgress"}, headers={"azure-asyncoperation": MOVED})


@pytest.mark.parametrize("code", [400, 403, 404, 410])
def test_dead_end_is_left_and_tried_again(code: int) -> None:
    action = polls(new_watch(), LEADS_ON, answer(None, code))
    asked = []
    for number in range(2, 10):
        assert isinstance(action, Wait)
        polled = polled_url(action.watch, ENDPOINT)
        asked.append(polled.url)
        response = LEADS_ON if polled.url == URL else answer(None, code)
        now = at(10.0 * number)
        action = after_poll(action.watch, read(response, polled, now), now, Policy())
    assert asked.count(MOVED) == 2
    assert asked[0] == asked[1] == URL


def test_posted_url_keeps_its_style_behind_several_others() -> None:
    """The posted URL has shown no status: its 200 with a resource is the end."""
    accepted = answer(None, 202, {"azure-asyncoperation": MOVED})
    further = answer({"status": "InProgress"}, headers={"azure-asyncoperation": f"{MOVED}-2"})
    gone, resource = answer(None, 404), answer({"name": "cache-1"})
    assert isinstance(polls(new_watch(), accepted, further, gone, resource), Finish)


def test_two_urls_that_lead_to_one_another_are_polled_in_turn() -> None:
    leads_back = answer({"status": "InProgress"}, headers={"azure-asyncoperation": URL})
    action = polls(new_watch(), LEADS_ON, leads_back, LEADS_ON, leads_back)
    assert isinstance(action, Wait)
    assert polled_url(action.watch, ENDPOINT).url == URL
    assert action.watch.route.posted_url is None


def test_end_inferred_at_the_deadline_gets_one_more_poll() -> None:
    failure = answer(CONFLICT, 409)
    late = new_watch(deadline_at=at(15))
    confirmed = polls(late, EMPTY_202, EMPTY_202, failure, failure)
    assert isinstance(confirmed, Finish)
    assert confirmed.watch.end is not None
    assert confirmed.watch.end.status == "Failed"


@pytest.mark.parametrize("last", [EMPTY_202, answer(None, 500), answer(None, 204)])
def test_deadline_is_extended_only_once(last: Any) -> None:
    late = new_watch(deadline_at=at(15))
    action = polls(late, EMPTY_202, EMPTY_202, answer(CONFLICT, 409), last)
    assert isinstance(action, Finish)
    assert action.watch.end is not None
    assert action.watch.end.status == ("Succeeded" if last.status_code == 204 else "TimedOut")
