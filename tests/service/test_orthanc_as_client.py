"""Orthanc, as a client of our DICOMweb service: it sends slides, finds them, and fetches results."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import needs
from tests.service.conftest import SERIES, STUDY
from tests.service.served import Site
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.files import find_instance_files
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.runtime.orthanc import Orthanc, run_orthanc

pytestmark = needs("Orthanc", "orthanc orthanc-dicomweb")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site.make(tmp_path / "site")
    yield made
    made.database.dispose()


def send(orthanc: Orthanc, files: list[Path]) -> None:
    peer = DicomPeer(orthanc.ae_title, orthanc.host, orthanc.port, timeout_s=15.0)
    send_instances(peer, "TEST", find_instance_files(files))


def test_it_sends_a_slide_finds_it_and_fetches_the_result(site: Site, slide: dict[str, Path], tmp_path: Path) -> None:
    with site.serving() as web:
        servers = {"DicomWeb": {"Enable": True, "Servers": {"vst": [f"{web.url}/dicom-web/", "", ""]}}}
        with run_orthanc(tmp_path / "orthanc", settings=servers) as orthanc:
            send(orthanc, list(slide.values()))
            (series,) = orthanc.ask("series")
            orthanc.ask("dicom-web/servers/vst/stow", {"Resources": [series], "Synchronous": True})
            site.decide()
            site.process()
            before = len(orthanc.ask("instances"))
            found = orthanc.ask(
                "dicom-web/servers/vst/qido", {"Uri": "/series", "Arguments": {"StudyInstanceUID": STUDY}}
            )
            wanted = {"Resources": [{"Study": STUDY}], "Synchronous": True}
            orthanc.ask("dicom-web/servers/vst/retrieve", wanted)
            after = orthanc.ask("instances?expand")

    assert len(list(site.settings.spool.rglob("*.dcm"))) == len(slide)
    assert SERIES in str(found)
    assert len(after) > before == 4
    assert len({one["ParentSeries"] for one in after}) > 3
