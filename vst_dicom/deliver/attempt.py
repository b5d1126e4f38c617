"""One attempt at a delivery, from sending to confirmation, as a plain function that says how it ended."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.availability import notify_availability
from vst_dicom.deliver.commitment import ask_for_commitment
from vst_dicom.deliver.dicomweb import WebServer, find_missing, store_instances
from vst_dicom.deliver.files import InstanceFile, SentInstance
from vst_dicom.deliver.outcome import Outcome, judge_report
from vst_dicom.deliver.status import InstanceAnswer, Verdict
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.domain.errors import PeerError, UsageError
from vst_dicom.ledger.states import DeliveryState


@dataclass(frozen=True, slots=True)
class Target:
    """Where results go, and how the destination confirms that it has them.

    Parameters
    ----------
    address
        A DICOM peer (C-STORE) or a DICOMweb server (STOW-RS).
    storage_commitment, notify_availability
        Whether to ask the DICOM peer for storage commitment, and to notify it.
    query
        DICOMweb server to ask (QIDO-RS) whether every instance arrived; not asked if None.
    """

    address: DicomPeer | WebServer
    storage_commitment: bool = False
    notify_availability: bool = False
    query: WebServer | None = None

    @property
    def confirms(self) -> bool:
        """Whether a delivery is finished only when the destination confirmed it."""
        return self.storage_commitment or self.query is not None


def attempt_delivery(
    target: Target,
    calling_ae_title: str,
    instances: Sequence[SentInstance],
    open_files: Callable[[Collection[str]], Sequence[InstanceFile]],
    *,
    accepted: Collection[str],
    is_sent: bool,
    new_transaction: Callable[[], str],
    on_accepted: Callable[[str], None],
) -> Outcome:
    """Send what the destination does not have yet, and ask for confirmation where that is configured.

    Failures of the destination are outcomes, never exceptions.

    Parameters
    ----------
    target
        Where to.
    calling_ae_title
        Title of this side.
    instances
        The whole result.
    open_files
        Gives the files of the SOP Instance UIDs asked for; only called when something must be sent.
    accepted
        SOP Instance UIDs that the destination accepted earlier.
    is_sent
        Whether everything was sent and announced by an earlier attempt, so that only confirmation lacks.
    new_transaction
        Makes the UID of a storage commitment request, and remembers it before the request is sent.
    on_accepted
        Told of each SOP Instance UID as soon as the destination accepted it.

    Raises
    ------
    InputError
        If a file is missing or damaged; nothing was sent then.
    """
    try:
        if not is_sent:
            missing = {instance.sop_instance_uid for instance in instances} - set(accepted)
            outcome = _send(target.address, calling_ae_title, open_files(missing), on_accepted) if missing else None
            if outcome is not None:
                return outcome
            _announce(target, calling_ae_title, instances)
    except (PeerError, UsageError) as error:
        return Outcome(DeliveryState.WAITING, str(error), unreachable=True)
    try:
        return _confirm(target, calling_ae_title, instances, new_transaction)
    except (PeerError, UsageError) as error:
        return Outcome(DeliveryState.SENT, str(error), unreachable=True)


def _send(
    address: DicomPeer | WebServer,
    calling_ae_title: str,
    files: Sequence[InstanceFile],
    on_accepted: Callable[[str], None],
) -> Outcome | None:
    """Send files; None if all were accepted."""

    def note(answer: InstanceAnswer) -> None:
        if answer.verdict is Verdict.ACCEPTED:
            on_accepted(answer.sop_instance_uid)

    if isinstance(address, DicomPeer):
        answers = send_instances(address, calling_ae_title, files, on_answer=note)
    else:
        answers = store_instances(address, files, on_answer=note)
    for verdict, state in ((Verdict.RETRY, DeliveryState.WAITING), (Verdict.REFUSED, DeliveryState.PARKED)):
        failures = [answer for answer in answers if answer.verdict is verdict]
        if failures:
            reason = f"{len(failures)} of {len(answers)} instances not accepted, the first: {failures[0].reason}"
            return Outcome(state, reason)
    return None


def _announce(target: Target, calling_ae_title: str, instances: Sequence[SentInstance]) -> None:
    if target.notify_availability and isinstance(target.address, DicomPeer):
        notify_availability(target.address, calling_ae_title, instances, retrieve_ae_title=target.address.ae_title)


def _confirm(
    target: Target, calling_ae_title: str, instances: Sequence[SentInstance], new_transaction: Callable[[], str]
) -> Outcome:
    if not target.confirms:
        return Outcome(DeliveryState.SENT)
    if target.query is not None:
        missing = find_missing(target.query, instances)
        if missing:
            reason = f"a query did not find {len(missing)} of {len(instances)} instances"
            return Outcome(DeliveryState.SENT, reason, missing=frozenset(missing))
    if target.storage_commitment and isinstance(target.address, DicomPeer):
        report = ask_for_commitment(target.address, calling_ae_title, instances, new_transaction())
        if report is None:
            return Outcome(DeliveryState.SENT, "waits for the storage commitment report", asked=True)
        return judge_report(report, [instance.sop_instance_uid for instance in instances])
    return Outcome(DeliveryState.COMMITTED)
