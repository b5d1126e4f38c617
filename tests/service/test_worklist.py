"""The worklist by REST: slides, jobs, what a person may order, and what is refused."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from sqlalchemy import insert, update

from tests.jobs.ledgers import add_job, job_of
from tests.service.served import Site, Web
from vst_dicom.ledger.decisions import list_decisions
from vst_dicom.ledger.deliveries import create_deliveries, list_deliveries
from vst_dicom.ledger.jobs import move_job
from vst_dicom.ledger.slides import read_slide
from vst_dicom.ledger.states import DeliveryState, JobState
from vst_dicom.ledger.tables import deliveries, instances, slides

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(
        tmp_path_factory.mktemp("desk"),
        public_url="https://slides.hospital.org/vst",
        cors_origins=["https://viewer.org"],
    )
    yield made
    made.database.dispose()


@pytest.fixture(scope="module")
def served(desk: Site) -> Iterator[Web]:
    with desk.serving() as web:
        yield web


def get(served: Web, path: str) -> Any:
    response = served.get(f"/api/v1{path}", "application/json")
    assert response.status_code == 200, response.text
    return response.json()


def order(served: Web, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    return served.session.request(method, f"{served.url}/api/v1{path}", json=body, headers=JSON | headers, timeout=30)


def key_of(start: str) -> str:
    """A key that begins so."""
    return (start * 64)[:64]


def add(desk: Site, start: str, *, study: str = "1.2", n_instances: int = 0) -> tuple[str, int]:
    """A queued job for a slide of its own; its key and the number of the slide."""
    key = add_job(desk.database, key_of(start))
    slide_id = job_of(desk.database, key).slide_id
    with desk.database.begin() as connection:
        connection.execute(update(slides).where(slides.c.id == slide_id).values(study_instance_uid=study))
        for number in range(n_instances):
            row = {"sop_instance_uid": f"{study}.{slide_id}.{number}", "sop_class_uid": "1", "slide_id": slide_id}
            row |= {"study_instance_uid": study, "series_instance_uid": "1.2.3", "transfer_syntax_uid": "1"}
            row |= {"file_name": f"{start}{number}", "n_bytes": 1, "received_at": NOW}
            connection.execute(insert(instances).values(row))
    return key, slide_id


def park(desk: Site, key: str) -> None:
    with desk.database.begin() as connection:
        move_job(connection, key, JobState.PARKED, now=NOW, reason="memory ran out")


def test_slides_are_listed_with_job_deliveries_and_count(desk: Site, served: Web) -> None:
    key, slide_id = add(desk, "a", study="1.9.1", n_instances=2)
    with desk.database.begin() as connection:
        create_deliveries(connection, key, ["pacs"], priority=100, now=NOW)

    found = get(served, "/slides?search=1.9.1")

    assert found["total"] == 1
    (slide,) = found["slides"]
    assert (slide["id"], slide["n_instances"], slide["state"], slide["result"]) == (slide_id, 2, "queued", None)
    assert (slide["job"]["key"], slide["job"]["state"], slide["job"]["bundle"]) == (key, "queued", "fine")
    assert [(row["destination"], row["state"]) for row in slide["deliveries"]] == [("pacs", "waiting")]


def test_pages_of_slides_cover_all_of_them_once(desk: Site, served: Web) -> None:
    numbers = {add(desk, letter, study="1.8.1")[1] for letter in "bcd"}

    pages = [get(served, f"/slides?search=1.8&limit=2&offset={offset}") for offset in (0, 2)]

    assert [page["total"] for page in pages] == [3, 3]
    assert [len(page["slides"]) for page in pages] == [2, 1]
    assert {slide["id"] for page in pages for slide in page["slides"]} == numbers


def test_slides_are_found_by_the_state_of_their_latest_job(desk: Site, served: Web) -> None:
    key, slide_id = add(desk, "e", study="1.7.1")
    park(desk, key)

    assert [slide["id"] for slide in get(served, "/slides?search=1.7.1&job_state=parked")["slides"]] == [slide_id]
    assert get(served, "/slides?search=1.7.1&job_state=running&job_state=done")["total"] == 0
    assert get(served, "/slides?search=1.7.1&state=held")["total"] == 0


def test_a_slide_is_shown_with_its_decisions(desk: Site, served: Web) -> None:
    key, slide_id = add(desk, "f", study="1.6.1", n_instances=1)

    assert order(served, "POST", f"/slides/{slide_id}/run").status_code == 202
    shown = get(served, f"/slides/{slide_id}")

    assert shown["job_keys"] == [key]
    assert [(row["what"], row["slide_id"]) for row in shown["decisions"]] == [("asked", slide_id)]
    with desk.database.begin() as connection:
        slide = read_slide(connection, slide_id)
    assert slide is not None
    assert slide.run_now


def test_a_slide_without_instances_cannot_be_run(desk: Site, served: Web) -> None:
    _, slide_id = add(desk, "0")

    assert order(served, "POST", f"/slides/{slide_id}/run").status_code == 409


def test_studies_are_counted_by_their_slides(desk: Site, served: Web) -> None:
    for letter in "12":
        add(desk, letter, study="1.5.1")

    found = {row["study_instance_uid"]: row["n_slides"] for row in get(served, "/studies?limit=1000")["studies"]}

    assert found["1.5.1"] == 2


def test_a_parked_job_is_queued_again_and_one_that_runs_is_not(desk: Site, served: Web) -> None:
    key, _ = add(desk, "3")
    park(desk, key)

    first, second = (order(served, "POST", f"/jobs/{key}/retry") for _ in range(2))

    assert (first.status_code, first.json()["state"]) == (202, "queued")
    assert second.status_code == 409
    assert second.headers["Content-Type"] == "application/problem+json"
    assert second.json()["code"] == "usage-conflict"


def test_a_queued_job_is_cancelled_and_the_order_is_written_down(desk: Site, served: Web) -> None:
    key, _ = add(desk, "4", study="1.4.1")

    assert order(served, "POST", f"/jobs/{key}/cancel").json()["state"] == "cancelled"
    with desk.database.begin() as connection:
        (decision,) = list_decisions(connection, "1.4.1")
    assert (decision.what, decision.job_key, decision.reason) == ("asked", key, "cancelled by a person")


def test_a_new_priority_begins_a_new_round_so_that_the_engine_hears_of_it(desk: Site, served: Web) -> None:
    key, _ = add(desk, "5")

    changed = order(served, "PATCH", f"/jobs/{key}", {"priority": 1})

    assert (changed.status_code, changed.json()["priority"]) == (200, 1)
    job = job_of(desk.database, key)
    assert (job.priority, job.round, job.enqueued) == (1, 1, False)


def test_a_job_that_has_ended_has_no_priority_to_change(desk: Site, served: Web) -> None:
    key, _ = add(desk, "6")
    order(served, "POST", f"/jobs/{key}/cancel")

    assert order(served, "PATCH", f"/jobs/{key}", {"priority": 1}).status_code == 409
    assert job_of(desk.database, key).priority == 100


@pytest.mark.parametrize("body", [{"priority": 0}, {"priority": "x"}, {}, {"priority": 1, "state": "done"}, None, []])
def test_impossible_priorities_are_refused(desk: Site, served: Web, body: Any) -> None:
    response = order(served, "PATCH", f"/jobs/{key_of('7')}", body)

    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_delivery_that_was_given_up_is_tried_again_at_one_destination(desk: Site, served: Web) -> None:
    key, _ = add(desk, "8")
    with desk.database.begin() as connection:
        create_deliveries(connection, key, ["pacs", "archive"], priority=100, now=NOW)
        connection.execute(update(deliveries).where(deliveries.c.job_key == key).values(state=DeliveryState.PARKED))

    tried = order(served, "POST", f"/jobs/{key}/deliver", {"destination": "pacs"}).json()

    assert tried == {"destinations": ["pacs"]}
    with desk.database.begin() as connection:
        states = {row.destination: row.state for row in list_deliveries(connection, key)}
    assert states == {"pacs": DeliveryState.WAITING, "archive": DeliveryState.PARKED}


def test_a_job_is_shown_with_the_slide_that_it_is_of(desk: Site, served: Web) -> None:
    key, slide_id = add(desk, "9", study="1.3.1")

    shown = get(served, f"/jobs/{key}")

    assert (shown["slide_id"], shown["study_instance_uid"], shown["objects"], shown["shadow"]) == (
        slide_id,
        "1.3.1",
        [],
        None,
    )
    assert key in {job["key"] for job in get(served, "/jobs?state=queued&limit=1000")["jobs"]}


@pytest.mark.parametrize("path", ["/slides/999999", f"/jobs/{'0f' * 32}", "/bundles/none"])
def test_what_does_not_exist_is_404(served: Web, path: str) -> None:
    response = served.get(f"/api/v1{path}")

    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/slides/0", "/slides/1e3", "/jobs/xyz", "/slides?search=A", "/slides?limit=0", "/slides?state=lost"]
)
def test_what_cannot_be_is_400(served: Web, path: str) -> None:
    assert served.get(f"/api/v1{path}").status_code == 400


def test_pages_of_other_sites_press_no_buttons(desk: Site, served: Web) -> None:
    key, _ = add(desk, "fe")
    foreign = [{"Origin": origin} for origin in ("https://evil.example", "null", "https://viewer.org")]
    foreign += [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site")]

    statuses = {order(served, "POST", f"/jobs/{key}/cancel", **headers).status_code for headers in foreign}

    assert statuses == {403}
    assert job_of(desk.database, key).state is JobState.QUEUED


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_can_send_changes_nothing(served: Web, content_type: str) -> None:
    url = f"{served.url}/api/v1/jobs/{key_of('e')}/retry"

    response = served.session.post(url, data=b"{}", headers={"Content-Type": content_type}, timeout=30)

    assert response.status_code == 415


def test_own_pages_change_things_directly_and_through_the_proxy(desk: Site, served: Web) -> None:
    key, _ = add(desk, "ab")

    for origin in (served.url, "https://slides.hospital.org"):
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert order(served, "PATCH", f"/jobs/{key}", {"priority": 3}, **headers).status_code == 200


def test_long_bodies_are_refused_with_and_without_their_length(served: Web) -> None:
    url = f"{served.url}/api/v1/rules/dry-run"
    long = b'{"rules": "' + b"#" * (3 << 20) + b'"}'

    told = served.session.post(url, data=long, headers=JSON, timeout=30)
    chunked = served.session.post(url, data=iter([long]), headers=JSON, timeout=30)

    assert told.status_code == 413
    assert 400 <= chunked.status_code < 500
