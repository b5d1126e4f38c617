import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.peers.certificates import make_certificates, needs_openssl
from tests.peers.pacs import run_fake_pacs
from tests.runtime.spooled import BUNDLE
from vst_dicom.config import Settings
from vst_dicom.domain.errors import BundleError, PeerError, ResourceError, UsageError
from vst_dicom.runtime import diagnosis
from vst_dicom.runtime.diagnosis import Finding, Level, diagnose

NOW = datetime.now(UTC) + timedelta(hours=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(tmp_path: Path, **values: Any) -> Settings:
    values.setdefault("dicom", {"port": free_port()})
    values.setdefault("storage", {"reserve_bytes": 0, "reserve_fraction": 0})
    return Settings(data_dir=tmp_path, **values)


def finding(check: str, made: Settings, now: datetime = NOW) -> Finding:
    """Diagnose until the check is there: later ones are slow."""
    return next(one for one in diagnose(made, now) if one.check == check)


def test_fresh_settings_have_no_failure_but_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vst_dicom.predict.bundle.load_bundle", lambda _name: BUNDLE)
    found = {one.check: one.level for one in diagnose(settings(tmp_path), NOW)}

    assert Level.FAIL not in found.values()
    assert found["destinations"] is Level.WARN
    assert found["bundle her2st-lite"] is Level.OK


def test_wrong_rules_fail_with_their_fault(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("[[rule]]\nname = 'a'\nthen = 'delete'")
    found = finding("rules", settings(tmp_path, study={"rules": path}))

    assert (found.level, found.failure) == (Level.FAIL, UsageError)
    assert "rule 'a'.then" in found.text


def test_a_database_that_does_not_answer_fails_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://vst:secret@127.0.0.1:{free_port()}/vst"
    found = finding("database", settings(tmp_path, database_url=url))

    assert (found.level, found.failure) == (Level.FAIL, ResourceError)
    assert "secret" not in found.text


def test_too_little_disk_fails(tmp_path: Path) -> None:
    found = finding("disk", settings(tmp_path, storage={"reserve_bytes": 1 << 60}))

    assert (found.level, found.failure) == (Level.FAIL, ResourceError)
    assert "free space" in found.text


def test_a_free_port_is_fine(tmp_path: Path) -> None:
    found = finding("DICOM port", settings(tmp_path))

    assert found.level is Level.OK
    assert "is free" in found.text


def test_a_port_of_our_own_server_is_fine(tmp_path: Path) -> None:
    with run_fake_pacs(ae_title="VST_DICOM") as pacs:
        found = finding("DICOM port", settings(tmp_path, dicom={"port": pacs.port}))

    assert found.level is Level.OK
    assert "answers as VST_DICOM" in found.text


def test_a_port_of_somebody_else_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_LONGEST_WAIT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = finding("DICOM port", settings(tmp_path, dicom={"port": server.getsockname()[1]}))

    assert found.level is Level.WARN
    assert "is in use" in found.text


def test_a_destination_that_answers_is_fine(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs:
        place = {"ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port}
        found = finding("destination pacs", settings(tmp_path, destinations={"pacs": place}))

    assert (found.level, found.text) == (Level.OK, "answers to C-ECHO")


def test_a_destination_that_is_down_fails_and_names_itself(tmp_path: Path) -> None:
    place = {"ae_title": "PACS", "host": "127.0.0.1", "port": free_port()}
    found = finding("destination pacs", settings(tmp_path, destinations={"pacs": place}))

    assert (found.level, found.failure) == (Level.FAIL, PeerError)
    assert "cannot be reached" in found.text


def test_a_destination_that_does_not_know_us_says_what_to_do(tmp_path: Path) -> None:
    with run_fake_pacs(require_calling="SOMEBODY") as pacs:
        place = {"ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port}
        found = finding("destination pacs", settings(tmp_path, destinations={"pacs": place}))

    assert found.level is Level.FAIL
    assert "register this AE title" in found.text


def test_a_web_destination_that_is_down_fails(tmp_path: Path) -> None:
    place = {"url": f"http://127.0.0.1:{free_port()}/dicom-web"}
    found = finding("destination web", settings(tmp_path, destinations={"web": place}))

    assert (found.level, found.failure) == (Level.FAIL, PeerError)


def test_an_unknown_bundle_fails(tmp_path: Path) -> None:
    found = finding("bundle none", settings(tmp_path, predict={"bundle": "none"}))

    assert (found.level, found.failure) == (Level.FAIL, BundleError)


def with_tls(tmp_path: Path) -> Settings:
    made = make_certificates(tmp_path / "tls", "server")["server"]
    made.key.chmod(0o600)
    tls = {"certificate": made.certificate, "private_key": made.key, "authorities": made.authority}
    return settings(tmp_path, dicom={"port": free_port(), "tls": tls})


@needs_openssl
def test_a_certificate_that_expires_soon_is_warned_of(tmp_path: Path) -> None:
    found = finding("certificate of the listener", with_tls(tmp_path))

    assert found.level is Level.WARN
    assert "renew it" in found.text


@needs_openssl
@pytest.mark.parametrize(("days", "words"), [(3, "expired on"), (-1, "check the clock")])
def test_a_certificate_that_does_not_hold_now_fails(tmp_path: Path, days: int, words: str) -> None:
    found = finding("certificate of the listener", with_tls(tmp_path), NOW + timedelta(days=days))

    assert (found.level, found.failure) == (Level.FAIL, UsageError)
    assert words in found.text


@needs_openssl
def test_a_key_of_another_certificate_fails(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "tls", "one", "two")
    tls = {"certificate": made["one"].certificate, "private_key": made["two"].key}
    found = finding("certificate of the listener", settings(tmp_path, dicom={"port": free_port(), "tls": tls}))

    assert found.level is Level.FAIL
    assert "do not fit" in found.text


@needs_openssl
def test_a_key_that_everybody_may_read_fails(tmp_path: Path) -> None:
    made = with_tls(tmp_path)
    assert made.dicom.tls is not None
    made.dicom.tls.private_key.chmod(0o644)

    assert "chmod o=" in finding("certificate of the listener", made).text


def test_a_check_that_breaks_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_settings: Settings) -> Finding:
        raise ZeroDivisionError

    monkeypatch.setattr(diagnosis, "_check_disk", broken)
    made = settings(tmp_path)

    assert "ZeroDivisionError" in finding("disk", made).text
    assert finding("DICOM port", made).level is Level.OK


def test_a_web_port_that_others_use_is_a_warning(tmp_path: Path) -> None:
    free = finding("web port", settings(tmp_path, web={"port": free_port()}))
    with run_fake_pacs() as pacs:
        taken = finding("web port", settings(tmp_path, web={"port": pacs.port}))

    assert (free.level, taken.level) == (Level.OK, Level.WARN)
    assert "set another web.port" in taken.text


def test_the_doctor_says_which_engines_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vst_dicom.predict.openvino_library.has_bf16", lambda: False)
    on_cpu = settings(tmp_path, predict={"device": "cpu"})

    assert diagnosis._check_device(on_cpu).text.startswith("engines on the CPU: torch, fp32; openvino 20")

    monkeypatch.setattr("vst_dicom.predict.openvino_library.has_openvino", lambda: False)
    assert "pip install 'vst-dicom[openvino]'" in diagnosis._check_device(on_cpu).text


def test_an_engine_that_is_demanded_and_missing_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vst_dicom.predict.openvino_library.has_openvino", lambda: False)

    with pytest.raises(UsageError, match="is openvino, which is not installed"):
        diagnosis._check_device(settings(tmp_path, predict={"device": "cpu", "engine": "openvino"}))
