"""A PACS in the test's own process that behaves as badly as a test wishes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    MicroscopyBulkSimpleAnnotationsStorage,
    ParametricMapStorage,
    SegmentationStorage,
    StorageCommitmentPushModel,
    Verification,
    VLWholeSlideMicroscopyImageStorage,
)

from vst_dicom.deliver.association import DicomPeer

STORED = (
    ParametricMapStorage,
    SegmentationStorage,
    MicroscopyBulkSimpleAnnotationsStorage,
    VLWholeSlideMicroscopyImageStorage,
)

SERVICES = (Verification, StorageCommitmentPushModel, InstanceAvailabilityNotification)


@dataclass
class FakePacs:
    """What it got; and how it answers, which a test may change at any time."""

    stored: dict[str, list[bytes]] = field(default_factory=dict)
    associations: int = 0
    commitments: list[Any] = field(default_factory=list)
    notifications: list[Any] = field(default_factory=list)
    status_of: Callable[[str], int] = lambda _uid: 0x0000
    """Status by SOP Instance UID."""
    abort_after: int | None = None
    """Abort the association after this many stores, without answering the last."""
    hang_s: float = 0.0
    """Seconds to wait before any answer to C-STORE."""
    report_at_once: Callable[[Any], tuple[list[str], dict[str, int]]] | None = None
    """Report storage commitment on the same association: committed and failed UIDs by request."""
    before_answer: Callable[[Any], None] = lambda _request: None
    """Called with each storage commitment request before it is answered."""
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def peer(self) -> DicomPeer:
        return DicomPeer("PACS", "127.0.0.1", self.port, timeout_s=5.0)

    def _store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.released.wait(self.hang_s)
        status = self.status_of(uid)
        if status < 0xA000:
            self.stored.setdefault(uid, []).append(event.request.DataSet.getvalue())
        if self.abort_after is not None:
            self.abort_after -= 1
            if self.abort_after <= 0:
                self.abort_after = None
                event.assoc.abort()
        return status

    def _count(self, _event: Any) -> None:
        self.associations += 1

    def _commit(self, event: Any) -> tuple[int, None]:
        request = event.action_information
        self.commitments.append(request)
        self.before_answer(request)
        if self.report_at_once is not None:
            committed, failed = self.report_at_once(request)
            threading.Thread(
                target=send_report, args=(event.assoc, request, committed, failed), kwargs={"after_s": 0.1}
            ).start()
        return 0x0000, None

    def _notify(self, event: Any) -> tuple[int, Any]:
        self.notifications.append(event.attribute_list)
        return 0x0000, event.attribute_list


def send_report(
    association: Any, request: Any, committed: list[str], failed: dict[str, int], *, after_s: float = 0.0
) -> None:
    """Send N-EVENT-REPORT for a storage commitment request (PS3.4 J.3.3)."""
    from pydicom.dataset import Dataset

    time.sleep(after_s)
    classes = {item.ReferencedSOPInstanceUID: item.ReferencedSOPClassUID for item in request.ReferencedSOPSequence}
    report = Dataset()
    report.TransactionUID = request.TransactionUID
    report.ReferencedSOPSequence = []
    for uid in committed:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = classes[uid], uid
        report.ReferencedSOPSequence.append(item)
    if failed:
        report.FailedSOPSequence = []
    for uid, reason in failed.items():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = classes[uid], uid
        item.FailureReason = reason
        report.FailedSOPSequence.append(item)
    association.send_n_event_report(report, 2 if failed else 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")


@contextmanager
def run_fake_pacs(
    *,
    ae_title: str = "PACS",
    require_calling: str = "",
    port: int = 0,
    sop_classes: tuple[str, ...] = STORED,
    services: tuple[str, ...] = SERVICES,
) -> Iterator[FakePacs]:
    pacs = FakePacs()
    entity = AE(ae_title=ae_title)
    entity.require_calling_aet = [require_calling] if require_calling else []
    for sop_class in sop_classes:
        entity.add_supported_context(sop_class)
    for service in services:
        entity.add_supported_context(service)
    handlers = [
        (evt.EVT_C_STORE, pacs._store),
        (evt.EVT_REQUESTED, pacs._count),
        (evt.EVT_N_ACTION, pacs._commit),
        (evt.EVT_N_CREATE, pacs._notify),
    ]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    pacs.port = server.server_address[1]
    try:
        yield pacs
    finally:
        pacs.released.set()
        server.shutdown()
