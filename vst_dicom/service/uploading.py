"""What all uploads share: where instances go, how much may come, and how many may send at once."""

from asyncio import Semaphore
from datetime import UTC, datetime

from sqlalchemy import Engine

from vst_dicom.config import Settings
from vst_dicom.receive.spool import Spool
from vst_dicom.receive.storing import Storage
from vst_dicom.runtime.admission import Admission
from vst_dicom.service.store_upload import UploadLimits


class Uploading:
    """Joins settings, spool and ledger for STOW-RS; limits of data sets are those of the listener.

    Parameters
    ----------
    settings
        Of the whole server.
    database
        The ledger.
    """

    def __init__(self, settings: Settings, database: Engine) -> None:
        spool = Spool(settings.spool)
        admission = Admission(settings.storage, spool, database)
        limits, stow = settings.dicom.limits, settings.web.stow
        self.storage = Storage(spool, database, admission, lambda: datetime.now(UTC))
        self.limits = UploadLimits(limits.instance_bytes, limits.association_bytes, stow.instances)
        self.slots = Semaphore(stow.requests)
        self.silence_s = stow.silence_s
