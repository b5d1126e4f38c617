"""What stands around the server: a scanner that sends until it is told Success, and a PACS in a bad mood."""

import hashlib
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    MicroscopyBulkSimpleAnnotationsStorage,
    ParametricMapStorage,
    SegmentationStorage,
    VLWholeSlideMicroscopyImageStorage,
)

from tests.wsi_builder import JPEG

RESULTS = (
    ParametricMapStorage,
    SegmentationStorage,
    MicroscopyBulkSimpleAnnotationsStorage,
    Comprehensive3DSRStorage,
)


@dataclass
class MoodyPacs:
    """Refuses some instances, and stores some without saying so.

    Parameters
    ----------
    seed
        Of its moods.
    refuses, stores_then_aborts
        How often, 0 to 1.
    """

    seed: int
    refuses: float = 0.3
    stores_then_aborts: float = 0.2
    stored: dict[str, set[str]] = field(default_factory=dict)
    """SHA-256 of every data set that came, by SOP Instance UID."""
    answers: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - no secret
        self._lock = Lock()

    def store(self, event: Any) -> int:
        with self._lock:
            mood = self._random.random()
            if mood < self.refuses:
                self.answers["refused"] += 1
                return 0xA700  # Out of Resources
            sha256 = hashlib.sha256(event.request.DataSet.getvalue()).hexdigest()
            self.stored.setdefault(str(event.request.AffectedSOPInstanceUID), set()).add(sha256)
            aborts = mood < self.refuses + self.stores_then_aborts
            self.answers["stored, then aborted" if aborts else "stored"] += 1
        if aborts:
            event.assoc.abort()
        return 0x0000


@contextmanager
def moody_pacs(seed: int) -> Iterator[MoodyPacs]:
    pacs = MoodyPacs(seed)
    entity = AE(ae_title="PACS")
    for sop_class in RESULTS:
        entity.add_supported_context(sop_class)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, pacs.store)])
    assert server is not None
    pacs.port = server.server_address[1]
    try:
        yield pacs
    finally:
        server.shutdown()


def send_until_acknowledged(path: Path, ports: Sequence[int], limit_s: float) -> str:
    """Send one instance, again and again, until some receiver answers Success; returns its SOP Instance UID.

    Raises
    ------
    TimeoutError
        If none does in time.
    """
    dataset = dcmread(path)
    entity = AE(ae_title="SCANNER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 5
    entity.add_requested_context(VLWholeSlideMicroscopyImageStorage, JPEG)
    deadline = time.monotonic() + limit_s
    attempt = 0
    while time.monotonic() < deadline:
        association = entity.associate("127.0.0.1", ports[attempt % len(ports)], ae_title="VST_DICOM")
        attempt += 1
        if association.is_established:
            try:
                status = association.send_c_store(dataset).get("Status")
            except (RuntimeError, ValueError, AttributeError):  # aborted meanwhile
                status = None
            association.release() if association.is_established else association.abort()
            if status == 0x0000:
                return str(dataset.SOPInstanceUID)
        time.sleep(0.2)
    msg = f"{path.name} was not acknowledged in {limit_s} s"
    raise TimeoutError(msg)
