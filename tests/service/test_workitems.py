"""UPS-RS: an external requester, an external performer and a subscriber use the worklist by plain HTTP."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.service.served import Site, Web
from tests.service.test_access import audit_of, new_token
from tests.service.worklist import (
    OTHER_TRANSACTION,
    OTHER_WORK,
    TRANSACTION,
    Worklist,
    discontinued,
    input_slide,
    performed,
    scheduled,
    state,
)
from vst_dicom.dicom.codes import Code
from vst_dicom.dicom.procedure_step import (
    FILTERED_WORKLIST,
    REQUIREMENTS,
    WORKLIST,
    code_item,
    data_set,
    element,
    first_of,
    items_of,
    key_of,
    values_of,
)
from vst_dicom.domain.errors import UsageError
from vst_dicom.service.workitems.payload import parse_data_set


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(tmp_path_factory.mktemp("worklist"), auth={"mode": "token"}, rates={"changes_per_minute": 10_000})
    yield made
    made.database.dispose()


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[Web]:
    with site.serving() as web:
        yield web


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    return new_token(site, "hospital", "operator")


@pytest.fixture(scope="module")
def worklist(served: Web, token: str) -> Worklist:
    return Worklist(served, Authorization=f"Bearer {token}")


def test_a_work_item_goes_from_its_requester_to_its_performer_and_a_subscriber_follows(worklist: Worklist) -> None:
    """RAD-80 create, RAD-86 subscribe, RAD-109 channel, RAD-82 claim, RAD-84 update, RAD-85 complete, RAD-83 get."""
    uid = "2.25.1"
    assert worklist.ask("POST", f"workitems/{WORKLIST}/subscribers/WATCHER").status_code == 201
    with worklist.listening("WATCHER") as subscriber:
        created = worklist.create(uid, scheduled(ScheduledStationNameCodeSequence=code_item(OTHER_WORK)))
        assert created.status_code == 201
        assert created.headers["Location"].endswith(f"/dicom-web/workitems/{uid}")
        assert subscriber.next()[:2] == (uid, 1)
        assert subscriber.next()[:2] == (uid, 5)

        assert worklist.change(uid, "IN PROGRESS").status_code == 200
        assert subscriber.states(1) == [(uid, "IN PROGRESS")]

        progress = data_set(ProcedureStepProgress=50, ProcedureStepProgressDescription="half")
        change = element("ProcedureStepProgressInformationSequence", progress)
        assert worklist.update(uid, change, TRANSACTION).status_code == 200
        _, kind, report = subscriber.next()
        assert kind == 3
        assert items_of(report, "ProcedureStepProgressInformationSequence") == [progress]

        assert worklist.change(uid, "COMPLETED").status_code == 409
        assert worklist.update(uid, performed(), TRANSACTION).status_code == 200
        assert worklist.change(uid, "COMPLETED").status_code == 200
        assert subscriber.states(1) == [(uid, "COMPLETED")]
    found = worklist.get(uid)
    assert first_of(found, "PatientName") == {"Alphabetic": "Doe^Jane"}
    assert not values_of(found, "TransactionUID")
    again = worklist.change(uid, "COMPLETED")
    assert again.status_code == 200
    assert "already in the requested state of COMPLETED" in again.headers["Warning"]
    assert worklist.update(uid, performed(), TRANSACTION).status_code == 400
    late = worklist.change(uid, "CANCELED")
    assert (late.status_code, "inconsistent" in late.headers["Warning"]) == (409, True)
    assert worklist.ask("DELETE", f"workitems/{WORKLIST}/subscribers/WATCHER").status_code == 200


def test_of_two_performers_who_claim_at_once_one_wins(worklist: Worklist) -> None:
    worklist.create("2.25.2")
    transactions = [f"2.25.77{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda one: worklist.change("2.25.2", "IN PROGRESS", one).status_code, transactions))

    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]
    winner = transactions[statuses.index(200)]
    loser = next(one for one in transactions if one != winner)
    assert worklist.update("2.25.2", discontinued(), loser).status_code == 400
    assert worklist.update("2.25.2", discontinued(), winner).status_code == 200
    assert worklist.change("2.25.2", "CANCELED", loser).status_code == 400
    assert worklist.change("2.25.2", "CANCELED", winner).status_code == 200
    (progress,) = items_of(worklist.get("2.25.2"), "ProcedureStepProgressInformationSequence")
    assert values_of(progress, "ProcedureStepCancellationDateTime")


@pytest.mark.parametrize(
    ("to", "transaction", "status", "warning"),
    [
        ("COMPLETED", TRANSACTION, 409, "inconsistent with the state"),
        ("CANCELED", TRANSACTION, 409, "inconsistent with the state"),
        ("IN PROGRESS", None, 400, "Transaction UID is missing"),
        ("SCHEDULED", TRANSACTION, 400, "must be"),
        ("DONE", TRANSACTION, 400, "must be"),
    ],
)
def test_steps_that_the_standard_does_not_know_are_refused(
    worklist: Worklist, to: str, transaction: str | None, status: int, warning: str
) -> None:
    worklist.create("2.25.3")
    refused = worklist.change("2.25.3", to, transaction)

    assert (refused.status_code, warning in refused.headers["Warning"]) == (status, True)
    assert worklist.state_of("2.25.3") == "SCHEDULED"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ProcedureStepLabel", None),
        ("ScheduledProcedureStepPriority", "SOON"),
        ("InputReadinessState", None),
        ("ScheduledProcedureStepStartDateTime", None),
        ("ProcedureStepState", "IN PROGRESS"),
        ("TransactionUID", "1.2"),
        ("SOPInstanceUID", "1.2"),
        ("ScheduledProcedureStepModificationDateTime", "20300101"),
        ("UnifiedProcedureStepPerformedProcedureSequence", data_set(StudyInstanceUID="1.2")),
        ("ProcedureStepProgressInformationSequence", data_set(ProcedureStepProgress=1)),
    ],
)
def test_what_a_requester_must_say_and_must_not_say(worklist: Worklist, keyword: str, value: Any) -> None:
    refused = worklist.create("2.25.4", scheduled(**{keyword: value}))

    assert refused.status_code == 400
    assert key_of(keyword)[:4] in refused.json()["detail"]
    assert worklist.ask("GET", "workitems/2.25.4").status_code == 404


@pytest.mark.parametrize(
    "keyword", [name for name, (_, rule, _) in REQUIREMENTS.items() if rule.name == "FORBIDDEN" and "UID" not in name]
)
def test_who_the_patient_is_and_what_the_worklist_says_is_never_updated(worklist: Worklist, keyword: str) -> None:
    worklist.create("2.25.5")

    assert worklist.update("2.25.5", element(keyword)).status_code == 400


def test_a_uid_is_taken_once_and_made_where_there_is_none(worklist: Worklist) -> None:
    assert worklist.create("2.25.6").status_code == 201
    assert worklist.create("2.25.6").status_code == 409
    made = worklist.ask("POST", "workitems", scheduled())
    assert made.status_code == 201
    assert worklist.state_of(made.headers["Location"].rpartition("/")[2]) == "SCHEDULED"


def test_work_items_are_found_by_attributes_of_items_and_by_range_page_by_page(worklist: Worklist) -> None:
    for number in range(3):
        code = code_item(Code("X-1", "99HOSP", "Special"))
        start = f"2031010{number + 1}120000"
        asked = scheduled(ScheduledWorkitemCodeSequence=code, ScheduledProcedureStepStartDateTime=start)
        worklist.create(f"2.25.60{number}", asked)
    special = "ScheduledWorkitemCodeSequence.CodeValue=X-1&00741000=SCHEDULED"

    assert worklist.search(special) == ["2.25.602", "2.25.601", "2.25.600"]
    assert worklist.search(f"{special}&limit=1&offset=1") == ["2.25.601"]
    assert worklist.search(f"{special}&ScheduledProcedureStepStartDateTime=20310102-20310102") == ["2.25.601"]
    assert worklist.search(f"{special}&SOPInstanceUID=2.25.600") == ["2.25.600"]
    assert worklist.search(f"{special}&PatientName=doe*") == ["2.25.602", "2.25.601", "2.25.600"]
    assert worklist.search(f"{special}&PatientID=P-1") == []
    more = worklist.ask("GET", f"workitems?{special}&limit=2")
    assert "additional results" in more.headers["Warning"]


@pytest.mark.parametrize("query", ["NoSuchThing=1", "limit=x", "ScheduledWorkitemCodeSequence.Nothing=1", "a.b.c=1"])
def test_a_search_that_is_not_understood_is_refused(worklist: Worklist, query: str) -> None:
    assert worklist.ask("GET", f"workitems?{query}").status_code == 400


def test_a_subscriber_is_told_of_one_work_item_until_it_unsubscribes(worklist: Worklist) -> None:
    worklist.create("2.25.7")
    subscribed = worklist.ask("POST", "workitems/2.25.7/subscribers/ONE")
    assert subscribed.status_code == 201
    assert subscribed.headers["Content-Location"].startswith("ws://127.0.0.1")
    assert subscribed.headers["Content-Location"].endswith("/dicom-web/subscribers/ONE")
    worklist.update("2.25.7", element("InputReadinessState", "INCOMPLETE"))
    worklist.ask("DELETE", "workitems/2.25.7/subscribers/ONE")
    worklist.change("2.25.7", "IN PROGRESS")
    worklist.ask("POST", "workitems/2.25.7/subscribers/ONE")

    with worklist.listening("ONE") as subscriber:
        reports = [subscriber.next() for _ in range(3)]
        with pytest.raises(TimeoutError):
            subscriber.next(1.2)
    assert [first_of(report, "InputReadinessState") for *_, report in reports] == ["READY", "INCOMPLETE", "INCOMPLETE"]
    assert [first_of(report, "ProcedureStepState") for *_, report in reports] == ["SCHEDULED"] * 2 + ["IN PROGRESS"]
    with worklist.listening("ONE") as subscriber, pytest.raises(TimeoutError):
        subscriber.next(1.2)


def test_a_filter_and_a_suspension_decide_which_new_work_items_are_told_of(worklist: Worklist) -> None:
    worklist.create("2.25.80", scheduled(ProcedureStepLabel="Filtered"))
    address = f"workitems/{FILTERED_WORKLIST}/subscribers/FILTER"
    assert worklist.ask("POST", address).status_code == 400
    assert worklist.ask("POST", f"{address}?ProcedureStepLabel=Filter*&deletionlock=true").status_code == 201
    worklist.create("2.25.81", scheduled(ProcedureStepLabel="Other"))
    worklist.create("2.25.82", scheduled(ProcedureStepLabel="Filtered too"))
    assert worklist.ask("POST", f"{address}/suspend").status_code == 200
    worklist.create("2.25.83", scheduled(ProcedureStepLabel="Filtered late"))
    worklist.change("2.25.82", "IN PROGRESS")

    with worklist.listening("FILTER") as subscriber:
        assert subscriber.states(3) == [
            ("2.25.80", "SCHEDULED"), ("2.25.82", "SCHEDULED"), ("2.25.82", "IN PROGRESS")
        ]  # fmt: skip
    worklist.ask("DELETE", address)
    assert worklist.ask("POST", "workitems/2.25.82/subscribers/FILTER/suspend").status_code == 404


def test_a_request_to_cancel_reaches_the_performer_or_cancels_what_nobody_performs(worklist: Worklist) -> None:
    worklist.create("2.25.90")
    worklist.create("2.25.91")
    worklist.change("2.25.91", "IN PROGRESS")
    asked = data_set(ReasonForCancellation="no longer needed", ContactDisplayName="Desk 2")

    assert worklist.ask("POST", "workitems/2.25.90/cancelrequest", asked).status_code == 202
    again = worklist.ask("POST", "workitems/2.25.90/cancelrequest")
    unheard = worklist.ask("POST", "workitems/2.25.91/cancelrequest", asked)
    worklist.ask("POST", "workitems/2.25.91/subscribers/PERFORMER")
    heard = worklist.ask("POST", "workitems/2.25.91/cancelrequest", asked)

    (progress,) = items_of(worklist.get("2.25.90"), "ProcedureStepProgressInformationSequence")
    assert worklist.state_of("2.25.90") == "CANCELED"
    assert first_of(progress, "ReasonForCancellation") == "no longer needed"
    assert (again.status_code, "already" in again.headers["Warning"]) == (202, True)
    assert (unheard.status_code, "cannot be contacted" in unheard.headers["Warning"]) == (409, True)
    assert (heard.status_code, worklist.state_of("2.25.91")) == (202, "IN PROGRESS")
    with worklist.listening("PERFORMER") as subscriber:
        subscriber.next()
        _, kind, report = subscriber.next()
    assert (kind, first_of(report, "ReasonForCancellation"), first_of(report, "ContactDisplayName")) == (
        2, "no longer needed", "Desk 2"
    )  # fmt: skip
    assert first_of(report, "RequestingAE") == "token_hospital"


def refusal(served: Web, path: str = "/dicom-web/subscribers/SPY", host: str = "127.0.0.1", **headers: str) -> int:
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        return _ask_for_channel(f"ws://{host}:{port}{path}", raw, headers)


def _ask_for_channel(url: str, raw: socket.socket, headers: dict[str, str]) -> int:
    try:
        with connect(url, sock=raw, additional_headers=headers, open_timeout=30):
            return 101
    except InvalidStatus as error:
        return int(error.response.status_code)


def test_the_event_channel_opens_to_whom_the_routes_do_and_to_no_foreign_page(
    site: Site, served: Web, token: str
) -> None:
    allowed = {"Authorization": f"Bearer {token}"}
    viewer = {"Authorization": f"Bearer {new_token(site, 'watcher', 'viewer')}"}

    assert refusal(served) == 401
    assert refusal(served, **viewer) == 403
    assert refusal(served, Authorization="Bearer vst_guess") == 401
    assert refusal(served, **allowed) == 101
    assert refusal(served, **allowed, Origin="https://evil.example") == 403
    assert refusal(served, **allowed, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert refusal(served, **allowed, Origin=served.url) == 101
    assert refusal(served, **allowed, host="evil.example") == 400
    assert refusal(served, "/dicom-web/subscribers/" + "A" * 17, **allowed) >= 400
    assert refusal(served, "/dicom-web/nothing", **allowed) >= 400
    assert {row.status for row in audit_of(site, "token:watcher")} == {403}
    route = "/dicom-web/subscribers/{aetitle}"
    assert 101 in {row.status for row in audit_of(site, "token:hospital") if row.route == route}


def test_the_event_channel_ends_with_its_token(site: Site, served: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    from vst_dicom.ledger.access import revoke_token
    from vst_dicom.service.workitems import channel

    monkeypatch.setattr(channel, "_CHECK_EVERY", 1)
    leaver = Worklist(served, Authorization=f"Bearer {new_token(site, 'leaving', 'operator')}")
    with leaver.listening("LEAVER") as subscriber:
        with site.database.begin() as connection:
            revoke_token(connection, "leaving", datetime.now(UTC))
        with pytest.raises(ConnectionClosed):
            subscriber.next(20)


def test_neither_log_nor_audit_says_who_the_patient_is(
    site: Site, worklist: Worklist, capfd: pytest.CaptureFixture[str]
) -> None:
    worklist.create("2.25.10", scheduled(PatientBirthDate="4711-Doe"))
    worklist.create("2.25.11")
    worklist.search("PatientName=Doe*&PatientID=P-4711")

    text = "".join(capfd.readouterr()) + str(audit_of(site))
    assert "Doe" not in text
    assert "4711" not in text
    assert {row.target for row in audit_of(site) if row.route == "/dicom-web/workitems/{workitem}"} >= {"2.25.1"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"[{}, {}]", b"1", b"{", b'{"a": 1}', b'{"00741000": 1}', b'{"00741000": {"vr": "CS", "Value": 1}}',
        b"[" * 200_000, b'{"00741000": {"vr": "LO", "Value": ["SCHEDULED"]}}', b'{"00741004": {"Value": [NaN]}}',
        b'{"00081195": {"Value": ["no uid"]}}', b'{"00100010": {"Value": ["plain text"]}}',
        b'{"00741002":{"Value":[' * 50 + b"{}" + b"]}}" * 50, b'{"00741000": {"Value": ["\\ud800"]}}',
        json.dumps({f"0074{number:04X}": {"Value": []} for number in range(12_000)}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused(worklist: Worklist, body: bytes) -> None:
    response = worklist._web.session.post(
        f"{worklist._web.url}/dicom-web/workitems?2.25.12",
        data=body,
        headers={"Content-Type": "application/dicom+json", **worklist._headers},
        timeout=30,
    )

    assert response.status_code == 400
    assert worklist.ask("GET", "workitems/2.25.12").status_code == 404


def test_long_bodies_and_other_types_are_refused(worklist: Worklist) -> None:
    long = scheduled() | {"00400400": {"vr": "LT", "Value": ["x" * (2 << 20)]}}

    assert worklist.create("2.25.13", long).status_code == 413
    for kind in ("text/plain", "application/dicom+xml", "application/x-www-form-urlencoded"):
        assert worklist.ask("POST", "workitems?2.25.13", scheduled(), **{"Content-Type": kind}).status_code == 415


def test_private_attributes_and_bulk_data_are_left_out_with_a_warning(worklist: Worklist) -> None:
    asked = scheduled() | {"00091001": {"vr": "LO", "Value": ["x"]}, "00420011": {"vr": "OB", "InlineBinary": "AAAA"}}

    created = worklist.create("2.25.14", asked)

    assert (created.status_code, "with modifications" in created.headers["Warning"]) == (201, True)
    assert {"00091001", "00420011"}.isdisjoint(worklist.get("2.25.14"))


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["00741000", "00741002", "00100010", "00404005", "vr", "Value"]), inner, max_size=3
            )
        ),
    )
)
def test_any_json_is_a_data_set_or_refused(content: Any) -> None:
    try:
        attributes, _ = parse_data_set(json.dumps(content).encode())
    except UsageError:
        return
    assert parse_data_set(json.dumps(attributes).encode()) == (attributes, False)


def test_a_work_item_that_is_not_ours_waits_for_others(site: Site, worklist: Worklist) -> None:
    from datetime import UTC, datetime

    from vst_dicom.runtime.performing import Performer

    worklist.create("2.25.15", scheduled(InputInformationSequence=input_slide("1.2.3")))
    Performer(site.database, site.settings).perform(datetime.now(UTC))

    assert worklist.state_of("2.25.15") == "SCHEDULED"
    assert worklist.change("2.25.15", "IN PROGRESS", OTHER_TRANSACTION).status_code == 200
    assert state("COMPLETED") != state("COMPLETED", OTHER_TRANSACTION)
