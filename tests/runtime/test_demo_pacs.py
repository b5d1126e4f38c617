"""Claims about the PACS of the demonstration: slides are routed, results are not, and both are found."""

import time
from pathlib import Path

import pytest

from tests.deliver.instances import (
    JPEG_BASELINE,
    PARAMETRIC_MAP,
    STUDY,
    WHOLE_SLIDE,
    write_instance,
)
from tests.peers.orthanc import needs_orthanc
from tests.peers.pacs import FakePacs, run_fake_pacs
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.runtime.demo_pacs import DemoPacs, run_demo_pacs
from vst_dicom.runtime.orthanc import free_ports

BOTH = pytest.mark.parametrize("built_in", [True, pytest.param(False, marks=needs_orthanc)])


def _wait_for(gateway: FakePacs, n_instances: int, *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while len(gateway.stored) < n_instances and time.monotonic() < deadline:
        time.sleep(0.1)


def _uids(pacs: DemoPacs) -> set[str]:
    return {instance.sop_instance_uid for instance in pacs.find_instances(STUDY)}


@pytest.mark.slow
@BOTH
def test_slides_are_routed_and_results_are_not(tmp_path: Path, built_in: bool) -> None:
    slide = [write_instance(tmp_path / "slide", n, sop_class=WHOLE_SLIDE, modality="SM") for n in (0, 2)]
    result = write_instance(tmp_path / "result", 1, sop_class=PARAMETRIC_MAP)

    with (
        run_fake_pacs(ae_title="VST_DICOM") as gateway,
        run_demo_pacs(tmp_path / "pacs", gateway.peer, built_in=built_in) as pacs,
    ):
        send_instances(pacs.peer, "SCANNER", slide)
        _wait_for(gateway, 2)
        for _ in range(3):
            send_instances(pacs.peer, "VST_DICOM", [result])
        found = {(one.sop_instance_uid, one.sop_class_uid, one.modality) for one in pacs.find_instances(STUDY)}
        time.sleep(4)
        routed = set(gateway.stored)

    assert routed == {file.sop_instance_uid for file in slide}
    assert all(len(stored) == 1 for stored in gateway.stored.values())
    assert found == {
        (slide[0].sop_instance_uid, WHOLE_SLIDE, "SM"),
        (slide[1].sop_instance_uid, WHOLE_SLIDE, "SM"),
        (result.sop_instance_uid, PARAMETRIC_MAP, "OT"),
    }


@pytest.mark.slow
@BOTH
def test_a_slide_that_nobody_took_is_routed_later(tmp_path: Path, built_in: bool) -> None:
    first = write_instance(tmp_path, 0, sop_class=WHOLE_SLIDE, modality="SM")
    second = write_instance(tmp_path, 1, sop_class=WHOLE_SLIDE, modality="SM")
    (port,) = free_ports(1)

    with run_demo_pacs(
        tmp_path / "pacs", DicomPeer("VST_DICOM", "127.0.0.1", port, timeout_s=3), built_in=built_in
    ) as pacs:
        send_instances(pacs.peer, "SCANNER", [first])
        time.sleep(5)
        with run_fake_pacs(ae_title="VST_DICOM", port=port) as gateway:
            send_instances(pacs.peer, "SCANNER", [second])
            _wait_for(gateway, 2)

            assert set(gateway.stored) == {first.sop_instance_uid, second.sop_instance_uid} == _uids(pacs)


def test_the_built_in_pacs_says_what_it_is_for(tmp_path: Path) -> None:
    with run_demo_pacs(tmp_path, DicomPeer("VST_DICOM", "127.0.0.1", 1), built_in=True) as pacs:
        assert "for this demonstration only" in pacs.description
        assert pacs.dicomweb_url == ""


def test_the_built_in_pacs_keeps_compressed_slides_and_the_first_of_two_with_one_uid(tmp_path: Path) -> None:
    slide = write_instance(tmp_path, 0, sop_class=WHOLE_SLIDE, transfer_syntax=JPEG_BASELINE, modality="SM")

    with run_demo_pacs(tmp_path / "pacs", DicomPeer("VST_DICOM", "127.0.0.1", 1, timeout_s=2), built_in=True) as pacs:
        for _ in range(2):
            send_instances(pacs.peer, "SCANNER", [slide])

        assert len(pacs.find_instances(STUDY)) == 1
        assert len(list((tmp_path / "pacs").glob("*.dcm"))) == 1
