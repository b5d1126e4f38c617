"""STOW-RS: instances come to the spool as by C-STORE, and nothing half is left."""

import http.client
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from dicomweb_client import DICOMwebClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import UID
from sqlalchemy import select

from tests.service.conftest import BASE, LEVEL, SERIES, STUDY
from tests.service.served import Site, Web
from vst_dicom.ledger.access import create_token
from vst_dicom.ledger.audit import list_audit
from vst_dicom.ledger.jobs import list_jobs
from vst_dicom.ledger.tables import instances
from vst_dicom.receive.spool import Spool, find_data_set
from vst_dicom.service.access.principals import Principal
from vst_dicom.service.access.roles import Role
from vst_dicom.service.store_routes import calling_ae_of
from vst_dicom.service.store_upload import OtherTypeError, TooMuchError, Upload, UploadLimits
from vst_dicom.service.uploading import Uploading

BOUNDARY = "a7c3-boundary"
TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
LIMITS = UploadLimits(1 << 30, 1 << 30, 100)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site.make(tmp_path / "site")
    yield made
    made.database.dispose()


def body_of(files: list[bytes], head: str = "Content-Type: application/dicom") -> bytes:
    parts = [f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + file + b"\r\n" for file in files]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(web: Web, body: Any, path: str = "/studies", content_type: str = TYPE, **headers: str) -> requests.Response:
    headers = {"Content-Type": content_type, "Accept": "application/dicom+json", **headers}
    return requests.post(f"{web.url}/dicom-web{path}", data=body, headers=headers, timeout=60)


def reasons(response: requests.Response, sequence: str = "00081198") -> list[int]:
    return [item["00081197"]["Value"][0] for item in response.json().get(sequence, {"Value": []})["Value"]]


def spooled(site: Site) -> list[Path]:
    return [path for path in site.settings.spool.rglob("*") if path.is_file()]


def data_set(file: bytes) -> bytes:
    return file[144 + int.from_bytes(file[140:144], "little") :]


def of_class(file: Path, sop_class_uid: str) -> bytes:
    dataset = dcmread(file)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def test_a_slide_that_a_client_stores_becomes_a_job_and_can_be_retrieved(site: Site, slide: dict[str, Path]) -> None:
    with site.serving() as web:
        client = DICOMwebClient(f"{web.url}/dicom-web")
        answer = client.store_instances([dcmread(path) for path in slide.values()])
        site.decide()
        found = client.search_for_instances(STUDY, SERIES)
        back = client.retrieve_instance(STUDY, SERIES, BASE)

    assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == set(slide)
    assert answer.RetrieveURL.endswith(f"/dicom-web/studies/{STUDY}")
    assert "FailedSOPSequence" not in answer
    with site.database.begin() as connection:
        assert len(list_jobs(connection)) == 1
    assert BASE in {item["00080018"]["Value"][0] for item in found}
    assert back.PixelData == dcmread(slide[BASE]).PixelData


def test_the_data_set_is_kept_to_the_byte_behind_a_header_of_our_own(site: Site, slide: dict[str, Path]) -> None:
    sent = b"MZ hostile preamble".ljust(128, b"\x90") + slide[BASE].read_bytes()[128:]
    with site.serving() as web:
        response = post(web, body_of([sent]))

    assert response.status_code == 200
    (kept,) = spooled(site)
    file = kept.read_bytes()
    assert file[:132] == bytes(128) + b"DICM"
    with kept.open("rb") as opened:
        assert file[find_data_set(opened.fileno()) :] == data_set(sent)
    with site.database.begin() as connection:
        (row,) = connection.execute(select(instances)).all()
    assert (row.sop_instance_uid, row.peer_address) == (BASE, "127.0.0.1")


def test_the_same_again_is_a_success_and_kept_once(site: Site, slide: dict[str, Path]) -> None:
    file = slide[BASE].read_bytes()
    with site.serving() as web:
        statuses = [post(web, body_of([file])).status_code for _ in range(2)]

    assert statuses == [200, 200]
    assert len(spooled(site)) == 1


def test_what_fails_says_why_and_the_rest_is_stored(site: Site, slide: dict[str, Path]) -> None:
    good = slide[BASE].read_bytes()
    other_class = of_class(slide[LEVEL], "1.2.840.10008.5.1.4.1.1.2")
    cut = good[:-1000]
    with site.serving() as web:
        response = post(web, body_of([good, other_class, cut, b"no DICOM at all, however long it may be" * 9]))

    assert response.status_code == 202
    assert reasons(response) == [0x0122, 0xC000]
    assert reasons(response, "0008119A") == [0xC000]
    assert len(response.json()["00081199"]["Value"]) == 1
    assert len(spooled(site)) == 1


def test_an_encoding_that_is_not_received_is_an_unsupported_type(site: Site, slide: dict[str, Path]) -> None:
    deflated = "1.2.840.10008.1.2.1.99"
    file = slide[BASE].read_bytes()
    start = 144 + int.from_bytes(file[140:144], "little")
    header = file[:start].replace(b"1.2.840.10008.1.2.4.50", deflated.encode())
    with site.serving() as web:
        response = post(web, body_of([header + file[start:]]))

    assert response.status_code == 415
    assert reasons(response) == [0xC122]
    assert spooled(site) == []


def test_an_instance_of_another_study_than_the_address_says_fails(site: Site, slide: dict[str, Path]) -> None:
    file = slide[BASE].read_bytes()
    with site.serving() as web:
        refused = post(web, body_of([file]), "/studies/1.2.3")
        stored = post(web, body_of([file]), f"/studies/{STUDY}")

    assert (refused.status_code, reasons(refused)) == (409, [0xA900])
    assert stored.status_code == 200
    assert len(spooled(site)) == 1


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/dicom", 415),
        (f'multipart/form-data; type="application/dicom"; boundary={BOUNDARY}', 415),
        (f'multipart/related; type="application/dicom+json"; boundary={BOUNDARY}', 415),
        ('multipart/related; type="application/dicom"', 400),
        (f'multipart/related; type="application/dicom"; boundary={"b" * 201}', 400),
        ('multipart/related; type="application/dicom"; boundary=other', 400),
    ],
)
def test_a_body_that_is_not_what_its_type_says_is_refused(
    site: Site, slide: dict[str, Path], content_type: str, status: int
) -> None:
    with site.serving() as web:
        response = post(web, body_of([slide[BASE].read_bytes()]), content_type=content_type)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert spooled(site) == []


def test_a_body_that_is_cut_off_leaves_nothing_half(site: Site, slide: dict[str, Path]) -> None:
    file = slide[BASE].read_bytes()
    whole = body_of([file, file])
    with site.serving() as web:
        ended_early = post(web, whole[: len(whole) // 4])
        to = urlsplit(web.url)
        connection = http.client.HTTPConnection(str(to.hostname), to.port, timeout=30)
        connection.putrequest("POST", "/dicom-web/studies")
        connection.putheader("Content-Type", TYPE)
        connection.putheader("Content-Length", str(len(whole)))
        connection.endheaders(whole[: len(whole) // 4])
        connection.close()
        wait_until(lambda: not spooled(site))

    assert ended_early.status_code == 400


def wait_until(holds: Any) -> None:
    for _ in range(100):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it does not come true")


def test_who_falls_silent_is_cut_off_and_others_wait_no_longer_than_that(
    tmp_path: Path, slide: dict[str, Path]
) -> None:
    site = Site.make(tmp_path / "site", stow={"requests": 1, "silence_s": 2})
    file = slide[BASE].read_bytes()

    def slow() -> Iterator[bytes]:
        yield body_of([file])[:2000]
        with_others.append(post(web, body_of([file])))
        time.sleep(3)
        yield b"late"

    with_others: list[requests.Response] = []
    with site.serving() as web:
        response = requests.post(
            f"{web.url}/dicom-web/studies", data=slow(), headers={"Content-Type": TYPE}, timeout=60
        )
        after = post(web, body_of([file]))
    site.database.dispose()

    assert response.status_code == 408
    assert (with_others[0].status_code, with_others[0].headers["Retry-After"]) == (503, "60")
    assert after.status_code == 200
    assert len(spooled(site)) == 1


def test_without_room_nothing_is_read(tmp_path: Path, slide: dict[str, Path]) -> None:
    made = Site.make(tmp_path / "site")
    full = made.settings.storage.model_copy(update={"reserve_bytes": 1 << 60})
    site = Site(made.settings.model_copy(update={"storage": full}), made.database)
    with site.serving() as web:
        response = post(web, body_of([slide[BASE].read_bytes()]))
    made.database.dispose()

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "60"
    assert spooled(site) == []


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_however_a_body_is_divided_the_instances_are_the_same(
    site_of_divisions: Site, slide: dict[str, Path], data: st.DataObject
) -> None:
    uploading = Uploading(site_of_divisions.settings, site_of_divisions.database)
    body = body_of([slide[LEVEL].read_bytes(), slide[BASE].read_bytes()])
    near_edges = st.sampled_from([body.find(BOUNDARY.encode(), 10) + n for n in range(-6, 40)])
    cuts = sorted(data.draw(st.sets(st.one_of(st.integers(0, len(body)), near_edges, st.integers(0, 800)))))
    upload = Upload(uploading.storage, TYPE, LIMITS, "", "")
    for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True):
        upload.feed(body[start:stop])

    assert [(one.request.sop_instance_uid, one.status.code) for one in upload.finish()] == [(LEVEL, 0), (BASE, 0)]
    assert len(spooled(site_of_divisions)) == 2


@pytest.fixture(scope="module")
def site_of_divisions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(tmp_path_factory.mktemp("divided"))
    yield made
    made.database.dispose()


@pytest.mark.parametrize(
    ("limits", "error"),
    [(UploadLimits(1 << 30, 1000, 100), TooMuchError), (UploadLimits(1 << 30, 1 << 30, 1), TooMuchError)],
)
def test_a_request_beyond_a_limit_ends(
    site: Site, slide: dict[str, Path], limits: UploadLimits, error: type[Exception]
) -> None:
    upload = Upload(Uploading(site.settings, site.database).storage, TYPE, limits, "", "")
    with pytest.raises(error):
        upload.feed(body_of([slide[BASE].read_bytes()] * 2))
    upload.discard()

    assert [path for path in spooled(site) if path.suffix == ".part"] == []


@pytest.mark.parametrize("head", ["Content-Type: application/json", "X: " + "y" * 10_000, "\r\n".join(["A: b"] * 20)])
def test_parts_of_another_type_or_with_endless_headers_are_refused(
    site: Site, slide: dict[str, Path], head: str
) -> None:
    with site.serving() as web:
        response = post(web, body_of([slide[BASE].read_bytes()], head))

    assert response.status_code in (400, 415)
    assert spooled(site) == []


def test_a_hundred_thousand_empty_parts_end_at_the_limit(site: Site) -> None:
    upload = Upload(Uploading(site.settings, site.database).storage, TYPE, LIMITS, "", "")
    with pytest.raises(TooMuchError):
        upload.feed(body_of([b""] * 100_000))


def test_a_page_of_another_site_stores_nothing(site: Site, slide: dict[str, Path]) -> None:
    with site.serving() as web:
        response = post(web, body_of([slide[BASE].read_bytes()]), Origin="https://elsewhere.example")

    assert response.status_code == 403
    assert spooled(site) == []


@pytest.mark.parametrize(
    ("subject", "calling_ae"),
    [
        ("token:SCANNER1", "SCANNER1"),
        ("local", "local"),
        ("oidc:3f2a6c1e-aaaa-bbbb-cccc-1234567890ab", "3f2a6c1e-aaaa-bb"),
        ("oidc:a\\b c", "a_b_c"),
    ],
)
def test_who_sends_is_named_like_an_application_entity(subject: str, calling_ae: str) -> None:
    assert calling_ae_of(Principal(subject, Role.OPERATOR)) == calling_ae


def test_ledger_and_audit_say_who_sent_what(tmp_path: Path, slide: dict[str, Path]) -> None:
    rates = {"changes_per_minute": 1}
    site = Site.make(tmp_path / "site", auth={"mode": "token"}, rates=rates)
    now = datetime.now(UTC)
    with site.database.begin() as connection:
        token = create_token(connection, "SCANNER1", "operator", now=now, expires_at=now + timedelta(days=1))
    with site.serving() as web:
        credential = f"Bearer {token}"
        statuses = [post(web, body_of([path.read_bytes()]), Authorization=credential) for path in slide.values()]
    with site.database.begin() as connection:
        senders = set(connection.execute(select(instances.c.calling_ae)).scalars())
        audited = list_audit(connection, who="token:SCANNER1", limit=100)[0]
    files = list(site.settings.spool.rglob("*.dcm"))
    site.database.dispose()

    assert {response.status_code for response in statuses} == {200}
    assert senders == {dcmread(path).file_meta.SourceApplicationEntityTitle for path in files} == {"SCANNER1"}
    assert [(row.study_instance_uid, row.status) for row in audited] == [(STUDY, 200)] * len(slide)


def test_what_a_killed_server_left_half_is_removed_and_what_the_listener_receives_is_not(site: Site) -> None:
    spool = Spool(site.settings.spool)
    left, received = spool.begin(b"left behind"), spool.begin(b"of the listener")
    left.close()
    with site.serving():
        assert spooled(site) == [received.path]
    received.discard()


def test_others_read_at_once_while_a_body_comes(site: Site, slide: dict[str, Path]) -> None:
    waits_s = []

    def body() -> Iterator[bytes]:
        yield body_of([slide[BASE].read_bytes()]).removesuffix(f"--{BOUNDARY}--\r\n".encode())
        for number in range(40):
            yield b"--" + BOUNDARY.encode() + b"\r\n\r\n" + bytes(1 << 20) + b"\r\n"
            if number % 10 == 0:
                began_s = time.monotonic()
                assert requests.get(f"{web.url}/dicom-web/studies", timeout=30).status_code == 200
                waits_s.append(time.monotonic() - began_s)
        yield f"--{BOUNDARY}--\r\n".encode()

    with site.serving() as web:
        response = post(web, body())

    assert response.status_code == 202
    assert max(waits_s) < 1


def test_a_json_study_is_of_another_type() -> None:
    with pytest.raises(OtherTypeError):
        Upload(None, "application/json", LIMITS, "", "")  # type: ignore[arg-type]
