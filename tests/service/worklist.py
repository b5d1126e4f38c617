"""Work items as an external requester and an external performer write them, and a subscriber that listens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

from tests.service.served import Web
from vst_dicom.dicom.codes import PREDICT_EXPRESSION, Code
from vst_dicom.dicom.procedure_step import DISCONTINUED, Json, code_item, data_set, element, first_of, items_of

JSON = {"Content-Type": "application/dicom+json"}
OTHER_WORK = Code("110005", "DCM", "Interpretation")
TRANSACTION, OTHER_TRANSACTION = "2.25.1001", "2.25.1002"


def scheduled(code: Code = OTHER_WORK, **changes: Any) -> Json:
    """What a requester sends; the patient is somebody."""
    asked = data_set(
        PatientName={"Alphabetic": "Doe^Jane"},
        PatientID="P-4711",
        PatientBirthDate="19500102",
        ProcedureStepState="SCHEDULED",
        ProcedureStepLabel="Look at the slide",
        WorklistLabel="Pathology",
        ScheduledProcedureStepPriority="HIGH",
        ScheduledProcedureStepStartDateTime="20300102030405",
        InputReadinessState="READY",
        ScheduledWorkitemCodeSequence=code_item(code),
    )
    return asked | data_set(**changes)


def input_slide(study: str, series: str | None = None, *instances: str) -> Json:
    """An item of Input Information Sequence."""
    references = [
        data_set(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6", ReferencedSOPInstanceUID=uid)
        for uid in instances
    ]
    return data_set(
        TypeOfInstances="DICOM", StudyInstanceUID=study, SeriesInstanceUID=series, ReferencedSOPSequence=references
    )


def performed() -> Json:
    """What a performer has to say before it may complete."""
    item = data_set(
        PerformedStationNameCodeSequence=code_item(Code("READER1", "99HOSP", "Reader 1")),
        PerformedProcedureStepStartDateTime="20300102030405",
        PerformedProcedureStepEndDateTime="20300102040405",
        PerformedWorkitemCodeSequence=code_item(OTHER_WORK),
        OutputInformationSequence=input_slide("1.2.3", "1.2.3.4", "1.2.3.4.5"),
    )
    return element("UnifiedProcedureStepPerformedProcedureSequence", item)


def discontinued() -> Json:
    item = data_set(ProcedureStepDiscontinuationReasonCodeSequence=code_item(DISCONTINUED))
    return element("ProcedureStepProgressInformationSequence", item)


def state(to: str, transaction: str | None = TRANSACTION) -> Json:
    return data_set(ProcedureStepState=to, TransactionUID=transaction)


class Worklist:
    """Speaks UPS-RS."""

    def __init__(self, web: Web, **headers: str) -> None:
        self._web, self._headers = web, headers

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        data = None if body is None else json.dumps(body)
        url = f"{self._web.url}/dicom-web/{path}"
        return self._web.session.request(method, url, data=data, headers=JSON | self._headers | headers, timeout=30)

    def create(self, uid: str, asked: Json | None = None) -> requests.Response:
        return self.ask("POST", f"workitems?{uid}", asked if asked is not None else scheduled())

    def get(self, uid: str) -> Json:
        response = self.ask("GET", f"workitems/{uid}", Accept="application/dicom+json")
        assert response.status_code == 200, response.text
        (found,) = response.json()
        return dict(found)

    def state_of(self, uid: str) -> str:
        return str(first_of(self.get(uid), "ProcedureStepState"))

    def change(self, uid: str, to: str, transaction: str | None = TRANSACTION) -> requests.Response:
        return self.ask("PUT", f"workitems/{uid}/state", state(to, transaction))

    def update(self, uid: str, changes: Json, transaction: str = "") -> requests.Response:
        return self.ask("POST", f"workitems/{uid}{'?' if transaction else ''}{transaction}", changes)

    def search(self, query: str) -> list[str]:
        response = self.ask("GET", f"workitems?{query}")
        assert response.status_code == 200, response.text
        return [str(first_of(one, "SOPInstanceUID")) for one in response.json()]

    @contextmanager
    def listening(self, ae_title: str) -> Iterator["Listener"]:
        """Open the event channel as a subscriber."""
        url = f"{self._web.url.replace('http', 'ws', 1)}/dicom-web/subscribers/{ae_title}"
        with connect(url, additional_headers=self._headers, open_timeout=30) as socket:
            yield Listener(socket)


class Listener:
    """Reads event reports."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def next(self, seconds: float = 30) -> tuple[str, int, Json]:
        """UID of the work item, Event Type ID, and the report."""
        report = json.loads(self._socket.recv(timeout=seconds))
        return str(first_of(report, "AffectedSOPInstanceUID")), int(first_of(report, "EventTypeID")), report

    def states(self, count: int) -> list[tuple[str, str]]:
        """UIDs and states of the next state reports; other reports are left out."""
        found: list[tuple[str, str]] = []
        while len(found) < count:
            uid, kind, report = self.next()
            if kind == 1:
                found.append((uid, str(first_of(report, "ProcedureStepState"))))
        return found


def references(attributes: Json) -> dict[str, set[str]]:
    """SOP Instance UIDs of the outputs of a completed work item, by series."""
    (item,) = items_of(attributes, "UnifiedProcedureStepPerformedProcedureSequence")
    return {
        str(first_of(series, "SeriesInstanceUID")): {
            str(first_of(one, "ReferencedSOPInstanceUID")) for one in items_of(series, "ReferencedSOPSequence")
        }
        for series in items_of(item, "OutputInformationSequence")
    }


__all__ = ["OTHER_TRANSACTION", "PREDICT_EXPRESSION", "Worklist", "input_slide", "performed", "scheduled"]
