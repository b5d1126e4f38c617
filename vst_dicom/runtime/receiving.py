"""The receiver role: the listener, and what becomes of storage commitment reports that arrive at it."""

from threading import Event

from pydicom.dataset import Dataset

from vst_dicom.config import Settings
from vst_dicom.ledger.database import open_database
from vst_dicom.runtime.commitment_reports import handle_commitment_report
from vst_dicom.runtime.receiver import run_receiver


def run_receiving(settings: Settings, stop: Event) -> None:
    """Receive instances and commitment reports until the event is set."""
    database = open_database(settings.database)

    def take_report(_event_type: int, report: Dataset) -> int:
        """Take Event Information of a storage commitment report (PS3.4 table J.3-2)."""
        committed = [str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence", [])]
        failed = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", 0))
            for item in report.get("FailedSOPSequence", [])
        }
        handle_commitment_report(database, str(report.TransactionUID), committed, failed)
        return 0x0000

    try:
        run_receiver(settings, stop, on_report=take_report)
    finally:
        database.dispose()
