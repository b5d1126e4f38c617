"""Tell a peer that instances can be fetched: Instance Availability Notification (PS3.4 R)."""

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from vst_dicom.deliver.association import DicomPeer, open_association
from vst_dicom.deliver.files import SentInstance
from vst_dicom.dicom.uids import derive_uid
from vst_dicom.domain.errors import PeerError

AVAILABILITY_SOP_CLASS: Final = "1.2.840.10008.5.1.4.33"
_DUPLICATE_SOP_INSTANCE: Final = 0x0111


def notify_availability(
    peer: DicomPeer, calling_ae_title: str, instances: Sequence[SentInstance], *, retrieve_ae_title: str
) -> None:
    """Send one notification for each study.

    Its SOP Instance UID derives from what it names, so that a repeated one is known to be the same.

    Parameters
    ----------
    peer
        Whom to tell.
    calling_ae_title
        Title of this side.
    instances
        What is available.
    retrieve_ae_title
        Where it can be fetched.

    Raises
    ------
    PeerError
        If the peer cannot be reached, or does not take it.
    """
    context = (AVAILABILITY_SOP_CLASS, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    with open_association(peer, calling_ae_title, [context]) as opened:
        for study_instance_uid in dict.fromkeys(instance.study_instance_uid for instance in instances):
            named = [instance for instance in instances if instance.study_instance_uid == study_instance_uid]
            uids = sorted(instance.sop_instance_uid for instance in named)
            response, _ = opened.association.send_n_create(
                _notification(study_instance_uid, named, retrieve_ae_title),
                AVAILABILITY_SOP_CLASS,
                derive_uid("availability", peer.ae_title, *uids),
            )
            status = opened.require_status(response, "an availability notification")
            if status not in (0x0000, _DUPLICATE_SOP_INSTANCE):
                msg = f"{peer} did not take an availability notification (0x{status:04X})"
                raise PeerError(msg)


def _notification(study_instance_uid: str, instances: Sequence[SentInstance], retrieve_ae_title: str) -> Dataset:
    """Describe what is available (PS3.4 table R.3.2-1)."""
    notification = Dataset()
    notification.ReferencedPerformedProcedureStepSequence = []
    notification.StudyInstanceUID = study_instance_uid
    notification.ReferencedSeriesSequence = []
    for series_instance_uid in dict.fromkeys(instance.series_instance_uid for instance in instances):
        series = Dataset()
        series.SeriesInstanceUID = series_instance_uid
        series.ReferencedSOPSequence = [
            _reference(instance, retrieve_ae_title)
            for instance in instances
            if instance.series_instance_uid == series_instance_uid
        ]
        notification.ReferencedSeriesSequence.append(series)
    return notification


def _reference(instance: SentInstance, retrieve_ae_title: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = instance.sop_class_uid
    item.ReferencedSOPInstanceUID = instance.sop_instance_uid
    item.InstanceAvailability = "ONLINE"
    item.RetrieveAETitle = retrieve_ae_title
    return item
