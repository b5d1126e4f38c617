"""Claims about the whole server behind Orthanc, which routes slides to it and gets results back."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.server import AE_TITLE, Server, To, running_server, study_of
from tests.peers.orthanc import Orthanc, count, modality, needs_orthanc, peer, qido, run_orthanc
from tests.runtime.slides import write_slide
from vst_dicom.deliver.files import find_instance_files
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.runtime.orthanc import free_ports

pytestmark = [needs_orthanc, pytest.mark.slow]

ROUTING = Path(__file__).parents[2] / "deploy" / "orthanc" / "route_slides.lua"
CARELESS = Path(__file__).with_name("forward_everything.lua")
N_ROUNDS = 10


EVERYTHING = {"SM": 4, "OT": 1, "SEG": 2, "ANN": 1, "SR": 1}
"""A slide of one level with its results, which paint a gene over it in three levels."""


@dataclass(frozen=True)
class Hospital:
    """The server, an Orthanc that routes slides to it, and one that routes everything to it."""

    server: Server
    careful: Orthanc
    careless: Orthanc


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    (port,) = free_ports(1)
    known = {"vst_dicom": modality(AE_TITLE, port, AllowTranscoding=False)}
    with ExitStack() as stack:
        careful, careless = (
            stack.enter_context(run_orthanc(folder / ae_title, ae_title=ae_title, modalities=known, scripts=(script,)))
            for ae_title, script in (("CAREFUL", ROUTING), ("CARELESS", CARELESS))
        )
        back = [To(pacs.ae_title, pacs.port, {pacs.ae_title: "routine"}) for pacs in (careful, careless)]
        server = stack.enter_context(running_server(folder / "server", back, port=port, overlay_gene="G"))
        yield Hospital(server, careful, careless)


def send(pacs: Orthanc, slide: Path) -> None:
    """Bring a slide from the scanner to the PACS."""
    send_instances(peer(pacs), "SCANNER", find_instance_files([slide]))


def modalities(pacs: Orthanc, study: str) -> Counter[str]:
    """How many instances of each modality QIDO-RS finds in a study."""
    return Counter(found["00080060"]["Value"][0] for found in qido(pacs, f"studies/{study}/instances"))


def test_a_slide_that_orthanc_routes_comes_back_as_maps_and_regions_of_its_study(
    hospital: Hospital, tmp_path: Path
) -> None:
    slide = write_slide(tmp_path / "slide.dcm", 11, 640)
    study = study_of(slide)

    send(hospital.careful, slide)
    hospital.server.wait_until_delivered(study)

    assert modalities(hospital.careful, study) == EVERYTHING
    # its script takes the gene painted over the slide for a slide, and sends it here
    hospital.server.wait(lambda: hospital.server.decisions(study, "own result came back"), "the picture to come back")
    hospital.server.wait_until_quiet()
    assert [job.state for job in hospital.server.jobs(study)] == ["done"]


def test_an_orthanc_that_routes_everything_back_ten_times_has_one_result(hospital: Hospital, tmp_path: Path) -> None:
    server, pacs = hospital.server, hospital.careless
    slide = write_slide(tmp_path / "slide.dcm", 12, 640)
    study = study_of(slide)
    send(pacs, slide)
    server.wait_until_delivered(study)
    # its script has sent the results here by itself
    own = "own result came back"
    server.wait(lambda: len(server.decisions(study, own)) >= 4, "results to come back from the PACS")

    (everything,) = pacs.ask("tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": study}})
    for _ in range(N_ROUNDS):
        done = pacs.ask("modalities/vst_dicom/store", {"Resources": [everything], "Synchronous": True})
        assert done["FailedInstancesCount"] == 0
        assert done["InstancesCount"] == sum(EVERYTHING.values())
    time.sleep(server.settings.study.quiet_s + 1)
    server.wait_until_quiet()

    (job,) = server.jobs(study)
    assert (job.state, job.attempts) == ("done", 1)
    assert [delivery.attempts for delivery in server.deliveries(study)] == [1]
    assert modalities(pacs, study) == EVERYTHING
    assert count(pacs, "series") == 7
    assert len(server.decisions(study, "queued")) == 1
