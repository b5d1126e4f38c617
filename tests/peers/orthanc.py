"""Orthanc on free loopback ports, and what tests ask it."""

from typing import Any

from pydicom.uid import UID

from tests.programs import needs
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.dicomweb import WebServer
from vst_dicom.runtime.orthanc import Orthanc, run_orthanc

__all__ = ["Orthanc", "count", "is_stored", "modality", "needs_orthanc", "peer", "qido", "run_orthanc", "web_server"]

needs_orthanc = needs("Orthanc", "orthanc orthanc-dicomweb")


def modality(ae_title: str, port: int, **options: Any) -> dict[str, Any]:
    """A peer for `run_orthanc(modalities=...)`."""
    return {"AET": ae_title, "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True, **options}


def peer(orthanc: Orthanc) -> DicomPeer:
    """Its DICOM server."""
    return DicomPeer(orthanc.ae_title, orthanc.host, orthanc.port, timeout_s=15.0)


def web_server(orthanc: Orthanc) -> WebServer:
    """Its DICOMweb server."""
    return WebServer(orthanc.dicomweb_url, timeout_s=15.0)


def count(orthanc: Orthanc, level: str = "instances") -> int:
    """How many patients, studies, series or instances it has."""
    return int(orthanc.ask("statistics")[f"Count{level.capitalize()}"])


def is_stored(orthanc: Orthanc, sop_instance_uid: str | UID) -> bool:
    """Whether it has an instance."""
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": str(sop_instance_uid)}}
    return bool(orthanc.ask("tools/find", query))


def qido(orthanc: Orthanc, path: str) -> list[dict[str, Any]]:
    """Ask its DICOMweb service, such as ``studies/<uid>/instances``."""
    return list(orthanc.ask(f"dicom-web/{path}"))
