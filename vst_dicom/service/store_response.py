"""What STOW-RS answers: the Store Instances Response Module (PS3.18 table I.2-1) in the DICOM JSON model."""

from pydicom.dataset import Dataset

from vst_dicom.receive.statuses import SUCCESS
from vst_dicom.receive.walk import is_valid_uid
from vst_dicom.service.store_upload import Stored


def store_response(outcomes: list[Stored], dicomweb_url: str) -> str:
    """Encode what became of each instance.

    Parameters
    ----------
    outcomes
        In the order of the parts.
    dicomweb_url
        Under which stored instances can be retrieved.
    """
    response = Dataset()
    stored = [outcome for outcome in outcomes if outcome.status.code == SUCCESS]
    failed = [outcome for outcome in outcomes if outcome.status.code != SUCCESS]
    studies = {outcome.identity.study_instance_uid for outcome in stored if outcome.identity is not None}
    if len(studies) == 1:
        response.RetrieveURL = f"{dicomweb_url}/studies/{studies.pop()}"
    if stored:
        response.ReferencedSOPSequence = [_reference(outcome, dicomweb_url) for outcome in stored]
    named = [outcome for outcome in failed if _is_named(outcome)]
    if named:
        response.FailedSOPSequence = [_failure(outcome) for outcome in named]
    nameless = [outcome for outcome in failed if not _is_named(outcome)]
    if nameless:
        response.OtherFailuresSequence = [_failure(outcome) for outcome in nameless]
    return response.to_json()


def _reference(outcome: Stored, dicomweb_url: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = outcome.request.sop_class_uid
    item.ReferencedSOPInstanceUID = outcome.request.sop_instance_uid
    if outcome.identity is not None:
        found = outcome.identity
        item.RetrieveURL = (
            f"{dicomweb_url}/studies/{found.study_instance_uid}/series/{found.series_instance_uid}"
            f"/instances/{found.sop_instance_uid}"
        )
    return item


def _failure(outcome: Stored) -> Dataset:
    item = Dataset()
    if _is_named(outcome):
        item.ReferencedSOPClassUID = outcome.request.sop_class_uid
        item.ReferencedSOPInstanceUID = outcome.request.sop_instance_uid
    item.FailureReason = outcome.status.code
    return item


def _is_named(outcome: Stored) -> bool:
    return is_valid_uid(outcome.request.sop_class_uid) and is_valid_uid(outcome.request.sop_instance_uid)
