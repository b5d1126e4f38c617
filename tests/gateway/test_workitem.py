"""A manager hands over work by UPS-RS before the slide is there; the real processes do it and say where results are."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.gateway.server import RESULT_OBJECTS, Server, running_server, study_of
from tests.runtime.slides import write_slide
from tests.service.served import Web
from tests.service.worklist import PREDICT_EXPRESSION, Worklist, input_slide, references, scheduled
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.files import find_instance_files
from vst_dicom.deliver.store_scu import send_instances

pytestmark = pytest.mark.slow

UID = "2.25.4711"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), []) as started:
        yield started


def web_of(server: Server) -> Web:
    lines = [line for line in server.log.read_text(errors="replace").splitlines() if '"web listens"' in line]
    return Web(f"http://127.0.0.1:{json.loads(lines[-1])['port']}", requests.Session())


def test_work_that_was_handed_over_is_done_once_though_its_process_dies(server: Server, tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.dcm", 31, 640)
    study = study_of(slide)
    worklist = Worklist(web_of(server))
    asked = scheduled(PREDICT_EXPRESSION, InputInformationSequence=input_slide(study))
    assert worklist.create(UID, asked).status_code == 201
    worklist.ask("POST", f"workitems/{UID}/subscribers/MANAGER")
    assert worklist.state_of(UID) == "SCHEDULED"

    with worklist.listening("MANAGER") as manager:
        send_instances(DicomPeer("VST_DICOM", "127.0.0.1", server.port), "SCANNER", find_instance_files([slide]))
        assert manager.states(2) == [(UID, "SCHEDULED"), (UID, "IN PROGRESS")]
        server.kill("worker-cpu")
        assert manager.states(1) == [(UID, "COMPLETED")]

    (job,) = server.jobs(study)
    found = {uid for uids in references(worklist.get(UID)).values() for uid in uids}
    assert (job.attempts, len(found)) == (1, RESULT_OBJECTS)
    assert found == {row.sop_instance_uid for row in server.results(study)}
