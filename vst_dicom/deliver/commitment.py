"""Ask a peer to take responsibility for instances: Storage Commitment Push Model (PS3.4 J)."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt

from vst_dicom.deliver.association import DicomPeer, open_association
from vst_dicom.deliver.files import SentInstance
from vst_dicom.domain.errors import PeerError

STORAGE_COMMITMENT_SOP_CLASS: Final = "1.2.840.10008.1.20.1"
_STORAGE_COMMITMENT_SOP_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
_REQUEST_STORAGE_COMMITMENT: Final = 1
_REPORT_WAIT_S: Final = 2.0
"""How long to leave the association open for peers that report on it; others open one of their own."""


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What a peer reports of a storage commitment request (PS3.4 J.3.3).

    Parameters
    ----------
    transaction_uid
        Of the request, (0008,1195).
    committed
        SOP Instance UIDs that the peer is responsible for.
    failed
        The others, with their Failure Reason (0008,1197).
    """

    transaction_uid: str
    committed: frozenset[str]
    failed: dict[str, int]

    @classmethod
    def from_dataset(cls, information: Dataset) -> "CommitmentReport":
        """Read the Event Information of an N-EVENT-REPORT; missing parts count as empty."""
        failed = {
            str(item.get("ReferencedSOPInstanceUID", "")): int(item.get("FailureReason", 0) or 0)
            for item in information.get("FailedSOPSequence", None) or ()
        }
        committed = {
            str(item.get("ReferencedSOPInstanceUID", ""))
            for item in information.get("ReferencedSOPSequence", None) or ()
        }
        return cls(str(information.get("TransactionUID", "")), frozenset(committed - set(failed)), failed)


def ask_for_commitment(
    peer: DicomPeer, calling_ae_title: str, instances: Sequence[SentInstance], transaction_uid: str
) -> CommitmentReport | None:
    """Ask a peer to commit instances.

    Parameters
    ----------
    peer
        Whom to ask.
    calling_ae_title
        Title of this side; many peers report to the address that they know for it.
    instances
        What it shall be responsible for.
    transaction_uid
        A new UID for this request.

    Returns
    -------
    CommitmentReport | None
        The report, if it came at once on the same association; None if it will come on another.

    Raises
    ------
    PeerError
        If the peer cannot be reached, or does not take the request.
    """
    reports: list[CommitmentReport] = []
    reported = threading.Event()

    def note_report(event: Any) -> tuple[int, None]:
        report = CommitmentReport.from_dataset(event.event_information)
        if report.transaction_uid == transaction_uid:
            reports.append(report)
            reported.set()
        return 0x0000, None

    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = [_reference(instance) for instance in instances]
    context = (STORAGE_COMMITMENT_SOP_CLASS, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    handlers = [(evt.EVT_N_EVENT_REPORT, note_report)]
    with open_association(peer, calling_ae_title, [context], handlers) as opened:
        response, _ = opened.association.send_n_action(
            information,
            _REQUEST_STORAGE_COMMITMENT,
            STORAGE_COMMITMENT_SOP_CLASS,
            _STORAGE_COMMITMENT_SOP_INSTANCE,
        )
        status = opened.require_status(response, "a storage commitment request")
        if status != 0x0000:
            msg = f"{peer} did not take a storage commitment request (0x{status:04X}); check its configuration"
            raise PeerError(msg)
        reported.wait(_REPORT_WAIT_S)
    return reports[0] if reports else None


def _reference(instance: SentInstance) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = instance.sop_class_uid
    item.ReferencedSOPInstanceUID = instance.sop_instance_uid
    return item
