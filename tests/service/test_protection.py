"""What is not shown, to whom, and what nobody writes down."""

from pathlib import Path
from threading import Event

import pytest
from pydantic import ValidationError
from sqlalchemy import update

from tests.service.conftest import BASE, LEVEL, SERIES, STUDY
from tests.service.served import START, Site, Web
from tests.wsi_builder import Wsi, paint, write_wsi
from vst_dicom.config import Settings, WebSettings
from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.tables import instances, jobs
from vst_dicom.service.serving import run_web


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "", "example.org"])  # noqa: S104
def test_without_login_nobody_but_this_machine_is_served(host: str) -> None:
    with pytest.raises(ValidationError, match="as long as nobody must log in"):
        WebSettings(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_this_machine_is_served(host: str) -> None:
    assert WebSettings(host=host).host == host


def test_a_name_that_is_not_ours_is_not_answered(web: Web) -> None:
    response = web.get("/dicom-web/studies", headers={"Host": "attacker.example"})

    assert response.status_code == 400
    assert "4711" not in response.text


def test_the_name_of_the_proxy_is_answered_and_makes_the_addresses(tmp_path: Path, slide: dict[str, Path]) -> None:
    site = Site.make(tmp_path, public_url="https://slides.hospital.example/vst")
    site.receive([slide[BASE]])
    with site.serving() as web:
        (study,) = web.json("/studies", headers={"Host": "slides.hospital.example"})

    assert study["00081190"]["Value"] == [f"https://slides.hospital.example/vst/dicom-web/studies/{STUDY}"]


def test_only_viewers_of_the_settings_read_across_origins(web: Web) -> None:
    own = web.get("/health/ready", headers={"Origin": "https://viewer.example"})
    other = web.get("/health/ready", headers={"Origin": "https://attacker.example"})

    assert own.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    "path", ["/dicom-web/studies", "/dicom-web/nothing", "/api/v1/results", f"/dicom-web/studies/{STUDY}/metadata"]
)
def test_browsers_neither_keep_nor_guess_nor_frame(web: Web, path: str) -> None:
    headers = web.get(path).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "server" not in headers


def test_the_log_says_nothing_about_patients(web: Web, capfd: pytest.CaptureFixture[str]) -> None:
    web.json("/studies?PatientName=M%C3%BCller*&PatientID=P-4711")
    web.get("/dicom-web/studies?PatientID=P-4711&limit=x")
    web.get("/P-4711/M%C3%BCller")
    web.get("/dicom-web/P-4711")

    text = "".join(capfd.readouterr())
    assert "4711" not in text
    assert "ller" not in text


def test_nobody_changes_what_was_stored(web: Web) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        response = web.session.request(method, f"{web.url}/dicom-web/studies", timeout=30)
        assert response.status_code == 405
        assert response.headers["Content-Type"] == "application/problem+json"


def test_what_is_held_removed_or_not_grouped_is_not_shown(tmp_path: Path, slide: dict[str, Path]) -> None:
    site = Site.make(tmp_path / "site")
    site.receive([slide[BASE], slide[LEVEL]], accept=False)
    with site.serving() as web:
        assert web.json("/studies") == []
        site.decide()
        assert len(web.json("/instances")) == 2
        with site.database.begin() as connection:
            removed = instances.c.sop_instance_uid == LEVEL
            connection.execute(update(instances).where(removed).values(removed_at=START))
        assert [one["00080018"]["Value"] for one in web.json("/instances")] == [[BASE]]
        key = site.process()
        assert len(web.json("/studies")[0]["00080061"]["Value"]) > 1
        with site.database.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.key == key).values(copies_removed_at=START))
        assert web.json("/studies")[0]["00080061"]["Value"] == ["SM"]
        assert web.get("/api/v1/results").json() == {"results": []}


def test_of_a_changed_instance_the_later_content_is_shown(tmp_path: Path) -> None:
    files = [
        write_wsi(tmp_path / f"{n}.dcm", Wsi([paint(64, 64, n)], study=STUDY, series=SERIES, uid=BASE))
        for n in range(2)
    ]
    site = Site.make(tmp_path / "site")
    site.receive([files[0]])
    site.receive([files[1]])
    with site.serving() as web:
        shown = web.get(f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{BASE}", "application/dicom").content

    assert shown == files[1].read_bytes()


def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "one")
    with site.serving() as web:
        port = int(web.url.rpartition(":")[2])
        settings = Settings(data_dir=tmp_path / "other", web={"port": port})  # type: ignore[arg-type]
        settings.data_dir.mkdir()
        with pytest.raises(UsageError, match=f"web port 127.0.0.1:{port} cannot be opened"):
            run_web(settings, Event())


def test_health_says_that_the_database_answers(web: Web) -> None:
    assert web.get("/health/ready").json() == {"status": "ok"}
