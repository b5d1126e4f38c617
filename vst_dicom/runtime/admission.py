"""Whether there is room for another instance, by whatever way it comes."""

import threading
from time import monotonic
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from vst_dicom.config import StorageSettings
from vst_dicom.domain.errors import ResourceError
from vst_dicom.ledger.instances import count_waiting_jobs
from vst_dicom.receive.spool import Spool

_LOOK_S: Final = 1.0
"""How often the backlog is counted, at most."""


class Admission:
    """Refuses instances while the disk is nearly full or too many jobs wait.

    Parameters
    ----------
    settings
        What must stay free, and how many jobs may wait.
    spool
        Whose disk counts.
    engine
        Where jobs are counted, at most once a second.
    """

    def __init__(self, settings: StorageSettings, spool: Spool, engine: Engine) -> None:
        self._settings = settings
        self._spool = spool
        self._engine = engine
        self._lock = threading.Lock()
        self._n_waiting = 0
        self._counted_at: float | None = None

    def __call__(self) -> None:
        """Look at disk and backlog.

        Raises
        ------
        ResourceError
            If no instance can be taken now.
        """
        free, total = self._spool.free_bytes()
        reserve = max(self._settings.reserve_bytes, int(self._settings.reserve_fraction * total))
        if free < reserve:
            msg = f"the disk has {free >> 20} of {reserve >> 20} MiB to be kept free"
            raise ResourceError(msg)
        n_waiting = self._count()
        if n_waiting > self._settings.most_waiting_slides:
            msg = f"{n_waiting} slides wait; send again later"
            raise ResourceError(msg)

    def _count(self) -> int:
        with self._lock:
            if self._counted_at is None or monotonic() - self._counted_at > _LOOK_S:
                try:
                    with self._engine.connect() as connection:
                        self._n_waiting = count_waiting_jobs(connection)
                except SQLAlchemyError as error:
                    raise ResourceError("the database does not answer; send again later") from error
                self._counted_at = monotonic()
            return self._n_waiting
