"""The worklist and the models, on answers as the server gives them."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.page.conftest import needs_chromium
from tests.page.slide_view import SlideView

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = needs_chromium

SERIES = "2.25.33077098612435209852034509823457"


def slide(number: int, state: str, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "study_instance_uid": "2.25.1",
        "series_instance_uid": f"{SERIES}{number}",
        "state": state,
        "reason": "",
        "first_instance_at": "2026-01-02T03:04:05Z",
        "last_instance_at": "2026-01-02T03:04:05Z",
        "n_instances": 7,
        "sender": "SCANNER",
        "job": None,
        "deliveries": [],
        "result": None,
        **more,
    }


def job(state: str, **more: Any) -> dict[str, Any]:
    return {"key": "a" * 64, "state": state, "stage": "", "progress": 0.0, "reason": "", "attempts": 1, **more}


def delivery(state: str, reason: str = "") -> dict[str, Any]:
    return {"destination": "PACS", "state": state, "attempts": 3, "reason": reason, "next_attempt_at": None}


@pytest.fixture
def listed(view: SlideView) -> Iterator[list[str]]:
    """The worklist, open; yields the paths of jobs that the page asked to change."""
    slides = [
        slide(5, "collecting", reason="level 2 is not whole"),
        slide(4, "queued", job=job("running", stage="predict", progress=0.42)),
        slide(3, "held", reason="the stain is not hematoxylin and eosin"),
        slide(2, "queued", job=job("parked", reason="out of memory three times")),
        slide(
            1,
            "queued",
            job=job("done"),
            deliveries=[delivery("parked", "the PACS refused it")],
            result=view.planted.key,
        ),
    ]
    events = (
        f"event: slide\ndata: {json.dumps(slide(4, 'queued', job=job('running', stage='encode', progress=0.9)))}\n\n"
    )
    asked: list[str] = []

    def answer(route: "Route") -> None:
        path = route.request.url.split("/api/v1", 1)[1]
        if path.startswith("/slides"):
            wanted = [one for one in slides if f"state={one['state']}" in path or "state=" not in path]
            route.fulfill(json={"slides": wanted, "total": len(wanted)})
        elif path == "/events":
            route.fulfill(body=events, content_type="text/event-stream")
        elif path.startswith("/jobs"):
            asked.append(f"{route.request.method} {path}")
            route.fulfill(json={})
        else:
            route.continue_()

    view.page.route("**/api/v1/**", answer)
    view.page.goto(view.url)
    view.page.get_by_text("5 slides").wait_for()
    yield asked


def test_it_says_what_came_what_runs_what_was_held_and_why(listed: list[str], view: SlideView) -> None:
    rows = {row.get_attribute("data-id"): row for row in view.page.locator("li.slide").all()}

    assert "level 2 is not whole" in rows["5"].inner_text()
    assert "the stain is not hematoxylin and eosin" in rows["3"].inner_text()
    assert "out of memory three times" in rows["2"].inner_text()
    assert "the PACS refused it" in rows["1"].inner_text()
    assert "…" + f"{SERIES}1"[-12:] in rows["1"].inner_text()


def test_progress_is_seen_live(listed: list[str], view: SlideView) -> None:
    view.page.get_by_text("encode 90 %").wait_for()

    assert view.page.get_by_role("progressbar").evaluate("(bar) => bar.value") == 0.9


def test_a_person_can_try_again_and_send_again(listed: list[str], view: SlideView) -> None:
    view.page.locator("[data-id='2']").get_by_role("button", name="Try again").click()
    view.page.locator("[data-id='1']").get_by_role("button", name="Send again").click()
    view.page.wait_for_timeout(200)

    assert listed == [f"POST /jobs/{'a' * 64}/retry", f"POST /jobs/{'a' * 64}/deliver"]


def test_states_narrow_the_list(listed: list[str], view: SlideView) -> None:
    view.page.get_by_role("button", name="Held").click()
    view.page.get_by_text("1 slide", exact=True).wait_for()

    assert view.page.locator("li.slide").count() == 1


def test_a_result_opens_from_the_list(listed: list[str], view: SlideView) -> None:
    view.page.get_by_role("link", name="Open").click()

    view.page.wait_for_selector("[data-open=true]")


def test_a_failing_server_is_said_and_a_strange_address_too(view: SlideView) -> None:
    view.page.route("**/api/v1/slides*", lambda route: route.fulfill(status=503, json={"detail": "the database rests"}))
    view.page.goto(view.url)
    view.page.get_by_text("the database rests").wait_for()

    view.page.goto(f"{view.url}/#/nowhere")
    view.page.get_by_text("There is no such page").wait_for()
    view.page.goto(f"{view.url}/#/slide/{'0' * 64}")
    view.page.get_by_text("there is no such result").wait_for()


def test_a_model_shows_its_card(view: SlideView) -> None:
    facts = {"id": "her2st-lite", "version": "0.1.0", "description": "a model", "has_card": True, "problem": ""}
    bundles = [{**facts, "n_genes": 250, "n_shown": 33, "is_default": True}]
    view.page.route("**/api/v1/bundles", lambda route: route.fulfill(json={"bundles": bundles}))
    view.page.route("**/api/v1/bundles/her2st-lite", lambda route: route.fulfill(json=facts))
    policy = {"Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'self'"}
    view.page.route(
        "**/api/v1/bundles/her2st-lite/card",
        lambda route: route.fulfill(body="<h1>Card</h1>", content_type="text/html", headers=policy),
    )

    view.page.goto(f"{view.url}/#/bundles")
    view.page.get_by_text("33 of 250 genes shown").wait_for()
    view.page.get_by_role("link", name="her2st-lite").click()

    view.page.frame_locator("iframe").get_by_role("heading", name="Card").wait_for()


def test_a_server_that_wants_a_login_gets_one_and_the_page_goes_on(view: SlideView) -> None:
    tokens: list[Any] = []

    def answer(route: "Route") -> None:
        if route.request.method == "POST":
            tokens.append((route.request.post_data_json, route.request.headers["content-type"]))
            route.fulfill(status=204)
        else:
            route.fulfill(json={"login": "token", "subject": "", "role": "public"})

    def slides(route: "Route") -> None:
        if tokens:
            route.fulfill(json={"slides": [slide(1, "held", reason="behind a login")], "total": 1})
        else:
            route.fulfill(status=401, json={"detail": "log in"})

    view.page.route("**/api/v1/session", answer)
    view.page.route("**/api/v1/slides*", slides)
    view.page.goto(view.url)
    view.page.get_by_label("API token").fill("secret")
    view.page.get_by_role("button", name="Log in").click()

    view.page.get_by_text("behind a login").wait_for()
    assert tokens == [({"token": "secret"}, "application/json")]
