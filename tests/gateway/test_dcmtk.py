"""Claims about the whole server between DCMTK's programs: slides in, results back, each once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.gateway.server import AE_TITLE, RESULT_OBJECTS, Server, To, received, running_server, study_of
from tests.peers.certificates import Certificate, make_certificates, needs_openssl
from tests.peers.dcmtk import DcmtkServer, needs_dcmtk, run_dcmqrscp, run_dcmtk, run_storescp
from tests.runtime.slides import write_slide
from vst_dicom.runtime.orthanc import free_ports

pytestmark = [needs_dcmtk, pytest.mark.slow]

SIZE_PX = 640


@dataclass(frozen=True)
class Hospital:
    """The server, an archive that slides are moved from, and one that results go to."""

    server: Server
    archive: DcmtkServer
    results: DcmtkServer


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    (port,) = free_ports(1)
    with (
        run_storescp(folder / "results") as results,
        run_dcmqrscp(folder / "archive", destinations={AE_TITLE: port}, options=["+xy", "-xy"]) as archive,
        running_server(
            folder / "server",
            [To(results.ae_title, results.port, {"SCANNER": "routine", "QRSCP": "routine"})],
            port=port,
        ) as server,
    ):
        yield Hospital(server, archive, results)


def send(server: Server, paths: Sequence[Path], calling: str = "SCANNER", tls: Sequence[str] = ()) -> None:
    """Send files over one association by storescu."""
    where = ["127.0.0.1", str(server.port)]
    done = run_dcmtk("storescu", "-R", "-xy", *tls, "-aet", calling, "-aec", AE_TITLE, *where, *map(str, paths))
    assert done.returncode == 0, done.stdout + done.stderr + server.log_tail()


def client_options(certificate: Certificate) -> list[str]:
    """How DCMTK's clients use TLS."""
    return ["+tls", str(certificate.key), str(certificate.certificate), "+cf", str(certificate.authority)]


def test_a_slide_from_storescu_comes_back_to_storescp_as_a_result_of_the_same_study(
    hospital: Hospital, tmp_path: Path
) -> None:
    slide = write_slide(tmp_path / "slide.dcm", 1, SIZE_PX)
    study = study_of(slide)

    send(hospital.server, [slide])
    hospital.server.wait_until_delivered(study)

    found = received(hospital.results.files(), study)
    assert sorted(header.Modality for header in found) == ["ANN", "OT", "SEG", "SEG", "SR"]
    assert {header.SOPInstanceUID for header in found} == {
        row.sop_instance_uid for row in hospital.server.results(study)
    }


@needs_openssl
def test_the_same_with_tls_on_both_sides(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "tls", "gateway", "scanner", "pacs", "stranger")
    slide = write_slide(tmp_path / "slide.dcm", 2, SIZE_PX)
    study = study_of(slide)

    with run_storescp(tmp_path / "results", server=made["pacs"], client=made["gateway"]) as results:
        to = To(results.ae_title, results.port, {"SCANNER": "routine"}, tls=made["gateway"])
        with running_server(tmp_path / "server", [to], tls=made["gateway"]) as server:
            where = ["-aec", AE_TITLE, "127.0.0.1", str(server.port)]
            plain = run_dcmtk("echoscu", "-to", "5", "-ta", "5", *where)
            send(server, [slide], tls=client_options(made["scanner"]))
            server.wait_until_delivered(study)

        assert plain.returncode != 0
        assert len(received(results.files(), study)) == RESULT_OBJECTS


def test_a_slide_that_is_moved_here_from_an_archive_is_processed(hospital: Hospital, tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.dcm", 3, SIZE_PX)
    study = study_of(slide)
    archive = [hospital.archive.ae_title, "127.0.0.1", str(hospital.archive.port)]
    stored = run_dcmtk("storescu", "-R", "-xy", "-aet", "SCANNER", "-aec", *archive, str(slide))
    assert stored.returncode == 0, stored.stderr

    query = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    moved = run_dcmtk("movescu", "-v", "-S", "-aet", "SCANNER", "-aem", AE_TITLE, "-aec", *archive, *query)

    assert moved.returncode == 0, moved.stdout + moved.stderr
    hospital.server.wait_until_delivered(study)
    assert len(received(hospital.results.files(), study)) == RESULT_OBJECTS


def test_a_slide_that_is_sent_five_times_among_another_is_processed_once(hospital: Hospital, tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.dcm", 4, SIZE_PX)
    other = write_slide(tmp_path / "other.dcm", 5, SIZE_PX)
    server, studies = hospital.server, [study_of(slide), study_of(other)]

    send(server, [slide, other, slide, other, slide])
    for study in studies:
        server.wait_until_delivered(study)
    send(server, [other, slide, other, slide, other])
    server.wait_until_quiet()

    for study in studies:
        (job,) = server.jobs(study)
        assert (job.state, job.attempts) == ("done", 1)
        assert len(server.results(study)) == len(received(hospital.results.files(), study)) == RESULT_OBJECTS
        assert [delivery.attempts for delivery in server.deliveries(study)] == [1]


def test_a_changed_instance_alerts_and_makes_a_second_result_beside_the_first(
    hospital: Hospital, tmp_path: Path
) -> None:
    slide = write_slide(tmp_path / "slide.dcm", 6, SIZE_PX)
    changed = write_slide(tmp_path / "changed.dcm", 6, SIZE_PX + 64)
    server, study = hospital.server, study_of(slide)
    send(server, [slide])
    server.wait_until_delivered(study)
    first = {header.SOPInstanceUID for header in received(hospital.results.files(), study)}

    send(server, [changed])
    server.wait_until_delivered(study, 2)

    before, after = server.jobs(study)
    assert after.key != before.key
    assert after.predecessor_key == before.key
    assert any("came again with other content" in reason for reason in server.decisions(study, "alert"))
    both = [header.SOPInstanceUID for header in received(hospital.results.files(), study)]
    assert len(both) == len(set(both)) == 2 * RESULT_OBJECTS
    assert first < set(both)
    assert [names(hospital.results, uid, before.key) for uid in both].count(True) == 1  # in the second report


def names(peer: DcmtkServer, sop_instance_uid: str, key: str) -> bool:
    """Whether an object that a peer stored names the job of this key."""
    (path,) = (
        path for path in peer.files() if dcmread(path, stop_before_pixels=True).SOPInstanceUID == sop_instance_uid
    )
    return key.encode() in path.read_bytes()
