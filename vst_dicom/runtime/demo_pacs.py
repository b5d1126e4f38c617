"""The PACS of the demonstration: Orthanc where it is installed, else a small one made for this purpose only."""

import queue
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from pydicom.filereader import dcmread

from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.files import InstanceFile, read_instance_file
from vst_dicom.deliver.status import InstanceAnswer, Verdict
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.domain.errors import PeerError, VstDicomError
from vst_dicom.runtime.orthanc import Orthanc, is_installed, run_orthanc

WHOLE_SLIDE_SOP_CLASS: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
_RESULT_SOP_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.91.1",  # Microscopy Bulk Simple Annotations
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
)
_VERIFICATION_SOP_CLASS: Final = "1.2.840.10008.1.1"
_KEPT_TAGS: Final = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"]
_AE_TITLE: Final = "PACS"
_HOST: Final = "127.0.0.1"
_SCRIPT: Final = "route_slides.lua"
_SCRIPT_PLACES: Final = (
    Path(__file__).with_name(_SCRIPT),  # in the installed package
    Path(__file__).parents[2] / "deploy" / "orthanc" / _SCRIPT,  # in the repository
)
_GATHER_S: Final = 1.0
_MOST_WAITING: Final = 10_000
_MOST_TRIES: Final = 30

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance that the PACS has.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, series_instance_uid
        Its identity.
    modality
        (0008,0060).
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    modality: str


class DemoPacs(Protocol):
    """A PACS that routes whole slides to the gateway and keeps what it is sent."""

    @property
    def description(self) -> str:
        """What it is, for a person."""
        ...

    @property
    def peer(self) -> DicomPeer:
        """Where to send to."""
        ...

    @property
    def dicomweb_url(self) -> str:
        """Base address of its DICOMweb service; empty if it has none."""
        ...

    def find_instances(self, study_instance_uid: str) -> list[StoredInstance]:
        """Instances of a study that it has."""
        ...


@contextmanager
def run_demo_pacs(folder: Path, gateway: DicomPeer, *, built_in: bool = False) -> Iterator[DemoPacs]:
    """Start a PACS that routes whole slides to a gateway, and stop it at the end.

    Parameters
    ----------
    folder
        Where it keeps everything.
    gateway
        Where it routes to.
    built_in
        Take the built-in one even where Orthanc is installed.

    Raises
    ------
    PeerError
        If it does not start.
    """
    if built_in or not is_installed():
        with _run_built_in(folder, gateway) as pacs:
            yield pacs
        return
    script = next(place for place in _SCRIPT_PLACES if place.is_file())
    modality = {
        "AET": gateway.ae_title,
        "Host": gateway.host,
        "Port": gateway.port,
        "AllowStorageCommitment": True,
        "AllowTranscoding": False,
    }
    settings = {"LuaHeartBeatPeriod": 10}
    with run_orthanc(
        folder, ae_title=_AE_TITLE, modalities={"vst_dicom": modality}, scripts=(script,), settings=settings
    ) as orthanc:
        yield _OrthancPacs(orthanc)


class _OrthancPacs:
    def __init__(self, orthanc: Orthanc) -> None:
        self._orthanc = orthanc

    @property
    def description(self) -> str:
        return f"Orthanc {self._orthanc.ask('system')['Version']} at {self._orthanc.url}"

    @property
    def peer(self) -> DicomPeer:
        return DicomPeer(self._orthanc.ae_title, self._orthanc.host, self._orthanc.port)

    @property
    def dicomweb_url(self) -> str:
        return self._orthanc.dicomweb_url

    def find_instances(self, study_instance_uid: str) -> list[StoredInstance]:
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}, "Expand": True}
        found = []
        for instance in self._orthanc.ask("tools/find", query):
            series = self._orthanc.ask(f"series/{instance['ParentSeries']}")["MainDicomTags"]
            found.append(
                StoredInstance(
                    self._orthanc.ask(f"instances/{instance['ID']}/metadata/SopClassUid"),
                    instance["MainDicomTags"]["SOPInstanceUID"],
                    series["SeriesInstanceUID"],
                    series["Modality"],
                )
            )
        return found


@contextmanager
def _run_built_in(folder: Path, gateway: DicomPeer) -> Iterator["_BuiltInPacs"]:
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, _config, evt

    _config.STORE_RECV_CHUNKED_DATASET = True
    folder.mkdir(parents=True, exist_ok=True)
    entity = AE(ae_title=_AE_TITLE)
    entity.maximum_pdu_size = 131_072
    entity.add_supported_context(_VERIFICATION_SOP_CLASS)
    for sop_class_uid in (WHOLE_SLIDE_SOP_CLASS, *_RESULT_SOP_CLASSES):
        entity.add_supported_context(sop_class_uid, ALL_TRANSFER_SYNTAXES)
    pacs = _BuiltInPacs(folder, gateway)
    handlers = [(evt.EVT_C_STORE, pacs.store)]
    try:
        server = entity.start_server((_HOST, 0), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
    except OSError as error:
        msg = f"the built-in PACS did not start: {error}"
        raise PeerError(msg) from error
    assert server is not None  # noqa: S101  it does not block
    pacs.peer = DicomPeer(_AE_TITLE, _HOST, int(server.server_address[1]))
    forwarding = threading.Thread(target=pacs.forward, name="demo-pacs", daemon=True)
    forwarding.start()
    try:
        yield pacs
    finally:
        server.shutdown()
        pacs.stop()
        forwarding.join(gateway.timeout_s)


class _BuiltInPacs:
    """Keeps what it is sent, and forwards whole slides. For the demonstration only: it forgets all when it ends."""

    description = "the built-in PACS, made for this demonstration only (Orthanc is not installed)"
    dicomweb_url = ""

    def __init__(self, folder: Path, gateway: DicomPeer) -> None:
        self.peer = gateway
        self._folder = folder
        self._gateway = gateway
        self._stored: dict[str, tuple[str, StoredInstance]] = {}
        self._waiting: queue.Queue[InstanceFile | None] = queue.Queue(_MOST_WAITING)

    def store(self, event: Any) -> int:
        """Keep an instance (EVT_C_STORE); the first of two with one UID stays."""
        header = dcmread(event.dataset_path, stop_before_pixels=True, specific_tags=_KEPT_TAGS)
        uid = str(header.SOPInstanceUID)
        if uid in self._stored:
            return 0x0000
        path = self._folder / f"{secrets.token_hex(16)}.dcm"
        shutil.copyfile(event.dataset_path, path)
        stored = StoredInstance(
            str(header.SOPClassUID), uid, str(header.SeriesInstanceUID), str(header.get("Modality", ""))
        )
        self._stored[uid] = (str(header.StudyInstanceUID), stored)
        if stored.sop_class_uid == WHOLE_SLIDE_SOP_CLASS:
            try:
                self._waiting.put_nowait(read_instance_file(path))
            except queue.Full:
                return 0xA700
        return 0x0000

    def find_instances(self, study_instance_uid: str) -> list[StoredInstance]:
        """Instances of a study that it has."""
        return [stored for study, stored in list(self._stored.values()) if study == study_instance_uid]

    def forward(self) -> None:
        """Send slides on, as many together as came together, until `stop`."""
        tries = 0
        files: dict[str, InstanceFile] = {}
        while True:
            try:
                file = self._waiting.get(timeout=_GATHER_S)
            except queue.Empty:
                tries = self._send(files, tries) if files else 0
                continue
            if file is None:
                return
            files[file.sop_instance_uid] = file

    def _send(self, files: dict[str, InstanceFile], tries: int) -> int:
        """Send what waits and forget what was taken; returns how often the rest was tried."""

        def note(answer: InstanceAnswer) -> None:
            if answer.verdict is Verdict.ACCEPTED:
                files.pop(answer.sop_instance_uid)

        try:
            send_instances(self._gateway, _AE_TITLE, list(files.values()), on_answer=note)
        except VstDicomError as error:
            log.info("demo PACS could not route", reason=str(error), tries=tries + 1)
        if tries + 1 >= _MOST_TRIES:
            log.error("demo PACS gives up routing", n_instances=len(files))
            files.clear()
        return tries + 1 if files else 0

    def stop(self) -> None:
        """End forwarding."""
        self._waiting.put(None, timeout=self._gateway.timeout_s)
